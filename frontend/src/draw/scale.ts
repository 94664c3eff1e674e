/** The top of a vertical axis. Pure. */

const ROUND = [1, 1.5, 2, 3, 4, 5, 6, 8, 10]

/** Below this share of the axis, the axis shrinks. */
const SHRINK_BELOW = 0.45

export function roundUp(value: number): number {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  for (const r of ROUND) if (value <= r * power * 1.0000001) return r * power
  return 10 * power
}

/** It grows at once, and shrinks only when less than half of it is used: axes do not twitch.
 * `now` is 0 before the first. */
export function nextTop(now: number, peak: number): number {
  if (!(peak > 0)) return now > 0 ? now : 1
  if (peak > now || peak < now * SHRINK_BELOW) return roundUp(peak * 1.08)
  return now
}
