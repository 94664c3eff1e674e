/** A load's past week and what is foreseen: the band holds eight of ten futures. Drawn once, as SVG. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Outlook } from '../api/schema'
import { markWords } from '../draw/markrow'
import { clusters, type ChartMark } from '../draw/marks'
import { clock, day, number, t } from '../i18n'
import { quantity } from '../i18n/quantity'
import { changePath } from '../state/paths'
import { askMarks } from './marks'

const WIDTH = 1000
const HEIGHT = 220
const FOOT = 20
/** Marks nearer than so many of the picture's units are one line. */
const APART = 6
const MARKS_NAMED = 5

type Row = readonly (number | null)[]

export function OutlookChart({ one, unitName }: { one: Outlook; unitName: string }): JSX.Element {
  const past = one.past.length
  const all = past + one.mean.length
  const values = [...one.past, ...one.high].filter((v): v is number => v !== null && Number.isFinite(v))
  const top = nice(Math.max(0, ...values))
  const x = (i: number): number => (all < 2 ? 0 : (i / (all - 1)) * WIDTH)
  const y = (v: number): number => HEIGHT - (v / top) * (HEIGHT - 8)
  const from = one.start - past * one.step_s
  const marks = useSignal<ChartMark[]>([])
  useEffect(() => {
    let gone = false
    void askMarks(from, one.start, one.kind === 'host' ? one.name : '').then((found) => {
      if (!gone) marks.value = found
    })
    return () => (gone = true)
  }, [one.kind, one.name, one.start])
  const changed = clusters(marks.value, from, one.start, ((all * one.step_s) / WIDTH) * APART)
  const days = midnights(from, from + all * one.step_s)
  const shown = quantity(top, unitName)
  const peak = Math.max(...one.high.map((v) => v ?? -Infinity))
  const says = Number.isFinite(peak) ? t('load.chartSays', { value: `${quantity(peak, unitName).value} ${quantity(peak, unitName).unit}`.trim() }) : t('load.noForecast')
  return (
    <figure class="outlook">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + FOOT}`} preserveAspectRatio="none" role="img" aria-label={says}>
        {days.map((at) => (
          <line key={at} class="grid" x1={x((at - from) / one.step_s)} x2={x((at - from) / one.step_s)} y1="0" y2={HEIGHT} />
        ))}
        <line class="grid" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
        {changed.map((c) => (
          <line key={c.at} class="mark" x1={x((c.at - from) / one.step_s)} x2={x((c.at - from) / one.step_s)} y1="0" y2={HEIGHT} />
        ))}
        <path class="band" d={band(one.low, one.high, past, x, y)} />
        <path class="said" d={line(one.mean, past, x, y)} />
        <path class="past" d={line(one.past, 0, x, y)} />
        <line class="now" x1={x(past)} x2={x(past)} y1="0" y2={HEIGHT} />
      </svg>
      <figcaption class="outlook-words num">
        <span class="outlook-top">{shown.value} {shown.unit}</span>
        <ol>
          {days.map((at) => (
            <li key={at} ref={(el) => el?.style.setProperty('left', `${(x((at - from) / one.step_s) / WIDTH) * 100}%`)}>{day(at + 1)}</li>
          ))}
        </ol>
        <span class="hidden">{t('load.now', { time: clock(one.start) })}</span>
      </figcaption>
      {changed.length > 0 && (
        <div class="outlook-marks">
          <h3>{t('mark.list')}</h3>
          <ul class="num">
            {newest(changed.flatMap((c) => c.marks)).map((m, i) => (
              <li key={i}>
                <i class="change-mark" />
                <span class="muted">{`${day(m.at)}, ${clock(m.at)}`}</span>
                {m.change > 0 ? <a class="link" href={changePath(m.change)}>{markWords(m)}</a> : <span>{markWords(m)}</span>}
              </li>
            ))}
          </ul>
        </div>
      )}
    </figure>
  )
}

/** The last word on each change, the newest first. */
function newest(marks: readonly ChartMark[]): ChartMark[] {
  const last = new Map(marks.map((m) => [m.change > 0 ? `${m.change}` : `${m.title} ${m.at}`, m]))
  return [...last.values()].sort((a, b) => b.at - a.at).slice(0, MARKS_NAMED)
}

function line(row: Row, begin: number, x: (i: number) => number, y: (v: number) => number): string {
  let path = ''
  let pen = false
  row.forEach((v, i) => {
    if (v === null || !Number.isFinite(v)) {
      pen = false
      return
    }
    path += `${pen ? 'L' : 'M'}${x(begin + i).toFixed(1)} ${y(v).toFixed(1)}`
    pen = true
  })
  return path
}

function band(low: Row, high: Row, begin: number, x: (i: number) => number, y: (v: number) => number): string {
  const up: string[] = []
  const down: string[] = []
  high.forEach((v, i) => {
    const l = low[i]
    if (v === null || l === null || l === undefined) return
    up.push(`${x(begin + i).toFixed(1)} ${y(v).toFixed(1)}`)
    down.unshift(`${x(begin + i).toFixed(1)} ${y(Math.max(0, l)).toFixed(1)}`)
  })
  return up.length === 0 ? '' : `M${[...up, ...down].join('L')}Z`
}

/** The next round number above. */
export function nice(value: number): number {
  if (!(value > 0)) return 1
  const ten = 10 ** Math.floor(Math.log10(value))
  const step = [1, 2, 2.5, 5, 10].find((s) => value <= s * ten) ?? 10
  return step * ten
}

function midnights(from: number, to: number): number[] {
  const first = new Date(from * 1000)
  first.setHours(24, 0, 0, 0)
  const found: number[] = []
  const every = Math.max(1, Math.ceil((to - from) / 86_400 / 10))
  for (let i = 0; found.length < 40; i += every) {
    const at = new Date(first)
    at.setDate(first.getDate() + i)
    if (at.getTime() / 1000 > to) break
    found.push(at.getTime() / 1000)
  }
  return found
}

export const percent = (ratio: number | null): string => (ratio === null ? '—' : `${number(ratio * 100)}\u00a0%`)
