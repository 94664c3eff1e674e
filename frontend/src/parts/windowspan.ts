/** When a window or a silence holds, as a form holds it and as the server takes it. Pure but for the
 * reader's time zone. */
import { localTime } from './localtime'

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type SpanMode = 'hours' | 'exact' | 'weekly'

export interface SpanRow {
  mode: SpanMode
  hours: number
  /** Of `exact` and `weekly`, in local time as `<input type=datetime-local>` has it. */
  from: string
  to: string
  days: string[]
  start: string
  /** Hours, as typed. */
  length: string
  zone: string
}

export interface Recurs {
  days: string[]
  start: string
  minutes: number
}

const HOUR_S = 3600
const WEEKLY_FOR_S = 90 * 24 * HOUR_S

export const ownZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

export function newSpan(now: number, hours = 4): SpanRow {
  return { mode: 'hours', hours, from: localTime(now), to: localTime(now + hours * HOUR_S), days: ['sat'], start: '02:00', length: '2', zone: ownZone() }
}

/** The span of something that exists. */
export function spanOf(one: { starts_at: number | null; ends_at: number | null; recurs: Recurs | null; time_zone?: string }, now: number): SpanRow {
  const span = { ...newSpan(now), mode: one.recurs ? ('weekly' as const) : ('exact' as const), from: localTime(one.starts_at ?? now), to: localTime(one.ends_at ?? now) }
  if (!one.recurs) return one.time_zone ? { ...span, zone: one.time_zone } : span
  const { days, start, minutes } = one.recurs
  return { ...span, days: [...days], start, length: String(Number((minutes / 60).toFixed(4))), zone: one.time_zone ?? span.zone }
}

/** From weekly to once and back: a weekly one holds for months, another for hours. */
export function toMode(span: SpanRow, mode: SpanMode, now: number): SpanRow {
  if (mode === span.mode) return span
  const long = Date.parse(span.to) / 1000 - now > WEEKLY_FOR_S / 2
  if (mode === 'weekly' && !long) return { ...span, mode, from: localTime(now), to: localTime(now + WEEKLY_FOR_S) }
  if (mode === 'exact' && long) return { ...span, mode, to: localTime(now + span.hours * HOUR_S) }
  return { ...span, mode }
}

export interface SpanBody {
  minutes?: number
  starts_at?: number
  ends_at?: number
  recurs?: Recurs
}

export function spanBody(span: SpanRow): SpanBody {
  if (span.mode === 'hours') return { minutes: span.hours * 60 }
  const ends = { starts_at: Date.parse(span.from) / 1000, ends_at: Date.parse(span.to) / 1000 }
  if (span.mode === 'exact') return ends
  return { ...ends, recurs: { days: DAYS.filter((d) => span.days.includes(d)), start: span.start, minutes: Math.round(Number(span.length) * 60) } }
}

const DAY_S = 86_400
const WEEK = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const clocks = new Map<string, Intl.DateTimeFormat>()

/** By how many seconds the clocks of `zone` are ahead of UTC at a moment. */
export function zoneAhead(zone: string, at: number): number {
  let clock = clocks.get(zone)
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' })
    clocks.set(zone, clock)
  }
  const part = Object.fromEntries(clock.formatToParts(at * 1000).map((p) => [p.type, Number(p.value)]))
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000 - Math.floor(at)
}

/** The spans of a window between two moments; one that comes back each week, by the clocks of its
 * zone, has several. */
export function spans(from: number | null, to: number | null, recurs: Recurs | null, zone: string, begin: number, end: number): [number, number][] {
  const first = Math.max(from ?? begin, begin)
  const last = Math.min(to ?? end, end)
  if (last <= first) return []
  if (!recurs) return [[first, last]]
  const [hour, minute] = recurs.start.split(':').map(Number)
  const found: [number, number][] = []
  // A week before: what opened then may still hold.
  const firstDay = Math.floor((begin + zoneAhead(zone, begin)) / DAY_S) - 7
  for (let day = firstDay; (day - 1) * DAY_S < end; day++) {
    if (!recurs.days.includes(WEEK[new Date(day * DAY_S * 1000).getUTCDay()])) continue
    const clock = day * DAY_S + hour * HOUR_S + minute * 60
    const opens = clock - zoneAhead(zone, clock - zoneAhead(zone, clock))
    const a = Math.max(opens, first)
    const b = Math.min(opens + recurs.minutes * 60, last)
    if (b > a) found.push([a, b])
  }
  return found
}
