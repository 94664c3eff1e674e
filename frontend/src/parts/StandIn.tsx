/** Somebody stands in for who is on call. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useId } from 'preact/hooks'
import { post, serverNow } from '../api/client'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { tell } from '../shell/notice'
import { user } from '../state/session'
import { Field, Foot, FormBox, useForm } from './form'
import { localTime } from './localtime'
import { MomentInput } from './TimeInput'

const SHIFT_S = 8 * 3600

export function StandIn({ schedule, people, onClose, onMade }: { schedule: string; people: readonly string[]; onClose: () => void; onMade: () => void }): JSX.Element {
  const form = useForm()
  const id = useId()
  const person = useSignal(user.value?.name ?? '')
  const from = useSignal(localTime(serverNow()))
  const to = useSignal(localTime(serverNow() + SHIFT_S))
  const why = useSignal('')
  const send = async (): Promise<void> => {
    await post(`/oncall/schedules/${encodeURIComponent(schedule)}/overrides`, { person: person.value.trim(), starts_at: Date.parse(from.value) / 1000, ends_at: Date.parse(to.value) / 1000, comment: why.value.trim() })
    tell(t('oncall.standsIn', { name: person.value.trim() }))
    onMade()
    onClose()
  }
  return (
    <Dialog label={t('oncall.standIn')} onClose={onClose}>
      <FormBox form={form} onSend={send}>
        <h3>{t('oncall.standIn')}</h3>
        <Field form={form} name="person" label={t('oncall.who')}>
          {(c) => (
            <>
              <input class="input" {...c} required autoFocus list={`${id}-people`} value={person.value} onInput={(e) => (person.value = e.currentTarget.value)} />
              <datalist id={`${id}-people`}>{people.map((p) => <option key={p} value={p} />)}</datalist>
            </>
          )}
        </Field>
        <div class="two-fields">
          <Field form={form} name="starts_at" label={t('range.from')}>
            {(c) => <MomentInput control={c} value={from.value} onTime={(value) => (from.value = value)} />}
          </Field>
          <Field form={form} name="ends_at" label={t('range.to')}>
            {(c) => <MomentInput control={c} value={to.value} onTime={(value) => (to.value = value)} />}
          </Field>
        </div>
        <Field form={form} name="comment" label={t('run.why')}>
          {(c) => <input class="input" {...c} maxLength={4000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />}
        </Field>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}
