/** The public HTTP API: one call, one kind of error. */
import { signal } from '@preact/signals'

/** Raised for every answer that is not a success, and for no answer at all (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message)
  }
}

/** Set when the server says that nobody is signed in; the shell then shows the sign-in page. */
export const signedOut = signal(false)

/** How far the server's clock is ahead of this browser's, in seconds; small differences are only
 * the way there. */
let ahead = 0
const AHEAD_FROM_S = 2

/** Seconds since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() / 1000 + ahead
}

function compareClocks(answer: Response): void {
  const date = Date.parse(answer.headers.get('date') ?? '')
  if (Number.isNaN(date)) return
  const difference = (date - Date.now()) / 1000
  ahead = Math.abs(difference) > AHEAD_FROM_S ? difference : 0
}

/** A server that does not answer for this long is treated as unreachable. */
const PATIENCE_MS = 15_000

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? { accept: 'application/json' } : { accept: 'application/json', 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
  } catch {
    throw new ApiError(0, 'unreachable', 'The server does not answer.')
  }
  compareClocks(answer)
  const text = await answer.text()
  const value = text === '' ? null : parse(text)
  if (answer.ok) return value as T
  if (answer.status === 401 && !path.startsWith('/session')) signedOut.value = true
  const told = (value as { error?: Told | string } | null)?.error
  // The routes that answer as Prometheus does tell it in one string.
  const error = typeof told === 'string' ? { code: undefined, message: told, field: undefined } : told
  throw new ApiError(answer.status, error?.code ?? `http_${answer.status}`, await said(error?.message ?? answer.statusText), error?.field)
}

/** The server's sentence in the reader's language; its own where there is no twin of it, or no way to it. */
async function said(sentence: string): Promise<string> {
  if (document.documentElement.lang !== 'uk') return sentence
  return import('../i18n/faults').then(({ inUkrainian }) => inUkrainian(sentence), () => sentence)
}

interface Told {
  code?: string
  message?: string
  field?: string
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export const get = <T>(path: string): Promise<T> => call<T>('GET', path)
export const post = <T>(path: string, body: unknown = {}): Promise<T> => call<T>('POST', path, body)
export const patch = <T>(path: string, body: unknown): Promise<T> => call<T>('PATCH', path, body)
export const remove = <T>(path: string): Promise<T> => call<T>('DELETE', path)
