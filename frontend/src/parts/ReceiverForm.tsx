/** A receiver, by what its type asks for. A secret is written and never shown. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call } from '../api/client'
import type { OptionValue, OptionView, ReceiverTypesView, SavedReceiverView } from '../api/types'
import { known, language, t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { tell } from '../shell/notice'
import { mayAdminister, ownTeams } from '../state/session'
import { Field, Foot, FormBox, Tick, useForm, type Control, type Form } from './form'
import { FormHead } from './FormHead'
import { ownZone } from './windowspan'
import { ZoneField } from './ZoneField'

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

export const typeName = (type: string): string => (known(`receiver.type.${type}`) ? t(`receiver.type.${type}`) : type)

function optionName(type: string, name: string): string {
  return t(known(`receiver.${type}.${name}`) ? `receiver.${type}.${name}` : `receiver.${name}`)
}

type Values = Record<string, OptionValue>

interface Props {
  one?: SavedReceiverView
  types: ReceiverTypesView
  onClose: () => void
  onKept: () => void
}

export function ReceiverForm({ one, types, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const name = useSignal(one?.name ?? '')
  const type = useSignal(one?.type ?? 'smtp')
  const values = useSignal<Values>(one?.options ?? { language: language(), time_zone: ownZone() })
  const secrets = useSignal<Record<string, string>>({})
  const options = types.types.find((x) => x.type === type.value)?.options ?? []
  const put = (option: string, value: OptionValue): void => {
    values.value = { ...values.peek(), [option]: value }
  }
  const moved = one ? options.filter((o) => o.leads && (values.value[o.name] || o.default) !== (one.options[o.name] || o.default)) : []
  const save = async (): Promise<void> => {
    const asked = new Set([...options, ...types.common].map((o) => o.name))
    const given = Object.fromEntries(Object.entries(values.peek()).filter(([key]) => asked.has(key)))
    const told = Object.fromEntries(Object.entries(secrets.peek()).filter(([key, text]) => asked.has(key) && text !== ''))
    await call('PUT', `/receivers/${encodeURIComponent(name.value.trim())}`, { type: type.value, options: given, secrets: told, before: one?.revision ?? '' })
    tell(t('receivers.kept', { name: name.value.trim() }))
    onKept()
    onClose()
  }
  const heading = one ? t('receivers.edit', { name: one.name }) : t('receivers.new')
  return (
    <Dialog label={heading} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <FormHead form={form} heading={heading} name={one ? undefined : { value: name.value, onValue: (value) => (name.value = value) }} nameCharsMax={63}>
          {!one && (
            <Field form={form} name="type" label={t('receivers.type')} class="grow">
              {(c) => (
                <select class="input" {...c} value={type.value} onChange={(e) => (type.value = e.currentTarget.value)}>
                  {types.types.map((x) => <option key={x.type} value={x.type}>{typeName(x.type)}</option>)}
                </select>
              )}
            </Field>
          )}
        </FormHead>
        {!one && !mayAdminister.value && <p class="muted">{t('receivers.ownName', { name: ownTeams.value[0] ?? '' })}</p>}
        {known(`receiver.about.${type.value}`) && <p class="muted">{t(`receiver.about.${type.value}`)}</p>}
        <div class="row-fields receiver-options">
          {options.filter((o) => !o.made).map((o) => (
            <OptionField
              key={`${type.value}.${o.name}`}
              form={form}
              option={o}
              label={optionName(type.value, o.name)}
              value={o.kind === 'secret' ? (secrets.value[o.name] ?? '') : values.value[o.name]}
              kept={one?.secrets.includes(o.name) ?? false}
              moved={moved.map((m) => optionName(type.value, m.name))}
              onValue={(value) => (o.kind === 'secret' ? (secrets.value = { ...secrets.peek(), [o.name]: String(value) }) : put(o.name, value))}
            />
          ))}
        </div>
        <details class="form-part policy-edit">
          <summary>
            <h2>{t('receivers.more')}</h2>
            <span class="muted">{t('receivers.moreLead')}</span>
          </summary>
          <Common form={form} common={types.common} values={values.value} onValue={put} />
        </details>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}

interface OptionProps {
  form: Form
  option: OptionView
  label: string
  value: OptionValue | undefined
  kept: boolean
  moved: string[]
  onValue: (value: OptionValue) => void
}

function OptionField({ form, option, label, value, kept, moved, onValue }: OptionProps): JSX.Element {
  const { name, kind } = option
  if (kind === 'flag') {
    return (
      <Tick on={Boolean(value ?? option.default)} onTick={onValue}>
        {label}
      </Tick>
    )
  }
  const again = kind === 'secret' && kept && moved.length > 0
  const hint =
    kind === 'secret' && kept ? (again ? t('receivers.secretAgain', { what: moved.join(', ') }) : t('receivers.secretKept'))
    : kind === 'texts' ? t('receivers.oneEach')
    : known(`receiver.hint.${name}`) ? t(`receiver.hint.${name}`)
    : undefined
  const text = value === null || value === undefined ? '' : Array.isArray(value) ? value.join('\n') : String(value)
  const control = (c: Control): JSX.Element => {
    if (kind === 'choice') {
      return (
        <select class="input" {...c} value={text || String(option.default ?? '')} onChange={(e) => onValue(e.currentTarget.value)}>
          {option.choices.map((x) => <option key={x} value={x}>{known(`receiver.${name}.${x}`) ? t(`receiver.${name}.${x}`) : x}</option>)}
        </select>
      )
    }
    if (kind === 'texts') {
      return <textarea class="input mono" {...c} rows={2} spellcheck={false} required={option.needed} value={text} onInput={(e) => onValue(e.currentTarget.value.split('\n').map((l) => l.trim()).filter(Boolean))} />
    }
    if (kind === 'number') {
      return <input class="input num" {...c} type="number" min={1} step={1} placeholder={option.default === null ? '' : String(option.default)} value={text} onInput={(e) => onValue(e.currentTarget.value === '' ? null : Number(e.currentTarget.value))} />
    }
    if (kind === 'secret') {
      return <input class="input mono" {...c} type="password" autoComplete="new-password" spellcheck={false} required={(option.needed && !kept) || again} placeholder={kept ? '••••••••' : ''} value={text} onInput={(e) => onValue(e.currentTarget.value)} />
    }
    return <input class="input" {...c} spellcheck={false} autoComplete="off" required={option.needed} placeholder={option.default === null ? '' : String(option.default)} value={text} onInput={(e) => onValue(e.currentTarget.value)} />
  }
  return (
    <Field form={form} name={name} label={label} hint={hint} class={kind === 'number' ? '' : kind === 'choice' ? 'when' : 'grow'}>
      {control}
    </Field>
  )
}

/** What every receiver has: how it is spoken to, and when it is left alone. */
function Common({ form, common, values, onValue }: { form: Form; common: readonly OptionView[]; values: Values; onValue: (name: string, value: OptionValue) => void }): JSX.Element {
  const days = (values.quiet_days as string[] | null | undefined) ?? []
  const usual = (name: string): OptionValue => common.find((o) => o.name === name)?.default ?? ''
  return (
    <>
      <div class="row-fields">
        <Field form={form} name="language" label={t('receiver.language')}>
          {(c) => (
            <select class="input" {...c} value={String(values.language ?? usual('language'))} onChange={(e) => onValue('language', e.currentTarget.value)}>
              {['en', 'uk'].map((l) => <option key={l} value={l}>{t(`language.${l}`)}</option>)}
            </select>
          )}
        </Field>
        <ZoneField form={form} zone={String(values.time_zone ?? usual('time_zone'))} onZone={(zone) => onValue('time_zone', zone)} />
        <Field form={form} name="rate" label={t('receiver.rate')} hint={t('receiver.hint.rate')}>
          {(c) => <input class="input num" {...c} type="number" min={1} max={10000} step={1} placeholder={String(usual('rate'))} value={values.rate === undefined || values.rate === null ? '' : String(values.rate)} onInput={(e) => onValue('rate', e.currentTarget.value === '' ? null : Number(e.currentTarget.value))} />}
        </Field>
      </div>
      <div class="row-fields">
        <Field form={form} name="quiet" label={t('receiver.quiet')} hint={t('receiver.hint.quiet')}>
          {(c) => <input class="input num" {...c} pattern="\s*([01]?\d|2[0-3]):[0-5]\d\s*[\-–]\s*([01]?\d|2[0-3]):[0-5]\d\s*" title={t('receiver.hint.quiet')} placeholder="22:00-07:00" value={String(values.quiet ?? '')} onInput={(e) => onValue('quiet', e.currentTarget.value)} />}
        </Field>
        <Field form={form} name="quiet_below" label={t('receiver.quiet_below')}>
          {(c) => (
            <select class="input" {...c} value={String(values.quiet_below ?? usual('quiet_below'))} onChange={(e) => onValue('quiet_below', e.currentTarget.value)}>
              {['critical', 'warning', 'info'].map((s) => <option key={s} value={s}>{t(`severity.${s}`)}</option>)}
            </select>
          )}
        </Field>
      </div>
      <div class="seg" role="group" aria-label={t('receiver.quiet_days')}>
        {DAYS.map((d) => (
          <button type="button" key={d} aria-pressed={days.length === 0 || days.includes(d)} onClick={() => onValue('quiet_days', toggled(days, d))}>{t(`day.${d}`)}</button>
        ))}
      </div>
    </>
  )
}

/** No day at all stands for every day, as in the file. */
export function toggled(days: readonly string[], day: string): string[] {
  const all = days.length === 0 ? DAYS : days
  const next = DAYS.filter((d) => (d === day ? !all.includes(d) : all.includes(d)))
  return next.length === DAYS.length ? [] : next
}
