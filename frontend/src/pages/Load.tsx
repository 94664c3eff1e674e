/** When is it too small? What fills up and when, how well loads can be foreseen, when a change
 * disturbs least. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { AnomaliesView, CalmWindows, FillsView, LoadRow, LoadsView, Outlook } from '../api/schema'
import { clock, duration, moment, number, t, unit } from '../i18n'
import { quantity } from '../i18n/quantity'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { OutlookChart, percent } from '../parts/OutlookChart'
import { Mark } from '../shell/Mark'
import { Page } from '../shell/Shell'
import { hostPath } from '../state/paths'
import { query, url } from '../state/route'
import '../styles/pages.css'
import '../styles/load.css'

const EVERY_MS = 60_000
const ROWS = 60
const MONTH_S = 30 * 86_400
const HORIZONS = ['1d', '7d', '30d'] as const

export default function Load(): JSX.Element {
  const fills = useAsked<FillsView>('/load/fills', EVERY_MS)
  const chosen = useComputed(() => url.value.searchParams.get('of') ?? '')
  useTitle(t('page.load'))
  return (
    <Page trail={[{ text: t('page.load') }]}>
      <Show of={fills}>
        {({ fills: list }) => {
          const soon = list.filter((f) => f.seconds !== null && f.seconds <= MONTH_S)
          return (
            <>
              <Verdict
                title={soon.length > 0 ? t('load.fills', { n: soon.length }) : t('load.room')}
                lead={soon.length > 0 ? firstFull(soon[0]) : t('load.lead')}
                mark={soon.some((f) => f.within_24h > 0.5) ? <Mark of="warning" size={20} /> : undefined}
              />
              <Fills list={soon} />
              <div class="incident-page">
                <Loads chosen={chosen.value} />
                <aside>
                  <Calm />
                  <Odd />
                </aside>
              </div>
            </>
          )
        }}
      </Show>
    </Page>
  )
}

/** The file system that is full first: which, when, between when and when. */
function firstFull(one: FillsView['fills'][number]): string {
  if ((one.seconds ?? 0) <= 0) return t('load.isFull', { host: one.instance, where: one.mountpoint })
  const between = one.soonest_s === null ? '' : `${duration(one.soonest_s)} – ${one.latest_s === null ? '…' : duration(one.latest_s)}`
  return [t('load.first', { host: one.instance, where: one.mountpoint, time: duration(one.seconds ?? 0) }), between].filter(Boolean).join(' · ')
}

function Fills({ list }: { list: FillsView['fills'] }): JSX.Element | null {
  if (list.length === 0) return null
  const gb = (bytes: number): string => {
    const q = quantity(bytes, 'bytes')
    return unit(q.value, q.unit)
  }
  return (
    <section class="block">
      <h2>{t('load.whatFills')}</h2>
      <div class="scroll-x" tabIndex={0} role="region" aria-label={t('load.whatFills')}>
        <table class="audit num">
          <thead>
            <tr>
              <th scope="col">{t('table.host')}</th>
              <th scope="col">{t('load.where')}</th>
              <th scope="col">{t('load.free')}</th>
              <th scope="col">{t('load.full')}</th>
              <th scope="col">{t('load.between')}</th>
              <th scope="col">{t('load.day')}</th>
              <th scope="col">{t('load.week')}</th>
            </tr>
          </thead>
          <tbody>
            {list.slice(0, ROWS).map((f) => (
              <tr key={`${f.instance} ${f.mountpoint}`} class={f.within_24h > 0.5 ? 'odd' : ''}>
                <td><a class="link" href={hostPath(f.instance)}>{f.instance}</a></td>
                <td>{f.mountpoint}</td>
                <td>{gb(f.free_bytes)}</td>
                <td class={f.within_24h > 0.5 ? 'warning-text' : ''}>{f.seconds === null ? '—' : f.seconds <= 0 ? t('load.fullNow') : t('load.in', { time: duration(f.seconds), date: moment(Date.now() / 1000 + f.seconds) })}</td>
                <td class="muted">{f.soonest_s === null || (f.seconds ?? 0) <= 0 ? '—' : `${duration(f.soonest_s)} – ${f.latest_s === null ? '…' : duration(f.latest_s)}`}</td>
                <td>{percent(f.within_24h)}</td>
                <td>{percent(f.within_7d)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

function Loads({ chosen }: { chosen: string }): JSX.Element {
  const kind = useSignal<'group' | 'host'>(chosen.startsWith('host:') ? 'host' : 'group')
  const asked = useAsked<LoadsView>(`/load?kind=${kind.value}&limit=500`, EVERY_MS)
  const horizon = useSignal<(typeof HORIZONS)[number]>('7d')
  return (
    <section>
      <div class="section-head">
        <h2>{t('load.foreseen')}</h2>
        <div class="seg" role="group" aria-label={t('load.foreseen')}>
          <button aria-pressed={kind.value === 'group'} onClick={() => (kind.value = 'group')}>{t('load.groups')}</button>
          <button aria-pressed={kind.value === 'host'} onClick={() => (kind.value = 'host')}>{t('fleet.hosts')}</button>
        </div>
      </div>
      <Show of={asked}>
        {({ loads, newest }) => {
          const first = highest(loads) ?? loads[0]
          const key = chosen || (first ? keyOf(first) : '')
          return loads.length === 0 ? (
            <p class="muted">{t('load.nothing')}</p>
          ) : (
            <>
              {key && (
                <>
                  <div class="section-head">
                    <h3>{named(key)}</h3>
                    <div class="seg" role="group" aria-label={t('load.ahead')}>
                      {HORIZONS.map((h) => (
                        <button key={h} aria-pressed={horizon.value === h} onClick={() => (horizon.value = h)}>{unit(h.slice(0, -1), 'd')}</button>
                      ))}
                    </div>
                  </div>
                  <Forecast key={`${key} ${horizon.value}`} of={key} horizon={horizon.value} />
                </>
              )}
              <div class="scroll-x" tabIndex={0} role="region" aria-label={t('load.foreseen')}>
                <table class="audit num loads">
                  <thead>
                    <tr>
                      <th scope="col">{t('load.name')}</th>
                      <th scope="col">{t('load.resource')}</th>
                      <th scope="col">{t('load.nowIs')}</th>
                      <th scope="col">{t('load.said')}</th>
                      <th scope="col">{t('load.peak')}</th>
                      <th scope="col">{t('load.predictability')}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {loads.slice(0, ROWS).map((l) => (
                      <tr key={keyOf(l)} aria-current={keyOf(l) === key ? 'true' : undefined}>
                        <td><button class="link-btn" onClick={() => query({ of: keyOf(l) })}>{l.name}</button></td>
                        <td>{t(`resource.${l.resource}`)}</td>
                        <td>{amount(l.now, l.unit)}</td>
                        <td class="muted">{l.low === null ? '—' : `${amount(l.low, l.unit)} – ${amount(l.high, l.unit)}`}</td>
                        <td>{amount(l.peak, l.unit)}</td>
                        <td>{l.predictability === null ? <span class="muted">{t('load.tooShort')}</span> : number(l.predictability, 2)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {newest !== null && <p class="muted num">{t('load.asOf', { time: clock(newest) })}</p>}
            </>
          )
        }}
      </Show>
    </section>
  )
}

/** What comes nearest to its end: the highest peak among loads that are a share of the whole. */
function highest(loads: readonly LoadRow[]): LoadRow | undefined {
  const shares = loads.filter((l) => l.state === 'ok' && (l.resource === 'cpu' || l.resource === 'memory'))
  return [...shares].sort((a, b) => (b.peak ?? 0) - (a.peak ?? 0))[0] ?? loads.find((l) => l.state === 'ok')
}

/** What a key stands for. */
function named(key: string): string {
  const [, resource, ...name] = key.split(':')
  return `${name.join(':')} · ${t(`resource.${resource}`)}`
}

const keyOf = (l: LoadRow): string => `${l.kind}:${l.resource}:${l.name}`

function amount(value: number | null, unitName: string): string {
  if (value === null) return '—'
  const q = quantity(value, unitName)
  return unit(q.value, q.unit)
}

function Forecast({ of, horizon }: { of: string; horizon: string }): JSX.Element {
  const [kind, resource, ...name] = of.split(':')
  const asked = useAsked<Outlook>(`/load/forecast?${kind === 'host' ? 'host' : 'group'}=${encodeURIComponent(name.join(':'))}&resource=${resource}&horizon=${horizon}`)
  return <Show of={asked} missing={t('load.noForecast')}>{(one) => (one.past.some((v) => v !== null) || one.mean.some((v) => v !== null) ? <OutlookChart one={one} unitName={one.unit} /> : <p class="muted gap">{t('load.noForecast')}</p>)}</Show>
}

function Calm(): JSX.Element {
  const asked = useAsked<CalmWindows>('/load/calm?length_s=3600', EVERY_MS)
  return (
    <section class="block">
      <h2>{t('load.calm')}</h2>
      <Show of={asked}>
        {({ windows, without_forecast: blind }) => (
          <>
            {windows.length === 0 && <p class="muted">{t('load.noCalm')}</p>}
            <ul class="list">
              {windows.map((w) => (
                <li class="item" key={w.start}>
                  <div class="item-main">
                    <p class="num"><b>{moment(w.start)} – {clock(w.end)}</b></p>
                    <p class="muted">{mine(w.why, w.why_uk)}</p>
                  </div>
                </li>
              ))}
            </ul>
            {blind.length > 0 && <p class="muted">{t('load.blind', { n: blind.length })}</p>}
          </>
        )}
      </Show>
    </section>
  )
}

function Odd(): JSX.Element {
  const asked = useAsked<AnomaliesView>('/load/anomalies?limit=8', EVERY_MS)
  const list = asked.data?.anomalies ?? []
  return (
    <section class="block">
      <h2>{t('load.odd')}</h2>
      {list.length === 0 ? (
        <p class="muted">{t('load.noOdd')}</p>
      ) : (
        <ul class="list">
          {list.map((a) => (
            <li class="item" key={keyOf(a.load)}>
              <div class="item-main">
                <p>{a.load.kind === 'host' ? <a class="stretch" href={hostPath(a.load.name)}>{a.load.name}</a> : <b>{a.load.name}</b>}</p>
                <p class="muted">{mine(a.why, a.why_uk)}</p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
