/** Which box lies over the page. */
import { signal } from '@preact/signals'

export const overlay = signal<'palette' | 'keys' | 'more' | null>(null)
