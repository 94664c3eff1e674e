/** A scenario that is being walked in this tab: which one, and at which view. It outlives a reload. */
import { signal } from '@preact/signals'

export interface Walk {
  kind: 'run' | 'watch'
  /** The scenario's name. */
  name: string
  /** Of a run: its round. */
  round: number
  at: number
}

const KEPT = 'vezha.walk'

function kept(): Walk | null {
  if (typeof sessionStorage === 'undefined') return null
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? 'null') as Walk | null
  } catch {
    return null
  }
}

export const walk = signal<Walk | null>(kept())

export function setWalk(next: Walk | null): void {
  walk.value = next
  try {
    if (next) sessionStorage.setItem(KEPT, JSON.stringify(next))
    else sessionStorage.removeItem(KEPT)
  } catch {
    // Without storage it lives as long as the page.
  }
}

/** Where a wallboard goes next: round and round; but only among what is odd while something is. */
export function turn(states: readonly string[], at: number): number {
  const odd = states.map((s) => s === 'odd' || s === 'unknown')
  const some = odd.some(Boolean)
  for (let step = 1; step <= states.length; step++) {
    const next = (at + step) % states.length
    if (!some || odd[next]) return next
  }
  return at
}
