/** Times as they are written everywhere else on the pages: 24 hours, the year first.
 *
 * The browser's own fields follow the browser's language, not the page's: "11:00 PM" and "11/12/2026" in
 * Ukrainian. So a time is typed as text and checked; where there is no keyboard, the phone's own wheels
 * are handier, and follow what its owner has set. */
import type { JSX } from 'preact'
import { t } from '../i18n'
import { tidyMoment, tidyTime } from './timetext'
import type { Control } from './form'

interface Props {
  value: string
  onTime: (value: string) => void
  control?: Partial<Control>
  label?: string
}

const wheels = (): boolean => matchMedia('(pointer: coarse)').matches

/** A time of day, HH:MM. */
export function TimeInput({ value, onTime, control, label }: Props): JSX.Element {
  if (wheels()) return <input class="input num" {...control} type="time" required aria-label={label} value={value} onInput={(e) => onTime(e.currentTarget.value)} />
  return (
    <input
      class="input num" {...control} required aria-label={label} autoComplete="off" maxLength={5}
      pattern="([01][0-9]|2[0-3]):[0-5][0-9]" title={t('time.ofDay')} placeholder="09:00"
      value={value} onInput={(e) => onTime(e.currentTarget.value)} onChange={(e) => onTime(tidyTime(e.currentTarget.value))}
    />
  )
}

/** A moment in local time; `value` is YYYY-MM-DDTHH:MM. */
export function MomentInput({ value, onTime, control }: Props): JSX.Element {
  if (wheels()) return <input class="input" {...control} type="datetime-local" required value={value} onInput={(e) => onTime(e.currentTarget.value)} />
  return (
    <input
      class="input num" {...control} required autoComplete="off" spellcheck={false} maxLength={16}
      pattern="[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]" title={t('time.moment')} placeholder="2026-11-23 09:00"
      value={value.replace('T', ' ')} onInput={(e) => onTime(e.currentTarget.value.replace(' ', 'T'))} onChange={(e) => onTime(tidyMoment(e.currentTarget.value))}
    />
  )
}
