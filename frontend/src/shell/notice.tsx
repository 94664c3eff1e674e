/** One short line that says what has just been done, or why it could not be. */
import { signal } from '@preact/signals'
import type { JSX } from 'preact'
import { ApiError } from '../api/client'
import { t } from '../i18n'

interface Notice {
  text: string
  bad: boolean
}

const notice = signal<Notice | null>(null)
const SHOWN_MS = 4000
let timer = 0

export function tell(text: string, bad = false): void {
  notice.value = { text, bad }
  clearTimeout(timer)
  timer = window.setTimeout(() => (notice.value = null), bad ? SHOWN_MS * 2 : SHOWN_MS)
}

/** What an error means to a person. */
export function reason(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.status === 0) return t('error.unreachable')
    if (error.status === 403) return t('error.forbidden')
    if (error.status === 429) return t('error.tooMany')
    return error.message || t('error.failed', { status: String(error.status) })
  }
  return error instanceof Error ? error.message : String(error)
}

export function complain(error: unknown): void {
  tell(reason(error), true)
}

export function NoticeLine(): JSX.Element {
  const now = notice.value
  return (
    <div class="notices" role="status" aria-live="polite">
      {now && <p class={`notice fade ${now.bad ? 'bad' : ''}`}>{now.text}</p>}
    </div>
  )
}
