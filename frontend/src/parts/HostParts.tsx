/** What runs on a host and what it stands on: tables, asked for while they are seen. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get } from '../api/client'
import { known, number, t } from '../i18n'
import { quantity } from '../i18n/quantity'
import { reason } from '../shell/notice'
import type { PartName } from './hostpart'
import { exprOf, rowsOf, TABLES, type HostTable, type Sample, type TableColumn, type TableRow } from './hosttables'

const EVERY_MS = 5000
const ROWS_SHOWN = 60

interface Vector {
  data: { result: Sample[] }
}

export default function HostParts({ host, part }: { host: string; part: PartName }): JSX.Element {
  const found = useSignal<TableRow[][] | null>(null)
  const trouble = useSignal<unknown>(null)
  const all = useSignal(false)
  const tables = TABLES[part]
  useEffect(() => {
    let gone = false
    found.value = null
    const ask = async (): Promise<void> => {
      try {
        const answers = await Promise.all(tables.map((table) => Promise.all(table.columns.map((c) => get<Vector>(`/query?query=${encodeURIComponent(exprOf(c, host))}`)))))
        if (gone) return
        found.value = answers.map((one, i) => rowsOf(tables[i], one.map((a) => a.data.result)))
        trouble.value = null
      } catch (error) {
        if (!gone) trouble.value = error
      }
    }
    void ask()
    const timer = setInterval(() => !document.hidden && void ask(), EVERY_MS)
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [host, part])
  if (found.value === null) return trouble.value === null ? <p class="muted part-none">{t('loading')}</p> : <p class="wrong part-none" role="alert">{reason(trouble.value)}</p>
  const shown = tables.map((table, i) => ({ table, rows: found.value![i] })).filter(({ rows }) => rows.length > 0)
  return (
    <div class="host-parts">
      {trouble.value !== null && <p class="warned" role="status">{t('asked.old', { why: reason(trouble.value) })}</p>}
      {shown.length === 0 && <p class="muted part-none">{t(`part.none.${part}`)}</p>}
      {shown.map(({ table, rows }) =>
        table.by.length === 0 ? (
          <Facts key={table.id} table={table} row={rows[0]} />
        ) : (
          <section class="block" key={table.id}>
            <h2>
              {t(`part.table.${table.id}`)} <span class="light num">{number(rows.length)}</span>
            </h2>
            <div class="scroll-x" tabIndex={0} role="region" aria-label={t(`part.table.${table.id}`)}>
              <table class="audit num part-table">
                <thead>
                  <tr>
                    {table.by.map((b) => <th scope="col" key={b}>{t(`part.by.${b}`)}</th>)}
                    {table.columns.map((c) => <th scope="col" key={c.id} class={isNumber(c) ? 'right' : ''}>{t(`part.${c.id}`)}</th>)}
                  </tr>
                </thead>
                <tbody>
                  {(all.value ? rows : rows.slice(0, ROWS_SHOWN)).map((row) => (
                    <tr key={row.name.join(' ')}>
                      {row.name.map((n, i) => (i === 0 ? <th scope="row" class="wrap" key={i}>{nameOf(table, n)}</th> : <td class="muted wrap" key={i}>{n}</td>))}
                      {table.columns.map((c, i) => <td key={c.id} class={`${isNumber(c) ? 'right' : ''} ${odd(c, row.cells[i]) ? 'warning-text' : ''}`}>{say(c, row.cells[i])}</td>)}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {rows.length > ROWS_SHOWN && !all.value && <button class="btn quiet" onClick={() => (all.value = true)}>{t('part.all', { n: rows.length })}</button>}
          </section>
        ),
      )}
    </div>
  )
}

function Facts({ table, row }: { table: HostTable; row: TableRow }): JSX.Element {
  return (
    <section class="block">
      <h2>{t(`part.table.${table.id}`)}</h2>
      <dl class="facts num">
        {table.columns.map((c, i) => row.cells[i] !== null && (
          <div key={c.id}>
            <dt>{t(`part.${c.id}`)}</dt>
            <dd class={odd(c, row.cells[i]) ? 'warning-text' : ''}>{say(c, row.cells[i])}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

const isNumber = (c: TableColumn): boolean => c.unit !== 'state' && c.unit !== 'yes'
const nameOf = (table: HostTable, name: string): string => (table.id === 'connections' ? name.replaceAll('_', ' ') : name)

/** A failed service, a dead process, a file system that cannot be written: words, not thresholds. */
function odd(c: TableColumn, value: TableRow['cells'][number]): boolean {
  if (c.unit === 'state') return value === 'failed'
  if (c.unit !== 'yes' || value === null) return false
  return c.id === 'readonly' ? false : (c.id === 'alive' || c.id === 'works') && value === 0
}

function say(c: TableColumn, value: TableRow['cells'][number]): string {
  if (value === null) return '—'
  if (typeof value === 'string') return known(`part.state.${value}`) ? t(`part.state.${value}`) : value
  if (c.unit === 'yes') return value === 1 ? t('yes') : t('no')
  // 99.97 % must never read as 100 %.
  if (c.unit === 'share') return `${number(Math.floor((value > 99.9 && value < 100 ? Math.min(value, 99.99) : value) * 100) / 100, 2)}\u00a0%`
  const q = quantity(value, c.unit)
  return q.unit ? `${q.value}\u00a0${q.unit}` : q.value
}
