/** Beside an incident: the change that probably caused it, its checklists, how far its escalation is,
 * and what else one may do with it. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call, post } from '../api/client'
import type { CausesView, CauseView, ChecklistsView, EscalationView, RunDetailView, RunsView } from '../api/schema'
import type { IncidentDetail } from '../api/types'
import { clock, duration, language, moment, number, t } from '../i18n'
import { Icon } from '../shell/icons'
import { complain, tell } from '../shell/notice'
import { changePath, runPath } from '../state/paths'
import { mayOperate } from '../state/session'
import { mine, useAsked } from './asked'
import { useNow } from './now'
import { RunSteps } from './RunSteps'

const EVERY_MS = 5000
const LIKELY = 0.5

/** "Probably because": changes, with the reasons that speak for and against each. */
export function Causes({ incident }: { incident: IncidentDetail }): JSX.Element | null {
  const asked = useAsked<CausesView>(`/incidents/${incident.id}/causes?language=${language()}`, EVERY_MS * 2)
  const causes = asked.data?.causes ?? []
  const [first, ...others] = causes
  if (!first) return null
  const judge = async (cause: CauseView, judged: string): Promise<void> => {
    try {
      await call('PUT', `/incidents/${incident.id}/causes/${cause.change}`, { judged })
      await asked.load()
    } catch (error) {
      complain(error)
    }
  }
  return (
    <div>
      <dt>{first.score >= LIKELY || first.judged === 'caused' ? t('cause.title') : t('cause.maybe')}</dt>
      <dd>
        <p class="fact cause">
          <i class="change-mark" />
          <a class="link" href={changePath(first.change)}>{first.change_title}</a>
        </p>
        <p class="muted num">{[t('change.number', { id: first.change }), first.began_at !== null && incident.began_at !== null ? t('cause.before', { time: duration(Math.abs(incident.began_at - first.began_at)) }) : '', t('cause.score', { n: Math.round(first.score * 100) })].filter(Boolean).join(' · ')}</p>
        {first.why && <p>{first.why}</p>}
        {mayOperate.value && (
          <p class="act-row flush">
            {first.judged ? <span class="muted">{t(`cause.judged.${first.judged}`, { name: first.judged_by })}</span> : <span class="muted">{t('cause.ask')}</span>}
            <button class="btn quiet tiny" aria-pressed={first.judged === 'caused'} onClick={() => void judge(first, 'caused')}>{t('yes')}</button>
            <button class="btn quiet tiny" aria-pressed={first.judged === 'not'} onClick={() => void judge(first, 'not')}>{t('no')}</button>
          </p>
        )}
        {others.length > 0 && (
          <p class="muted">
            {t('cause.others')}{' '}
            {others.slice(0, 4).map((c, i) => (
              <span key={c.change}>
                {i > 0 && ', '}
                <a class="link" href={changePath(c.change)}>{c.change_title}</a> ({number(c.score * 100)}&nbsp;%)
              </span>
            ))}
          </p>
        )}
      </dd>
    </div>
  )
}

/** The run that is under way for this incident, or the checklists that fit it. */
export function IncidentChecklists({ incident }: { incident: IncidentDetail }): JSX.Element | null {
  const runs = useAsked<RunsView>(`/checklist-runs?incident=${incident.id}`, EVERY_MS)
  const fitting = useAsked<ChecklistsView>(`/checklists?incident=${incident.id}`)
  const list = runs.data?.runs ?? []
  const open = list.find((r) => r.state === 'running' || r.state === 'stopped')
  const begin = async (name: string): Promise<void> => {
    try {
      await post<RunDetailView>('/checklist-runs', { checklist: name, incident: Number(incident.id) })
      await runs.load()
    } catch (error) {
      complain(error)
    }
  }
  const offers = (fitting.data?.checklists ?? []).filter((c) => !list.some((r) => r.checklist === c.name)).slice(0, 3)
  if (!open && offers.length === 0 && list.length === 0) return null
  return (
    <section class="spaced">
      {open && <OpenRun key={open.id} id={open.id} />}
      {!open && incident.state !== 'resolved' && offers.length > 0 && (
        <>
          <h2>{t('page.checklists')}</h2>
          <ul>
            {offers.map((c) => (
              <li key={c.name} class="offer">
                <a class="link" href={`/checklists/${encodeURIComponent(c.name)}`}>{mine(c.title, c.title_uk)}</a>
                {mayOperate.value && <button class="btn quiet tiny" onClick={() => void begin(c.name)}>{t('checklist.begin')}</button>}
              </li>
            ))}
          </ul>
        </>
      )}
      {list.filter((r) => r !== open).map((r) => (
        <p class="muted" key={r.id}>
          <a class="link" href={runPath(r.id)}>{mine(r.title, r.title_uk)}</a> · {t(`run.state.${r.state}`)}
        </p>
      ))}
    </section>
  )
}

function OpenRun({ id }: { id: number }): JSX.Element | null {
  const asked = useAsked<RunDetailView>(`/checklist-runs/${id}`, EVERY_MS)
  const run = asked.data
  if (!run) return null
  return (
    <>
      <div class="section-head">
        <h2>
          <a href={runPath(id)}>{t('run.heading', { title: mine(run.title, run.title_uk) })}</a>
        </h2>
        <span class="muted num">{run.steps - run.steps_open}/{run.steps}</span>
      </div>
      {run.stopped_because && <p class="warning-text">{t('run.stopped', { why: mine(run.stopped_because, run.stopped_because_uk) })}</p>}
      <RunSteps run={run} onRun={asked.set} />
    </>
  )
}

/** Whom it wakes next, and when. */
export function Escalation({ incident }: { incident: IncidentDetail }): JSX.Element | null {
  const now = useNow()
  const asked = useAsked<EscalationView>(incident.state === 'resolved' || !incident.timeline.some((e) => e.kind === 'escalated' || e.kind === 'exhausted') ? null : `/incidents/${incident.id}/escalation`, EVERY_MS)
  const one = asked.data
  if (!one || !one.policy) return null
  return (
    <p class="muted num">
      {[t(`escalation.${one.phase}`, { n: one.step }), one.policy, one.due_at !== null && one.due_at > now ? t('escalation.due', { time: clock(one.due_at, true) }) : ''].filter(Boolean).join(' · ')}
    </p>
  )
}

const HOURS = [1, 4, 8]

/** Put off, say that the harm is over, give back. */
export function MoreActs({ incident, done }: { incident: IncidentDetail; done: () => Promise<void> }): JSX.Element | null {
  const open = useSignal(false)
  const now = useNow()
  if (!mayOperate.value || incident.state === 'resolved') return null
  const act = async (what: string, body: object, said: string): Promise<void> => {
    try {
      await post(`/incidents/${incident.id}/${what}`, body)
      tell(said)
      open.value = false
    } catch (error) {
      complain(error)
    }
    await done()
  }
  const asleep = incident.snoozed_until_at !== null && incident.snoozed_until_at > now
  return (
    <>
      {asleep && (
        <p class="muted">
          {t('snooze.until', { time: moment(incident.snoozed_until_at!) })}{' '}
          <button class="btn quiet tiny" onClick={() => void act('wake', {}, t('snooze.awake'))}>{t('snooze.wake')}</button>
        </p>
      )}
      <details open={open.value} onToggle={(e) => (open.value = e.currentTarget.open)} class="more-acts">
        <summary>{t('incident.more')}</summary>
        <div class="act-row">
          {!asleep && HOURS.map((h) => (
            <button class="btn" key={h} onClick={() => void act('snooze', { minutes: h * 60 }, t('snooze.done'))}>{t('snooze.for', { time: duration(h * 3600) })}</button>
          ))}
          {incident.mitigated_at === null && <button class="btn" onClick={() => void act('mitigate', {}, t('mitigate.done'))}>{t('mitigate.act')}</button>}
          {incident.state === 'acknowledged' && <button class="btn" onClick={() => void act('unacknowledge', {}, t('unacknowledge.done'))}>{t('unacknowledge.act')}</button>}
          <a class="btn" href={`/api/v1/incidents/${incident.id}/export?format=markdown`} target="_blank" rel="noopener">
            <Icon name="copy" size={14} />
            {t('incident.export')}
          </a>
        </div>
      </details>
    </>
  )
}

