/** The keyboard: pages bind their keys, the shell binds its own; typing in a field is never caught. */
import { keysOn } from '../state/prefs'
import { keyName } from './keyname'

export type Bindings = Record<string, (event: KeyboardEvent) => void>

const layers: Bindings[] = []
/** What lies over every page, whichever came later. */
const above: Bindings[] = []
const LEADER_MS = 1200
let leader = -Infinity

/** Adds bindings, `over` those of pages or not, until the returned function is called. Keys: `Ctrl k`, `g f`, `Escape`, `a`. */
export function bind(bindings: Bindings, over = false): () => void {
  const list = over ? above : layers
  list.push(bindings)
  return () => {
    const at = list.indexOf(bindings)
    if (at >= 0) list.splice(at, 1)
  }
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing) return
  const led = performance.now() - leader < LEADER_MS
  const name = keyName(event, led)
  const inField = typing(event.target)
  const plain = !name.startsWith('Ctrl ') && name !== 'Escape'
  if (inField && plain) return
  if (plain && !keysOn.value && /^(g )?[^\s]$/.test(name)) return
  if (document.querySelector('dialog[open]') && name !== 'Ctrl k') return
  if (name === 'g') {
    leader = performance.now()
    return
  }
  if (led) leader = -Infinity
  // A button or link that has focus keeps its own Space and Enter.
  if ((name === 'Space' || name === 'Enter') && event.target instanceof HTMLElement && event.target.closest('a, button, summary, [role=application]')) return
  for (const layer of [...layers, ...above].reverse()) {
    const act = layer[name]
    if (act) {
      event.preventDefault()
      act(event)
      return
    }
  }
})
