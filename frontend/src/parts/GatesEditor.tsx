/** The gates of a change: what must hold before it goes on; asked of the past before it is trusted. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post, serverNow } from '../api/client'
import type { RehearsalView } from '../api/schema'
import { moment, number, t } from '../i18n'
import { Icon } from '../shell/icons'
import { reason } from '../shell/notice'
import { GATE_KINDS, gateDocument, GATES, newGate, REHEARSED, type GateField, type GateRow, type WaveRow } from './draft'
import { Fault, Field, Group, Tick, type Control, type Form } from './form'

interface Props {
  form: Form
  rows: GateRow[]
  waves: readonly WaveRow[]
  selector: string
  onRows: (rows: GateRow[]) => void
}

export function GatesEditor({ form, rows, waves, selector, onRows }: Props): JSX.Element {
  const kind = useSignal('promql')
  const put = (at: number, next: GateRow): void => onRows(rows.map((r, i) => (i === at ? next : r)))
  return (
    <section class="form-part">
      <h2>{t('draft.gates')}</h2>
      <p class="muted">{t('draft.gatesLead')}</p>
      <ul class="rows-edit">
        {rows.map((row, i) => (
          <Gate key={i} form={form} at={i} row={row} waves={waves} selector={selector} onRow={(next) => put(i, next)} onDrop={() => onRows(rows.filter((_, at) => at !== i))} />
        ))}
      </ul>
      <Fault form={form} name="gates" />
      <div class="act-row">
        <label class="field across">
          <span>{t('draft.gateKind')}</span>
          <select class="input" value={kind.value} onChange={(e) => (kind.value = e.currentTarget.value)}>
            {GATE_KINDS.map((k) => <option key={k} value={k}>{t(`gate.kind.${k}`)}</option>)}
          </select>
        </label>
        <button type="button" class="btn" onClick={() => onRows([...rows, newGate(kind.value)])}>
          <Icon name="plus" size={14} />
          {t('draft.addGate')}
        </button>
      </div>
    </section>
  )
}

function Gate({ form, at, row, waves, selector, onRow, onDrop }: { form: Form; at: number; row: GateRow; waves: readonly WaveRow[]; selector: string; onRow: (row: GateRow) => void; onDrop: () => void }): JSX.Element {
  const place = `gates[${at}]`
  const value = (name: string, typed: string): void => onRow({ ...row, values: { ...row.values, [name]: typed } })
  return (
    <li class="row-edit gate-edit">
      <div class="row-head">
        <h3>{t(`gate.kind.${row.kind}`)}</h3>
        <button type="button" class="icon-btn" aria-label={t('draft.dropGate', { name: row.name || t(`gate.kind.${row.kind}`) })} onClick={onDrop}>
          <Icon name="close" size={14} />
        </button>
      </div>
      <p class="muted">{t(`gate.what.${row.kind}`)}</p>
      <div class="row-fields">
        {(GATES[row.kind] ?? []).map((f) => (
          <Field key={f.name} form={form} name={`${place}.${f.name}`} label={t(`gate.field.${f.name}`)} class={f.as === 'expr' || f.name === 'url' ? 'grow' : ''}>
            {(c) => <Input control={c} field={f} value={row.values[f.name] ?? ''} onValue={(typed) => value(f.name, typed)} />}
          </Field>
        ))}
      </div>
      <details class="row-more" open={row.name !== '' || row.waves.length > 0 || row.shadow || row.onFail !== ''}>
        <summary>{t('gate.more')}</summary>
        <div class="row-fields">
          <Field form={form} name={`${place}.name`} label={t('gate.name')}>
            {(c) => <input class="input" {...c} maxLength={64} pattern="[a-z0-9][a-z0-9_.\-]*" title={t('form.name')} value={row.name} onInput={(e) => onRow({ ...row, name: e.currentTarget.value })} />}
          </Field>
          <Field form={form} name={`${place}.on_fail`} label={t('gate.onFail')}>
            {(c) => (
              <select class="input" {...c} value={row.onFail} onChange={(e) => onRow({ ...row, onFail: e.currentTarget.value })}>
                {['', 'revert', 'hold'].map((o) => <option key={o} value={o}>{t(`gate.onFail.${o || 'usual'}`)}</option>)}
              </select>
            )}
          </Field>
          <Field form={form} name={`${place}.on_no_evidence`} label={t('gate.onNoEvidence')}>
            {(c) => (
              <select class="input" {...c} value={row.onNoEvidence} onChange={(e) => onRow({ ...row, onNoEvidence: e.currentTarget.value })}>
                {['hold', 'pass', 'fail'].map((o) => <option key={o} value={o}>{t(`gate.none.${o}`)}</option>)}
              </select>
            )}
          </Field>
        </div>
        <Group form={form} name={`${place}.waves`} label={t('gate.waves')}>
          <div class="seg">
            {waves.filter((w) => w.name).map((w) => (
              <button
                type="button"
                key={w.name}
                aria-pressed={row.waves.includes(w.name)}
                onClick={() => onRow({ ...row, waves: row.waves.includes(w.name) ? row.waves.filter((n) => n !== w.name) : [...row.waves, w.name] })}
              >
                {w.name}
              </button>
            ))}
          </div>
        </Group>
        <Tick on={row.shadow} onTick={(shadow) => onRow({ ...row, shadow })}>{t('gate.shadow')}</Tick>
      </details>
      <Fault form={form} name={place} />
      {REHEARSED.has(row.kind) && <Rehearse row={row} selector={selector} />}
    </li>
  )
}

function Input({ control, field, value, onValue }: { control: Control; field: GateField; value: string; onValue: (typed: string) => void }): JSX.Element {
  if (field.as === 'choice') {
    return (
      <select class="input" {...control} value={value} onChange={(e) => onValue(e.currentTarget.value)}>
        {field.options!.map((o) => <option key={o} value={o}>{/^\w/.test(o) ? t(`gate.option.${o}`) : o}</option>)}
      </select>
    )
  }
  if (field.as === 'expr') {
    return <textarea class="input mono" {...control} rows={2} spellcheck={false} required={field.needed} placeholder={'sum(rate(errors_total{instance=~"$hosts"}[$window]))'} value={value} onInput={(e) => onValue(e.currentTarget.value)} />
  }
  if (field.as === 'text') return <input class="input" {...control} required={field.needed} value={value} onInput={(e) => onValue(e.currentTarget.value)} />
  return <input class="input num" {...control} type="number" step="any" required={field.needed} value={value} onInput={(e) => onValue(e.currentTarget.value)} />
}

const DAY_S = 86_400
const STEPS = 300

/** What the gate would have said over the last day, had these hosts just been touched. */
function Rehearse({ row, selector }: { row: GateRow; selector: string }): JSX.Element {
  const found = useSignal<RehearsalView | null>(null)
  const trouble = useSignal('')
  const busy = useSignal(false)
  const ask = async (): Promise<void> => {
    busy.value = true
    trouble.value = ''
    found.value = null
    const now = serverNow()
    try {
      found.value = await post<RehearsalView>('/gates/rehearse', { gate: { ...gateDocument(row), waves: [] }, selector, start_at: now - DAY_S, end_at: now, step_s: DAY_S / STEPS })
    } catch (error) {
      trouble.value = reason(error)
    }
    busy.value = false
  }
  const spans = (found.value?.spans ?? []) as { start_at: number; end_at: number; result: string; sentence: string }[]
  const bad = spans.filter((s) => s.result !== 'pass')
  return (
    <div class="rehearse">
      <button type="button" class="btn quiet" disabled={busy.value} onClick={() => void ask()}>{t('gate.rehearse')}</button>
      <div role="status">
        {trouble.value && <span class="wrong">{trouble.value}</span>}
        {found.value && (
          <>
            <span class="muted num">
              {['pass', 'fail', 'no_evidence'].filter((r) => found.value!.counts[r]).map((r) => `${t(`gate.said.${r}`)} ${number((100 * found.value!.counts[r]) / Object.values(found.value!.counts).reduce((a, b) => a + b, 0), 1)}\u00a0%`).join(' · ')}
            </span>
            {bad.length > 0 && (
              <ul class="muted num">
                {bad.slice(-3).map((s) => <li key={s.start_at}>{[`${moment(s.start_at)} – ${moment(s.end_at)}`, t(`gate.said.${s.result}`), s.sentence].join(' · ')}</li>)}
              </ul>
            )}
          </>
        )}
      </div>
    </div>
  )
}
