/** The style sheet's colours, resolved for canvases (which do not know `light-dark()`). */
import { isDark, paint } from '../state/prefs'

const cache = new Map<string, string>()
let cachedFor = -1
let probe: HTMLElement | null = null

export function colour(name: string): string {
  if (cachedFor !== paint.peek()) {
    cache.clear()
    cachedFor = paint.peek()
  }
  let value = cache.get(name)
  if (value === undefined) {
    if (!probe) {
      probe = document.createElement('i')
      probe.hidden = true
      document.body.append(probe)
    }
    // Set by hand: the attribute that the style sheet reads may not be written yet.
    probe.style.colorScheme = isDark() ? 'dark' : 'light'
    probe.style.color = `var(--${name})`
    value = getComputedStyle(probe).color
    cache.set(name, value)
  }
  return value
}

export function face(size: number, weight = 400): string {
  return `${weight} ${size}px Inter, system-ui, sans-serif`
}
