/** The waves of a change: who goes first, who next, and how long each is watched. */
import type { JSX } from 'preact'
import { t } from '../i18n'
import { Icon } from '../shell/icons'
import { WAVE_BY, usualWaves, type WaveBy, type WaveRow } from './draft'
import { Fault, Field, type Form } from './form'

export function WavesEditor({ form, rows, onRows }: { form: Form; rows: WaveRow[]; onRows: (rows: WaveRow[]) => void }): JSX.Element {
  const put = (at: number, part: Partial<WaveRow>): void => onRows(rows.map((r, i) => (i === at ? { ...r, ...part } : r)))
  return (
    <section class="form-part">
      <h2>{t('draft.waves')}</h2>
      <p class="muted">{t('draft.wavesLead')}</p>
      <ol class="rows-edit">
        {rows.map((row, i) => (
          <li class="row-edit" key={i}>
            <div class="row-fields">
              <Field form={form} name={`waves[${i}].name`} label={t('draft.wave', { n: i + 1 })}>
                {(c) => <input class="input" {...c} required maxLength={64} pattern="[a-z0-9][a-z0-9_.\-]*" title={t('form.name')} value={row.name} onInput={(e) => put(i, { name: e.currentTarget.value })} />}
              </Field>
              <Field form={form} name={`waves[${i}].by`} label={t('draft.who')}>
                {(c) => (
                  <select class="input" {...c} value={row.by} onChange={(e) => put(i, { by: e.currentTarget.value as WaveBy, amount: '' })}>
                    {WAVE_BY.map((by) => <option key={by} value={by}>{t(`draft.by.${by}`)}</option>)}
                  </select>
                )}
              </Field>
              {row.by !== 'rest' && (
                <Field form={form} name={`waves[${i}].${row.by}`} label={t(`draft.amount.${row.by}`)} class={row.by === 'hosts' || row.by === 'selector' ? 'grow' : ''}>
                  {(c) =>
                    row.by === 'count' || row.by === 'percent' ? (
                      <input class="input num" {...c} required type="number" min={row.by === 'count' ? 1 : 0.1} max={row.by === 'percent' ? 100 : undefined} step={row.by === 'count' ? 1 : 'any'} value={row.amount} onInput={(e) => put(i, { amount: e.currentTarget.value })} />
                    ) : (
                      <input class="input mono" {...c} required spellcheck={false} value={row.amount} onInput={(e) => put(i, { amount: e.currentTarget.value })} />
                    )
                  }
                </Field>
              )}
              <Field form={form} name={`waves[${i}].bake_s`} label={t('draft.bake')}>
                {(c) => <input class="input num" {...c} required type="number" min={0} step="any" value={row.bake} onInput={(e) => put(i, { bake: e.currentTarget.value })} />}
              </Field>
              <button type="button" class="icon-btn" aria-label={t('draft.dropWave', { name: row.name || i + 1 })} disabled={rows.length === 1} onClick={() => onRows(rows.filter((_, at) => at !== i))}>
                <Icon name="close" size={14} />
              </button>
            </div>
            <Fault form={form} name={`waves[${i}]`} />
          </li>
        ))}
      </ol>
      <Fault form={form} name="waves" />
      <div class="act-row">
        <button type="button" class="btn" onClick={() => onRows([...rows.slice(0, -1), { name: '', by: 'percent', amount: '', bake: '10', rest: {} }, ...rows.slice(-1)])}>
          <Icon name="plus" size={14} />
          {t('draft.addWave')}
        </button>
        <button type="button" class="btn quiet" onClick={() => onRows(usualWaves())}>{t('draft.usualWaves')}</button>
      </div>
    </section>
  )
}
