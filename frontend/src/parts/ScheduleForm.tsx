/** An on-call schedule: layers of people who take turns; a later layer stands over an earlier one. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call } from '../api/client'
import type { LayerBody, ScheduleView } from '../api/schema'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { tell } from '../shell/notice'
import { Fault, Field, Foot, FormBox, Group, useForm, type Form } from './form'
import { FormHead } from './FormHead'
import { PeopleOrder } from './PeopleOrder'
import { DAYS, ownZone, type Recurs } from './windowspan'
import { ZoneField } from './ZoneField'
import { MomentInput, TimeInput } from './TimeInput'

const ROTATIONS = ['daily', 'weekly', '2w', '12h']
/** Monday's morning: when shifts are usually handed over. */
const HANDOVER_H = 9

type Layer = Required<Omit<LayerBody, 'windows'>> & { windows: Recurs[] }

function monday(): string {
  const at = new Date()
  at.setDate(at.getDate() - ((at.getDay() + 6) % 7))
  const day = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((n) => String(n).padStart(2, '0')).join('-')
  return `${day}T${String(HANDOVER_H).padStart(2, '0')}:00`
}

const newLayer = (name: string): Layer => ({ name, people: [], start: monday(), rotation: 'weekly', windows: [] })

interface Props {
  one?: ScheduleView
  people: readonly string[]
  onClose: () => void
  onKept: () => void
}

export function ScheduleForm({ one, people, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const name = useSignal(one?.name ?? '')
  const title = useSignal(one?.title ?? '')
  const zone = useSignal(one?.time_zone ?? ownZone())
  const layers = useSignal<Layer[]>(one ? one.layers.map((l) => ({ ...newLayer(l.name), ...l, windows: (l.windows ?? []) as Recurs[] })) : [newLayer('week')])
  const put = (at: number, part: Partial<Layer>): void => {
    layers.value = layers.value.map((l, i) => (i === at ? { ...l, ...part } : l))
  }
  const save = async (): Promise<void> => {
    await call('PUT', `/oncall/schedules/${encodeURIComponent(name.value.trim())}`, { title: title.value.trim(), time_zone: zone.value, layers: layers.value })
    tell(t('oncall.kept'))
    onKept()
    onClose()
  }
  const heading = one ? t('oncall.editSchedule', { name: one.title || one.name }) : t('oncall.newSchedule')
  return (
    <Dialog label={heading} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <FormHead form={form} heading={heading} name={one ? undefined : { value: name.value, onValue: (value) => (name.value = value) }} title={{ value: title.value, onValue: (value) => (title.value = value) }}>
          <ZoneField form={form} zone={zone.value} onZone={(z) => (zone.value = z)} />
        </FormHead>
        <ol class="rows-edit">
          {layers.value.map((layer, i) => (
            <LayerRow key={i} form={form} at={i} layer={layer} people={people} alone={layers.value.length === 1} onLayer={(part) => put(i, part)} onDrop={() => (layers.value = layers.value.filter((_, at) => at !== i))} />
          ))}
        </ol>
        <Fault form={form} name="layers" />
        <div class="act-row flush">
          <button type="button" class="btn" onClick={() => (layers.value = [...layers.value, newLayer(layers.value.length === 1 ? 'night' : `layer-${layers.value.length + 1}`)])}>
            <Icon name="plus" size={14} />
            {t('oncall.addLayer')}
          </button>
          <span class="muted">{t('oncall.layersLead')}</span>
        </div>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}

function LayerRow({ form, at, layer, people, alone, onLayer, onDrop }: { form: Form; at: number; layer: Layer; people: readonly string[]; alone: boolean; onLayer: (part: Partial<Layer>) => void; onDrop: () => void }): JSX.Element {
  const place = `layers[${at}]`
  const other = !ROTATIONS.includes(layer.rotation)
  return (
    <li class="row-edit gate-edit">
      <div class="row-fields">
        <Field form={form} name={`${place}.name`} label={t('oncall.layer')}>
          {(c) => <input class="input" {...c} required maxLength={64} pattern="[a-zA-Z0-9][a-zA-Z0-9_.\-]*" title={t('form.name')} value={layer.name} onInput={(e) => onLayer({ name: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name={`${place}.rotation`} label={t('oncall.rotation')}>
          {(c) => (
            <select class="input" {...c} value={other ? 'other' : layer.rotation} onChange={(e) => onLayer({ rotation: e.currentTarget.value === 'other' ? '3d' : e.currentTarget.value })}>
              {ROTATIONS.map((r) => <option key={r} value={r}>{t(`rotation.${r}`)}</option>)}
              <option value="other">{t('rotation.other')}</option>
            </select>
          )}
        </Field>
        {other && (
          <Field form={form} name={`${place}.rotation`} label={t('rotation.typed')}>
            {(c) => <input class="input num" {...c} required pattern="[0-9]+[hdw]" title={t('rotation.typed')} value={layer.rotation} onInput={(e) => onLayer({ rotation: e.currentTarget.value })} />}
          </Field>
        )}
        <Field form={form} name={`${place}.start`} label={t('oncall.firstHandover')} class="when">
          {(c) => <MomentInput control={c} value={layer.start.slice(0, 16)} onTime={(start) => onLayer({ start })} />}
        </Field>
        {!alone && (
          <button type="button" class="icon-btn" aria-label={t('oncall.dropLayer', { name: layer.name })} onClick={onDrop}>
            <Icon name="close" size={14} />
          </button>
        )}
      </div>
      <Group form={form} name={`${place}.people`} label={t('oncall.people')}>
        <PeopleOrder names={layer.people} known={people} label={t('oncall.addPerson')} onNames={(names) => onLayer({ people: names })} />
      </Group>
      <Group form={form} name={`${place}.windows`} label={t('oncall.windows')} hint={layer.windows.length === 0 ? t('oncall.allTheTime') : undefined}>
        {layer.windows.map((w, i) => {
          const change = (part: Partial<Recurs>): void => onLayer({ windows: layer.windows.map((x, n) => (n === i ? { ...x, ...part } : x)) })
          return (
            <div class="row-fields window-row" key={i}>
              <div class="seg" role="group" aria-label={t('window.days')}>
                {DAYS.map((d) => (
                  <button type="button" key={d} aria-pressed={w.days.includes(d)} onClick={() => change({ days: DAYS.filter((x) => (x === d ? !w.days.includes(d) : w.days.includes(x))) })}>{t(`day.${d}`)}</button>
                ))}
              </div>
              <TimeInput label={t('window.start')} value={w.start} onTime={(start) => change({ start })} />
              <input class="input num" type="number" required min={0.1} max={168} step="any" aria-label={t('window.length')} title={t('window.length')} value={w.minutes / 60} onInput={(e) => change({ minutes: Math.round(Number(e.currentTarget.value) * 60) })} />
              <button type="button" class="icon-btn" aria-label={t('oncall.dropWindow')} onClick={() => onLayer({ windows: layer.windows.filter((_, n) => n !== i) })}><Icon name="close" size={14} /></button>
            </div>
          )
        })}
        <div>
          <button type="button" class="btn quiet" onClick={() => onLayer({ windows: [...layer.windows, { days: ['mon', 'tue', 'wed', 'thu', 'fri'], start: '09:00', minutes: 540 }] })}>{t('oncall.addWindow')}</button>
        </div>
      </Group>
      <Fault form={form} name={place} />
    </li>
  )
}
