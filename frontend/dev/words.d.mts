import type { Dictionary } from '../src/i18n'
export function dictionaries(language: string): Record<string, Dictionary>
export function partsOfPages(): Record<string, string>
export function misplaced(language: string): string[]
