import { describe, expect, it } from 'vitest'
import { placeOf } from './faults'
import { fits, parseMatchers, toggleMatcher } from './selector'

describe('the place of a fault', () => {
  const names = ['', 'target', 'gates', 'gates[1]', 'gates[1].expr', 'waves']
  it.each([
    ['target', 'target'],
    ['gates[1].expr', 'gates[1].expr'],
    ['gates[1].url', 'gates[1]'],
    ['gates[10].expr', 'gates'],
    ['waves[0].percent', 'waves'],
    ['wavesome', ''],
    ['policy.jitter_s', ''],
  ])('%s is at "%s"', (field, place) => {
    expect(placeOf(field, names)).toBe(place)
  })
})

describe('selectors', () => {
  it('are read as the server reads them', () => {
    expect(parseMatchers('')).toEqual([])
    expect(parseMatchers('{role="db", site!="lviv"}')).toEqual([
      { name: 'role', op: '=', value: 'db' },
      { name: 'site', op: '!=', value: 'lviv' },
    ])
    expect(parseMatchers('a="say \\"x\\""')).toEqual([{ name: 'a', op: '=', value: 'say "x"' }])
    for (const bad of ['role', 'role=', 'role=db', '{role="db"', 'role="db" site="x"', '="x"']) expect(parseMatchers(bad), bad).toBeNull()
  })

  it.each([
    ['role="db"', true],
    ['role=~"d."', true],
    ['role=~"d"', false],
    ['rack=""', true],
    ['rack!=""', false],
    ['instance=~"db-.*", role!~"web|app"', true],
    ['role="db", site="lviv"', false],
    ['role=~"("', null],
  ])('%s: %s', (text, expected) => {
    expect(fits(parseMatchers(text)!, 'db-1', { role: 'db', site: 'kyiv' })).toBe(expected)
  })

  it('take a label and give it back', () => {
    const one = toggleMatcher('', 'role', 'db')
    expect(one).toBe('role="db"')
    expect(toggleMatcher(one, 'role', 'web')).toBe('role="web"')
    expect(toggleMatcher(toggleMatcher(one, 'site', 'k"v'), 'role', 'db')).toBe('site="k\\"v"')
    expect(toggleMatcher('broken', 'role', 'db')).toBe('broken')
  })
})
