/** What a person is typing, where a query is wrong, how series are called and values read. Pure. */
import { number } from '../i18n'

export interface Typed {
  kind: 'metric' | 'label' | 'value'
  /** Of a value: its label. */
  label: string
  word: string
  /** Where the word begins. */
  from: number
}

/** The word before `caret` and what it can be; `null` inside other strings and where there is none. */
export function typed(text: string, caret: number): Typed | null {
  const before = text.slice(0, caret)
  const open = before.lastIndexOf('{')
  const inBraces = open > before.lastIndexOf('}')
  const inBy = /\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*$/.test(before)
  const value = inBraces ? /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"([^"\\]*)$/.exec(before.slice(open)) : null
  if (value) return { kind: 'value', label: value[1], word: value[2], from: caret - value[2].length }
  if ((before.match(/"/g)?.length ?? 0) % 2 === 1) return null
  const word = /[a-zA-Z_:][\w:]*$/.exec(before)?.[0] ?? ''
  if (word === '') return null
  return { kind: inBraces || inBy ? 'label' : 'metric', label: '', word, from: caret - word.length }
}

/** Those of `names` that fit a word, beginnings before middles, at most `most`. */
export function hints(names: readonly string[], word: string, most: number): string[] {
  const low = word.toLowerCase()
  const begin = names.filter((n) => n.toLowerCase().startsWith(low) && n !== word)
  const inside = names.filter((n) => !n.toLowerCase().startsWith(low) && n.toLowerCase().includes(low))
  return [...begin, ...inside].slice(0, most)
}

export interface Fault {
  from: number
  to: number
}

/** Where in `text` the server's sentence points: it counts lines and, in UTF-8, bytes from 1. */
export function faultAt(text: string, said: string): Fault | null {
  const found = /(\d+):(\d+): parse error/.exec(said)
  if (!found) return null
  const lines = text.split('\n')
  const line = Number(found[1]) - 1
  if (line < 0 || line >= lines.length) return null
  const bytes = new TextEncoder().encode(lines[line])
  const column = new TextDecoder().decode(bytes.slice(0, Number(found[2]) - 1)).length
  const start = lines.slice(0, line).reduce((sum, l) => sum + l.length + 1, 0)
  const length = /^[\w:.]+|^./u.exec(lines[line].slice(column))?.[0].length ?? 0
  // At the very end there is nothing to underline but what came last.
  if (length === 0) return text === '' ? null : { from: Math.max(0, start + column - 1), to: Math.max(1, start + column) }
  return { from: start + column, to: start + column + length }
}

/** `metric{label="value"}`. */
export function seriesName(metric: Record<string, string>): string {
  const labels = Object.entries(metric).filter(([name]) => name !== '__name__')
  const inside = labels.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(', ')
  return `${metric.__name__ ?? ''}${inside || !metric.__name__ ? `{${inside}}` : ''}`
}

/** What tells each series from the others: labels that are the same in all are left out. */
export function shortNames(metrics: readonly Record<string, string>[]): string[] {
  const names = [...new Set(metrics.flatMap((m) => Object.keys(m)))]
  const differ = names.filter((n) => metrics.some((m) => m[n] !== metrics[0][n]))
  return metrics.map((m) => (metrics.length === 1 ? seriesName(m) : differ.map((n) => m[n] ?? '').filter(Boolean).join(' · ') || seriesName(m)))
}

const SIGNIFICANT = 6

/** A sample's value as it is read: a long fraction to six digits that count (the cell's title has all). */
export function figure(value: string): string {
  const size = Math.abs(Number(value))
  if (!Number.isFinite(size) || Number.isInteger(size) || value.length <= SIGNIFICANT + 1) return value
  const digits = SIGNIFICANT - 1 - Math.floor(Math.log10(size))
  return digits > 20 ? value : number(Number(value), Math.max(0, digits))
}
