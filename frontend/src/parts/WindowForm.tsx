/** A freeze or a maintenance window: for which hosts, when, and what becomes of a wave that has begun. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call, serverNow } from '../api/client'
import type { WindowView } from '../api/schema'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { tell } from '../shell/notice'
import { Choice, Field, Foot, FormBox, Group, useForm } from './form'
import { SelectorField } from './SelectorField'
import { SpanFields } from './SpanFields'
import { newSpan, spanBody, spanOf } from './windowspan'

interface Props {
  /** What is written anew; without it a new one is made. */
  one?: WindowView
  onClose: () => void
  onKept: () => void
}

export function WindowForm({ one, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const kind = useSignal<'freeze' | 'maintenance'>(one?.kind === 'maintenance' ? 'maintenance' : 'freeze')
  const name = useSignal(one?.name ?? '')
  const selector = useSignal(one === undefined || one.selector === '{}' ? '' : one.selector)
  const comment = useSignal(one?.comment ?? '')
  const overrun = useSignal(one?.overrun ?? 'finish')
  const span = useSignal(one ? spanOf(one, serverNow()) : newSpan(serverNow()))
  const save = async (): Promise<void> => {
    const body = { kind: kind.value, name: name.value.trim(), selector: selector.value.trim(), comment: comment.value.trim(), overrun: overrun.value, time_zone: span.value.zone, ...spanBody(span.value) }
    await call<WindowView>(one ? 'PUT' : 'POST', one ? `/freezes/${one.id}` : '/freezes', body)
    tell(t('window.kept'))
    onKept()
    onClose()
  }
  const title = one ? t('window.edit') : t('window.new')
  return (
    <Dialog label={title} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <h3>{title}</h3>
        <Group form={form} name="kind" label={t('window.kind')} hint={t(`window.what.${kind.value}`)}>
          <Choice options={[{ id: 'freeze', text: t('window.freeze') }, { id: 'maintenance', text: t('window.maintenance') }]} value={kind.value} onPick={(k) => (kind.value = k)} />
        </Group>
        <Field form={form} name="name" label={t('window.name')}>
          {(c) => <input class="input" {...c} required autoFocus maxLength={100} value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />}
        </Field>
        <SelectorField form={form} name="selector" label={t('change.selector')} text={selector.value} unlabelled all={t('selector.all')} onText={(text) => (selector.value = text)} />
        <SpanFields form={form} span={span.value} exact={one !== undefined} onSpan={(next) => (span.value = next)} />
        <Group form={form} name="overrun" label={t('window.overrun')}>
          <Choice options={['finish', 'hold'].map((id) => ({ id, text: t(`window.overrun.${id}`) }))} value={overrun.value} onPick={(o) => (overrun.value = o)} />
        </Group>
        <Field form={form} name="comment" label={t('silence.why')}>
          {(c) => <input class="input" {...c} maxLength={1000} value={comment.value} onInput={(e) => (comment.value = e.currentTarget.value)} />}
        </Field>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}
