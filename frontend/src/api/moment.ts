/** Moments as the API sends them, read into seconds since 1970. */
import type { Moment } from './types'

/** Above this a number must be milliseconds: as seconds it would be the year 5138. */
const MILLISECONDS_FROM = 1e11

export function seconds(at: Moment | undefined): number | null {
  if (at === null || at === undefined || at === '') return null
  if (typeof at === 'number') return at > MILLISECONDS_FROM ? at / 1000 : at
  const parsed = Date.parse(at)
  return Number.isNaN(parsed) ? null : parsed / 1000
}
