/** A range query's answer: up to four lines in one chart, more as charts side by side. */
import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { Board } from '../draw/board'
import { MOST_LINES } from '../draw/chart'
import { formatSpan, limit } from '../draw/span'
import { Stage } from '../draw/stage'
import type { ChartPlan, History } from '../api/types'
import { t } from '../i18n'
import { paint } from '../state/prefs'
import { query } from '../state/route'
import { lines, type Matrix } from './evidence'
import { askMarks } from './marks'
import { shortNames } from './promql'
import '../styles/host.css'

const CHARTS_MAX = 24

interface Props {
  found: Matrix
  start: number
  step: number
  count: number
}

/** The one host that all lines are of: then its own changes are marked, else the fleet's. */
function hostOf(found: Matrix): string {
  const names = new Set(found.result.map((r) => r.metric.instance ?? ''))
  return names.size === 1 ? [...names][0] : ''
}

export function QueryChart({ found, start, step, count }: Props): JSX.Element {
  const root = useRef<HTMLDivElement>(null)
  const ruler = useRef<HTMLCanvasElement>(null)
  const stage = useRef<Stage | null>(null)
  const one = found.result.length <= MOST_LINES
  const shown = found.result.slice(0, CHARTS_MAX)
  const names = useMemo(() => shortNames(found.result.map((r) => r.metric)), [found])
  const plans = useMemo<ChartPlan[]>(
    () => (one ? [0] : shown.map((_, i) => i)).map((i) => ({ id: `query@${i}`, group: '', title: names[i], unit: '', series: [{ id: 'query', legend: one ? '{{line}}' : '', expr: '' }] })),
    [found],
  )
  useLayoutEffect(() => {
    const board = new Board(plans)
    const history: History = {
      start,
      step,
      count,
      series: shown.flatMap((row, i) => {
        const plan = plans[one ? 0 : i]
        return lines(plan.id, { ...plan.series[0], legend: one ? names[i] : '' }, { result: [row] }, start, step, count)
      }),
    }
    const made = new Stage(root.current!, ruler.current!, board, {
      zoom: (from, to) => query({ range: formatSpan(limit(from, to)) }, false),
      pin: (at) => made.pin(at),
    })
    stage.current = made
    made.adopt()
    board.load(history)
    made.window.from = start
    made.window.to = start + (count - 1) * step
    made.live = false
    made.rebuild()
    let gone = false
    void askMarks(start, made.window.to, hostOf(found)).then((marks) => {
      if (!gone) made.setMarks(marks)
    })
    return () => {
      gone = true
      made.destroy()
    }
  }, [found])
  const colours = paint.value
  useEffect(() => stage.current?.rebuild(), [colours])
  return (
    <div class={`charts evidence result ${one ? 'one' : ''}`} ref={root}>
      <div class="ruler">
        <canvas ref={ruler} aria-hidden="true" />
      </div>
      <div class="chart-grid">
        {plans.map((plan, i) => (
          <figure key={plan.id} class="chart" data-chart={plan.id}>
            {!one && (
              <figcaption>
                <h2 title={names[i]}>{names[i]}</h2>
              </figcaption>
            )}
            <p class="chart-values num" />
            <div class="plot" role="img" aria-label={names[i]} />
          </figure>
        ))}
      </div>
      {found.result.length > shown.length && <p class="muted">{t('chart.more', { n: found.result.length - shown.length })}</p>}
    </div>
  )
}
