/** One incident as a card: what, where, since when, why, what next. */
import type { JSX } from 'preact'
import type { Incident } from '../api/types'
import { duration, moment, t } from '../i18n'
import { Mark } from '../shell/Mark'
import { byName, hosts } from '../state/fleet'
import { said } from '../state/incidents'
import { useNow } from './now'
import { incidentPath } from '../state/paths'

/** The hosts as one phrase: names while they are few, then what they share and how many. */
export function where(names: readonly string[], count = names.length): string {
  const list = hosts.value ?? []
  const index = byName.value
  const found = names.map((n) => list[index.get(n) ?? -1]).filter((h) => h !== undefined)
  const shared = (['site', 'role'] as const).flatMap((label) => {
    const values = new Set(found.map((h) => h.labels[label]))
    const only = values.size === 1 ? [...values][0] : undefined
    return only ? [only] : []
  })
  if (count === 0) return ''
  if (count <= 2) return [...shared, names.join(', ')].join(' · ')
  return [...shared, t('incident.hosts', { n: count })].join(' · ')
}

/** The change that probably caused it, and how long before the first sign it began. */
function cause(incident: Incident, one: NonNullable<Incident['cause']>): string {
  const before = incident.began_at !== null && one.began_at !== null ? incident.began_at - one.began_at : -1
  return before < 0 ? one.title : t('incident.causeBefore', { what: one.title, time: duration(before) })
}

export function IncidentCard({ incident }: { incident: Incident }): JSX.Element {
  const now = useNow()
  const began = incident.began_at
  const place = where(incident.hosts, incident.hosts_count)
  const taken = incident.state === 'acknowledged'
  const next = said(incident, 'next')
  return (
    <article class={`card incident ${taken ? 'taken' : incident.severity}`}>
      <h3>
        <Mark of={incident.severity} size={15} />
        <a class="stretch" href={incidentPath(incident.id)}>{said(incident, 'title')}</a>
      </h3>
      <dl>
        {place && (
          <>
            <dt>{t('incident.where')}</dt>
            <dd>{place}</dd>
          </>
        )}
        {began !== null && (
          <>
            <dt>{t('incident.since')}</dt>
            <dd class="num">{`${moment(began, now)} · ${duration(now - began)}`}</dd>
          </>
        )}
        {taken && (
          <>
            <dt>{t('incident.takenBy')}</dt>
            <dd>{incident.acknowledged_by ?? '—'}</dd>
          </>
        )}
        {incident.cause && (
          <>
            <dt>{t('incident.cause')}</dt>
            <dd>{cause(incident, incident.cause)}</dd>
          </>
        )}
        {next && (
          <>
            <dt>{t('incident.next')}</dt>
            <dd class="next">{next}</dd>
          </>
        )}
      </dl>
    </article>
  )
}
