/** The saved routes in their order: whom they fit, from which severity on, who is told. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { call } from '../api/client'
import type { NotifyRouteBody, NotifyRoutesView } from '../api/types'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { tell } from '../shell/notice'
import { Fault, Field, Foot, FormBox, Group, Tick, useForm, type Form } from './form'
import { PeopleOrder } from './PeopleOrder'

const SEVERITIES = ['critical', 'warning', 'info']

/** `match` is as typed: one condition a line. */
type Row = Required<Omit<NotifyRouteBody, 'match'>> & { match: string }

const newRow = (): Row => ({ receivers: [], match: '', severity: 'warning', go_on: false })

interface Props {
  saved: NotifyRoutesView
  receivers: readonly string[]
  onClose: () => void
  onKept: () => void
}

export function RoutesForm({ saved, receivers, onClose, onKept }: Props): JSX.Element {
  const form = useForm()
  const rows = useSignal<Row[]>(saved.routes.length === 0 ? [newRow()] : saved.routes.map((r) => ({ ...newRow(), ...r, match: (r.match ?? []).join('\n') })))
  const put = (at: number, part: Partial<Row>): void => {
    rows.value = rows.value.map((r, i) => (i === at ? { ...r, ...part } : r))
  }
  const move = (at: number, by: number): void => {
    const next = [...rows.value]
    ;[next[at], next[at + by]] = [next[at + by], next[at]]
    rows.value = next
  }
  const save = async (): Promise<void> => {
    const routes = rows.value.map((r) => ({ ...r, match: r.match.split('\n').map((l) => l.trim()).filter(Boolean) }))
    await call('PUT', '/notify-routes', { routes, before: saved.revision })
    tell(t('routes.kept'))
    onKept()
    onClose()
  }
  return (
    <Dialog label={t('routes.edit')} onClose={onClose} kind="wide">
      <FormBox form={form} onSend={save}>
        <h3>{t('routes.edit')}</h3>
        <p class="muted">{t('routes.lead')}</p>
        <ol class="rows-edit">
          {rows.value.map((row, i) => (
            <RouteRow
              key={i} form={form} at={i} row={row} last={i === rows.value.length - 1} receivers={receivers}
              onRow={(part) => put(i, part)} onMove={(by) => move(i, by)} onDrop={() => (rows.value = rows.value.filter((_, n) => n !== i))}
            />
          ))}
        </ol>
        <div class="act-row flush">
          <button type="button" class="btn" onClick={() => (rows.value = [...rows.value, newRow()])}>
            <Icon name="plus" size={14} />
            {t('routes.add')}
          </button>
          {rows.value.length === 0 && <span class="muted">{t('routes.noneLeft')}</span>}
        </div>
        <Fault form={form} name="routes" />
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}

interface RowProps {
  form: Form
  at: number
  row: Row
  last: boolean
  receivers: readonly string[]
  onRow: (part: Partial<Row>) => void
  onMove: (by: number) => void
  onDrop: () => void
}

function RouteRow({ form, at, row, last, receivers, onRow, onMove, onDrop }: RowProps): JSX.Element {
  const place = `routes[${at}]`
  const n = at + 1
  return (
    <li class="row-edit">
      <div class="row-head">
        <h3>{t('routes.one', { n })}</h3>
        <div class="act-row flush">
          <button type="button" class="icon-btn up" aria-label={t('people.up', { name: t('routes.one', { n }) })} disabled={at === 0} onClick={() => onMove(-1)}><Icon name="down" size={14} /></button>
          <button type="button" class="icon-btn" aria-label={t('people.down', { name: t('routes.one', { n }) })} disabled={last} onClick={() => onMove(1)}><Icon name="down" size={14} /></button>
          <button type="button" class="icon-btn" aria-label={t('people.drop', { name: t('routes.one', { n }) })} onClick={onDrop}><Icon name="close" size={14} /></button>
        </div>
      </div>
      <div class="row-fields">
        <Field form={form} name={`${place}.match`} label={t('routes.match')} hint={t('routes.matchHint')} class="grow">
          {(c) => <textarea class="input mono" {...c} rows={2} spellcheck={false} placeholder={'site="kyiv"'} value={row.match} onInput={(e) => onRow({ match: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name={`${place}.severity`} label={t('routes.severity')}>
          {(c) => (
            <select class="input" {...c} value={row.severity} onChange={(e) => onRow({ severity: e.currentTarget.value })}>
              {SEVERITIES.map((s) => <option key={s} value={s}>{t(`severity.${s}`)}</option>)}
            </select>
          )}
        </Field>
      </div>
      <Group form={form} name={`${place}.receivers`} label={t('routes.receivers')} hint={row.receivers.length === 0 ? t('routes.nobody') : undefined}>
        <PeopleOrder names={row.receivers} known={receivers} label={t('routes.addReceiver')} ordered={false} onNames={(names) => onRow({ receivers: names })} />
      </Group>
      <Tick on={row.go_on} onTick={(go_on) => onRow({ go_on })}>{t('routes.goOn')}</Tick>
      <Fault form={form} name={place} />
    </li>
  )
}
