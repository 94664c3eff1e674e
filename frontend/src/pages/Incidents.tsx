/** What needs someone, and what has. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { get } from '../api/client'
import { subscribe } from '../api/live'
import type { Incident } from '../api/types'
import { duration, moment, t } from '../i18n'
import { where } from '../parts/IncidentCard'
import { useNow } from '../parts/now'
import { bind } from '../shell/keys'
import { Mark } from '../shell/Mark'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import { hosts, loadHosts } from '../state/fleet'
import { incidents, loadIncidents, said, unresolved, waiting } from '../state/incidents'
import { incidentPath } from '../state/paths'
import { query, url } from '../state/route'
import '../styles/pages.css'

const SHOWN = 200

export default function Incidents(): JSX.Element {
  const all = useComputed(() => url.value.searchParams.get('state') === 'all')
  const past = useSignal<Incident[] | null>(null)
  const trouble = useSignal<unknown>(null)
  const list = useRef<HTMLUListElement>(null)

  useEffect(() => {
    document.title = `${t('page.incidents')} · ${t('brand')}`
  })
  useEffect(() => {
    if (hosts.peek() === null) void loadHosts().catch(() => undefined)
    loadIncidents().catch((error) => (trouble.value = error))
    const stop = subscribe(
      { page: 'incidents' },
      {
        message(m) {
          if (m.type === 'incidents' || m.type === 'verdict') incidents.value = m.incidents
        },
      },
    )
    const step = (by: number): void => {
      const links = [...(list.current?.querySelectorAll('a') ?? [])]
      const at = links.indexOf(document.activeElement as HTMLAnchorElement)
      links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus()
    }
    const unbind = bind({ j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1) })
    return () => {
      stop()
      unbind()
    }
  }, [])
  const present = incidents.value
  useEffect(() => {
    if (!all.value) return
    get<{ incidents: Incident[] }>(`/incidents?state=all&limit=${SHOWN}`).then(
      (found) => (past.value = found.incidents),
      (error) => (trouble.value = error),
    )
  }, [all.value, present])

  const open = waiting.value.length
  const taken = unresolved.value.length - open
  const shown = all.value ? past.value : present === null ? null : unresolved.value
  return (
    <Page trail={[{ text: t('page.incidents') }]}>
      <div class="verdict">
        <h1 aria-live="polite">
          {present === null ? <span class="ghost">{t('loading')}</span> : open > 0 ? t('verdict.open', { n: open }) : taken > 0 ? t('verdict.taken', { n: taken }) : t('incidents.none')}
        </h1>
        {present !== null && open > 0 && taken > 0 && <p>{t('verdict.alsoTaken', { n: taken })}</p>}
      </div>
      <div class="section-head">
        <div class="seg" role="group" aria-label={t('incidents.which')}>
          <button aria-pressed={!all.value} onClick={() => query({ state: null })}>{t('incidents.open')}</button>
          <button aria-pressed={all.value} onClick={() => query({ state: 'all' })}>{t('incidents.all')}</button>
        </div>
        <a class="link" href="/dependencies">{t('page.dependencies')}</a>
      </div>
      {trouble.value !== null && shown === null ? (
        <p class="wrong" role="alert">{reason(trouble.value)}</p>
      ) : shown !== null && shown.length === 0 ? (
        <p class="muted">{all.value ? t('fleet.noneYet') : t('incidents.quiet')}</p>
      ) : (
        <ul class="list" ref={list}>
          {shown?.map((incident) => (
            <Row key={incident.id} incident={incident} />
          ))}
        </ul>
      )}
    </Page>
  )
}

function Row({ incident }: { incident: Incident }): JSX.Element {
  const now = useNow()
  const over = incident.state === 'resolved'
  const end = incident.resolved_at ?? now
  return (
    <li class={`item ${over ? 'over' : ''}`}>
      <Mark of={over ? 'normal' : incident.severity} />
      <div class="item-main">
        <a class="stretch" href={incidentPath(incident.id)}>{said(incident, 'title')}</a>
        <p class="muted">{[where(incident.hosts, incident.hosts_count), incident.cause && t('incidents.cause', { what: incident.cause.title })].filter(Boolean).join(' · ')}</p>
      </div>
      <div class="item-side num">
        <p>{over ? t('incident.state.resolved') : incident.state === 'acknowledged' ? t('incident.by', { name: incident.acknowledged_by ?? '—' }) : <b class={incident.severity}>{t('incident.waits')}</b>}</p>
        <p class="muted">
          {incident.began_at === null ? '' : `${moment(incident.began_at, now)} · ${duration(end - incident.began_at)}`}
        </p>
      </div>
    </li>
  )
}
