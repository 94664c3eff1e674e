/** A change that is made elsewhere, told by hand; CI tells it by one call of the API. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post, serverNow } from '../api/client'
import { t } from '../i18n'
import { tell } from '../shell/notice'
import { changePath } from '../state/paths'
import { go } from '../state/route'
import { list } from './draft'
import { Choice, Fault, Field, FormBox, Group, useForm } from './form'
import { localTime } from './localtime'
import { MomentInput } from './TimeInput'

const OUTCOMES = ['running', 'done', 'failed', 'rolled_back'] as const

export function ReportForm(): JSX.Element {
  const form = useForm()
  const typed = useSignal<Record<string, string>>({ began_at: localTime(serverNow()), ended_at: localTime(serverNow()) })
  const outcome = useSignal<(typeof OUTCOMES)[number]>('done')
  const put = (name: string, value: string): void => {
    typed.value = { ...typed.value, [name]: value }
  }
  const of = (name: string): string => typed.value[name] ?? ''
  const send = async (): Promise<void> => {
    const seconds = (name: string): number => Date.parse(of(name)) / 1000
    const made = await post<{ change: number | null }>('/changes/report', {
      title: of('title').trim(), why: of('why').trim(), service: of('service').trim(), environment: of('environment').trim(), version: of('version').trim(),
      hosts: list(of('hosts')), links: of('links').split(/\s+/).filter(Boolean), outcome: outcome.value,
      began_at: seconds('began_at'), ended_at: outcome.value === 'running' ? null : seconds('ended_at'),
    })
    tell(t('report.told'))
    go(made.change === null ? '/changes' : changePath(made.change))
  }
  const text = (name: string, label: string, more: { required?: boolean; maxLength?: number; spellcheck?: boolean } = {}, hint?: string): JSX.Element => (
    <Field form={form} name={name} label={label} hint={hint}>
      {(c) => <input class="input" {...c} {...more} value={of(name)} onInput={(e) => put(name, e.currentTarget.value)} />}
    </Field>
  )
  const time = (name: string, label: string): JSX.Element => (
    <Field form={form} name={name} label={label}>
      {(c) => <MomentInput control={c} value={of(name)} onTime={(value) => put(name, value)} />}
    </Field>
  )
  return (
    <FormBox form={form} class="draft" onSend={send}>
      <section class="form-part">
        {text('title', t('report.title'), { required: true, maxLength: 200 })}
        {text('why', t('draft.why'))}
        <div class="row-fields">
          {text('service', t('report.service'))}
          {text('environment', t('report.environment'))}
          {text('version', t('report.version'))}
        </div>
        {text('hosts', t('report.hosts'), { spellcheck: false }, t('report.hostsHint'))}
        <Group form={form} name="outcome" label={t('report.outcome')}>
          <Choice options={OUTCOMES.map((o) => ({ id: o, text: t(`change.outcome.${o}`) }))} value={outcome.value} onPick={(o) => (outcome.value = o)} />
        </Group>
        <div class="two-fields">
          {time('began_at', t('report.began'))}
          {outcome.value !== 'running' && time('ended_at', t('report.ended'))}
        </div>
        {text('links', t('draft.links'), { spellcheck: false }, t('draft.linksHint'))}
      </section>
      <Fault form={form} />
      <div class="form-foot">
        <button class="btn strong" disabled={form.busy.value}>{t('report.tell')}</button>
        <a class="btn quiet" href="/changes">{t('cancel')}</a>
      </div>
    </FormBox>
  )
}
