/** How long a stretch of time the page shows; opens below the live pill. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { serverNow } from '../api/client'
import { formatSpan, lengthOf, limit, PRESETS, type Span } from '../draw/span'
import { clock, day, duration, number, t, unit } from '../i18n'
import { Icon } from '../shell/icons'
import { query } from '../state/route'
import { localTime } from './localtime'
import { MomentInput } from './TimeInput'

/** A preset's length as it is called: "1 h", not "60 min". */
function spanLength(seconds: number): string {
  if (seconds % 86_400 === 0 && seconds > 86_400) return unit(number(seconds / 86_400), 'd')
  return seconds % 3600 === 0 ? unit(number(seconds / 3600), 'h') : duration(seconds)
}

export function spanWords(span: Span): string {
  if (span.kind === 'live') return spanLength(span.seconds)
  const sameDay = new Date(span.from * 1000).toDateString() === new Date(span.to * 1000).toDateString()
  const seconds = lengthOf(span) < 600
  const today = new Date(span.to * 1000).toDateString() === new Date().toDateString()
  if (sameDay) return `${today ? '' : `${day(span.from)}, `}${clock(span.from, seconds)}–${clock(span.to, seconds)}`
  return `${day(span.from)}, ${clock(span.from)} – ${day(span.to)}, ${clock(span.to)}`
}

export function RangeMenu({ span, name = 't' }: { span: Span; name?: string }): JSX.Element {
  const open = useSignal(false)
  const box = useRef<HTMLDivElement>(null)
  const now = serverNow()
  const from = useSignal('')
  const to = useSignal('')
  useEffect(() => {
    if (!open.value) return undefined
    from.value = localTime(span.kind === 'fixed' ? span.from : now - lengthOf(span))
    to.value = localTime(span.kind === 'fixed' ? span.to : now)
    const away = (e: Event): void => {
      if (!box.current?.contains(e.target as Node)) open.value = false
    }
    const esc = (e: KeyboardEvent): void => {
      if (e.key !== 'Escape') return
      e.preventDefault()
      e.stopPropagation()
      open.value = false
      box.current?.querySelector('button')?.focus()
    }
    addEventListener('pointerdown', away)
    addEventListener('keydown', esc, true)
    return () => {
      removeEventListener('pointerdown', away)
      removeEventListener('keydown', esc, true)
    }
  }, [open.value])
  const choose = (next: Span): void => {
    open.value = false
    query({ [name]: formatSpan(next), at: null }, false)
  }
  return (
    <div class="range" ref={box}>
      <button class="pill-range num" aria-expanded={open.value} onClick={() => (open.value = !open.value)} title={t('range.title')}>
        {spanWords(span)}
        <Icon name="down" size={12} />
      </button>
      {open.value && (
        <div class="range-menu fade">
          <ul>
            {PRESETS.map(([name, seconds]) => (
              <li key={name}>
                <button aria-pressed={span.kind === 'live' && span.seconds === seconds} onClick={() => choose({ kind: 'live', seconds })}>
                  {t('range.last', { time: spanLength(seconds) })}
                </button>
              </li>
            ))}
          </ul>
          <form
            onSubmit={(e) => {
              e.preventDefault()
              const a = Date.parse(from.value) / 1000
              const b = Date.parse(to.value) / 1000
              if (Number.isFinite(a) && Number.isFinite(b)) choose(limit(a, b))
            }}
          >
            <label class="field">
              <span>{t('range.from')}</span>
              <MomentInput value={from.value} onTime={(value) => (from.value = value)} />
            </label>
            <label class="field">
              <span>{t('range.to')}</span>
              <MomentInput value={to.value} onTime={(value) => (to.value = value)} />
            </label>
            <button class="btn">{t('range.show')}</button>
          </form>
        </div>
      )}
    </div>
  )
}
