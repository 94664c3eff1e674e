/** Two weeks of what keeps quiet and what keeps changes out: silences, maintenance, freezes. */
import type { JSX } from 'preact'
import type { WindowView } from '../api/schema'
import type { Silence } from '../api/types'
import { day, moment, t } from '../i18n'
import { matchersText } from './matchers'
import { spans } from './windowspan'
import '../styles/calendar.css'

const DAYS = 14
const DAY_S = 86_400

interface Bar {
  kind: 'silence' | 'maintenance' | 'freeze'
  name: string
  what: string
  from: number
  to: number
}

export function Calendar({ silences, windows }: { silences: readonly Silence[]; windows: readonly WindowView[] }): JSX.Element | null {
  const today = new Date()
  today.setHours(0, 0, 0, 0)
  const begin = today.getTime() / 1000
  const end = begin + DAYS * DAY_S
  const bars: Bar[] = [
    ...silences.filter((s) => s.state !== 'expired').flatMap((s) =>
      spans(s.starts_at, s.ends_at, s.recurs, s.recurs?.time_zone ?? 'UTC', begin, end).map(([from, to]): Bar => ({ kind: s.recurs ? 'maintenance' : 'silence', name: s.comment || t('silence.noReason'), what: matchersText(s.matchers), from, to })),
    ),
    ...windows.filter((w) => w.state !== 'expired' && w.ended_by === null).flatMap((w) =>
      spans(w.starts_at, w.ends_at, w.recurs, w.time_zone, begin, end).map(([from, to]): Bar => ({ kind: w.kind === 'freeze' ? 'freeze' : 'maintenance', name: w.name || w.comment, what: w.selector === '{}' ? '' : w.selector, from, to })),
    ),
  ]
  if (bars.length === 0) return null
  const rows = [...new Set(bars.map((b) => `${b.kind} ${b.name} ${b.what}`))]
  const now = Date.now() / 1000
  const place = (el: HTMLElement | null, from: number, to: number): void => {
    el?.style.setProperty('left', `${((from - begin) / (end - begin)) * 100}%`)
    el?.style.setProperty('width', `${((to - from) / (end - begin)) * 100}%`)
  }
  return (
    <section class="block">
      <h2>{t('calendar.title')}</h2>
      <div class="calendar">
        <ol class="calendar-days num" aria-hidden="true">
          {Array.from({ length: DAYS }, (_, i) => (
            <li key={i}>{day(begin + i * DAY_S + DAY_S / 2)}</li>
          ))}
        </ol>
        <ul>
          {rows.map((row) => {
            const of = bars.filter((b) => `${b.kind} ${b.name} ${b.what}` === row)
            const [one] = of
            return (
              <li key={row} class="calendar-row">
                <span class="calendar-name" title={[one.name, one.what].filter(Boolean).join(' · ')}>
                  {one.name} <span class="muted">{t(`calendar.${one.kind}`)}</span>
                </span>
                <span class="calendar-line">
                  {of.map((b) => (
                    <i key={b.from} class={b.kind} title={`${moment(b.from)} – ${moment(b.to)}`} ref={(el) => place(el, b.from, b.to)} />
                  ))}
                  <b ref={(el) => place(el, now, now)} />
                </span>
                <span class="hidden">{of.map((b) => `${moment(b.from)} – ${moment(b.to)}`).join('; ')}</span>
              </li>
            )
          })}
        </ul>
      </div>
    </section>
  )
}
