import { beforeAll, describe, expect, it } from 'vitest'
import { dictionaries, misplaced } from '../../dev/words.mjs'
import { duration, number, speak, t, unit, type Dictionary } from './index'
import { multiple, quantity } from './quantity'

const PARTS: Record<string, Record<string, Dictionary>> = { en: dictionaries('en'), uk: dictionaries('uk') }
const en: Dictionary = Object.assign({}, ...Object.values(PARTS.en))
const uk: Dictionary = Object.assign({}, ...Object.values(PARTS.uk))
const DICTIONARIES: Record<string, Dictionary> = { en, uk }
const FORMS = { en: ['one', 'other'], uk: ['one', 'few', 'many', 'other'] }

function holes(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()
}

const SOURCES = import.meta.glob<string>(['../**/*.ts', '../**/*.tsx', '!../**/*.test.ts'], {
  query: '?raw',
  import: 'default',
  eager: true,
})

beforeAll(() => {
  globalThis.document ??= { documentElement: { lang: '' } } as unknown as Document
})

describe('dictionaries', () => {
  it('have the same keys', () => {
    expect(Object.keys(uk).sort()).toEqual(Object.keys(en).sort())
  })

  it('say everything once', () => {
    for (const parts of Object.values(PARTS)) {
      const keys = Object.values(parts).flatMap(Object.keys)
      expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([])
    }
  })

  // A word in too early a dictionary costs every first page bytes; in too late a one it is not there.
  it('lie where they are said (node dev/words.mjs --sort)', () => {
    expect([...misplaced('en'), ...misplaced('uk')]).toEqual([])
  })

  it('have all plural forms of their language, and only those', () => {
    for (const [language, words] of Object.entries(DICTIONARIES)) {
      for (const [key, entry] of Object.entries(words)) {
        if (typeof entry === 'object') {
          expect(Object.keys(entry).sort(), `${language} ${key}`).toEqual([...FORMS[language as 'en' | 'uk']].sort())
        }
      }
    }
  })

  it('fill the same holes', () => {
    for (const key of Object.keys(en)) {
      const all = [DICTIONARIES.en[key], DICTIONARIES.uk[key]].map((entry) =>
        holes(typeof entry === 'string' ? entry : entry.other),
      )
      expect(all[1], key).toEqual(all[0])
    }
  })

  it('are nowhere empty, and Ukrainian is not left in English', () => {
    const same = Object.keys(en).filter((key) => {
      const [a, b] = [JSON.stringify(DICTIONARIES.en[key]), JSON.stringify(DICTIONARIES.uk[key])]
      expect(a.length, key).toBeGreaterThan(2)
      return a === b && /[a-z]{3}/i.test(a.replace(/\{\w+\}/g, ''))
    })
    expect(same).toEqual(['language.en'])
  })

  it('hold every key that the pages ask for', () => {
    const missing: string[] = []
    expect(Object.keys(SOURCES).length).toBeGreaterThan(30)
    for (const [path, text] of Object.entries(SOURCES)) {
      for (const match of text.matchAll(/\bt\('([^']+)'/g)) if (!(match[1] in en)) missing.push(`${path}: ${match[1]}`)
      for (const match of text.matchAll(/\bt\(`([^`]+)`/g)) {
        const shape = new RegExp(`^${match[1].replace(/[.]/g, '\\.').replace(/\$\{[^}]*\}(?:'[^`]*\})?/g, '.+')}$`)
        if (!Object.keys(en).some((key) => shape.test(key))) missing.push(`${path}: ${match[1]}`)
      }
    }
    expect(missing).toEqual([])
  })
})

describe('words', () => {
  it('choose the plural form by the language', async () => {
    await speak('uk')
    expect([1, 2, 5, 11, 21, 104].map((n) => t('incident.hosts', { n }))).toEqual([
      '1 сервер', '2 сервери', '5 серверів', '11 серверів', '21 сервер', '104 сервери',
    ])
    await speak('en')
    expect([1, 2].map((n) => t('incident.hosts', { n }))).toEqual(['1 host', '2 hosts'])
  })

  it('write numbers as the language does', async () => {
    await speak('uk')
    expect(number(1234.5, 1)).toBe('1\u00a0234,5')
    expect(duration(0.4)).toBe('0,4\u00a0с')
    await speak('en')
    expect(number(1234.5, 1)).toBe('1,234.5')
  })

  it('say a duration in one unit', () => {
    expect([0.42, 59, 89, 115, 3600, 3600 * 41, 86400 * 12].map(duration)).toEqual([
      '0.4\u00a0s', '59\u00a0s', '89\u00a0s', '2\u00a0min', '60\u00a0min', '41\u00a0h', '12\u00a0d',
    ])
  })

  it('read an unknown chart as its last word', () => {
    expect(t('chart.something_new')).toBe('Something new')
  })

  it('leave no space before a unit that is empty', () => {
    expect(unit('5', '')).toBe('5')
  })
})

describe('quantities', () => {
  it.each([
    [0.0341, 'seconds', '34.1', 'ms'],
    [62e6, 'bytes/s', '62', 'MB/s'],
    [137438953472, 'ram', '128', 'GB'],
    [2680, '/s', '2,680', '/s'],
    [18200, '/s', '18.2', 'k/s'],
    [0.34, 'percent', '0.34', '%'],
    [0, 'percent', '0', '%'],
    [320e6, 'bits/s', '320', 'Mbit/s'],
  ])('%d %s', (value, name, shown, word) => {
    const digits = quantity(value, name)
    expect(digits.unit).toBe(word)
    expect(Number(digits.value.replaceAll(',', ''))).toBeCloseTo(Number(shown.replaceAll(',', '')), 0)
  })

  it('keep the unit of the axis for small values', () => {
    expect(quantity(40_000, 'bytes/s', 1e6)).toEqual({ value: '0.04', unit: 'MB/s' })
  })

  it('know the other names of units', () => {
    expect(multiple(5, 'percent')[0]).toBe('%')
    expect(multiple(0.5, 's')[0]).toBe('ms')
  })
})
