/** Which stretch of time is shown. Pure. Times in seconds since 1970. */

export interface Live {
  kind: 'live'
  seconds: number
}
export interface Fixed {
  kind: 'fixed'
  from: number
  to: number
}
export type Span = Live | Fixed

export const PRESETS: readonly (readonly [string, number])[] = [
  ['15m', 900],
  ['1h', 3600],
  ['6h', 21_600],
  ['24h', 86_400],
  ['7d', 604_800],
]

export const SHORTEST_S = 30
export const LONGEST_S = 90 * 86_400
/** As many points as a chart a quarter of the page wide can show. */
const POINTS = 900
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800]

/** Reads `t=` of the URL: `1h` is live, `1763870000-1763870900` is a fixed stretch. */
export function parseSpan(text: string | null): Span {
  const fallback: Live = { kind: 'live', seconds: PRESETS[0][1] }
  if (text === null) return fallback
  const preset = PRESETS.find(([name]) => name === text)
  if (preset) return { kind: 'live', seconds: preset[1] }
  const match = /^(\d{9,11})-(\d{9,11})$/.exec(text)
  if (!match) return fallback
  return limit(Number(match[1]), Number(match[2]))
}

export function formatSpan(span: Span): string | null {
  if (span.kind === 'fixed') return `${Math.floor(span.from)}-${Math.ceil(span.to)}`
  const name = PRESETS.find(([, seconds]) => seconds === span.seconds)?.[0]
  return name === undefined || name === PRESETS[0][0] ? null : name
}

/** A stretch that is neither reversed, nor too short to see, nor too long to fetch. */
export function limit(from: number, to: number): Fixed {
  let a = Math.min(from, to)
  let b = Math.max(from, to)
  if (b - a < SHORTEST_S) {
    const middle = (a + b) / 2
    a = middle - SHORTEST_S / 2
    b = middle + SHORTEST_S / 2
  }
  if (b - a > LONGEST_S) a = b - LONGEST_S
  return { kind: 'fixed', from: Math.floor(a), to: Math.ceil(b) }
}

export function lengthOf(span: Span): number {
  return span.kind === 'live' ? span.seconds : span.to - span.from
}

/** Seconds between two points, so that they are no more than a chart can show. */
export function stepFor(seconds: number): number {
  return STEPS.find((step) => seconds / step <= POINTS) ?? STEPS[STEPS.length - 1]
}

/** The next longer (`by` 1) or shorter (-1) preset. */
export function neighbourPreset(seconds: number, by: number): number {
  const list = PRESETS.map(([, s]) => s)
  if (by > 0) return list.find((s) => s > seconds) ?? list[list.length - 1]
  return [...list].reverse().find((s) => s < seconds) ?? list[0]
}

const TICKS = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000]
const TICK_PX = 76

/** Where the time lines stand between `from` and `to` on `width` pixels: whole local times. */
export function ticks(from: number, to: number, width: number, offsetS = localOffset(to)): { at: number[]; every: number } {
  const room = Math.max(1, Math.floor(width / TICK_PX))
  const every = TICKS.find((tick) => (to - from) / tick <= room) ?? TICKS[TICKS.length - 1]
  const at: number[] = []
  for (let t = Math.ceil((from + offsetS) / every) * every - offsetS; t <= to; t += every) at.push(t)
  return { at, every }
}

function localOffset(at: number): number {
  return -new Date(at * 1000).getTimezoneOffset() * 60
}
