/** What this browser remembers: theme, language, single-key shortcuts. Cookies, so that the server
 * can send the first paint in the right colours and words. */
import { effect, signal } from '@preact/signals'
import { language, speak, type Language } from '../i18n'

export type Theme = 'auto' | 'light' | 'dark'

const YEAR_S = 31_536_000

function remembered(name: string): string | undefined {
  return document.cookie.split('; ').find((c) => c.startsWith(`${name}=`))?.slice(name.length + 1)
}

function remember(name: string, value: string): void {
  document.cookie = `${name}=${value}; path=/; max-age=${YEAR_S}; samesite=strict`
}

export const theme = signal<Theme>((remembered('vezha_theme') as Theme | undefined) ?? 'auto')
export const keysOn = signal(remembered('vezha_keys') !== 'off')

const systemDark = matchMedia('(prefers-color-scheme: dark)')
const system = signal(systemDark.matches)
systemDark.addEventListener('change', (e) => (system.value = e.matches))

/** Grows with each change of colours, so that canvases know when to repaint. */
export const paint = signal(0)

export function isDark(): boolean {
  return theme.value === 'dark' || (theme.value === 'auto' && system.value)
}

effect(() => {
  const root = document.documentElement
  if (theme.value === 'auto') delete root.dataset.theme
  else root.dataset.theme = theme.value
  void system.value
  paint.value = paint.peek() + 1
})

export function setTheme(next: Theme): void {
  theme.value = next
  remember('vezha_theme', next)
}

export function setKeys(on: boolean): void {
  keysOn.value = on
  remember('vezha_keys', on ? 'on' : 'off')
}

export async function setLanguage(next: Language): Promise<void> {
  if (next === language()) return
  remember('vezha_lang', next)
  await speak(next)
  paint.value++
}

/** The language of the first paint: the server has put it into <html lang>. */
export function firstLanguage(): Language {
  const chosen = remembered('vezha_lang') ?? document.documentElement.lang
  return chosen === 'uk' ? 'uk' : 'en'
}
