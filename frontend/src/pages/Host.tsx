/** What is odd here? One host: its facts, its incidents, 24 charts under one time ruler. */
import { signal, useComputed, useSignal } from '@preact/signals'
import type { ComponentType, JSX } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { ApiError, get, serverNow } from '../api/client'
import type { ChartPlan, Host as HostFacts } from '../api/types'
import { type ChartData } from '../draw/board'
import { formatSpan, lengthOf, limit, neighbourPreset, parseSpan, type Span } from '../draw/span'
import { Stage } from '../draw/stage'
import { duration, known, number, t } from '../i18n'
import { quantity } from '../i18n/quantity'
import { Drift } from '../parts/Drift'
import { HostAbout } from '../parts/HostAbout'
import { mine } from '../parts/asked'
import { PARTS, type PartName } from '../parts/hostpart'
import { UnusualNow } from '../parts/Unusual'
import { RangeMenu } from '../parts/RangeMenu'
import { SeriesTable } from '../parts/SeriesTable'
import { bind } from '../shell/keys'
import { Icon } from '../shell/icons'
import { LivePill } from '../shell/LivePill'
import { Mark } from '../shell/Mark'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import { compareNames, hosts, loadHosts } from '../state/fleet'
import { unresolved } from '../state/incidents'
import { paint } from '../state/prefs'
import { incidentPath } from '../state/paths'
import { go, query, url } from '../state/route'
import { besidePath, chartPlans, history, HostView } from './hostview'
import '../styles/pages.css'
import '../styles/host.css'

const FACTS_EVERY_MS = 3000

export default function Host({ what: name }: { what: string }): JSX.Element {
  const facts = useSignal<HostFacts | null>(null)
  const view = useSignal<HostView | null>(null)
  const trouble = useSignal<unknown>(null)
  const asked = url.value.searchParams.get('part')
  const part = PARTS.find((p) => p === asked) ?? null
  const span = useComputed<Span>(() => parseSpan(url.value.searchParams.get('t')))

  useEffect(() => {
    document.title = `${name} · ${t('brand')}`
  })
  useEffect(() => {
    let gone = false
    const now = Math.floor(serverNow())
    const first = span.peek()
    // Plans and history are asked for together; the history is what takes long.
    const early = first.kind === 'live' ? history(name, now - first.seconds, now) : history(name, first.from, first.to)
    early.catch(() => undefined)
    chartPlans().then(
      (plans) => {
        if (gone) return
        const made = new HostView(name, plans, first)
        if (first.kind === 'fixed') made.waiting.value = Math.max(0, Math.round(serverNow() - first.to))
        made.start(early)
        view.value = made
      },
      (error) => (trouble.value = error),
    )
    const ask = (): void => {
      if (document.hidden && facts.peek()) return
      get<HostFacts>(`/hosts/${encodeURIComponent(name)}`).then(
        (found) => {
          if (!gone) facts.value = found
        },
        (error) => {
          if (!gone && (facts.peek() === null || (error instanceof ApiError && error.status === 404))) trouble.value = error
        },
      )
    }
    ask()
    const timer = setInterval(ask, FACTS_EVERY_MS)
    return () => {
      gone = true
      clearInterval(timer)
      view.peek()?.end()
    }
  }, [name])

  // The URL is what is shown: Back and forward move through the stretches of time.
  const shown = useRef(formatSpan(span.peek()))
  const wanted = formatSpan(span.value)
  useEffect(() => {
    if (shown.current === wanted) return
    shown.current = wanted
    view.peek()?.show(span.peek())
  }, [wanted])

  const live = (): void => {
    if (span.peek().kind === 'fixed') query({ t: null, at: null }, false)
    else view.peek()?.resume()
  }
  const toggle = (): void => {
    if (view.peek()?.paused) live()
    else view.peek()?.pause()
  }
  useEffect(() => {
    const beside = async (by: number): Promise<void> => {
      if (hosts.peek() === null) await loadHosts().catch(() => undefined)
      const names = (hosts.peek() ?? []).map((h) => h.name).sort(compareNames)
      const path = besidePath(names, name, by)
      if (path) go(path + location.search)
    }
    const range = (by: number): void => query({ t: formatSpan({ kind: 'live', seconds: neighbourPreset(lengthOf(span.peek()), by) }), at: null }, false)
    const link = (e: Event): void => {
      const seen = view.peek()?.seen
      if (!seen || seen.to === 0) return
      const detail = (e as CustomEvent<{ url: string }>).detail
      const absolute = new URL(detail.url)
      absolute.searchParams.set('t', `${Math.floor(seen.from)}-${Math.ceil(seen.to)}`)
      detail.url = absolute.href
    }
    addEventListener('vezha:link', link)
    const unbind = bind({
      Space: toggle,
      '.': live,
      '[': () => void beside(-1),
      ']': () => void beside(1),
      '+': () => range(1),
      '=': () => range(1),
      '-': () => range(-1),
      '−': () => range(-1),
      Escape: () => (url.peek().searchParams.has('at') ? query({ at: null }) : go('/fleet')),
    })
    return () => {
      removeEventListener('vezha:link', link)
      unbind()
    }
  }, [name])

  const tools = (
    <LivePill streams={span.value.kind === 'live'} waiting={view.value?.waiting.value ?? null} onPause={toggle}>
      <RangeMenu span={span.value} />
    </LivePill>
  )
  const error = trouble.value
  return (
    <Page trail={[{ text: t('page.fleet'), href: '/fleet' }, { text: name }]} tools={tools}>
      {error ? (
        <div class="empty">
          <h1>{error instanceof ApiError && error.status === 404 ? t('host.missing', { name }) : t('host.noData')}</h1>
          <p>{error instanceof ApiError && error.status === 404 ? <a class="link" href="/fleet">{t('missing.home')}</a> : reason(error)}</p>
        </div>
      ) : (
        <>
          <Head name={name} facts={facts.value} view={view.value} />
          <Parts here={part} />
          {part === null ? view.value && <Charts view={view.value} /> : <Details host={name} part={part} />}
          <Drift host={name} />
          {facts.value && <HostAbout facts={facts.value} onChange={(next) => (facts.value = next)} />}
        </>
      )}
    </Page>
  )
}

/** Charts, or one of the tables of what the host runs and stands on. */
function Parts({ here }: { here: PartName | null }): JSX.Element {
  const link = (part: PartName | null): string => {
    const to = new URL(url.value)
    if (part === null) to.searchParams.delete('part')
    else to.searchParams.set('part', part)
    return to.pathname + to.search
  }
  return (
    <nav class="sections host-sections" aria-label={t('part.title')}>
      {[null, ...PARTS].map((p) => (
        <a key={p ?? ''} href={link(p)} aria-current={p === here ? 'page' : undefined}>{t(`part.${p ?? 'charts'}`)}</a>
      ))}
    </nav>
  )
}

type DetailsOf = ComponentType<{ host: string; part: PartName }>
const details = signal<DetailsOf | null>(null)

/** The code of tables comes when somebody wants to see one. */
function Details(props: { host: string; part: PartName }): JSX.Element {
  const failed = useSignal<unknown>(null)
  useEffect(() => {
    import('../parts/HostParts').then(
      (module) => (details.value = module.default),
      (error: unknown) => (failed.value = error),
    )
  }, [])
  const Known = details.value
  if (Known) return <Known {...props} />
  return <p class="muted part-none" role="status">{failed.value === null ? t('loading') : reason(failed.value)}</p>
}

const UNUSUAL_EVERY_MS = 3000
const UNUSUAL_SHOWN = 6

/** Charts whose value is outside of what is usual at this time of day, with both; beside them what
 * the server ranks by all that it knows. */
function Unusual({ host, view }: { host: string; view: HostView }): JSX.Element {
  const odd = useSignal<ReturnType<HostView['oddNow']>>([])
  useEffect(() => {
    const look = (): void => {
      const next = document.hidden ? odd.peek() : view.oddNow()
      if (JSON.stringify(next) !== JSON.stringify(odd.peek())) odd.value = next
    }
    const timer = setInterval(look, UNUSUAL_EVERY_MS)
    return () => clearInterval(timer)
  }, [view])
  const list = odd.value.slice(0, UNUSUAL_SHOWN)
  return (
    <UnusualNow host={host}>
      {list.length > 0 && (
        <ul>
          {list.map((one) => (
            <li key={one.id}>
              <a href={`#chart-${one.id}`}>
                {t(one.title)} <b class="warning-text">{one.value.value}{one.value.unit && `\u00a0${one.value.unit}`}</b> <span class="muted">{t('chart.usual', { low: one.low, high: one.high })}</span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </UnusualNow>
  )
}

function Head({ name, facts, view }: { name: string; facts: HostFacts | null; view: HostView | null }): JSX.Element {
  const open = unresolved.value.filter((i) => i.hosts.includes(name))
  return (
    <div class="host-head">
      <div>
        <h1>
          {facts && facts.state !== 'normal' && <Mark of={facts.state} size={20} />}
          <span>{name}</span>
        </h1>
        <p>{facts ? factsLine(facts) : '\u00a0'}</p>
      </div>
      <div class="host-now">
        {view && <Unusual host={name} view={view} />}
        {open.length > 0 && (
          <div class="host-open">
            <h2>{t('host.incidents')}</h2>
            <ul>
              {open.slice(0, 4).map((incident) => (
                <li key={incident.id}>
                  <Mark of={incident.severity} size={14} />
                  <a class="link" href={incidentPath(incident.id)}>{mine(incident.title, incident.title_uk)}</a>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </div>
  )
}

/** Below this a host that reports each second is simply up to date. */
const BEHIND_SHOWN_S = 0

function factsLine(f: HostFacts): string {
  const memory = f.memory_bytes === null ? null : quantity(f.memory_bytes, 'ram')
  const parts = [
    f.state === 'normal' ? null : t(`state.${f.state}`),
    f.labels.site,
    f.labels.role,
    f.os,
    f.cores === null ? null : t('host.cores', { n: f.cores }),
    memory && `${memory.value}\u00a0${memory.unit}`,
    !f.connected
      ? f.last_seen === null
        ? t('host.never')
        : t('host.away', { time: duration(serverNow() - f.last_seen) })
      : f.behind_s === null || f.behind_s < BEHIND_SHOWN_S
        ? null
        : t('host.behind', { time: duration(f.behind_s) }),
    f.complete_ratio === null ? null : t('host.complete', { share: percent(f.complete_ratio) }),
  ]
  return parts.filter(Boolean).join(' · ')
}

/** A ratio as a share; 99.97 % must never read as 100 %. */
export function percent(ratio: number): string {
  const share = ratio * 100
  const shown = share > 99.9 && share < 100 ? Math.min(share, 99.99) : share
  return `${number(Math.floor(shown * 100) / 100, 2)}\u00a0%`
}

function Charts({ view }: { view: HostView }): JSX.Element {
  const root = useRef<HTMLDivElement>(null)
  const ruler = useRef<HTMLCanvasElement>(null)
  const table = useSignal<ChartData | null>(null)
  const groups = useMemo(() => {
    const found = new Map<string, ChartPlan[]>()
    for (const plan of view.board.plans) {
      const list = found.get(plan.group)
      if (list) list.push(plan)
      else found.set(plan.group, [plan])
    }
    return [...found.entries()]
  }, [view])

  useLayoutEffect(() => {
    const stage = new Stage(root.current!, ruler.current!, view.board, {
      zoom: (from, to) => query({ t: formatSpan(limit(from, to)), at: null }, false),
      pin: (at) => query({ at: at === null ? null : String(at) }),
    })
    view.stage = stage
    stage.adopt()
    view.follow()
    void view.loadUsual()
    void view.keepMarks()
    if (location.hash) document.getElementById(`chart-${location.hash.slice(1)}`)?.scrollIntoView({ block: 'center' })
    return () => {
      stage.destroy()
      view.stage = null
    }
  }, [view])

  const colours = paint.value
  const firstPaint = useRef(colours)
  useEffect(() => {
    if (firstPaint.current === colours) return
    firstPaint.current = colours
    view.stage?.rebuild()
    view.follow()
  }, [colours])

  const at = url.value.searchParams.get('at')
  useEffect(() => view.stage?.pin(at === null ? null : Number(at)), [at, view])

  const trouble = view.trouble.value
  return (
    <div class={`charts ${view.loading.value ? 'loading' : ''}`} ref={root} aria-busy={view.loading.value}>
      <div class="ruler">
        <canvas ref={ruler} aria-hidden="true" />
      </div>
      {trouble !== null && (
        <p class="charts-trouble" role="alert">
          {reason(trouble)}{' '}
          <button class="btn" onClick={() => void view.load()}>{t('retry')}</button>
        </p>
      )}
      {groups.map(([group, plans]) => (
        <section key={group}>
          <h2>{known(`group.${group}`) ? t(`group.${group}`) : t(group)}</h2>
          <div class="chart-grid">
            {plans.map((plan) => (
              <figure key={plan.id} class="chart" id={`chart-${plan.id}`} data-chart={plan.id}>
                <figcaption>
                  <h3>{t(plan.title)}</h3>
                  <button
                    class="icon-btn chart-table"
                    title={t('chart.asTable')}
                    aria-label={t('chart.asTableOf', { title: t(plan.title) })}
                    onClick={() => (table.value = view.board.charts.find((c) => c.plan.id === plan.id) ?? null)}
                  >
                    <Icon name="table" size={14} />
                  </button>
                </figcaption>
                <p class="chart-values num" />
                <div class="plot" role="img" aria-label={t(plan.title)} />
              </figure>
            ))}
          </div>
        </section>
      ))}
      {table.value && <SeriesTable data={table.value} times={view.board.times} onClose={() => (table.value = null)} />}
    </div>
  )
}
