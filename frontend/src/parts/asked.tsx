/** What a page asks the server for, and what it shows until it has it, or when it may not. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { ApiError, get } from '../api/client'
import { language, t } from '../i18n'
import { reason } from '../shell/notice'

export interface Asked<T> {
  data: T | null
  trouble: unknown
  load: () => Promise<void>
  /** Puts in place what an action has answered. */
  set: (data: T) => void
}

/** Asks `path` now, and again every `everyMs` while the tab is seen. What was had stays on errors. */
export function useAsked<T>(path: string | null, everyMs = 0): Asked<T> {
  const data = useSignal<T | null>(null)
  const trouble = useSignal<unknown>(null)
  const load = async (): Promise<void> => {
    if (path === null) return
    try {
      data.value = await get<T>(path)
      trouble.value = null
    } catch (error) {
      trouble.value = error
    }
  }
  useEffect(() => {
    if (path === null) return undefined
    let gone = false
    const ask = (): void => {
      get<T>(path).then(
        (found) => {
          if (gone) return
          data.value = found
          trouble.value = null
        },
        (error: unknown) => {
          if (!gone) trouble.value = error
        },
      )
    }
    ask()
    if (everyMs === 0) return () => (gone = true)
    const timer = setInterval(() => !document.hidden && ask(), everyMs)
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [path, everyMs])
  return { data: data.value, trouble: trouble.value, load, set: (next) => (data.value = next) }
}

interface Props<T> {
  of: Asked<T>
  /** What stands there when there is no such thing. */
  missing?: string
  children: (data: T) => ComponentChildren
}

/** The page for `of`, or: a line that says that it loads, is not there, may not be seen, failed. */
export function Show<T>({ of, missing, children }: Props<T>): JSX.Element {
  if (of.data !== null) {
    return (
      <>
        {of.trouble !== null && <p class="warned" role="status">{t('asked.old', { why: reason(of.trouble) })}</p>}
        {children(of.data)}
      </>
    )
  }
  if (of.trouble === null) {
    return (
      <div class="verdict" role="status">
        <h1 class="ghost">{t('loading')}</h1>
      </div>
    )
  }
  const status = of.trouble instanceof ApiError ? of.trouble.status : -1
  return (
    <div class="empty">
      <h1>{status === 403 ? t('asked.forbidden') : status === 404 ? (missing ?? t('asked.missing')) : t('asked.failed')}</h1>
      <p>{status === 403 ? t('asked.forbiddenWhat') : reason(of.trouble)}</p>
      {status !== 403 && status !== 404 && (
        <button class="btn" onClick={() => void of.load()}>{t('asked.again')}</button>
      )}
    </div>
  )
}

/** The sentence that opens a page, what follows from it, and what one may do. */
export function Verdict({ title, lead, mark, children }: { title: ComponentChildren; lead?: ComponentChildren; mark?: ComponentChildren; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="verdict with-act">
      <div>
        <h1 class={mark ? 'with-mark' : ''}>
          {mark}
          <span>{title}</span>
        </h1>
        {lead && <p>{lead}</p>}
      </div>
      {children && <div class="act-row flush">{children}</div>}
    </div>
  )
}

/** A text and its twin in Ukrainian. */
export function mine(text: string, uk: string | undefined): string {
  return (language() === 'uk' && uk) || text
}

/** Names the tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · ${t('brand')}` : t('brand')
  })
}
