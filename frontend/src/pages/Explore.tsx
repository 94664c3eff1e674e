/** Any question to the stored samples: a PromQL expression, its chart and its table. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, serverNow } from '../api/client'
import { formatSpan, lengthOf, limit, parseSpan, stepFor } from '../draw/span'
import { clock, number, t } from '../i18n'
import type { Matrix } from '../parts/evidence'
import { faultAt, figure, seriesName } from '../parts/promql'
import { QueryChart } from '../parts/QueryChart'
import { QueryField } from '../parts/QueryField'
import { RangeMenu } from '../parts/RangeMenu'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import { query, url } from '../state/route'
import '../styles/pages.css'

const ROWS_SHOWN = 200

interface Answer<T> {
  data: T
  warnings?: string[]
  infos?: string[]
}
interface Vector {
  resultType: string
  result: { metric: Record<string, string>; value?: [number, string] }[] | [number, string]
}
interface Found {
  text: string
  at: number
  start: number
  step: number
  count: number
  rows: { name: string; value: string }[]
  matrix: Matrix
  told: string[]
}

export default function Explore(): JSX.Element {
  const asked = useComputed(() => url.value.searchParams.get('q') ?? '')
  const range = useComputed(() => url.value.searchParams.get('range'))
  const text = useSignal(asked.peek())
  const found = useSignal<Found | null>(null)
  const trouble = useSignal<unknown>(null)
  const busy = useSignal(false)
  const again = useSignal(0)
  const span = parseSpan(range.value)

  useEffect(() => {
    document.title = `${t('page.explore')} · ${t('brand')}`
  })
  useEffect(() => {
    const ask = asked.value.trim()
    text.value = asked.value
    if (ask === '') {
      found.value = null
      trouble.value = null
      return undefined
    }
    let gone = false
    busy.value = true
    run(ask, range.value)
      .then(
        (answer) => {
          if (gone) return
          found.value = answer
          trouble.value = null
        },
        (error: unknown) => {
          if (gone) return
          found.value = null
          trouble.value = error
        },
      )
      .finally(() => {
        if (!gone) busy.value = false
      })
    return () => {
      gone = true
    }
  }, [asked.value, range.value, again.value])
  useEffect(() => {
    const absolute = (e: Event): void => {
      const shown = found.peek()
      if (!shown) return
      const { detail } = e as CustomEvent<{ url: string }>
      const next = new URL(detail.url)
      next.searchParams.set('range', formatSpan(limit(shown.start, shown.at)) ?? '')
      detail.url = next.href
    }
    addEventListener('vezha:link', absolute)
    return () => removeEventListener('vezha:link', absolute)
  }, [])
  const send = (): void => {
    if (text.value === asked.value) again.value++
    else query({ q: text.value }, false)
  }
  const shown = found.value
  return (
    <Page trail={[{ text: t('page.explore') }]}>
      <div class="verdict">
        <h1>{t('explore.title')}</h1>
      </div>
      <div class="ask">
        <QueryField text={text.value} onText={(value) => (text.value = value)} onRun={send} />
        <div class="ask-row">
          <button class="btn strong" disabled={busy.value} onClick={send}>{t('explore.run')}</button>
          <RangeMenu span={span} name="range" />
          <span class="muted" role="status">{busy.value ? t('explore.asking') : shown ? t('explore.found', { n: shown.rows.length }) : ''}</span>
        </div>
      </div>
      {trouble.value !== null && <Wrong text={asked.value} error={trouble.value} />}
      {shown?.told.map((line) => (
        <p class={line.startsWith('PromQL info') ? 'muted' : 'warned'} key={line}>{line}</p>
      ))}
      {shown === null && trouble.value === null && !busy.value && <p class="muted">{t('explore.lead')}</p>}
      {shown && shown.matrix.result.length > 0 && <QueryChart found={shown.matrix} start={shown.start} step={shown.step} count={shown.count} key={`${shown.at} ${shown.text}`} />}
      {shown && (shown.rows.length === 0 ? <p class="muted">{shown.matrix.result.length === 0 ? t('explore.none') : t('explore.noneNow')}</p> : <Rows found={shown} />)}
    </Page>
  )
}

/** The chart and the table; a string has no chart, and a query that gives a range no table. */
async function run(ask: string, range: string | null): Promise<Found> {
  const span = parseSpan(range)
  const at = span.kind === 'fixed' ? span.to : Math.floor(serverNow())
  const step = stepFor(lengthOf(span))
  const start = Math.floor((at - lengthOf(span)) / step) * step
  const count = Math.floor((at - start) / step) + 1
  const over = new URLSearchParams({ query: ask, start: String(start), end: String(start + (count - 1) * step), step: String(step) })
  const [now, then] = await Promise.all([
    get<Answer<Vector>>(`/query?${new URLSearchParams({ query: ask, time: String(at) })}`),
    get<Answer<Matrix>>(`/query_range?${over}`).catch((error: unknown) => error),
  ])
  const plain = now.data.resultType === 'scalar' || now.data.resultType === 'string'
  if (then instanceof Error && !(now.data.resultType === 'string' || now.data.resultType === 'matrix')) throw then
  const charted = then instanceof Error ? null : (then as Answer<Matrix>)
  const rows = plain
    ? [{ name: now.data.resultType, value: (now.data.result as [number, string])[1] }]
    : (now.data.result as { metric: Record<string, string>; value?: [number, string] }[]).map((r) => ({ name: seriesName(r.metric), value: r.value?.[1] ?? '—' }))
  const told = [now.warnings, now.infos, charted?.warnings, charted?.infos].flatMap((list) => list ?? [])
  return { text: ask, at, start, step, count, rows, matrix: charted?.data ?? { result: [] }, told: [...new Set(told)] }
}

function Wrong({ text, error }: { text: string; error: unknown }): JSX.Element {
  const said = reason(error)
  const fault = faultAt(text.trim(), said)
  const shown = text.trim()
  return (
    <div class="fault" role="alert">
      {fault && (
        <pre>
          <code>
            {shown.slice(0, fault.from)}
            <mark>{shown.slice(fault.from, fault.to)}</mark>
            {shown.slice(fault.to)}
          </code>
        </pre>
      )}
      <p class="wrong">{said}</p>
    </div>
  )
}

function Rows({ found }: { found: Found }): JSX.Element {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label={t('explore.table')}>
      <table class="audit num">
        <thead>
          <tr>
            <th scope="col">{t('explore.series')}</th>
            <th scope="col">{t('explore.valueAt', { time: clock(found.at, true) })}</th>
          </tr>
        </thead>
        <tbody>
          {found.rows.slice(0, ROWS_SHOWN).map((row, i) => (
            <tr key={i}>
              <td class="wrap">
                <code>{row.name}</code>
              </td>
              <td title={row.value}>{figure(row.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.rows.length > ROWS_SHOWN && <p class="muted">{t('explore.more', { shown: number(ROWS_SHOWN), n: found.rows.length })}</p>}
    </div>
  )
}
