/** How a view of a scenario stands, as a sign and in words. */
import type { JSX } from 'preact'
import { number, t } from '../i18n'
import type { LookView } from '../api/schema'
import { Icon } from '../shell/icons'
import { Mark } from '../shell/Mark'

export function LookMark({ state }: { state: string }): JSX.Element {
  if (state === 'expected') return <span class="look-mark"><Icon name="check" size={14} /></span>
  return <span class="look-mark"><Mark of={state === 'odd' ? 'warning' : 'unknown'} size={14} /></span>
}

/** Who says so, why, and what was found. */
export function lookWords(look: LookView): string {
  const by = look.by && look.by !== 'vezha' ? look.by : ''
  const said = look.said === 'nothing found' ? t('look.nothing') : /^\d+ found$/.test(look.said) ? t('look.found', { n: Number.parseInt(look.said, 10) }) : look.said
  return [t(`look.${look.state}`), by, said].filter(Boolean).join(' · ')
}

/** The series that make a view odd, by what names them. */
export function Evidence({ look }: { look: LookView }): JSX.Element | null {
  if (look.state !== 'odd' || look.evidence.length === 0) return null
  return (
    <ul class="proof">
      {look.evidence.map((one, i) => {
        const labels = one.labels as Record<string, string>
        const value = Number(one.value)
        const where = labels.instance ?? ''
        const rest = Object.entries(labels).filter(([k]) => !['instance', 'job', 'site', 'role'].includes(k)).map(([, v]) => v).slice(0, 2)
        return (
          <li key={i}>
            {where ? <a class="link" href={`/host/${encodeURIComponent(where)}`}>{where}</a> : null}
            <span class="muted num">{[...rest, number(value, Math.abs(value) < 10 ? 3 : 0)].join(' · ')}</span>
          </li>
        )
      })}
    </ul>
  )
}
