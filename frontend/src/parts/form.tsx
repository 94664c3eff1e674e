/** Forms: what is wrong stands beside its field, said by the browser's rules or by the server. */
import { signal, useSignal, type Signal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useMemo } from 'preact/hooks'
import { ApiError } from '../api/client'
import { t } from '../i18n'
import { reason } from '../shell/notice'
import { placeOf } from './faults'
import '../styles/form.css'

/** What a form knows: what is wrong, by field ("" for the whole), and whether it is being sent. */
export class Form {
  readonly faults: Signal<Readonly<Record<string, string>>> = signal({})
  readonly busy = signal(false)
  readonly names = new Set<string>()
  element: HTMLFormElement | null = null

  /** Says what is wrong with each field that breaks its own rules; whether none does. */
  check(): boolean {
    const found: Record<string, string> = {}
    for (const node of this.element?.elements ?? []) {
      const field = node as HTMLInputElement
      const name = field.dataset.field
      if (!name || !field.willValidate || field.validity.valid) continue
      found[name] ??= field.validity.valueMissing ? t('form.needed') : field.validity.patternMismatch && field.title ? field.title : field.validationMessage
    }
    this.faults.value = found
    return Object.keys(found).length === 0
  }

  /** Does `work` unless a field is wrong; what the server refuses is said beside the field meant. */
  async send(work: () => Promise<void>): Promise<void> {
    if (this.busy.peek()) return
    if (this.check()) {
      this.busy.value = true
      try {
        await work()
      } catch (error) {
        const name = error instanceof ApiError && error.field ? placeOf(error.field, this.names) : ''
        // What another team's things are is worth more than that this is forbidden.
        this.faults.value = { [name]: error instanceof ApiError && error.code === 'not_your_teams' ? error.message : reason(error) }
      }
      this.busy.value = false
    }
    if (Object.keys(this.faults.peek()).length > 0) requestAnimationFrame(() => this.element?.querySelector<HTMLElement>('[aria-invalid="true"], .form-fault')?.focus())
  }

  clear(name: string): void {
    if (!(name in this.faults.peek())) return
    const { [name]: _, ...rest } = this.faults.peek()
    this.faults.value = rest
  }
}

export const useForm = (): Form => useMemo(() => new Form(), [])

function useName(form: Form, name: string): void {
  useEffect(() => {
    form.names.add(name)
    return () => void form.names.delete(name)
  }, [form, name])
}

interface BoxProps {
  form: Form
  onSend: () => Promise<void>
  children: ComponentChildren
  class?: string
}

export function FormBox({ form, onSend, children, class: kind }: BoxProps): JSX.Element {
  return (
    <form
      ref={(el) => void (form.element = el)}
      class={kind}
      noValidate
      onSubmit={(e) => {
        e.preventDefault()
        void form.send(onSend)
      }}
    >
      {children}
    </form>
  )
}

/** What a control within a field carries, so that it is named, described and found. */
export interface Control {
  id: string
  'data-field': string
  'aria-describedby'?: string
  'aria-invalid'?: 'true'
}

interface FieldProps {
  form: Form
  name: string
  label: string
  hint?: ComponentChildren
  class?: string
  children: (control: Control) => ComponentChildren
}

export function Field({ form, name, label, hint, class: kind = '', children }: FieldProps): JSX.Element {
  const id = useId()
  useName(form, name)
  const fault = form.faults.value[name]
  const described = [fault && `${id}-fault`, hint && `${id}-hint`].filter(Boolean).join(' ')
  return (
    <div class={`field ${kind}`} onInput={() => form.clear(name)} onChange={() => form.clear(name)}>
      <label for={id}>{label}</label>
      {children({ id, 'data-field': name, 'aria-describedby': described || undefined, 'aria-invalid': fault ? 'true' : undefined })}
      {fault && <span class="wrong" id={`${id}-fault`} role="alert">{fault}</span>}
      {hint && <span class="hint" id={`${id}-hint`}>{hint}</span>}
    </div>
  )
}

/** A group of controls with one name: days, a choice, rows. */
export function Group({ form, name, label, hint, class: kind = '', children }: Omit<FieldProps, 'children'> & { children: ComponentChildren }): JSX.Element {
  const id = useId()
  useName(form, name)
  const fault = form.faults.value[name]
  return (
    <div class={`field ${kind}`} role="group" aria-labelledby={id} onInput={() => form.clear(name)} onClick={() => form.clear(name)}>
      <span id={id}>{label}</span>
      {children}
      {fault && <span class="wrong form-fault" role="alert" tabIndex={-1}>{fault}</span>}
      {hint && <span class="hint">{hint}</span>}
    </div>
  )
}

/** What is wrong with a part of the form that is no single field, such as a row; "" for the rest. */
export function Fault({ form, name = '' }: { form: Form; name?: string }): JSX.Element | null {
  useName(form, name)
  const fault = form.faults.value[name]
  return fault ? <p class="wrong form-fault" role="alert" tabIndex={-1}>{fault}</p> : null
}

export function Choice<T extends string>({ options, value, onPick }: { options: readonly { id: T; text: string }[]; value: T; onPick: (id: T) => void }): JSX.Element {
  return (
    <div class="seg">
      {options.map((o) => (
        <button type="button" key={o.id} aria-pressed={value === o.id} onClick={() => onPick(o.id)}>{o.text}</button>
      ))}
    </div>
  )
}

export function Tick({ on, onTick, children }: { on: boolean; onTick: (on: boolean) => void; children: ComponentChildren }): JSX.Element {
  return (
    <label class="tick">
      <input type="checkbox" checked={on} onChange={(e) => onTick(e.currentTarget.checked)} />
      <span>{children}</span>
    </label>
  )
}

export function Foot({ form, save, onClose, children }: { form: Form; save: string; onClose?: () => void; children?: ComponentChildren }): JSX.Element {
  return (
    <>
      <Fault form={form} />
      <div class="dialog-foot">
        {children}
        {onClose && <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>}
        <button class="btn strong" disabled={form.busy.value}>{save}</button>
      </div>
    </>
  )
}

/** Asks once more before something is done that takes something away. */
export function Sure({ text, what, onSure, label }: { text: string; what: string; onSure: () => Promise<void>; label?: string }): JSX.Element {
  const asked = useSignal(false)
  const busy = useSignal(false)
  if (!asked.value) return <button type="button" class="btn quiet" aria-label={label} onClick={() => (asked.value = true)}>{text}</button>
  return (
    <span class="sure" role="group" aria-label={what}>
      <span class="muted">{what}</span>
      <button
        type="button"
        class="btn danger"
        ref={(el) => el?.focus()}
        disabled={busy.value}
        onClick={() => {
          busy.value = true
          void onSure().finally(() => {
            busy.value = false
            asked.value = false
          })
        }}
      >
        {text}
      </button>
      <button type="button" class="btn quiet" onClick={() => (asked.value = false)}>{t('cancel')}</button>
    </span>
  )
}
