/** The current time for texts such as "6 min": it moves by ten seconds, not by frames. */
import { signal } from '@preact/signals'

const EVERY_MS = 10_000
const now = signal(Date.now() / 1000)
setInterval(() => {
  if (!document.hidden) now.value = Date.now() / 1000
}, EVERY_MS)
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) now.value = Date.now() / 1000
})

export function useNow(): number {
  return now.value
}
