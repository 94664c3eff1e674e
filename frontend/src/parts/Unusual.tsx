/** Loads that are off what is usual: on a host now, on an incident's hosts while it lasted. It
 * explains; nobody is paged for it. */
import type { ComponentChildren, JSX } from 'preact'
import type { UnusualsView } from '../api/schema'
import type { IncidentDetail } from '../api/types'
import { language, moment, t } from '../i18n'
import { hostPath } from '../state/paths'
import { useAsked } from './asked'
import { useNow } from './now'

const EVERY_MS = 15_000
const SHOWN = 6

export function UnusualThen({ incident }: { incident: IncidentDetail }): JSX.Element | null {
  const asked = useAsked<UnusualsView>(`/incidents/${incident.id}/unusual?language=${language()}`, EVERY_MS)
  const now = useNow()
  const rows = asked.data?.unusual ?? []
  if (rows.length === 0) return null
  return (
    <div>
      <dt>{t('unusual.then')}</dt>
      <dd>
        <div>
          {rows.slice(0, SHOWN).map((row) => (
            <p key={`${row.host} ${row.resource}`}>
              <a class="link" href={hostPath(row.host)}>{row.why}</a>{' '}
              <span class="muted num">{row.is_over ? t('unusual.from', { time: moment(row.since, now) }) : t('unusual.since', { time: moment(row.since, now) })}</span>
            </p>
          ))}
        </div>
        {rows.length > SHOWN && <p class="muted">{t('unusual.more', { n: rows.length - SHOWN })}</p>}
      </dd>
    </div>
  )
}

/** `children`: what the page itself sees of it. */
export function UnusualNow({ host, children }: { host: string; children: ComponentChildren }): JSX.Element | null {
  const asked = useAsked<UnusualsView>(`/load/unusual?host=${encodeURIComponent(host)}&language=${language()}`, EVERY_MS)
  const now = useNow()
  const rows = (asked.data?.unusual ?? []).filter((row) => !row.is_over)
  if (rows.length === 0 && !children) return null
  return (
    <section class="unusual num">
      <h2>{t('unusual.now')}</h2>
      {children}
      <div>
        {rows.slice(0, SHOWN).map((row) => (
          <p key={row.resource}>
            {row.why} <span class="muted num">{t('unusual.since', { time: moment(row.since, now) })}</span>
          </p>
        ))}
      </div>
    </section>
  )
}
