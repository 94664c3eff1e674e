import { describe, expect, it } from 'vitest'
import { bodyOf, GATE_KINDS, gateDocument, gateRow, newDraft, newGate, parameterValues, policyDocument, policyRow, ratio, usualWaves, waveDocument, waveRow, type Document } from './draft'

describe('waves', () => {
  it.each<Document>([
    { name: 'a', bake_s: 600, count: 3 },
    { name: 'b', bake_s: 90, percent: 12.5, max_in_flight: 4 },
    { name: 'c', bake_s: 0, hosts: ['db-1', 'db-2'] },
    { name: 'd', bake_s: 60, selector: 'role="db"', count: 2 },
    { name: 'e', bake_s: 1, bake_least_s: 0 },
  ])('come out of the form as they went in: %o', (given) => {
    expect(waveDocument(waveRow(given))).toEqual(given)
  })

  it('lose what the server fills in with nothing', () => {
    const filled = { name: 'a', hosts: [], selector: '', count: 1, percent: null, bake_s: 600, bake_least_s: null, max_in_flight: null }
    expect(waveDocument(waveRow(filled))).toEqual({ name: 'a', count: 1, bake_s: 600 })
  })

  it('read names with commas or spaces', () => {
    expect(waveDocument({ ...usualWaves()[0], by: 'hosts', amount: ' db-1,db-2  db-3 ' }).hosts).toEqual(['db-1', 'db-2', 'db-3'])
  })
})

describe('gates', () => {
  it.each<Document>([
    { kind: 'proof', failures_max: 2, tolerated: 0.029 },
    { kind: 'promql', name: 'errors', expr: 'sum(up)', op: '>=', threshold: 0, window_s: 60, waves: ['canary'], shadow: true, on_fail: 'hold', on_no_evidence: 'fail' },
    { kind: 'canary', expr: 'x', tolerance: 0.07, direction: 'both', alpha: 0.01, window_s: 300 },
    { kind: 'budget', objective: 0.9995, remaining: 0.2 },
    { kind: 'webhook', url: 'https://gate.example' },
  ])('come out of the form as they went in: %o', (given) => {
    expect(gateDocument(gateRow(given))).toEqual(given)
  })

  it('have their usual values where nobody typed any', () => {
    expect(gateDocument(newGate('proof'))).toEqual({ kind: 'proof', failures_max: 0, tolerated: 0.02 })
    for (const kind of GATE_KINDS) expect(gateDocument(newGate(kind)).kind).toBe(kind)
  })

  it('have shares without noise', () => {
    for (let i = 0; i <= 1000; i++) expect(ratio(String(i / 10))).toBe(Number((i / 1000).toFixed(3)))
  })
})

describe('policy', () => {
  it.each<Document>([
    { pace: true, late: 'follow' },
    { pace: false, late: 'leave', max_in_flight: 5, max_unavailable: 0.07, one_per: ['zone'], jitter_s: 0, watch_s: 30, approvals: { count: 2, role: 'admin' }, dry_run: true, forced: true },
    { pace: true, late: 'follow', max_unavailable: 3 },
  ])('comes out of the form as it went in: %o', (given) => {
    expect(policyDocument(policyRow(given))).toEqual(given)
  })
})

describe('a draft', () => {
  it('sends parameters by their types, and only those that were given', () => {
    const asked = [{ name: 'unit', type: 'text' }, { name: 'times', type: 'whole' }, { name: 'force', type: 'flag' }, { name: 'mode', type: 'choice' }] as const
    expect(parameterValues(asked, { unit: 'a b', times: '3', force: 'false', mode: '' })).toEqual({ unit: 'a b', times: 3, force: false })
  })

  it('of rules names no hosts', () => {
    const draft = { ...newDraft('rules', 'rules/x/1/x', 'ops'), selector: 'role="db"', links: ' https://a\nhttps://b ' }
    expect(bodyOf(draft, [])).toMatchObject({ kind: 'rules', selector: '', links: ['https://a', 'https://b'], owner: 'ops', mends: null })
  })
})
