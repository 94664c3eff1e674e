/** What it looks like: the rule's own numbers on an affected host, and on one that is well. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { get, serverNow } from '../api/client'
import type { ChartPlan, History, IncidentDetail } from '../api/types'
import type { KnownHost } from '../state/fleet'
import { Board } from '../draw/board'
import { formatSpan, limit, stepFor } from '../draw/span'
import { Stage } from '../draw/stage'
import { t } from '../i18n'
import { chartPlans } from '../pages/hostview'
import { Mark } from '../shell/Mark'
import { paint } from '../state/prefs'
import { hostPath } from '../state/paths'
import { go } from '../state/route'
import { askMarks } from './marks'
import { exprFor, lines, plansFor, type Matrix } from './evidence'
import { unaffected } from './place'
import { expressions } from './rules'
import '../styles/host.css'

const BEFORE_S = 600
const AFTER_S = 300
const MOST_CHARTS = 2
const EVERY_MS = 10_000
const LONGEST_S = 6 * 3600

interface Pane {
  id: string
  host: string
  well: boolean
  plan: ChartPlan
}

export function IncidentCharts({ incident, hosts }: { incident: IncidentDetail; hosts: readonly KnownHost[] }): JSX.Element {
  const plans = useSignal<ChartPlan[] | null>(null)
  const failed = useSignal(false)
  const host = incident.hosts[0]
  const well = useMemo(() => unaffected(incident.hosts, hosts)?.name, [incident.hosts.join(), hosts.length > 0])
  useEffect(() => {
    Promise.all([chartPlans(), expressions(incident)]).then(
      ([all, exprs]) => {
        const fitting = plansFor([...exprs.values()], all, MOST_CHARTS)
        plans.value = fitting.length > 0 ? fitting : all.slice(0, 1)
      },
      () => (failed.value = true),
    )
  }, [incident.id])
  const panes = useMemo<Pane[]>(
    () =>
      (plans.value ?? []).flatMap((plan) => [
        ...(host ? [{ id: `${plan.id}@${host}`, host, well: false, plan }] : []),
        ...(well ? [{ id: `${plan.id}@${well}`, host: well, well: true, plan }] : []),
      ]),
    [plans.value, host, well],
  )
  if (!host) return <p class="muted">{t('incident.noHosts')}</p>
  if (failed.value) return <p class="muted">{t('error.unreachable')}</p>
  if (panes.length === 0) return <p class="muted">{t('loading')}</p>
  return <Panes panes={panes} incident={incident} key={panes.map((p) => p.id).join()} />
}

function Panes({ panes, incident }: { panes: Pane[]; incident: IncidentDetail }): JSX.Element {
  const root = useRef<HTMLDivElement>(null)
  const ruler = useRef<HTMLCanvasElement>(null)
  const stage = useRef<Stage | null>(null)
  const board = useMemo(() => new Board(panes.map((p) => ({ ...p.plan, id: p.id }))), [])
  const latest = useRef(incident)
  latest.current = incident

  useLayoutEffect(() => {
    const made = new Stage(root.current!, ruler.current!, board, {
      zoom: (from, to) => go(`${hostPath(panes[0].host)}?t=${formatSpan(limit(from, to))}`),
      pin: (at) => made.pin(at),
    })
    stage.current = made
    made.adopt()
    let gone = false
    const load = async (): Promise<void> => {
      const { began_at: began, resolved_at: over } = latest.current
      const end = over === null ? serverNow() : Math.min(serverNow(), over + AFTER_S)
      const begin = Math.max((began ?? end) - BEFORE_S, end - LONGEST_S)
      const step = stepFor(end - begin)
      const start = Math.floor(begin / step) * step
      const count = Math.floor((end - start) / step) + 1
      const found = await Promise.all(panes.flatMap((pane) => pane.plan.series.map((s) => ask(pane, s, start, step, count))))
      if (gone) return
      const history: History = { start, step, count, series: found.flat() }
      board.load(history)
      made.window.from = start
      made.window.to = start + (count - 1) * step
      made.live = over === null
      made.rebuild()
      const marks = await askMarks(start, made.window.to, panes[0].host)
      if (!gone) made.setMarks(marks)
    }
    void load().catch(() => undefined)
    const timer = setInterval(() => {
      if (!document.hidden && latest.current.resolved_at === null) void load().catch(() => undefined)
    }, EVERY_MS)
    return () => {
      gone = true
      clearInterval(timer)
      made.destroy()
    }
  }, [])
  const colours = paint.value
  useEffect(() => stage.current?.rebuild(), [colours])

  return (
    <div class="charts evidence" ref={root}>
      <div class="ruler">
        <canvas ref={ruler} aria-hidden="true" />
      </div>
      <div class="chart-grid two">
        {panes.map((pane) => (
          <figure key={pane.id} class="chart" data-chart={pane.id}>
            <figcaption>
              <h2 class="pane-title">
                {!pane.well && <Mark of={incident.severity} size={12} />}
                <a href={hostPath(pane.host)}>{pane.host}</a>
                <span class="muted">{pane.well ? t('incident.isWell') : t(pane.plan.title)}</span>
              </h2>
            </figcaption>
            <p class="chart-values num" />
            <div class="plot" role="img" aria-label={`${pane.host}: ${t(pane.plan.title)}`} />
          </figure>
        ))}
      </div>
    </div>
  )
}

async function ask(pane: Pane, series: ChartPlan['series'][number], start: number, step: number, count: number): Promise<History['series']> {
  const params = new URLSearchParams({
    query: exprFor(series, pane.host, step),
    start: String(start),
    end: String(start + (count - 1) * step),
    step: String(step),
  })
  const answer = await get<{ data: Matrix }>(`/query_range?${params}`)
  return lines(pane.id, series, answer.data, start, step, count)
}
