/** The reader's language: texts, plurals, numbers, units and times. */
import { signal } from '@preact/signals'
import type en from './en.json'
import type change from './en.change.json'
import type duty from './en.duty.json'
import type host from './en.host.json'
import type incident from './en.incident.json'
import type keys from './en.keys.json'
import type more from './en.more.json'
import type report from './en.report.json'
import type rules from './en.rules.json'
import type settings from './en.settings.json'
import type work from './en.work.json'

export type Language = 'en' | 'uk'
type Words = typeof en & typeof change & typeof duty & typeof host & typeof incident & typeof keys & typeof more & typeof report & typeof rules & typeof settings & typeof work
export type Key = keyof Words
export type Entry = string | { one?: string; few?: string; many?: string; other: string }
export type Dictionary = Record<string, Entry>
export type Params = Record<string, string | number>

export const LANGUAGES: readonly Language[] = ['en', 'uk']

/** No-break space: a number never leaves its unit. */
export const NBSP = '\u00a0'

/** The first words by language, and parts that only some pages say: those the first page does not wait for. */
const files = import.meta.glob<{ default: unknown }>(['./en.json', './uk.json', './*.*.json', '!./*.fault.json'])
const have = new Map<string, Dictionary>()
const wanted = new Set<string>()
let tongue: Language = 'en'

async function fetchWords(name: string): Promise<void> {
  if (!have.has(name)) have.set(name, (await files[`./${name}.json`]()).default as Dictionary)
}

interface Speech {
  language: Language
  words: Dictionary
  plural: Intl.PluralRules
  numbers: Map<number, Intl.NumberFormat>
}

const speech = signal<Speech>({
  language: 'en',
  words: {},
  plural: new Intl.PluralRules('en'),
  numbers: new Map(),
})

/** Puts in force what is there of the language that was chosen last. */
function show(): void {
  const language = tongue
  const first = have.get(language)
  if (!first) return
  const words = Object.assign({}, first, ...[...wanted].map((part) => have.get(`${language}.${part}`))) as Dictionary
  const same = speech.peek().language === language && Object.keys(speech.peek().words).length > 0
  speech.value = same ? { ...speech.peek(), words } : { language, words, plural: new Intl.PluralRules(language), numbers: new Map() }
  document.documentElement.lang = language
}

export async function speak(language: Language): Promise<void> {
  tongue = language
  await Promise.all([language, ...[...wanted].map((part) => `${language}.${part}`)].map(fetchWords))
  show()
}

/** Adds the words of a part, and those that several parts share; languages chosen later bring them, too. */
export async function speakPart(part: string): Promise<void> {
  const names = [part, 'more']
  names.forEach((one) => wanted.add(one))
  await Promise.all(names.map((one) => fetchWords(`${tongue}.${one}`)))
  show()
}

export function language(): Language {
  return speech.value.language
}

/** The text of `key`; `params.n` chooses the plural form. A key that is not in the dictionary (a
 * chart that only the server knows) reads as its last word. */
export function t(key: Key | (string & {}), params?: Params): string {
  const { words, plural } = speech.value
  const entry = words[key]
  if (entry === undefined) return humble(key)
  return fill(choose(entry, plural, params), params)
}

export function known(key: string): boolean {
  return speech.value.words[key] !== undefined
}

export function choose(entry: Entry, plural: Intl.PluralRules, params?: Params): string {
  if (typeof entry === 'string') return entry
  const form = plural.select(Number(params?.count ?? params?.n ?? 0))
  return entry[form as 'one' | 'few' | 'many'] ?? entry.other
}

export function fill(text: string, params?: Params): string {
  if (!params) return text
  return text.replace(/\{(\w+)\}/g, (all, name: string) => {
    const value = params[name]
    if (value === undefined) return all
    return typeof value === 'number' ? number(value) : value
  })
}

function humble(key: string): string {
  const last = key.slice(key.lastIndexOf('.') + 1).replaceAll('_', ' ')
  return last.charAt(0).toUpperCase() + last.slice(1)
}

/** `value` in the reader's digits with at most `digits` after the point. */
export function number(value: number, digits = 0): string {
  const { language, numbers } = speech.value
  let format = numbers.get(digits)
  if (!format) {
    format = new Intl.NumberFormat(language, { maximumFractionDigits: digits })
    numbers.set(digits, format)
  }
  return format.format(value)
}

const MINUTE = 60
const HOUR = 3600
const DAY = 86400

/** How long, in the one unit that a person would use: "0.4 s", "6 min", "41 h", "12 d". */
export function duration(seconds: number): string {
  const s = Math.max(0, seconds)
  if (s < 10) return unit(number(s, 1), 's')
  if (s < 1.5 * MINUTE) return unit(number(Math.round(s)), 's')
  if (s < 1.5 * HOUR) return unit(number(Math.round(s / MINUTE)), 'min')
  if (s < 3 * DAY) return unit(number(Math.round(s / HOUR)), 'h')
  return unit(number(Math.round(s / DAY)), 'd')
}

export function unit(value: string, name: string): string {
  const word = unitWord(name)
  return word === '' ? value : `${value}${NBSP}${word}`
}

export function unitWord(name: string): string {
  const entry = speech.value.words[`unit.${name}`]
  return typeof entry === 'string' ? entry : name
}

const stamps = new Map<string, Intl.DateTimeFormat>()

function stamp(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = language() + JSON.stringify(options)
  let format = stamps.get(name)
  if (!format) {
    format = new Intl.DateTimeFormat(language() === 'en' ? 'en-GB' : 'uk', { ...options, hourCycle: 'h23' })
    stamps.set(name, format)
  }
  return format
}

/** "03:54" or, with seconds, "03:54:36". `at` is in seconds since 1970. */
export function clock(at: number, seconds = false): string {
  return stamp({ hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined }).format(at * 1000)
}

/** "23 Nov". */
export function day(at: number): string {
  return stamp({ day: 'numeric', month: 'short' }).format(at * 1000)
}

/** A moment with as much date as is needed to know it: today only the clock. */
export function moment(at: number, now = Date.now() / 1000): string {
  const same = new Date(at * 1000).toDateString() === new Date(now * 1000).toDateString()
  if (same) return clock(at)
  const sameYear = new Date(at * 1000).getFullYear() === new Date(now * 1000).getFullYear()
  const date = stamp({ day: 'numeric', month: 'short', year: sameYear ? undefined : 'numeric' })
  return `${date.format(at * 1000)}, ${clock(at)}`
}
