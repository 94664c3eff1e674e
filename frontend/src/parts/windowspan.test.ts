import { describe, expect, it } from 'vitest'
import { newSpan, spanBody, spanOf, spans, toMode, zoneAhead } from './windowspan'

const NOW = 1_700_000_040

describe('spans of windows', () => {
  it('last for hours, from one moment to another, or come back each week', () => {
    expect(spanBody(newSpan(NOW, 8))).toEqual({ minutes: 480 })
    expect(spanBody({ ...newSpan(NOW, 8), mode: 'exact' })).toEqual({ starts_at: NOW, ends_at: NOW + 8 * 3600 })
    const weekly = spanBody({ ...newSpan(NOW), mode: 'weekly', days: ['sun', 'mon'], start: '23:00', length: '1.5' })
    expect(weekly.recurs).toEqual({ days: ['mon', 'sun'], start: '23:00', minutes: 90 })
  })

  it.each([
    { starts_at: NOW, ends_at: NOW + 3600, recurs: null, time_zone: 'Europe/Kyiv' },
    { starts_at: NOW, ends_at: NOW + 86_400 * 90, recurs: { days: ['mon', 'fri'], start: '02:30', minutes: 100 }, time_zone: 'Asia/Tokyo' },
  ])('come out of the form as they went in: %o', (one) => {
    const span = spanOf(one, NOW)
    const { recurs, ...ends } = spanBody(span)
    expect(ends).toEqual({ starts_at: one.starts_at, ends_at: one.ends_at })
    expect(recurs ?? null).toEqual(one.recurs)
    expect(span.zone).toBe(one.time_zone)
  })

  it('are long where they come back, short where they do not', () => {
    const weekly = toMode(newSpan(NOW), 'weekly', NOW)
    const body = spanBody(weekly)
    expect(body.ends_at! - body.starts_at!).toBeGreaterThan(86_400 * 60)
    const once = spanBody(toMode(weekly, 'exact', NOW))
    expect(once.ends_at! - once.starts_at!).toBe(4 * 3600)
  })
})

describe('the calendar', () => {
  const at = (iso: string): number => Date.parse(iso) / 1000

  it('knows how far a zone is ahead, in winter and in summer', () => {
    expect(zoneAhead('UTC', NOW)).toBe(0)
    expect(zoneAhead('Europe/Kyiv', at('2026-01-10T00:00:00Z'))).toBe(2 * 3600)
    expect(zoneAhead('Europe/Kyiv', at('2026-07-10T00:00:00Z'))).toBe(3 * 3600)
    expect(zoneAhead('Asia/Kolkata', NOW)).toBe(5.5 * 3600)
  })

  it('opens weekly windows by the clocks of their zone, across the change of the clocks', () => {
    const recurs = { days: ['sun'], start: '02:00', minutes: 120 }
    const found = spans(null, null, recurs, 'Europe/Kyiv', at('2026-10-17T00:00:00Z'), at('2026-11-02T00:00:00Z'))
    expect(found.map(([from]) => new Date(from * 1000).toISOString())).toEqual(['2026-10-17T23:00:00.000Z', '2026-10-24T23:00:00.000Z', '2026-11-01T00:00:00.000Z'])
    expect(found.every(([from, to]) => to - from === 7200)).toBe(true)
  })

  it('shows of a window what lies within, and one that began before', () => {
    const begin = at('2026-11-09T00:00:00Z')
    const end = begin + 14 * 86_400
    expect(spans(begin - 50, begin + 50, null, 'UTC', begin, end)).toEqual([[begin, begin + 50]])
    expect(spans(end, null, null, 'UTC', begin, end)).toEqual([])
    const long = spans(null, null, { days: ['sat'], start: '20:00', minutes: 3000 }, 'UTC', begin, end)
    expect(long[0]).toEqual([begin, at('2026-11-07T20:00:00Z') + 3000 * 60])
    expect(long).toHaveLength(3)
    expect(spans(begin + 86_400, begin + 2 * 86_400, { days: ['sun'], start: '02:00', minutes: 60 }, 'UTC', begin, end)).toEqual([])
  })
})
