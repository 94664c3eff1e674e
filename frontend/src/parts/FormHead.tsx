/** What the forms of schedules, policies, teams and receivers begin with: what it is, and its names. */
import type { ComponentChildren, JSX } from 'preact'
import { t } from '../i18n'
import { Field, type Form } from './form'

interface Names {
  value: string
  onValue: (value: string) => void
}

interface Props {
  form: Form
  heading: string
  /** The short name: only of a new one, for by it others name the thing. */
  name?: Names
  nameCharsMax?: number
  title?: Names
  children?: ComponentChildren
}

export function FormHead({ form, heading, name, nameCharsMax = 64, title, children }: Props): JSX.Element {
  return (
    <>
      <h3>{heading}</h3>
      <div class="row-fields">
        {name && (
          <Field form={form} name="name" label={t('form.shortName')}>
            {(c) => <input class="input" {...c} required autoFocus pattern="[a-zA-Z0-9][a-zA-Z0-9_.\-]*" title={t('form.name')} maxLength={nameCharsMax} value={name.value} onInput={(e) => name.onValue(e.currentTarget.value)} />}
          </Field>
        )}
        {title && (
          <Field form={form} name="title" label={t('form.title')} class="grow">
            {(c) => <input class="input" {...c} autoFocus={!name} maxLength={200} value={title.value} onInput={(e) => title.onValue(e.currentTarget.value)} />}
          </Field>
        )}
        {children}
      </div>
    </>
  )
}
