/** A checklist as it is written: checked as one types, then saved. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { call, post } from '../api/client'
import type { ChecklistLintView } from '../api/schema'
import { t } from '../i18n'
import { reason, tell } from '../shell/notice'
import { Fault, Field, FormBox, useForm } from './form'

const LINT_AFTER_MS = 400
const EXAMPLE = `---
title: What is to be done
title_uk: Що треба зробити
applies to: NameOfAnAlert
---
When this list is for you, in a sentence or two.

- [ ] What is seen first?
- [ ] How much is free? {query bytes}
  \`node_filesystem_avail_bytes{instance="$host"}\`
- [ ] Is it over? {yes/no}
  stop if yes: nothing more is to be done
- [ ] What was done? {text}
`

interface Props {
  /** Empty for a new one. */
  name: string
  first?: string
  hash?: string
  onSaved: (name: string) => void
  onClose: () => void
}

export function ChecklistEditor({ name: given, first = EXAMPLE, hash = '', onSaved, onClose }: Props): JSX.Element {
  const form = useForm()
  const name = useSignal(given)
  const text = useSignal(first)
  const problems = useSignal<string[]>([])
  const checked = useSignal('')
  useEffect(() => {
    const now = text.value
    const timer = setTimeout(() => {
      post<ChecklistLintView>('/checklist-lint', { text: now, name: name.peek().trim() || 'checklist' }).then(
        (found) => {
          problems.value = found.problems
          checked.value = now
        },
        (error: unknown) => (problems.value = [reason(error)]),
      )
    }, LINT_AFTER_MS)
    return () => clearTimeout(timer)
  }, [text.value])
  const save = async (): Promise<void> => {
    const found = await call<ChecklistLintView>('PUT', `/checklists/${encodeURIComponent(name.value.trim())}`, { text: text.value, hash })
    problems.value = found.problems
    if (found.problems.length > 0) return
    tell(t('scenario.saved'))
    onSaved(name.value.trim())
  }
  return (
    <FormBox form={form} class="block editor" onSend={save}>
      {given === '' && (
        <Field form={form} name="name" label={t('form.shortName')} hint={t('checklist.nameHint')}>
          {(c) => <input class="input" {...c} required autoFocus pattern="[a-z0-9][a-z0-9\-]*" title={t('checklist.nameHint')} maxLength={64} value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />}
        </Field>
      )}
      <Field form={form} name="text" label={t('checklist.text')}>
        {(c) => <textarea class="input mono" {...c} rows={22} required spellcheck={false} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />}
      </Field>
      <div role="status" class="lint">
        {problems.value.length > 0 ? <ul class="wrong">{problems.value.map((p) => <li key={p}>{p}</li>)}</ul> : checked.value === text.value && <p class="muted">{t('scenario.good')}</p>}
      </div>
      <Fault form={form} />
      <div class="act-row flush">
        <button class="btn strong" disabled={form.busy.value || problems.value.length > 0}>{t('save')}</button>
        <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
      </div>
    </FormBox>
  )
}
