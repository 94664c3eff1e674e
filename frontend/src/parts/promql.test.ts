import { describe, expect, it } from 'vitest'
import { faultAt, figure, hints, seriesName, shortNames, typed } from './promql'
import { evaluated, standing, type RuleRow } from './rulestate'

const at = (text: string): ReturnType<typeof typed> => typed(text.replace('|', ''), text.indexOf('|'))

describe('what is being typed', () => {
  it.each([
    ['rate(node_c|', 'metric', '', 'node_c'],
    ['up{inst|', 'label', '', 'inst'],
    ['up{job="node", instance=~"db-|"}', 'value', 'instance', 'db-'],
    ['up{job="node"} + vez|', 'metric', '', 'vez'],
    ['sum by (inst|) (up)', 'label', '', 'inst'],
  ])('%s', (text, kind, label, word) => {
    expect(at(text)).toMatchObject({ kind, label, word })
  })

  it('is nothing inside other strings and between words', () => {
    expect(at('label_replace(up, "to|')).toBeNull()
    expect(at('up |')).toBeNull()
  })

  it('is completed by beginnings first, and not by itself', () => {
    expect(hints(['node_up', 'up', 'up_time'], 'up', 5)).toEqual(['up_time', 'node_up'])
    expect(hints(['a1', 'a2', 'a3'], 'a', 2)).toEqual(['a1', 'a2'])
  })
})

describe('a fault', () => {
  const marked = (text: string, said: string): string | null => {
    const fault = faultAt(text, said)
    return fault && text.slice(fault.from, fault.to)
  }
  it('is underlined where the server points, counted in bytes', () => {
    expect(marked('sum(foo bar)', 'invalid parameter "query": 1:9: parse error: unexpected identifier')).toBe('bar')
    expect(marked('up{a="є"} !', '1:12: parse error: unexpected character')).toBe('!')
    expect(marked('up +\n  )', '2:3: parse error: unexpected )')).toBe(')')
  })
  it('at the end is the last sign; without a position there is none', () => {
    expect(marked('sum(up', '1:7: parse error: unclosed left parenthesis')).toBe('p')
    expect(marked('up', 'the query took too long')).toBeNull()
    expect(marked('up', '7:1: parse error: x')).toBeNull()
  })
})

describe('series', () => {
  it('are called as they are written', () => {
    expect(seriesName({ __name__: 'up', job: 'a"b' })).toBe('up{job="a\\"b"}')
    expect(seriesName({ __name__: 'up' })).toBe('up')
    expect(seriesName({})).toBe('{}')
  })
  it('are told apart by what differs', () => {
    expect(shortNames([{ __name__: 'up', i: 'a' }, { __name__: 'up', i: 'b' }])).toEqual(['a', 'b'])
    expect(shortNames([{ i: 'a' }])).toEqual(['{i="a"}'])
  })
})

describe('a value in the table', () => {
  it.each([
    ['0.08905172413656626', '0.0890517'],
    ['1234.567890123', '1,234.57'],
    ['-0.0000123456789', '-0.0000123457'],
    ['1795814838', '1795814838'],
    ['0.5', '0.5'],
    ['NaN', 'NaN'],
    ['+Inf', '+Inf'],
    ['1e-300', '1e-300'],
  ])('%s is read as %s', (value, wanted) => expect(figure(value)).toBe(wanted))
})

describe('a rule', () => {
  const rule = (more: Partial<RuleRow>): RuleRow => ({ name: 'r', query: 'up', type: 'alerting', health: 'ok', evaluationTime: 0, lastEvaluation: '2026-11-23T06:00:00Z', ...more })
  it('stands as it does', () => {
    expect(standing(rule({ health: 'err', state: 'firing' }))).toBe('failing')
    expect(standing(rule({ state: 'pending' }))).toBe('pending')
    expect(standing(rule({ state: 'inactive' }))).toBe('quiet')
    expect(standing(rule({ lastEvaluation: '0001-01-01T00:00:00Z' }))).toBe('unknown')
  })
  it('was evaluated at a moment, or never', () => {
    expect(evaluated('1970-01-01T00:01:00Z')).toBe(60)
    expect(evaluated('0001-01-01T00:00:00Z')).toBeNull()
  })
})
