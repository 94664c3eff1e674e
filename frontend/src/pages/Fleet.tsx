/** Does anything need me? The verdict, the incidents, the map, the hosts. */
import { signal, useComputed, useSignal, useSignalEffect } from '@preact/signals'
import type { ComponentType, JSX } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { ApiError, get } from '../api/client'
import { CELLS, UNKNOWN } from '../api/frame'
import { subscribe, type Message } from '../api/live'
import type { Host, Incident } from '../api/types'
import { HostMap } from '../draw/hostmap'
import { HostTable } from '../draw/hosttable'
import { neighbour } from '../draw/maplayout'
import { duration, number, t, type Key } from '../i18n'
import { FirstRun } from '../parts/FirstRun'
import { IncidentCard } from '../parts/IncidentCard'
import { bind } from '../shell/keys'
import { LivePill } from '../shell/LivePill'
import { Mark } from '../shell/Mark'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import { applyFrame, cells, counts, hosts, hostsOf, METRICS, select, setHosts, stateOf, watch, type KnownHost, type Sort } from '../state/fleet'
import { incidents, unresolved, waiting } from '../state/incidents'
import { paint } from '../state/prefs'
import { hostPath } from '../state/paths'
import { go, query, url } from '../state/route'

/** What stands below the incidents comes when the first page is there. */
const Ahead = signal<ComponentType | null>(null)
const AHEAD_AFTER_MS = 400

/** The live channel is expected to bring the hosts; after this long we ask by hand. */
const FALLBACK_MS = 2500
const SORT_EVERY_MS = 10_000

export default function Fleet(): JSX.Element {
  const trouble = useSignal<unknown>(null)
  useEffect(() => {
    document.title = `${t('page.fleet')} · ${t('brand')}`
  })
  useEffect(() => {
    let fresh = false
    let listed: Extract<Message, { type: 'hosts' }> | null = null
    const stop = subscribe(
      { page: 'fleet' },
      {
        message(m) {
          if (m.type === 'hosts') {
            fresh = true
            trouble.value = null
            listed = m
          } else if (m.type === 'verdict' || m.type === 'incidents') incidents.value = m.incidents
        },
        fleet(frame) {
          // The list is shown with its states, which follow it, and not a moment without.
          if (listed?.revision === frame.revision) {
            setHosts(hostsOf(listed), listed.revision)
            listed = null
          }
          applyFrame(frame)
        },
      },
    )
    const timer = setTimeout(() => {
      if (fresh) return
      get<{ hosts: Host[] }>('/hosts').then(
        (found) => fresh || setHosts(found.hosts, -1),
        (error) => (trouble.value = error),
      )
    }, FALLBACK_MS)
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [])
  const list = hosts.value
  return (
    <Page trail={[{ text: t('page.fleet') }]} tools={<LivePill streams={(list?.length ?? 0) > 0} />}>
      {list === null ? (
        <Loading trouble={trouble.value} />
      ) : list.length === 0 ? (
        <FirstRun />
      ) : (
        <>
          <Verdict total={list.length} />
          <div class="fleet">
            <Needs />
            <MapAndTable list={list} />
          </div>
        </>
      )}
    </Page>
  )
}

function Loading({ trouble }: { trouble: unknown }): JSX.Element {
  if (trouble === null) {
    return (
      <div class="verdict" role="status">
        <h1 class="ghost">{t('fleet.loading')}</h1>
      </div>
    )
  }
  const forbidden = trouble instanceof ApiError && trouble.status === 403
  return (
    <div class="empty">
      <h1>{forbidden ? t('error.forbidden') : t('fleet.noData')}</h1>
      <p>{reason(trouble)}</p>
    </div>
  )
}

function Verdict({ total }: { total: number }): JSX.Element {
  const now = counts.value
  const open = waiting.value.length
  const taken = unresolved.value.length - open
  const odd = now.critical + now.warning
  let sentence: string
  if (incidents.value === null) sentence = odd > 0 ? t('verdict.odd', { n: odd }) : t('verdict.quiet')
  else if (open > 0) sentence = t('verdict.open', { n: open })
  else if (taken > 0) sentence = t('verdict.taken', { n: taken })
  else if (odd > 0) sentence = t('verdict.odd', { n: odd })
  else if (now.silent > 0) sentence = t('verdict.silent', { n: now.silent })
  else sentence = t('verdict.quiet')
  const facts = [
    total === 1 && now.normal === 0 ? t('verdict.oneOdd') : now.normal === total ? t('verdict.all', { n: total }) : t('verdict.normal', { n: now.normal, total, count: total }),
    open > 0 && taken > 0 && t('verdict.alsoTaken', { n: taken }),
    now.silent > 0 && sentence !== t('verdict.silent', { n: now.silent }) && t('verdict.alsoSilent', { n: now.silent }),
    now.unknown > 0 && t('verdict.alsoUnknown', { n: now.unknown }),
  ].filter(Boolean)
  return (
    <div class="verdict">
      <h1 aria-live="polite">{sentence}</h1>
      <p class="num">{facts.join(' · ')}</p>
    </div>
  )
}

function Needs(): JSX.Element {
  const last = useSignal<Incident | null>(null)
  const list = unresolved.value
  const none = list.length === 0
  useEffect(() => {
    if (Ahead.peek()) return undefined
    const timer = setTimeout(() => void import('../parts/Ahead').then((found) => (Ahead.value = found.default), () => undefined), AHEAD_AFTER_MS)
    return () => clearTimeout(timer)
  }, [])
  useEffect(() => {
    if (!none) return
    get<{ incidents: Incident[] }>('/incidents?state=all&limit=1')
      .then((found) => (last.value = found.incidents[0] ?? null))
      .catch(() => undefined)
  }, [none])
  return (
    <aside class="needs">
      <h2>{t('fleet.needs')}</h2>
      {none ? (
        <div class="needs-none">
          <p>{t('fleet.noIncidents')}</p>
          <p class="muted">{lastClosed(last.value)}</p>
        </div>
      ) : (
        list.slice(0, 10).map((incident) => <IncidentCard key={incident.id} incident={incident} />)
      )}
      {list.length > 10 && (
        <a class="link" href="/incidents">{t('fleet.more', { n: list.length - 10 })}</a>
      )}
      {Ahead.value && <Ahead.value />}
    </aside>
  )
}

function lastClosed(incident: Incident | null): string {
  const end = incident?.resolved_at ?? null
  const begin = incident?.began_at ?? null
  if (end === null || begin === null) return t('fleet.noneYet')
  return t('fleet.lastClosed', { ago: duration(Date.now() / 1000 - end), took: duration(end - begin) })
}

const COLOURS: Key[] = ['map.state', 'metric.cpu', 'metric.memory', 'metric.space', 'metric.disk', 'metric.network']
const BY = ['state', ...METRICS] as const

function MapAndTable({ list }: { list: KnownHost[] }): JSX.Element {
  const by = useComputed(() => Math.max(0, BY.indexOf((url.value.searchParams.get('by') ?? 'state') as (typeof BY)[number])))
  const filter = useComputed(() => url.value.searchParams.get('q') ?? '')
  const sort = useComputed<Sort>(() => (url.value.searchParams.get('sort') as Sort | null) ?? 'state')
  const pointed = useSignal(-1)
  const spoken = useSignal('')
  const field = useRef<HTMLInputElement>(null)
  const move = useRef<(by: number, problems: boolean) => void>(() => undefined)
  const labels = useMemo(() => (['site', 'role'] as const).filter((label) => list.some((h) => h.labels[label])), [list])

  useEffect(
    () =>
      bind({
        '/': () => field.current?.focus(),
        j: () => move.current(1, false),
        k: () => move.current(-1, false),
        ArrowDown: () => move.current(1, false),
        ArrowUp: () => move.current(-1, false),
        n: () => move.current(1, true),
        Enter: () => pointed.value >= 0 && go(hostPath(list[pointed.value].name)),
        Escape: () => query({ q: null }),
        ...Object.fromEntries(BY.map((name, i) => [String(i + 1), () => query({ by: i === 0 ? null : name })])),
      }),
    [list],
  )

  return (
    <>
      <section class="mapbox" aria-label={t('map.title')}>
        <div class="section-head">
          <h2>{t('map.title')}</h2>
          <div class="seg" role="group" aria-label={t('map.colour')}>
            {COLOURS.map((key, i) => (
              <button key={key} aria-pressed={by.value === i} onClick={() => query({ by: i === 0 ? null : BY[i] })}>
                {t(key)}
              </button>
            ))}
          </div>
        </div>
        <MapCanvas list={list} metric={by.value - 1} filter={filter.value} pointed={pointed} onSpeak={(text) => (spoken.value = text)} />
        <div class="maplegend">
          <Legend />
          <Pointed list={list} index={pointed.value} />
        </div>
        <p class="hidden" aria-live="polite">{spoken.value}</p>
      </section>
      <section class="hosts" aria-label={t('fleet.hosts')}>
        <div class="section-head">
          <h2>{t('fleet.hosts')}</h2>
          <input
            ref={field}
            class="input filter"
            type="search"
            placeholder={t('fleet.filter')}
            aria-label={t('fleet.filter')}
            value={filter.value}
            onInput={(e) => query({ q: e.currentTarget.value })}
            onKeyDown={(e) => {
              if (e.key === 'Escape') {
                query({ q: null })
                e.currentTarget.blur()
              } else if (e.key === 'Enter' || e.key === 'ArrowDown') {
                e.preventDefault()
                move.current(1, false)
              }
            }}
          />
        </div>
        <Table list={list} labels={labels} filter={filter.value} sort={sort.value} pointed={pointed} move={move} />
      </section>
    </>
  )
}

function Legend(): JSX.Element {
  const now = counts.value
  return (
    <ul class="legend">
      {(['critical', 'warning', 'silent', 'unknown'] as const)
        .filter((state) => now[state] > 0)
        .map((state) => (
          <li key={state}>
            <button class="legend-btn" onClick={() => query({ q: t(`state.${state}`).toLowerCase() })}>
              <Mark of={state} size={14} />
              <span>{t(`state.${state}`)}</span>
              <b class="num">{number(now[state])}</b>
            </button>
          </li>
        ))}
    </ul>
  )
}

function Pointed({ list, index }: { list: KnownHost[]; index: number }): JSX.Element | null {
  const host = list[index]
  if (!host) return null
  return <p class="pointed num">{describe(host, index)}</p>
}

function describe(host: KnownHost, index: number): string {
  const values = METRICS.slice(0, 3).flatMap((metric, m) => {
    const value = cells[index * CELLS + 1 + m]
    return value === UNKNOWN ? [] : [`${t(`metric.${metric}`)} ${number(value)}\u00a0%`]
  })
  return [host.name, host.labels.site, host.labels.role, t(`state.${stateOf(index)}`), ...values].filter(Boolean).join(' · ')
}

interface CanvasProps {
  list: KnownHost[]
  metric: number
  filter: string
  pointed: { value: number; peek: () => number }
  onSpeak: (text: string) => void
}

function MapCanvas({ list, metric, filter, pointed, onSpeak }: CanvasProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null)
  const map = useRef<HostMap | null>(null)
  const width = useSignal(0)
  useLayoutEffect(() => {
    const box = canvas.current!.parentElement!
    map.current = new HostMap(canvas.current!)
    const observer = new ResizeObserver(() => (width.value = box.clientWidth))
    observer.observe(box)
    width.value = box.clientWidth
    const stop = watch(() => {
      if (!document.hidden) map.current?.tick()
    })
    const shown = (): void => map.current?.tick()
    document.addEventListener('visibilitychange', shown)
    let gone = false
    // The labels were measured before the face arrived.
    void document.fonts.ready.then(() => !gone && redraw.current())
    return () => {
      gone = true
      observer.disconnect()
      stop()
      document.removeEventListener('visibilitychange', shown)
    }
  }, [])
  const redraw = useRef(() => undefined as void)
  redraw.current = () => {
    const shown = filter === '' ? null : new Set(select(list, filter, 'name', stateOf, () => 0, (s) => t(`state.${s}`)))
    if (width.peek() > 0) map.current?.draw(list, width.peek(), metric, shown)
  }
  const size = width.value
  const colours = paint.value
  useLayoutEffect(() => redraw.current(), [list, metric, filter, size, colours])
  useSignalEffect(() => map.current?.point(pointed.value))
  const find = (e: PointerEvent | MouseEvent): number => map.current?.at(e.offsetX, e.offsetY) ?? -1
  return (
    <div class="mapframe">
      <canvas
        ref={canvas}
        class="map"
        tabIndex={0}
        role="application"
        aria-label={t('map.label', { n: list.length })}
        onPointerMove={(e) => {
          const at = find(e)
          pointed.value = at
          e.currentTarget.style.cursor = at >= 0 ? 'pointer' : ''
        }}
        onPointerLeave={() => (pointed.value = -1)}
        onClick={(e) => {
          const at = find(e)
          if (at >= 0) go(hostPath(list[at].name))
        }}
        onKeyDown={(e) => {
          const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key]
          if (step && map.current) {
            e.preventDefault()
            e.stopPropagation()
            const next = pointed.peek() < 0 ? 0 : neighbour(map.current.layout, pointed.peek(), step[0], step[1])
            pointed.value = next
            onSpeak(describe(list[next], next))
          } else if (e.key === 'Enter' && pointed.peek() >= 0) go(hostPath(list[pointed.peek()].name))
        }}
      />
    </div>
  )
}

interface TableProps {
  list: KnownHost[]
  labels: readonly string[]
  filter: string
  sort: Sort
  pointed: { value: number; peek: () => number }
  move: { current: (by: number, problems: boolean) => void }
}

function Table({ list, labels, filter, sort, pointed, move }: TableProps): JSX.Element {
  const body = useRef<HTMLDivElement>(null)
  const table = useRef<HostTable | null>(null)
  const found = useSignal(list.length)
  const over = useRef(false)

  useLayoutEffect(() => {
    const made = new HostTable(body.current!, labels, (host) => (pointed.value = host))
    table.current = made
    const scroll = (): void => made.scroll()
    addEventListener('scroll', scroll, { passive: true })
    addEventListener('resize', scroll)
    const stop = watch(() => {
      if (!document.hidden) made.tick()
    })
    return () => {
      removeEventListener('scroll', scroll)
      removeEventListener('resize', scroll)
      stop()
      body.current?.replaceChildren()
    }
  }, [labels])

  const state = counts.value
  const words = paint.value
  useLayoutEffect(() => {
    const fill = (): void => {
      const order = select(list, filter, sort, stateOf, (host, metric) => cells[host * CELLS + metric], (s) => t(`state.${s}`))
      found.value = order.length
      table.current?.show(list, order)
    }
    // A list does not change its order under the pointer: it waits until that has left.
    if (over.current && table.current && table.current.order.length > 0 && last.current === `${filter} ${sort}`) {
      const timer = setInterval(() => {
        if (over.current) return
        clearInterval(timer)
        fill()
      }, 1000)
      return () => clearInterval(timer)
    }
    last.current = `${filter} ${sort}`
    fill()
    if (sort === 'state' || sort === 'name') return undefined
    const timer = setInterval(() => {
      if (!over.current && !document.hidden) fill()
    }, SORT_EVERY_MS)
    return () => clearInterval(timer)
  }, [list, labels, filter, sort, state, words])
  const last = useRef('')

  move.current = (by, problems) => {
    const order = table.current?.order ?? []
    if (order.length === 0) return
    const at = order.indexOf(pointed.peek())
    let next = at < 0 ? (by > 0 ? 0 : order.length - 1) : at + by
    if (problems) {
      const bad = order.filter((host) => stateOf(host) !== 'normal')
      if (bad.length === 0) return
      next = order.indexOf(bad[(bad.indexOf(pointed.peek()) + 1) % bad.length])
    }
    next = Math.max(0, Math.min(order.length - 1, next))
    pointed.value = order[next]
    table.current?.select(order[next], true)
  }

  const heads: { sort: Sort; text: string; kind: string }[] = [
    { sort: 'state', text: t('table.state'), kind: 'state' },
    { sort: 'name', text: t('table.host'), kind: 'name' },
    ...labels.map((label) => ({ sort: 'state' as Sort, text: t(`table.${label}`), kind: `place ${label}` })),
    ...METRICS.map((metric) => ({ sort: metric as Sort, text: `${t(`metric.${metric}`)}\u00a0%`, kind: `metric ${metric}` })),
  ]
  return (
    <div class={`table labels${labels.length}`} role="table" aria-label={t('fleet.hosts')} aria-rowcount={found.value + 1} onPointerEnter={() => (over.current = true)} onPointerLeave={() => (over.current = false)}>
      <div class="row head" role="row" aria-rowindex={1}>
        {heads.map((head) => {
          const place = head.kind.startsWith('place')
          const on = !place && sort === head.sort
          return (
            <span key={head.kind} class={head.kind} role="columnheader" aria-sort={on ? (head.sort === 'name' || head.sort === 'state' ? 'ascending' : 'descending') : undefined}>
              {place ? (
                head.text
              ) : (
                <button class={on ? 'on' : ''} onClick={() => query({ sort: head.sort === 'state' ? null : head.sort })}>
                  {head.text}
                </button>
              )}
            </span>
          )
        })}
      </div>
      <div class="rows" role="rowgroup" ref={body} />
      {found.value === 0 && (
        <p class="none">
          {t('fleet.noMatch')}{' '}
          <button class="btn quiet" onClick={() => query({ q: null })}>{t('fleet.clear')}</button>
        </p>
      )}
    </div>
  )
}

