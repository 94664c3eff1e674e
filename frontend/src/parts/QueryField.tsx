/** A field for PromQL that completes names of metrics, labels and their values. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useRef } from 'preact/hooks'
import { get } from '../api/client'
import { t } from '../i18n'
import { hints, typed, type Typed } from './promql'

const HINTS_SHOWN = 8
const NAMES_ASKED = 20_000

const known = new Map<string, Promise<string[]>>()

/** Asked for once per visit of the pages, and again after a failure. */
function names(what: Typed): Promise<string[]> {
  const path = what.kind === 'label' ? '/labels' : `/label/${encodeURIComponent(what.kind === 'metric' ? '__name__' : what.label)}/values`
  let found = known.get(path)
  if (!found) {
    found = get<{ data: string[] }>(`${path}?limit=${NAMES_ASKED}`).then((answer) => answer.data)
    found.catch(() => known.delete(path))
    known.set(path, found)
  }
  return found
}

interface Props {
  text: string
  onText: (text: string) => void
  onRun: () => void
}

export function QueryField({ text, onText, onRun }: Props): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null)
  const shown = useSignal<string[]>([])
  const at = useSignal(0)
  const word = useRef<Typed | null>(null)

  const look = async (): Promise<void> => {
    const node = field.current!
    const now = typed(node.value, node.selectionStart)
    word.current = now
    if (now === null) {
      shown.value = []
      return
    }
    const all = await names(now).catch(() => [])
    if (word.current !== now) return
    shown.value = hints(all, now.word, HINTS_SHOWN)
    at.value = 0
  }
  const take = (name: string): void => {
    const node = field.current!
    const now = word.current
    if (!now) return
    const safe = now.kind === 'value' ? name.replace(/["\\]/g, '\\$&') : name
    node.setRangeText(safe, now.from, now.from + now.word.length, 'end')
    shown.value = []
    onText(node.value)
    node.focus()
  }
  const open = shown.value.length > 0
  return (
    <div class="hinted">
      <textarea
        ref={field}
        class="input mono"
        rows={3}
        spellcheck={false}
        autoComplete="off"
        aria-label={t('explore.query')}
        aria-autocomplete="list"
        aria-controls={open ? 'query-hints' : undefined}
        aria-activedescendant={open ? `hint-${at.value}` : undefined}
        placeholder={'sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[1m]))'}
        value={text}
        onInput={(e) => {
          onText(e.currentTarget.value)
          void look()
        }}
        onBlur={() => (shown.value = [])}
        onKeyDown={(e) => {
          if (open && e.key === 'ArrowDown') at.value = Math.min(shown.value.length - 1, at.value + 1)
          else if (open && e.key === 'ArrowUp') at.value = Math.max(0, at.value - 1)
          else if (open && e.key === 'Escape') shown.value = []
          else if (open && (e.key === 'Tab' || (e.key === 'Enter' && !e.ctrlKey))) take(shown.value[at.value])
          else if (e.key === 'Enter' && !e.shiftKey) {
            shown.value = []
            onRun()
          } else return
          e.preventDefault()
          e.stopPropagation()
        }}
      />
      {open && (
        <ul class="hints mono" id="query-hints" role="listbox" aria-label={t('explore.hints')}>
          {shown.value.map((name, i) => (
            <li
              key={name}
              id={`hint-${i}`}
              role="option"
              aria-selected={i === at.value}
              onPointerDown={(e) => {
                e.preventDefault()
                take(name)
              }}
            >
              {name}
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
