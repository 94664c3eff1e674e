/** A team: whose alerts are its own, who is in it, by which policy it is woken. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call } from '../api/client'
import type { TeamBody } from '../api/schema'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { tell } from '../shell/notice'
import { Field, Foot, FormBox, Group, useForm } from './form'
import { FormHead } from './FormHead'
import { PeopleOrder } from './PeopleOrder'

interface Props {
  one?: TeamBody
  people: readonly string[]
  policies: readonly string[]
  onClose: () => void
  onKept: () => void
}

export function TeamForm({ one, people, policies, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const name = useSignal(one?.name ?? '')
  const title = useSignal(one?.title ?? '')
  const match = useSignal((one?.match ?? []).join('\n'))
  const policy = useSignal(one?.policy ?? '')
  const members = useSignal(one?.members ?? [])
  const position = useSignal(String(one?.position ?? 100))
  const save = async (): Promise<void> => {
    await call('PUT', `/teams/${encodeURIComponent(name.value.trim())}`, {
      title: title.value.trim(), policy: policy.value, members: members.value, position: Number(position.value), match: match.value.split('\n').map((l) => l.trim()).filter(Boolean),
    })
    tell(t('teams.kept'))
    onKept()
    onClose()
  }
  const heading = one ? t('teams.edit', { name: one.title || (one.name ?? '') }) : t('teams.new')
  return (
    <Dialog label={heading} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <FormHead form={form} heading={heading} name={one ? undefined : { value: name.value, onValue: (value) => (name.value = value) }} title={{ value: title.value, onValue: (value) => (title.value = value) }} />
        <Field form={form} name="match" label={t('teams.match')} hint={t('teams.matchHint')}>
          {(c) => <textarea class="input mono" {...c} rows={2} spellcheck={false} placeholder={'role="db"'} value={match.value} onInput={(e) => (match.value = e.currentTarget.value)} />}
        </Field>
        <div class="row-fields">
          <Field form={form} name="policy" label={t('teams.policy')}>
            {(c) => (
              <select class="input" {...c} value={policy.value} onChange={(e) => (policy.value = e.currentTarget.value)}>
                <option value="">{t('teams.usualPolicy')}</option>
                {policies.map((p) => <option key={p} value={p}>{p}</option>)}
              </select>
            )}
          </Field>
          <Field form={form} name="position" label={t('teams.position')} hint={t('teams.positionHint')}>
            {(c) => <input class="input num" {...c} type="number" required min={0} value={position.value} onInput={(e) => (position.value = e.currentTarget.value)} />}
          </Field>
        </div>
        <Group form={form} name="members" label={t('teams.members')}>
          <PeopleOrder names={members.value} known={people} label={t('oncall.addPerson')} ordered={false} onNames={(names) => (members.value = names)} />
        </Group>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}
