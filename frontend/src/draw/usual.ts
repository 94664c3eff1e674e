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
