/** A chart as a table: the same numbers for those who do not see lines. */
import type { JSX } from 'preact'
import { clock, day, t } from '../i18n'
import { quantity } from '../i18n/quantity'
import { peak, type ChartData } from '../draw/board'
import { legendWord } from '../draw/chart'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'

const ROWS = 60

export function SeriesTable({ data, times, onClose }: { data: ChartData; times: readonly number[]; onClose: () => void }): JSX.Element {
  const every = Math.max(1, Math.ceil(times.length / ROWS))
  const slots: number[] = []
  for (let i = times.length - 1; i >= 0; i -= every) slots.push(i)
  const days = times.length > 0 && times[times.length - 1] - times[0] > 86_400
  const like = Math.max(...data.columns.map((c) => peak(c.values)), 0)
  const say = (value: number | null | undefined): string => {
    if (value === null || value === undefined) return '—'
    const q = quantity(value, data.plan.unit, like)
    return q.unit ? `${q.value}\u00a0${q.unit}` : q.value
  }
  const title = t(data.plan.title)
  return (
    <Dialog label={title} onClose={onClose} kind="series">
      <div class="dialog-head">
        <h3>{title}</h3>
        <button class="icon-btn" aria-label={t('close')} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}>
        <table class="plain num">
          <thead>
            <tr>
              <th scope="col">{t('table.time')}</th>
              {data.columns.map((c) => (
                <th key={c.legend} scope="col">{c.legend ? legendWord(c.legend) : t('table.value')}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {slots.map((slot) => (
              <tr key={slot}>
                <th scope="row">{`${days ? `${day(times[slot])}, ` : ''}${clock(times[slot], !days)}`}</th>
                {data.columns.map((c) => (
                  <td key={c.legend}>{say(c.values[slot])}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Dialog>
  )
}
