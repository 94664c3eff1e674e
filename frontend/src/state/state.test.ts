import { describe, expect, it } from 'vitest'
import { turn } from './walk'
import { UNKNOWN } from '../api/frame'
import type { ChartPlan, Host, Incident, IncidentAlert, State } from '../api/types'
import { exprFor, lines, plansFor } from '../parts/evidence'
import { matchersOf } from '../parts/matchers'
import { place, unaffected } from '../parts/place'
import { keyName, type Press } from '../shell/keyname'
import { rank } from '../shell/rank'
import { select } from './fleet'
import { order } from './incidents'
import { hostPath, parse } from './paths'

function host(name: string, site: string, role: string, state: State = 'normal'): Host {
  return {
    name, state, connected: true, behind_s: 0, complete_ratio: 1, labels: { site, role }, agent_version: '', os: 'Debian 12',
    cores: 1, memory_bytes: 1, first_seen: 0, last_seen: 0,
  }
}

const HOSTS = [host('web-10', 'kyiv', 'web'), host('web-2', 'kyiv', 'web', 'critical'), host('db-1', 'lviv', 'db', 'silent'), host('db-2', 'lviv', 'db')]
const state = (i: number): State => HOSTS[i].state
const names = (found: number[]): string[] => found.map((i) => HOSTS[i].name)

describe('the list of hosts', () => {
  it('begins with the worst, then goes by place and name', () => {
    expect(names(select(HOSTS, '', 'state', state, () => 0, String))).toEqual(['web-2', 'db-1', 'web-10', 'db-2'])
    expect(names(select(HOSTS, '', 'name', state, () => 0, String))).toEqual(['db-1', 'db-2', 'web-2', 'web-10'])
  })

  it('sorts by a metric, unknown last', () => {
    const cpu = [50, 90, UNKNOWN, 70]
    expect(names(select(HOSTS, '', 'cpu', state, (i) => cpu[i], String))).toEqual(['web-2', 'db-2', 'web-10', 'db-1'])
  })

  it('is filtered by every word: name, site, role, state in both languages', () => {
    const find = (q: string): string[] => names(select(HOSTS, q, 'name', state, () => 0, (s) => (s === 'silent' ? 'Мовчить' : s)))
    expect(find('lviv db')).toEqual(['db-1', 'db-2'])
    expect(find('мовчить')).toEqual(['db-1'])
    expect(find('critical')).toEqual(['web-2'])
    expect(find('lviv web')).toEqual([])
  })
})

describe('incidents', () => {
  const incident = (id: number, severity: Incident['severity'], s: Incident['state'], began: number): Incident =>
    ({ id, severity, state: s, began_at: began }) as Incident
  it('come with those that wait for someone first, then the worse, then the newer', () => {
    const list = [incident(1, 'critical', 'acknowledged', 9), incident(2, 'warning', 'open', 5), incident(3, 'warning', 'open', 6), incident(4, 'critical', 'open', 1)]
    expect(order(list).map((i) => i.id)).toEqual([4, 3, 2, 1])
  })

  it('say where they are and where not', () => {
    const hosts = [...HOSTS, host('db-3', 'odesa', 'db')]
    expect(place(['db-1'], hosts)).toEqual({ shared: ['lviv', 'db'], total: 2, rest: 1, restNormal: 1, elsewhere: ['kyiv', 'odesa'] })
    expect(place(['web-2', 'db-1'], hosts)).toMatchObject({ shared: [], total: 5, rest: 3, restNormal: 3, elsewhere: ['odesa'] })
    expect(place(['gone'], hosts)).toMatchObject({ total: 0, rest: 0 })
  })

  it('are compared with a host that is alike and well', () => {
    expect(unaffected(['db-1'], HOSTS)?.name).toBe('db-2')
    expect(unaffected(['web-2'], HOSTS)?.name).toBe('web-10')
    expect(unaffected(['db-1'], [HOSTS[2]])).toBeNull()
  })
})

describe('evidence', () => {
  const plan = (id: string, ...exprs: string[]): ChartPlan => ({
    id, group: '', title: id, unit: '', series: exprs.map((expr, i) => ({ id: `${id}.${i}`, legend: '{{device}}', expr })),
  })
  const plans = [plan('cpu', 'rate(node_cpu_seconds_total{instance=$instance}[$window])'), plan('space', 'node_filesystem_avail_bytes{instance=$instance} / node_filesystem_size_bytes{instance=$instance}')]

  it('are the charts that draw what the rule asks', () => {
    expect(plansFor(['node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1'], plans, 2).map((p) => p.id)).toEqual(['space'])
    expect(plansFor(['up == 0'], plans, 2)).toEqual([])
  })

  it('quote the host and give rates a window', () => {
    expect(exprFor(plans[0].series[0], 'a"b', 30)).toBe('rate(node_cpu_seconds_total{instance="a\\"b"}[30000ms])')
    expect(exprFor(plans[0].series[0], 'a', 1)).toContain('[5000ms]')
  })

  it('lie on the grid, with gaps where nothing came', () => {
    const found = lines('x', plans[0].series[0], { result: [{ metric: { device: 'sda' }, values: [[100, '1'], [104, 'NaN'], [106, '3']] }] }, 100, 2, 4)
    expect(found).toEqual([{ chart: 'x', legend: 'sda', labels: { device: 'sda' }, values: [1, null, null, 3] }])
  })
})

describe('a silence from an incident', () => {
  const alert = (alertname: string, instance: string, more: Record<string, string> = {}, state = 'firing'): Pick<IncidentAlert, 'name' | 'state' | 'labels'> => ({
    name: alertname, state, labels: { alertname, ...(instance && { instance }), ...more },
  })
  it('fits its rules and hosts, and only those that still fire', () => {
    expect(matchersOf([alert('Slow', 'db-1')])).toBe('alertname="Slow", instance="db-1"')
    expect(matchersOf([alert('Slow', 'db.2'), alert('Slow', 'db-1'), alert('Full', 'web-1', {}, 'resolved')])).toBe('alertname="Slow", instance=~"db-1|db\\\\.2"')
  })

  it('falls back to what all its alerts share where the hosts cannot be named', () => {
    expect(matchersOf([alert('A', '', { site: 'x' }), alert('B', '', { site: 'x', role: 'db' })])).toBe('alertname=~"A|B", site="x"')
    const many = Array.from({ length: 90 }, (_, i) => alert('Slow', `database-${i}`, { role: 'db' }))
    expect(matchersOf(many)).toBe('alertname="Slow", role="db"')
  })

  it('quotes what would end a value', () => {
    expect(matchersOf([alert('Say "hi"\\', 'a')])).toBe('alertname="Say \\"hi\\"\\\\", instance="a"')
  })
})

describe('addresses', () => {
  it.each([
    ['/', 'fleet', ''], ['/fleet', 'fleet', ''], ['/sign-in', 'fleet', ''], ['/host/db%2F1', 'host', 'db/1'], ['/host/', 'missing', '/host/'],
    ['/incident/7', 'incident', '7'], ['/audit', 'access', 'audit'], ['/settings', 'settings', 'hosts'], ['/silences', 'silences', ''], ['/rules', 'rules', ''], ['/explore', 'explore', ''], ['/elsewhere', 'missing', '/elsewhere'],
  ])('%s', (path, page, what) => {
    expect(parse(path)).toEqual({ page, what })
  })

  it('come back to the host they were made for', () => {
    for (const name of ['web-1', 'a b', 'x/y?z#', 'сервер']) expect(parse(new URL(hostPath(name), 'http://x').pathname)).toEqual({ page: 'host', what: name })
  })
})

describe('keys', () => {
  const press = (key: string, code: string, more: Partial<Press> = {}): Press => ({ key, code, ctrlKey: false, metaKey: false, shiftKey: false, ...more })
  it.each<[Press, boolean, string]>([
    [press('k', 'KeyK', { ctrlKey: true }), false, 'Ctrl k'],
    [press('л', 'KeyK', { metaKey: true }), false, 'Ctrl k'],
    [press('f', 'KeyF'), true, 'g f'],
    [press('а', 'KeyF'), true, 'g f'],
    [press('D', 'KeyD', { shiftKey: true }), false, 'D'],
    [press('В', 'KeyD', { shiftKey: true }), false, 'D'],
    [press('?', 'Slash', { shiftKey: true }), false, '?'],
    [press('.', 'Slash'), false, '/'],
    [press('?', 'Slash'), false, '?'],
    [press('.', 'Period'), false, '.'],
    [press('ю', 'Period'), false, '.'],
    [press('ї', 'BracketRight'), false, ']'],
    [press(' ', 'Space'), false, 'Space'],
    [press('+', 'Equal', { shiftKey: true }), false, '+'],
  ])('%j', (event, led, name) => {
    expect(keyName(event, led)).toBe(name)
  })
})

describe('the palette', () => {
  const items = ['web-kyv-01', 'db-lviv-07', 'lviv-gate'].map((text) => ({ text, aside: text.includes('db') ? 'lviv · db' : '' }))
  it('puts beginnings before middles and needs every word', () => {
    expect(rank(items, 'lviv').map((i) => i.text)).toEqual(['lviv-gate', 'db-lviv-07'])
    expect(rank(items, 'lviv db').map((i) => i.text)).toEqual(['db-lviv-07'])
    expect(rank(items, '')).toHaveLength(3)
    const same = [{ text: 'vm: disk full', aside: '' }, { text: 'vm', aside: '' }]
    expect(rank(same, 'vm')[0].text).toBe('vm')
  })
})

describe('a wallboard', () => {
  it.each([
    [['expected', 'waiting', 'expected'], 0, 1],
    [['expected', 'waiting', 'expected'], 2, 0],
    [['expected', 'odd', 'expected', 'unknown'], 0, 1],
    [['expected', 'odd', 'expected', 'unknown'], 1, 3],
    [['expected', 'odd', 'expected'], 1, 1],
    [[], 0, 0],
  ])('%s at %d turns to %d', (states, at, next) => {
    expect(turn(states, at)).toBe(next)
  })
})
