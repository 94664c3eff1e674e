/** What is planned and running, and what is unusual without being an incident: beside the map, asked
 * for once the fleet itself is there. */
import type { JSX } from 'preact'
import type { AnomaliesView, RolloutsView, RolloutView, WindowsView, WindowView } from '../api/schema'
import type { Silence, Silences } from '../api/types'
import { clock, duration, moment, t, unit } from '../i18n'
import { quantity } from '../i18n/quantity'
import { Mark } from '../shell/Mark'
import { Icon } from '../shell/icons'
import { changePath, hostPath } from '../state/paths'
import { useAsked } from './asked'
import { useNow } from './now'
import { WaveBar } from './WaveBar'

const ROLLOUTS_MS = 5_000
const OTHERS_MS = 60_000
/** Planned work shows when it begins within this time. */
const SOON_S = 12 * 3600
const SHOWN = 4

export default function Ahead(): JSX.Element {
  const rollouts = useAsked<RolloutsView>('/rollouts?state=open&limit=20', ROLLOUTS_MS).data?.rollouts ?? []
  const silences = useAsked<Silences>('/silences', OTHERS_MS).data?.silences ?? []
  const windows = useAsked<WindowsView>('/freezes', OTHERS_MS).data?.windows ?? []
  const odd = (useAsked<AnomaliesView>(`/load/anomalies?limit=${SHOWN}`, OTHERS_MS).data?.anomalies ?? []).map((a) => a.load)
  const now = useNow()
  const soon = <T extends { state: string; starts_at: number | null }>(list: readonly T[]): T[] =>
    list.filter((one) => one.state === 'active' || (one.state === 'pending' && (one.starts_at ?? Infinity) - now < SOON_S)).slice(0, SHOWN)
  const planned = [
    ...soon(windows).map((w) => <Planned key={`w${w.id}`} one={w} title={w.name || t('ahead.window')} where={w.selector} />),
    ...soon(silences).map((s) => <Planned key={`s${s.id}`} one={s} title={s.comment || t('ahead.silence')} where={matched(s)} />),
  ]
  return (
    <>
      {(rollouts.length > 0 || planned.length > 0) && (
        <section class="ahead">
          <h2>{t('ahead.title')}</h2>
          <ul>
            {rollouts.slice(0, SHOWN).map((r) => (
              <Rollout key={r.id} one={r} now={now} />
            ))}
            {planned}
          </ul>
        </section>
      )}
      {odd.length > 0 && (
        <section class="ahead">
          <h2>{t('ahead.unusual')}</h2>
          <ul>
            {odd.map((l) => (
              <li key={`${l.kind} ${l.name} ${l.resource}`}>
                <span class="look-mark"><Icon name="load" size={16} /></span>
                <div class="ahead-main">
                  <a class="stretch" href={l.kind === 'host' ? hostPath(l.name) : `/load?of=${encodeURIComponent(`${l.kind}:${l.resource}:${l.name}`)}`}>{l.name}</a>
                  <p class="muted num">{t('ahead.odd', { what: t(`resource.${l.resource}`), now: amount(l.now, l.unit), low: amount(l.low, l.unit), high: amount(l.high, l.unit) })}</p>
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  )
}

const amount = (value: number | null, name: string): string => {
  if (value === null) return '—'
  const q = quantity(value, name)
  return unit(q.value, q.unit)
}

const matched = (one: Silence): string => one.matchers.map((m) => `${m.name}${m.op}${m.value}`).join(', ')

function Rollout({ one, now }: { one: RolloutView; now: number }): JSX.Element {
  const held = one.state === 'held'
  const since = one.phase_since === null ? '' : duration(now - one.phase_since)
  return (
    <li>
      <span class="look-mark">{held ? <Mark of="warning" size={16} /> : <Icon name="changes" size={16} />}</span>
      <div class="ahead-main">
        <a class="stretch" href={changePath(one.change_id)}>{one.title || one.target}</a>
        <p class={held ? 'warning-text num' : 'muted num'}>{[t(`ahead.${one.state}`, { wave: one.wave + 1 }), since].filter(Boolean).join(' · ')}</p>
      </div>
      <WaveBar counts={one.counts} />
    </li>
  )
}

function Planned({ one, title, where }: { one: Silence | WindowView; title: string; where: string }): JSX.Element {
  const when = one.state === 'active' ? (one.ends_at === null ? '' : t('ahead.until', { time: clock(one.ends_at) })) : one.starts_at === null ? '' : t('ahead.from', { time: moment(one.starts_at) })
  return (
    <li>
      <span class="look-mark"><Icon name="silences" size={16} /></span>
      <div class="ahead-main">
        <a class="stretch" href="/silences">{title}</a>
        <p class="muted num">{[where, when].filter(Boolean).join(' · ')}</p>
      </div>
    </li>
  )
}
