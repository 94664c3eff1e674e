/** Checks from outside: what is asked, from where, and what was found last. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { ChecksView, CheckView } from '../api/schema'
import { duration, moment, number, t, unit } from '../i18n'
import { useAsked } from '../parts/asked'
import { useNow } from '../parts/now'
import { Mark } from '../shell/Mark'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import '../styles/pages.css'
import '../styles/change.css'

const EVERY_MS = 5000
const SOON_S = 30 * 86_400
/** Names that are the same in every language. */
const NAMES: Record<string, string> = { http: 'HTTP', tcp: 'TCP', tls: 'TLS', ping: 'ping', dns: 'DNS', postgresql: 'PostgreSQL', mysql: 'MySQL', redis: 'Redis' }
/** What to write where there is no check yet. */
const EXAMPLE = `checks:
  - name: shop
    type: http
    targets: ["https://shop.example/health"]

  - name: certificates
    type: tls
    targets: ["shop.example", "mail.example:993"]
    interval: 1m
`
const ORDER = { down: 0, unknown: 1, up: 2 }

export default function Checks(): JSX.Element {
  const asked = useAsked<ChecksView>('/checks', EVERY_MS)
  useEffect(() => {
    document.title = `${t('page.checks')} · ${t('brand')}`
  })
  const rows = asked.data?.checks ?? null
  const count = (state: string): number => (rows ?? []).filter((r) => r.state === state).length
  const down = count('down')
  const unknown = count('unknown')
  const undelivered = (rows ?? []).filter((r) => r.delivered === 'no' || r.delivered === 'old').length
  return (
    <Page trail={[{ text: t('page.checks') }]}>
      <div class="verdict">
        <h1 aria-live="polite">
          {rows === null
            ? asked.trouble === null ? <span class="ghost">{t('loading')}</span> : t('checks.noData')
            : rows.length === 0 ? t('checks.none') : down > 0 ? t('checks.down', { n: down }) : unknown > 0 ? t('checks.unknown', { n: unknown }) : t('checks.up', { n: rows.length })}
        </h1>
        <p>
          {rows === null && asked.trouble !== null ? <span class="wrong" role="alert">{reason(asked.trouble)}</span> : t('checks.lead')}
        </p>
        {undelivered > 0 && <p class="warned" role="status">{t('checks.undelivered', { n: undelivered })}</p>}
        {(asked.data?.unplaced ?? []).map((name) => (
          <p class="warned" key={name}>{t('checks.unplaced', { name })}</p>
        ))}
      </div>
      {rows?.length === 0 && (
        <>
          <p>{t('checks.begin')}</p>
          <pre class="plan-text mono" tabIndex={0}>{EXAMPLE}</pre>
          <p class="muted">{t('checks.beginMore')}</p>
        </>
      )}
      <ul class="list">
        {[...(rows ?? [])].sort((a, b) => rank(a) - rank(b)).map((row) => (
          <Row key={`${row.name} ${row.target} ${row.seen_from}`} row={row} />
        ))}
      </ul>
    </Page>
  )
}

const rank = (row: CheckView): number => ORDER[row.state as keyof typeof ORDER] ?? 1

function Row({ row }: { row: CheckView }): JSX.Element {
  const now = useNow()
  const words = [
    NAMES[row.type] ?? t(`checks.type.${row.type}`),
    row.seen_from === '' ? t('checks.byServer') : t('checks.byHost', { host: row.seen_from }),
    t('checks.every', { time: duration(row.interval_s) }),
  ]
  if (row.took_s !== null) words.push(t('checks.took', { time: row.took_s < 1 ? unit(number(row.took_s * 1000), 'ms') : duration(row.took_s) }))
  if (row.failures > 0) words.push(t('checks.failures', { n: row.failures }))
  if (row.delivered === 'no' || row.delivered === 'old') words.push(t(`checks.delivered.${row.delivered}`))
  const ends = row.expires_at
  return (
    <li class="item">
      <Mark of={row.state === 'down' ? 'critical' : row.state === 'up' ? 'normal' : 'silent'} size={14} />
      <div class="item-main">
        <p>
          <b>{row.name}</b> <code>{row.target}</code> <span class="muted">{t(`checks.state.${row.state as 'up' | 'down' | 'unknown'}`)}</span>
        </p>
        <p class="muted num">{words.join(' · ')}</p>
        {ends !== null && ends - now < SOON_S && <p class="warned">{ends < now ? t('checks.ended', { time: moment(ends, now) }) : t('checks.ends', { time: moment(ends, now), left: duration(ends - now) })}</p>}
      </div>
    </li>
  )
}
