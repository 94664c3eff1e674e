/** What is usual on a chart. Pure. */

const DAY_S = 86_400

/** What is usual at each time of day (UTC): a value per slot, null where too little is known. */
export interface Usual {
  slotS: number
  low: readonly (number | null)[]
  high: readonly (number | null)[]
}

/** From when to when it is usual at a moment; `null` where nothing is known. */
export function usualAt(usual: Usual, time: number): [number, number] | null {
  const slot = Math.floor((((time % DAY_S) + DAY_S) % DAY_S) / usual.slotS)
  const low = usual.low[slot] ?? null
  const high = usual.high[slot] ?? null
  return low === null || high === null ? null : [low, high]
}

/** A difference below this part of the chart's height can hardly be seen: it is not called unusual. */
const SEEN_PART = 0.02

/** Whether a value is so far outside of its usual range that a chart up to `top` shows it. */
export function isOutside(value: number, [low, high]: readonly [number, number], top: number): boolean {
  const seen = SEEN_PART * Math.max(0, top)
  return value > high + seen || value < low - seen
}
