/** Makes a silence: what, from when, until when, why. One that exists is ended and made anew. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post, remove, serverNow } from '../api/client'
import type { TeamsView } from '../api/schema'
import type { Silence } from '../api/types'
import { moment, t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { tell } from '../shell/notice'
import { mayChangeOf } from '../state/session'
import { useAsked } from './asked'
import { Field, Foot, FormBox, useForm } from './form'
import { matchersText } from './matchers'
import { SpanFields } from './SpanFields'
import { newSpan, spanBody, spanOf } from './windowspan'

interface Props {
  matchers: string
  /** What it stands in for. */
  one?: Silence
  onClose: () => void
  onMade: (made: Silence) => void
}

export function SilenceForm({ matchers, one, onClose, onMade }: Props): JSX.Element {
  const form = useForm()
  const what = useSignal(one ? matchersText(one.matchers) : matchers)
  const why = useSignal(one?.comment ?? '')
  const team = useSignal(one?.team ?? '')
  const teams = useAsked<TeamsView>('/teams')
  const names = (teams.data?.teams ?? []).map((x) => x.name ?? '').filter((name) => mayChangeOf(name))
  const span = useSignal(one ? spanOf({ ...one, time_zone: one.recurs?.time_zone }, serverNow()) : newSpan(serverNow()))
  const send = async (): Promise<void> => {
    const { recurs, ...time } = spanBody(span.value)
    const weekly = recurs ? { recurs: { ...recurs, time_zone: span.value.zone } } : {}
    const made = await post<Silence>('/silences', { matchers: what.value, comment: why.value.trim(), team: team.value, ...time, ...weekly })
    if (one) await remove(`/silences/${one.id}`)
    tell(t('silence.made', { time: made.ends_at === null ? '' : moment(made.ends_at) }))
    onMade(made)
    onClose()
  }
  const title = one ? t('silence.edit') : t('silence.new')
  return (
    <Dialog label={title} onClose={onClose}>
      <FormBox form={form} onSend={send}>
        <h3>{title}</h3>
        <p class="muted">{one ? t('silence.editWhat') : t('silence.what')}</p>
        <Field form={form} name="matchers" label={t('silence.matchers')}>
          {(c) => <textarea class="input mono" {...c} rows={3} required autoFocus={what.peek() === ''} spellcheck={false} placeholder={'alertname="DiskFull", instance=~"db-.*"'} value={what.value} onInput={(e) => (what.value = e.currentTarget.value)} />}
        </Field>
        <SpanFields form={form} span={span.value} exact={one !== undefined} onSpan={(next) => (span.value = next)} />
        <Field form={form} name="comment" label={t('silence.why')}>
          {(c) => <input class="input" {...c} required maxLength={500} autoFocus={what.peek() !== ''} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />}
        </Field>
        {(names.length > 0 || team.value !== '') && (
          <Field form={form} name="team" label={t('silence.team')} hint={team.value === '' ? t('silence.allTeams') : t('silence.teamOnly')}>
            {(c) => (
              <select class="input" {...c} value={team.value} onChange={(e) => (team.value = e.currentTarget.value)}>
                <option value="">{t('silence.nobodys')}</option>
                {[...new Set([...names, team.value])].filter(Boolean).map((name) => <option key={name} value={name}>{name}</option>)}
              </select>
            )}
          </Field>
        )}
        <Foot form={form} save={t('silence.begin')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}
