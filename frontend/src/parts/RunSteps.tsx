/** The steps of a checklist's run: one current step, what to expect, what stops. Several people may
 * work on it at once: an answer names the revision that its writer had seen. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { post } from '../api/client'
import type { RunDetailView, ScriptView } from '../api/schema'
import { clock, number, t, unit } from '../i18n'
import { mine } from './asked'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { complain, reason as said } from '../shell/notice'
import { changePath } from '../state/paths'
import { mayOperate } from '../state/session'
import '../styles/steps.css'

export interface Step {
  number: number
  kind: string
  text: string
  text_uk: string
  help: string
  help_uk: string
  query: string
  unit: string
  choices: string[]
  choices_uk: string[]
  script: string
  parameters: Record<string, string>
  approvals: number
  went: Went | null
  optional: boolean
  stops: Record<string, string>[]
  state: string
  value: unknown
  note: string
  answered_by: string
  answered_at: number | null
  filled: { query?: string; series?: { labels: Record<string, string>; value?: number | string | null }[]; error?: string; missing?: string[]; more?: number } | null
}

export const stepsOf = (run: RunDetailView): Step[] => run.checklist_steps as unknown as Step[]

/** What came of a step's script. */
interface Went {
  change: number
  rollout: number
  trying: boolean
  state: string
  reason: string
  hosts: { host: string; state: string; reason: string; detail: string; exit_code: number | null; output: string; truncated: boolean }[]
}

const OVER = ['done', 'reverted', 'aborted']

interface Props {
  run: RunDetailView
  onRun: (run: RunDetailView) => void
}

export function RunSteps({ run, onRun }: Props): JSX.Element {
  const steps = stepsOf(run)
  const current = steps.find((s) => s.state === 'open')?.number ?? 0
  const act = async (what: string, body: object): Promise<void> => {
    try {
      onRun(await post<RunDetailView>(`/checklist-runs/${run.id}/${what}`, body))
    } catch (error) {
      complain(error)
    }
  }
  const goes = run.state === 'running' && mayOperate.value
  return (
    <ol class="steps">
      {steps.map((step) => (
        <li key={step.number} class={`step ${step.state} ${step.number === current ? 'current' : ''}`} aria-current={step.number === current ? 'step' : undefined}>
          <span class="step-mark num">{step.state === 'answered' ? <Icon name="check" size={13} /> : step.state === 'skipped' ? '–' : step.number}</span>
          <div>
            <p class="step-text">{mine(step.text, step.text_uk)}</p>
            {step.state !== 'open' ? (
              <>
                <p class="muted num">
                  {[answerWords(step), step.note, step.answered_by, step.answered_at === null ? '' : clock(step.answered_at)].filter(Boolean).join(' · ')}
                {goes && (
                  <button class="btn quiet tiny" onClick={() => void act('clear', { step: step.number, revision: run.revision })}>{t('run.clear')}</button>
                )}
              </p>
              <Ran went={step.went} />
              </>
            ) : (
              (step.number === current || run.state !== 'running') && (
                <>
                  {step.help && <p class="muted">{withCode(mine(step.help, step.help_uk))}</p>}
                  <Filled step={step} />
                  <Ran went={step.went} />
                  {step.stops.map((stop, i) => (
                    <p class="stop" key={i}>{t('run.stopIf', { when: `${stop.condition} ${mine(stop.reason ?? '', stop.reason_uk)}` })}</p>
                  ))}
                  {goes && step.number === current && <Answer step={step} run={run} act={act} onRun={onRun} />}
                </>
              )
            )}
          </div>
        </li>
      ))}
    </ol>
  )
}

/** A sentence with its `commands` set as code. */
export function withCode(text: string): JSX.Element[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : <span key={i}>{part}</span>))
}

function answerWords(step: Step): string {
  if (step.state === 'skipped') return t('run.skipped')
  const { value } = step
  if (value === true) return step.kind === 'yes/no' ? t('yes') : t('run.done')
  if (value === false) return t('no')
  if (step.kind === 'script' && typeof value === 'number') return t('change.number', { id: value })
  if (typeof value === 'number') return unit(number(value, 2), step.unit)
  return typeof value === 'string' ? mine(value, step.choices_uk[step.choices.indexOf(value)]) : ''
}

function Filled({ step }: { step: Step }): JSX.Element | null {
  const { filled } = step
  if (!filled || step.kind === 'script') return null
  if (filled.missing) return <p class="muted">{t('run.noValue', { names: filled.missing.map((name) => `$${name}`).join(', ') })}</p>
  if (filled.error) return <p class="muted">{filled.error}</p>
  const series = filled.series ?? []
  if (series.length === 0) return <p class="muted">{t('look.nothing')}</p>
  return (
    <ul class="proof">
      {series.slice(0, 6).map((one, i) => {
        const value = Number(one.value)
        return (
          <li key={i}>
            <span class="muted">{Object.entries(one.labels).filter(([k]) => k !== '__name__' && k !== 'job').map(([, v]) => v).slice(0, 3).join(' · ')}</span>
            <b class="num">{Number.isFinite(value) ? unit(number(value, Math.abs(value) < 10 ? 2 : 0), step.unit) : String(one.value ?? '')}</b>
          </li>
        )
      })}
    </ul>
  )
}

/** The change by which a script ran, with what it wrote. */
function Ran({ went }: { went: Went | null }): JSX.Element | null {
  if (!went) return null
  return (
    <div class="ran">
      <a class="link" href={changePath(went.change)}>{t('change.number', { id: went.change })}</a>{' '}
      {[went.trying ? t('script.tried') : '', t(`rollout.state.${went.state}`), went.reason].filter(Boolean).join(' · ')}
      {went.hosts.map((h) => (
        <div class="ran" key={h.host}>
          <b>{h.host}</b> {[t(`attempt.${h.state}`), h.exit_code === null ? '' : t('script.exit', { code: h.exit_code }), h.detail || h.reason].filter(Boolean).join(' · ')}
          {h.output && <pre class="plan-text mono">{h.output + (h.truncated ? '…' : '')}</pre>}
        </div>
      ))}
    </div>
  )
}

function Script({ step, run, say, onRun, skip }: { step: Step; run: RunDetailView; say: (value: unknown) => void; onRun: (run: RunDetailView) => void; skip: () => void }): JSX.Element {
  const asking = useSignal(false)
  const under = step.went !== null && !OVER.includes(step.went.state)
  return (
    <>
      <p class="muted mono">{[step.script, ...Object.entries(step.parameters).map(([k, v]) => `${k}=${v}`)].join(' ')}</p>
      <div class="step-form">
        <button class={`btn ${step.went ? '' : 'strong'}`} disabled={under} onClick={() => (asking.value = true)}>{t('script.run')}</button>
        <button class={`btn ${step.went ? 'strong' : ''}`} disabled={under} onClick={() => say(step.went ? step.went.change : true)}>
          {t('run.done')} <span class="key">X</span>
        </button>
        <button type="button" class="btn quiet" onClick={skip}>{t('run.skip')}</button>
      </div>
      {asking.value && <RunScript step={step} run={run} onRun={onRun} onClose={() => (asking.value = false)} />}
    </>
  )
}

/** First what it would do, then it is begun. */
function RunScript({ step, run, onRun, onClose }: { step: Step; run: RunDetailView; onRun: (run: RunDetailView) => void; onClose: () => void }): JSX.Element {
  const shown = useSignal<ScriptView | null>(null)
  const wrong = useSignal('')
  const trying = useSignal(false)
  const ask = (dry_run: boolean): Promise<ScriptView> => post<ScriptView>(`/checklist-runs/${run.id}/script`, { step: step.number, trying: trying.value, dry_run })
  useEffect(() => {
    ask(true).then((found) => (shown.value = found), (error: unknown) => (wrong.value = said(error)))
  }, [])
  return (
    <Dialog label={t('script.run')} onClose={onClose} kind="confirm">
      <form
        onSubmit={(e) => {
          e.preventDefault()
          ask(false).then(
            (found) => {
              onRun(found.run)
              onClose()
            },
            (error: unknown) => (wrong.value = said(error)),
          )
        }}
      >
        <h3>{t('script.run')}</h3>
        <p>{t('script.what')}</p>
        {step.approvals > 0 && <p class="muted">{t('script.approvals', { n: step.approvals })}</p>}
        {shown.value && <pre class="plan-text mono">{shown.value.text}</pre>}
        <label class="tick">
          <input type="checkbox" checked={trying.value} onInput={(e) => (trying.value = e.currentTarget.checked)} />
          <span>{t('script.try')}</span>
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong" disabled={shown.value === null}>{t('script.start')}</button>
        </div>
      </form>
    </Dialog>
  )
}

function Answer({ step, run, act, onRun }: { step: Step; run: RunDetailView; act: (what: string, body: object) => Promise<void>; onRun: (run: RunDetailView) => void }): JSX.Element {
  const text = useSignal('')
  const skipping = useSignal(false)
  const reason = useSignal('')
  const say = (value: unknown): void => void act('answer', { step: step.number, value, revision: run.revision })
  if (skipping.value) {
    return (
      <form
        class="step-form"
        onSubmit={(e) => {
          e.preventDefault()
          void act('skip', { step: step.number, reason: reason.value.trim(), revision: run.revision })
        }}
      >
        <input class="input" autoFocus required={!step.optional} placeholder={t('run.why')} aria-label={t('run.why')} value={reason.value} onInput={(e) => (reason.value = e.currentTarget.value)} />
        <button class="btn strong">{t('run.skip')}</button>
        <button type="button" class="btn quiet" onClick={() => (skipping.value = false)}>{t('cancel')}</button>
      </form>
    )
  }
  if (step.kind === 'script') return <Script step={step} run={run} say={say} onRun={onRun} skip={() => (skipping.value = true)} />
  const skip = <button type="button" class="btn quiet" onClick={() => (skipping.value = true)}>{t('run.skip')}</button>
  if (step.kind === 'yes/no') {
    return (
      <div class="step-form">
        <button class="btn strong" onClick={() => say(true)}>{t('yes')}</button>
        <button class="btn strong" onClick={() => say(false)}>{t('no')}</button>
        {skip}
      </div>
    )
  }
  if (step.kind === 'choice') {
    return (
      <div class="step-form">
        {step.choices.map((choice, i) => (
          <button class="btn" key={choice} onClick={() => say(choice)}>{mine(choice, step.choices_uk[i])}</button>
        ))}
        {skip}
      </div>
    )
  }
  if (step.kind === 'number' || step.kind === 'text') {
    return (
      <form
        class="step-form"
        onSubmit={(e) => {
          e.preventDefault()
          say(step.kind === 'number' ? Number(text.value.replace(',', '.')) : text.value.trim())
        }}
      >
        <input class="input" required inputMode={step.kind === 'number' ? 'decimal' : undefined} aria-label={mine(step.text, step.text_uk)} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
        {step.unit && <span class="muted">{step.unit}</span>}
        <button class="btn strong">{t('save')}</button>
        {skip}
      </form>
    )
  }
  return (
    <div class="step-form">
      <button class="btn strong" onClick={() => say(true)}>
        {t('run.done')} <span class="key">X</span>
      </button>
      {(step.kind === 'query' || step.kind === 'chart') && <button class="btn" onClick={() => void act('fill', { step: step.number })}>{t('run.askAgain')}</button>}
      {skip}
    </div>
  )
}
