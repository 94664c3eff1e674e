/** An escalation policy: whom to wake in which order, and how long to wait for each. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call } from '../api/client'
import type { PolicyBody } from '../api/schema'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { tell } from '../shell/notice'
import { Fault, Field, Foot, FormBox, Group, useForm } from './form'
import { FormHead } from './FormHead'

const MINUTE_S = 60
const SEVERITIES = ['critical', 'warning', 'info']
const KINDS = ['schedule', 'person', 'team', 'receiver'] as const

export type Targets = Record<(typeof KINDS)[number], readonly string[]>

interface Step {
  targets: string[]
  /** Minutes, as typed. */
  wait: string
}

interface Props {
  one?: PolicyBody
  known: Targets
  onClose: () => void
  onKept: () => void
}

export function PolicyForm({ one, known, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const name = useSignal(one?.name ?? '')
  const severity = useSignal(one?.severity ?? 'warning')
  const repeat = useSignal(String(one?.repeat ?? 2))
  const hold = useSignal(String((one?.ack_timeout_s ?? 0) / MINUTE_S))
  const steps = useSignal<Step[]>(one ? one.steps.map((s) => ({ targets: s.targets, wait: String((s.wait_s ?? 300) / MINUTE_S) })) : [{ targets: known.schedule.slice(0, 1).map((s) => `schedule:${s}`), wait: '5' }])
  const put = (at: number, part: Partial<Step>): void => {
    steps.value = steps.value.map((s, i) => (i === at ? { ...s, ...part } : s))
  }
  const save = async (): Promise<void> => {
    await call('PUT', `/oncall/policies/${encodeURIComponent(name.value.trim())}`, {
      severity: severity.value,
      repeat: Number(repeat.value),
      ack_timeout_s: Math.round(Number(hold.value) * MINUTE_S),
      steps: steps.value.map((s) => ({ targets: s.targets, wait_s: Math.round(Number(s.wait) * MINUTE_S) })),
    })
    tell(t('policies.kept'))
    onKept()
    onClose()
  }
  const heading = one ? t('policies.edit', { name: one.name ?? '' }) : t('policies.new')
  return (
    <Dialog label={heading} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <FormHead form={form} heading={heading} name={one ? undefined : { value: name.value, onValue: (value) => (name.value = value) }}>
          <Field form={form} name="severity" label={t('policies.severity')}>
            {(c) => (
              <select class="input" {...c} value={severity.value} onChange={(e) => (severity.value = e.currentTarget.value)}>
                {SEVERITIES.map((s) => <option key={s} value={s}>{t(`severity.${s}`)}</option>)}
              </select>
            )}
          </Field>
          <Field form={form} name="repeat" label={t('policies.repeats')}>
            {(c) => <input class="input num" {...c} type="number" required min={0} value={repeat.value} onInput={(e) => (repeat.value = e.currentTarget.value)} />}
          </Field>
          <Field form={form} name="ack_timeout_s" label={t('policies.ackHolds')} hint={t('policies.ackHint')}>
            {(c) => <input class="input num" {...c} type="number" required min={0} step="any" value={hold.value} onInput={(e) => (hold.value = e.currentTarget.value)} />}
          </Field>
        </FormHead>
        <ol class="rows-edit">
          {steps.value.map((step, i) => (
            <li class="row-edit gate-edit" key={i}>
              <div class="row-head">
                <h3>{t('policies.step', { n: i + 1 })}</h3>
                {steps.value.length > 1 && (
                  <button type="button" class="icon-btn" aria-label={t('policies.dropStep', { n: i + 1 })} onClick={() => (steps.value = steps.value.filter((_, at) => at !== i))}>
                    <Icon name="close" size={14} />
                  </button>
                )}
              </div>
              <Group form={form} name={`steps[${i}].targets`} label={t('policies.wakes')}>
                <ul class="chips">
                  {step.targets.map((target) => (
                    <li key={target}>
                      {targetWords(target)}
                      <button type="button" class="icon-btn" aria-label={t('people.drop', { name: target })} onClick={() => put(i, { targets: step.targets.filter((x) => x !== target) })}><Icon name="close" size={14} /></button>
                    </li>
                  ))}
                </ul>
                <select class="input" aria-label={t('policies.addTarget')} value="" onChange={(e) => put(i, { targets: [...new Set([...step.targets, e.currentTarget.value])] })}>
                  <option value="">{t('policies.addTarget')}</option>
                  {KINDS.map((kind) => known[kind].length > 0 && (
                    <optgroup key={kind} label={t(`target.${kind}`)}>
                      {known[kind].map((n) => <option key={n} value={`${kind}:${n}`}>{n}</option>)}
                    </optgroup>
                  ))}
                </select>
              </Group>
              <Field form={form} name={`steps[${i}].wait_s`} label={t('policies.waitMinutes')} class="short">
                {(c) => <input class="input num" {...c} type="number" required min={0.1} step="any" value={step.wait} onInput={(e) => put(i, { wait: e.currentTarget.value })} />}
              </Field>
            </li>
          ))}
        </ol>
        <Fault form={form} name="steps" />
        <div class="act-row flush">
          <button type="button" class="btn" onClick={() => (steps.value = [...steps.value, { targets: [], wait: '10' }])}>
            <Icon name="plus" size={14} />
            {t('policies.addStep')}
          </button>
        </div>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}

/** "Schedule db". */
export function targetWords(target: string): string {
  const [kind, ...rest] = target.split(':')
  return (KINDS as readonly string[]).includes(kind) ? `${t(`target.${kind}`)} ${rest.join(':')}` : target
}
