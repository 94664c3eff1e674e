/** When a window or a silence holds: for some hours, from one moment to another, or each week. */
import type { JSX } from 'preact'
import { serverNow } from '../api/client'
import { number, t, unit } from '../i18n'
import { Field, Group, type Form } from './form'
import { DAYS, toMode, type SpanRow } from './windowspan'
import { ZoneField } from './ZoneField'
import { MomentInput, TimeInput } from './TimeInput'

const HOURS = [1, 4, 8, 24, 168]
const DAY_H = 24

interface Props {
  form: Form
  span: SpanRow
  onSpan: (span: SpanRow) => void
  /** What exists has its moments; "for four hours from now" would move it. */
  exact?: boolean
}

export function SpanFields({ form, span, onSpan, exact = false }: Props): JSX.Element {
  const put = (part: Partial<SpanRow>): void => onSpan({ ...span, ...part })
  const mode = (next: SpanRow['mode']): void => onSpan(toMode(span, next, serverNow()))
  const time = (name: 'starts_at' | 'ends_at', label: string): JSX.Element => {
    const key = name === 'starts_at' ? 'from' : 'to'
    return (
      <Field form={form} name={name} label={label}>
        {(c) => <MomentInput control={c} value={span[key]} onTime={(value) => put({ [key]: value })} />}
      </Field>
    )
  }
  return (
    <>
      <Group form={form} name="minutes" label={t('silence.howLong')}>
        <div class="seg">
          {!exact &&
            HOURS.map((h) => (
              <button type="button" key={h} aria-pressed={span.mode === 'hours' && span.hours === h} onClick={() => put({ mode: 'hours', hours: h })}>
                {h > DAY_H ? unit(number(h / DAY_H), 'd') : unit(number(h), 'h')}
              </button>
            ))}
          <button type="button" aria-pressed={span.mode === 'exact'} onClick={() => mode('exact')}>{t('silence.exact')}</button>
          <button type="button" aria-pressed={span.mode === 'weekly'} onClick={() => mode('weekly')}>{t('window.weekly')}</button>
        </div>
      </Group>
      {span.mode === 'weekly' && (
        <>
          <Group form={form} name="recurs" label={t('window.days')}>
            <div class="seg">
              {DAYS.map((d) => (
                <button type="button" key={d} aria-pressed={span.days.includes(d)} onClick={() => put({ days: span.days.includes(d) ? span.days.filter((x) => x !== d) : [...span.days, d] })}>{t(`day.${d}`)}</button>
              ))}
            </div>
          </Group>
          <div class="row-fields">
            <Field form={form} name="recurs.start" label={t('window.start')}>
              {(c) => <TimeInput control={c} value={span.start} onTime={(start) => put({ start })} />}
            </Field>
            <Field form={form} name="recurs.minutes" label={t('window.length')}>
              {(c) => <input class="input num" {...c} type="number" required min={0.1} max={168} step="any" value={span.length} onInput={(e) => put({ length: e.currentTarget.value })} />}
            </Field>
            <ZoneField form={form} zone={span.zone} onZone={(zone) => put({ zone })} />
          </div>
        </>
      )}
      {span.mode !== 'hours' && (
        <div class="two-fields">
          {time('starts_at', span.mode === 'weekly' ? t('window.firstDay') : t('range.from'))}
          {time('ends_at', span.mode === 'weekly' ? t('window.lastDay') : t('range.to'))}
        </div>
      )}
    </>
  )
}
