/** Who is woken when: escalation policies and teams. A section of the on-call page. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { remove } from '../api/client'
import type { PoliciesView, PolicyBody, SchedulesView, TeamBody, TeamsView } from '../api/schema'
import type { Person, Receivers } from '../api/types'
import { duration, t } from '../i18n'
import { Show, useAsked, Verdict } from './asked'
import { Sure } from './form'
import { PolicyForm, targetWords } from './PolicyForm'
import { TeamForm } from './TeamForm'
import { Icon } from '../shell/icons'
import { complain, tell } from '../shell/notice'
import { mayAdminister, mayChange, mayMake, user } from '../state/session'

/** Names of people, as far as this reader may know them: all, or those that schedules name. */
export function usePeople(schedules: SchedulesView | null): string[] {
  const all = useAsked<{ users: Person[] }>(mayAdminister.value ? '/users' : null)
  const named = schedules?.schedules.flatMap((s) => s.layers.flatMap((l) => l.people)) ?? []
  return [...new Set([...(all.data?.users.map((u) => u.name) ?? []), ...named, user.value?.name ?? ''])].filter(Boolean).sort()
}

export function Policies(): JSX.Element {
  const policies = useAsked<PoliciesView>('/oncall/policies')
  const teams = useAsked<TeamsView>('/teams')
  const schedules = useAsked<SchedulesView>('/oncall/schedules')
  const receivers = useAsked<Receivers>('/receivers')
  const people = usePeople(schedules.data)
  const policy = useSignal<PolicyBody | 'new' | null>(null)
  const team = useSignal<TeamBody | 'new' | null>(null)
  const forget = (path: string, load: () => Promise<void>): Promise<void> =>
    remove(path).then(() => {
      tell(t('policies.forgotten'))
      return load()
    }, complain)
  return (
    <Show of={policies}>
      {({ policies: list }) => (
        <>
          <Verdict title={list.length === 0 ? t('policies.none') : t('policies.title', { n: list.length })} lead={t('policies.lead')}>
            {mayMake.value && (
              <>
                {mayAdminister.value && (
                  <button class="btn" onClick={() => (team.value = 'new')}>
                    <Icon name="plus" size={14} />
                    {t('teams.new')}
                  </button>
                )}
                <button class="btn strong" onClick={() => (policy.value = 'new')}>
                  <Icon name="plus" size={14} />
                  {t('policies.new')}
                </button>
              </>
            )}
          </Verdict>
          {list.map((p) => (
            <section class="block" key={p.name}>
              <div class="section-head">
                <h2>{p.name}</h2>
                {mayChange(p.name ?? '') && (
                  <div class="act-row flush">
                    <button class="btn" aria-label={`${t('edit')}: ${p.name}`} onClick={() => (policy.value = p)}>{t('edit')}</button>
                    <Sure text={t('oncall.forget')} what={t('policies.forgetSure')} label={`${t('oncall.forget')}: ${p.name}`} onSure={() => forget(`/oncall/policies/${encodeURIComponent(p.name ?? '')}`, policies.load)} />
                  </div>
                )}
              </div>
              <ol class="steps">
                {p.steps.map((s, i) => (
                  <li class="step" key={i}>
                    <span class="step-mark num">{i + 1}</span>
                    <div>
                      <p class="step-text">{s.targets.map(targetWords).join(', ')}</p>
                      <p class="muted num">{t('policies.wait', { time: duration(s.wait_s ?? 0) })}</p>
                    </div>
                  </li>
                ))}
              </ol>
              <p class="muted">{[(p.repeat ?? 0) > 0 ? t('policies.repeat', { n: p.repeat ?? 0 }) : '', t('policies.from', { severity: t(`severity.${p.severity ?? 'warning'}`) })].filter(Boolean).join(' · ')}</p>
            </section>
          ))}
          {(teams.data?.teams.length ?? 0) > 0 && (
            <section class="block">
              <h2>{t('teams.title')}</h2>
              <ul class="list">
                {teams.data!.teams.map((one) => (
                  <li class="item" key={one.name}>
                    <div class="item-main">
                      <p>
                        <b>{one.title || one.name}</b> <span class="muted">{one.policy}</span>
                      </p>
                      <p class="matchers">{(one.match ?? []).map((m) => <code key={m}>{m}</code>)}</p>
                      <p class="muted">{(one.members ?? []).join(', ')}</p>
                    </div>
                    {mayAdminister.value && (
                      <div class="act-row flush">
                        <button class="btn" aria-label={`${t('edit')}: ${one.title || one.name}`} onClick={() => (team.value = one)}>{t('edit')}</button>
                        <Sure text={t('oncall.forget')} what={t('policies.forgetSure')} label={`${t('oncall.forget')}: ${one.title || one.name}`} onSure={() => forget(`/teams/${encodeURIComponent(one.name ?? '')}`, teams.load)} />
                      </div>
                    )}
                  </li>
                ))}
              </ul>
            </section>
          )}
          {policy.value && (
            <PolicyForm
              one={policy.value === 'new' ? undefined : policy.value}
              known={{ schedule: schedules.data?.schedules.map((s) => s.name) ?? [], person: people, team: teams.data?.teams.map((one) => one.name ?? '') ?? [], receiver: receivers.data?.receivers.map((r) => r.name) ?? [] }}
              onClose={() => (policy.value = null)}
              onKept={() => void policies.load()}
            />
          )}
          {team.value && <TeamForm one={team.value === 'new' ? undefined : team.value} people={people} policies={list.map((p) => p.name ?? '')} onClose={() => (team.value = null)} onKept={() => void teams.load()} />}
        </>
      )}
    </Show>
  )
}
