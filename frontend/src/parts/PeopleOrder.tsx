/** Names in an order that counts: added, moved, left out. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useId } from 'preact/hooks'
import { t } from '../i18n'
import { Icon } from '../shell/icons'

interface Props {
  names: readonly string[]
  known: readonly string[]
  label: string
  onNames: (names: string[]) => void
  /** Where the order means nothing, there is nothing to move. */
  ordered?: boolean
}

export function PeopleOrder({ names, known, label, onNames, ordered = true }: Props): JSX.Element {
  const typed = useSignal('')
  const id = useId()
  const add = (name: string): void => {
    const one = name.trim()
    if (one === '' || names.includes(one)) return
    typed.value = ''
    onNames([...names, one])
  }
  const swap = (at: number, by: number): void => {
    const next = [...names]
    ;[next[at], next[at + by]] = [next[at + by], next[at]]
    onNames(next)
  }
  return (
    <div>
      {names.length > 0 && (
        <ol class="people-order">
          {names.map((name, i) => (
            <li key={name}>
              {ordered && <span class="muted num order-at">{i + 1}</span>}
              <span>{name}</span>
              {ordered && names.length > 1 && (
                <>
                  <button type="button" class="icon-btn up" aria-label={t('people.up', { name })} disabled={i === 0} onClick={() => swap(i, -1)}><Icon name="down" size={14} /></button>
                  <button type="button" class="icon-btn" aria-label={t('people.down', { name })} disabled={i === names.length - 1} onClick={() => swap(i, 1)}><Icon name="down" size={14} /></button>
                </>
              )}
              <button type="button" class="icon-btn" aria-label={t('people.drop', { name })} onClick={() => onNames(names.filter((n) => n !== name))}><Icon name="close" size={14} /></button>
            </li>
          ))}
        </ol>
      )}
      <div class="add-name">
        <input
          class="input"
          list={`${id}-known`}
          aria-label={label}
          placeholder={label}
          autoComplete="off"
          value={typed.value}
          onInput={(e) => {
            typed.value = e.currentTarget.value
            // A name chosen from the list needs no second click.
            if (known.includes(typed.value) && (e as InputEvent).inputType !== 'insertText') add(typed.value)
          }}
          // Who leaves a known name in the field means it.
          onBlur={() => known.includes(typed.value.trim()) && add(typed.value)}
          onKeyDown={(e) => {
            if (e.key !== 'Enter' || typed.value.trim() === '') return
            e.preventDefault()
            add(typed.value)
          }}
        />
        <datalist id={`${id}-known`}>{known.filter((n) => !names.includes(n)).map((n) => <option key={n} value={n} />)}</datalist>
        <button type="button" class="btn" disabled={typed.value.trim() === ''} onClick={() => add(typed.value)}>{t('people.add')}</button>
      </div>
    </div>
  )
}
