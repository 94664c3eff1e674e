/** Changes: what runs, what waits for a decision, what came of the others. */
import type { JSX } from 'preact'
import type { ChangesView, ChangeView, Figures, RolloutsView, RolloutView } from '../api/schema'
import { duration, moment, number, t, unit } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Drift } from '../parts/Drift'
import { useNow } from '../parts/now'
import { Sections } from '../parts/Sections'
import { WaveBar } from '../parts/WaveBar'
import { Icon } from '../shell/icons'
import { Mark } from '../shell/Mark'
import { Page } from '../shell/Shell'
import { changePath } from '../state/paths'
import { mayOperate } from '../state/session'
import '../styles/pages.css'
import '../styles/change.css'

const EVERY_MS = 5000

export function ChangeSections({ here }: { here: string }): JSX.Element {
  return (
    <Sections
      here={here}
      list={[
        { id: 'changes', text: t('page.changes'), href: '/changes' },
        { id: 'releases', text: t('page.releases'), href: '/releases' },
        { id: 'figures', text: t('delivery.figures'), href: '/changes/figures' },
      ]}
    />
  )
}

export default function Changes({ what }: { what: string }): JSX.Element {
  useTitle(t('page.changes'))
  return (
    <Page trail={[{ text: t('page.changes') }]}>
      <ChangeSections here={what === 'figures' ? 'figures' : 'changes'} />
      {what === 'figures' ? <DeliveryFigures /> : <List />}
    </Page>
  )
}

function List(): JSX.Element {
  const rollouts = useAsked<RolloutsView>('/rollouts?state=open', EVERY_MS)
  const changes = useAsked<ChangesView>('/changes?limit=100', EVERY_MS)
  return (
    <Show of={changes}>
      {({ changes: all }) => {
        const open = rollouts.data?.rollouts ?? []
        const running = new Set(open.map((r) => r.change_id))
        const held = open.filter((r) => r.state === 'held')
        const waiting = all.filter((c) => ['draft', 'planned'].includes(c.state) && !running.has(c.id))
        const outside = all.filter((c) => c.state === 'reported' && c.ended_at === null)
        const over = all.filter((c) => !running.has(c.id) && !waiting.includes(c) && !outside.includes(c))
        const title =
          held.length > 0 ? t('changes.held', { n: held.length }) : open.length > 0 ? t('changes.running', { n: open.length }) : outside.length > 0 ? t('changes.outside', { n: outside.length }) : t('changes.calm')
        return (
          <>
            <Verdict title={title} lead={t('changes.lead')}>
              {mayOperate.value && (
                <a class="btn strong" href="/draft/new">
                  <Icon name="plus" size={14} />
                  {t('draft.new')}
                </a>
              )}
            </Verdict>
            {open.length > 0 && (
              <section class="block">
                <h2>{t('changes.now')}</h2>
                <ul class="list">{open.map((r) => <RolloutRow key={r.id} one={r} />)}</ul>
              </section>
            )}
            <Drift />
            <Group title={t('changes.waiting')} list={waiting} />
            <Group title={t('changes.elsewhere')} list={outside} />
            <Group title={t('changes.over')} list={over.slice(0, 60)} over />
            {all.length === 0 && <p class="muted">{t('changes.none')}</p>}
          </>
        )
      }}
    </Show>
  )
}

function RolloutRow({ one }: { one: RolloutView }): JSX.Element {
  const now = useNow()
  const done = one.counts.proven ?? 0
  return (
    <li class="item">
      <span class="look-mark">{one.state === 'held' ? <Mark of="warning" size={14} /> : <Mark of="normal" size={14} />}</span>
      <div class="item-main">
        <p>
          <a class="stretch" href={changePath(one.change_id)}>{one.title}</a> <span class="muted">{one.target}</span>
        </p>
        <p class="muted num">
          {[mine(one.reason, one.reason_uk) || t(`rollout.state.${one.state}`), t('rollout.proven', { n: done, total: one.hosts_count, count: done }), one.phase_since === null ? '' : duration(now - one.phase_since)].filter(Boolean).join(' · ')}
        </p>
      </div>
      <WaveBar counts={one.counts} />
    </li>
  )
}

function Group({ title, list, over = false }: { title: string; list: readonly ChangeView[]; over?: boolean }): JSX.Element | null {
  if (list.length === 0) return null
  return (
    <section class="block">
      <h2>{title}</h2>
      <ul class="list">
        {list.map((c) => (
          <li class={`item ${over ? 'over' : ''}`} key={c.id}>
            <div class="item-main">
              <p>
                <a class="stretch" href={changePath(c.id)}>{c.title || c.target}</a> <span class="muted">{t(`change.kind.${c.kind}`)}</span>
              </p>
              <p class="muted num">
                {[t('change.number', { id: c.id }), c.owner, c.began_at === null ? (c.created_at === null ? '' : moment(c.created_at)) : moment(c.began_at), c.hosts_count > 0 ? t('incident.hosts', { n: c.hosts_count }) : '', mine(c.reason, c.reason_uk)].filter(Boolean).join(' · ')}
              </p>
            </div>
            <div class="item-side">
              <p class={c.outcome === 'failure' || c.outcome === 'reverted' || c.state === 'reverted' ? 'warning-text' : ''}>{c.kind === 'external' && c.outcome ? t(`change.outcome.${c.outcome}`) : t(`change.state.${c.state}`)}</p>
              <p class="muted num">{c.began_at !== null && c.ended_at !== null ? duration(c.ended_at - c.began_at) : ''}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function DeliveryFigures(): JSX.Element {
  const asked = useAsked<{ figures: Figures[] }>('/delivery/figures')
  const percent = (ratio: number | null): string => (ratio === null ? '—' : unit(number(ratio * 100), '%'))
  const time = (s: number | null): string => (s === null ? '—' : duration(s))
  return (
    <Show of={asked}>
      {({ figures }) => (
        <>
          <Verdict title={figures.length === 0 ? t('delivery.none') : t('delivery.title')} lead={t('delivery.lead')} />
          {figures.length > 0 && (
            <div class="scroll-x" tabIndex={0} role="region" aria-label={t('delivery.figures')}>
              <table class="audit num">
                <thead>
                  <tr>
                    {['week', 'team', 'kind', 'changes', 'leadTime', 'failed', 'recovery', 'rework'].map((h) => (
                      <th scope="col" key={h}>{t(`delivery.${h}`)}</th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {figures.map((f, i) => (
                    <tr key={i}>
                      <td>{f.week || t('delivery.allWeeks')}</td>
                      <td>{f.team || t('delivery.allTeams')}</td>
                      <td>{f.kind ? t(`change.kind.${f.kind}`) : t('delivery.allKinds')}</td>
                      <td>{number(f.changes)}</td>
                      <td>{time(f.lead_time_s)}</td>
                      <td>{percent(f.failed_ratio)}</td>
                      <td>{time(f.failed_recovery_s)}</td>
                      <td>{percent(f.rework_ratio)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      )}
    </Show>
  )
}
