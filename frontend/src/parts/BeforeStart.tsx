/** A change that was not started: what it lacks, its plan as a diff, the answers of people, the start. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, post } from '../api/client'
import type { ChangeDetailView, PlanView } from '../api/schema'
import { duration, moment, t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { reason, tell } from '../shell/notice'
import { draftPath } from '../state/paths'
import { query, url } from '../state/route'
import { mayOperate } from '../state/session'
import { Sure } from './form'

interface PlanWave {
  name: string
  bake_s: number
  members: [number, string, number][]
}

export function BeforeStart({ change, reload }: { change: ChangeDetailView; reload: () => Promise<void> }): JSX.Element | null {
  const plan = useSignal<PlanView | null>(null)
  const trouble = useSignal('')
  const starting = useSignal(false)
  const newest = change.state === 'planned' ? change.plans[change.plans.length - 1] : undefined
  const act = async (path: string, body: object, said: string): Promise<void> => {
    trouble.value = ''
    try {
      const found = await post<unknown>(`/changes/${change.id}/${path}`, body)
      if (path === 'plan') plan.value = found as PlanView
      tell(said)
      await reload()
    } catch (error) {
      trouble.value = reason(error)
    }
  }
  useEffect(() => {
    // Who has just written it wants to see what would happen.
    if (url.peek().searchParams.get('plan') !== '1') return
    query({ plan: null })
    if (mayOperate.peek() && !newest) void act('plan', {}, t('change.planned'))
  }, [])
  useEffect(() => {
    if (newest) get<PlanView>(`/changes/${change.id}/plan`).then((found) => (plan.value = found), () => undefined)
  }, [newest?.number])
  if (change.kind === 'external' || !['draft', 'planned'].includes(change.state)) return null
  const stale = change.state === 'draft' && change.plans.length > 0
  return (
    <section class="block">
      <div class={`band ${change.lacks.length > 0 ? 'warn' : ''}`} role="status">
        {change.lacks.length > 0 ? (
          <div>
            <b>{t('change.lacks')}</b>
            <ul>{change.lacks.map((l) => <li key={l}>{l}</li>)}</ul>
          </div>
        ) : (
          <p>{newest ? t('change.ready') : stale ? t('change.planStale') : t('change.noPlan')}</p>
        )}
      </div>
      {mayOperate.value && (
        <div class="act-row">
          {newest && change.lacks.length === 0 && <button class="btn strong" onClick={() => (starting.value = true)}>{t('change.start')} …</button>}
          <button class={`btn ${newest ? '' : 'strong'}`} onClick={() => void act('plan', {}, t('change.planned'))}>{newest ? t('change.planAgain') : t('change.plan')}</button>
          {newest && <button class="btn" onClick={() => void act('answer', { answer: 'approved', plan: newest.number }, t('answer.said'))}>{t('answer.plan')}</button>}
          <a class="btn" href={draftPath(change.id)}>{t('draft.editShort')}</a>
          <Sure text={t('change.cancel')} what={t('change.cancelSure')} onSure={() => act('cancel', {}, t('change.cancelled'))} />
        </div>
      )}
      {trouble.value && <p class="wrong" role="alert">{trouble.value}</p>}
      {change.approvals.length > 0 && (
        <ul class="muted">
          {change.approvals.map((a, i) => (
            <li key={i}>{[a.user, t(`answer.${a.answer}`), a.comment, a.at === null ? '' : moment(a.at)].filter(Boolean).join(' · ')}</li>
          ))}
        </ul>
      )}
      {plan.value && newest && <PlanLines plan={plan.value} />}
      {starting.value && newest && plan.value && (
        <Start
          change={change}
          plan={plan.value}
          onClose={() => (starting.value = false)}
          onStart={async () => {
            starting.value = false
            await act('start', { plan: newest.number }, t('change.started'))
          }}
        />
      )}
    </section>
  )
}

/** The server's plan, line by line: what hosts leave and what they get stand out. */
export function PlanLines({ plan }: { plan: PlanView }): JSX.Element {
  return (
    <>
      <h2>{t('change.planTitle', { n: plan.number })}</h2>
      <pre class="plan-lines plan-text mono" tabIndex={0}>
        {plan.text.trimEnd().split('\n').map((line, i) => (
          <span key={i} class={/^\s+\+ /.test(line) ? 'add' : /^\s+- /.test(line) ? 'drop' : undefined}>{`${line}\n`}</span>
        ))}
      </pre>
    </>
  )
}

/** Says what starting will do, to how many hosts, in which order, how long about, what is lost. */
function Start({ change, plan, onClose, onStart }: { change: ChangeDetailView; plan: PlanView; onClose: () => void; onStart: () => Promise<void> }): JSX.Element {
  const busy = useSignal(false)
  const waves = (plan.document.waves ?? []) as PlanWave[]
  const hosts = waves.reduce((n, w) => n + w.members.length, 0)
  const left = ((plan.document.excluded ?? []) as unknown[]).length
  const bake = waves.reduce((s, w) => s + w.bake_s, 0)
  return (
    <Dialog label={t('change.start')} onClose={onClose} kind="confirm">
      <form
        onSubmit={(e) => {
          e.preventDefault()
          busy.value = true
          void onStart()
        }}
      >
        <h3>{t('start.title', { title: change.title || change.target })}</h3>
        <dl>
          <dt>{t('steer.hosts')}</dt>
          <dd>{[t('incident.hosts', { n: hosts }), left > 0 ? t('start.left', { n: left }) : ''].filter(Boolean).join(', ')}</dd>
          <dt>{t('steer.order')}</dt>
          <dd>{waves.map((w) => `${w.name} (${w.members.length})`).join(' → ')}</dd>
          <dt>{t('steer.time')}</dt>
          <dd>{t('start.time', { time: duration(bake) })}</dd>
          <dt>{t('steer.loss')}</dt>
          <dd>{t(`start.loss.${change.kind}`)}</dd>
          <dt>{t('start.back')}</dt>
          <dd>{t(`start.backOf.${change.kind}`)}</dd>
        </dl>
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong" autoFocus disabled={busy.value}>{t('change.start')}</button>
        </div>
      </form>
    </Dialog>
  )
}
