/** A time zone, of those that the browser knows. */
import type { JSX } from 'preact'
import { useId } from 'preact/hooks'
import { t } from '../i18n'
import { Field, type Form } from './form'

let known: string[] | null = null

function zones(): string[] {
  known ??= ['UTC', ...Intl.supportedValuesOf('timeZone').filter((z) => z !== 'UTC')]
  return known
}

export function ZoneField({ form, zone, onZone }: { form: Form; zone: string; onZone: (zone: string) => void }): JSX.Element {
  const id = useId()
  return (
    <Field form={form} name="time_zone" label={t('window.zone')}>
      {(c) => (
        <>
          <input class="input" {...c} required list={`${id}-zones`} value={zone} onInput={(e) => onZone(e.currentTarget.value)} />
          <datalist id={`${id}-zones`}>{zones().map((z) => <option key={z} value={z} />)}</datalist>
        </>
      )}
    </Field>
  )
}
