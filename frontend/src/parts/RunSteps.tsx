/** The steps of a checklist's run: one current step, what to expect, what stops. Several people may
 * work on it at once: an answer names the revision that its writer had seen. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post } from '../api/client'
import type { RunDetailView } from '../api/schema'
import { clock, number, t, unit } from '../i18n'
import { Icon } from '../shell/icons'
import { complain } from '../shell/notice'
import { mayOperate } from '../state/session'
import '../styles/steps.css'

export interface Step {
  number: number
  kind: string
  text: string
  help: string
  query: string
  unit: string
  choices: string[]
  script: string
  optional: boolean
  stops: Record<string, string>[]
  state: string
  value: unknown
  note: string
  answered_by: string
  answered_at: number | null
  filled: { query?: string; series?: { labels: Record<string, string>; value?: number | string | null }[]; error?: string; more?: number } | null
}

export const stepsOf = (run: RunDetailView): Step[] => run.checklist_steps as unknown as Step[]

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
            <p class="step-text">{step.text}</p>
            {step.state !== 'open' ? (
              <p class="muted num">
                {[answerWords(step), step.note, step.answered_by, step.answered_at === null ? '' : clock(step.answered_at)].filter(Boolean).join(' · ')}
                {goes && (
                  <button class="btn quiet tiny" onClick={() => void act('clear', { step: step.number, revision: run.revision })}>{t('run.clear')}</button>
                )}
              </p>
            ) : (
              (step.number === current || run.state !== 'running') && (
                <>
                  {step.help && <p class="muted">{step.help}</p>}
                  <Filled step={step} />
                  {step.stops.map((stop, i) => (
                    <p class="stop" key={i}>{t('run.stopIf', { when: Object.values(stop).join(' ') })}</p>
                  ))}
                  {goes && step.number === current && <Answer step={step} run={run} act={act} />}
                </>
              )
            )}
          </div>
        </li>
      ))}
    </ol>
  )
}

function answerWords(step: Step): string {
  if (step.state === 'skipped') return t('run.skipped')
  const { value } = step
  if (value === true) return step.kind === 'yes/no' ? t('yes') : t('run.done')
  if (value === false) return t('no')
  if (typeof value === 'number') return unit(number(value, 2), step.unit)
  return typeof value === 'string' ? value : ''
}

function Filled({ step }: { step: Step }): JSX.Element | null {
  const { filled } = step
  if (!filled) return null
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

function Answer({ step, run, act }: { step: Step; run: RunDetailView; act: (what: string, body: object) => Promise<void> }): JSX.Element {
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
        {step.choices.map((choice) => (
          <button class="btn" key={choice} onClick={() => say(choice)}>{choice}</button>
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
        <input class="input" required inputMode={step.kind === 'number' ? 'decimal' : undefined} aria-label={step.text} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
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
