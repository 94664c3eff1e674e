import { describe, expect, it } from 'vitest'
import type { ChartPlan, Host } from '../api/types'
import { Board, newest, strongest } from './board'
import { hostAt, layoutMap, neighbour, NAMED_TO } from './maplayout'
import { nextTop, roundUp } from './scale'
import { formatSpan, limit, neighbourPreset, parseSpan, stepFor, ticks } from './span'

const plan = (id: string): ChartPlan => ({ id, group: 'g', title: id, unit: '', series: [] })

function board(count = 5): Board {
  const made = new Board([plan('cpu'), plan('disk')])
  made.load({
    start: 100,
    step: 1,
    count,
    series: [
      { chart: 'cpu', legend: 'a', values: [1, 2, null, 4, 5].slice(0, count) },
      { chart: 'gone', legend: 'x', values: [] },
    ],
  })
  made.follow([{ chart: 'cpu', legend: 'a' }])
  return made
}

const values = (b: Board): (number | null)[] => b.charts[0].columns[0].values

describe('board', () => {
  it('moves on by a second with each frame', () => {
    const b = board()
    b.append(105.2, new Float32Array([6]))
    expect(b.times).toEqual([101, 102, 103, 104, 105])
    expect(values(b)).toEqual([2, null, 4, 5, 6])
  })

  it('keeps seconds that never came as gaps', () => {
    const b = board()
    b.append(107, new Float32Array([8]))
    expect(values(b)).toEqual([4, 5, null, null, 8])
  })

  it('does not take a tick that slid over a second for a gap', () => {
    const b = board()
    b.append(104.99, new Float32Array([5]))
    b.append(106.01, new Float32Array([7]))
    expect(values(b)).toEqual([null, 4, 5, 7, 7])
  })

  it('writes a gap for NaN and does not erase a coarse step by one', () => {
    const b = board()
    b.append(105, new Float32Array([NaN]))
    expect(values(b).at(-1)).toBeNull()
    const coarse = new Board([plan('cpu')])
    coarse.load({ start: 0, step: 60, count: 2, series: [{ chart: 'cpu', legend: 'a', values: [1, 2] }] })
    coarse.follow([{ chart: 'cpu', legend: 'a' }])
    coarse.append(121, new Float32Array([3]))
    coarse.append(122, new Float32Array([NaN]))
    expect(coarse.charts[0].columns[0].values).toEqual([2, 3])
  })

  it('starts anew after a silence longer than the window', () => {
    const b = board()
    b.append(1000, new Float32Array([1]))
    expect(b.times.at(-1)).toBe(1000)
    expect(values(b)).toEqual([null, null, null, null, 1])
  })

  it('writes a late frame into its own second', () => {
    const b = board()
    b.append(102, new Float32Array([3]))
    expect(values(b)).toEqual([1, 2, 3, 4, 5])
  })

  it('tells when a series appears that the history had not', () => {
    const b = board()
    expect(b.follow([{ chart: 'cpu', legend: 'a' }])).toBe(false)
    expect(b.follow([{ chart: 'cpu', legend: 'a' }, { chart: 'disk', legend: 'sda' }, { chart: 'unknown', legend: '' }])).toBe(true)
    b.append(105, new Float32Array([6, 7, 8]))
    expect(b.charts[1].columns[0].values).toEqual([null, null, null, null, 7])
  })

  it('knows the live order after another history', () => {
    const b = board()
    b.load({ start: 0, step: 1, count: 2, series: [{ chart: 'cpu', legend: 'a', values: [0, 0] }] })
    b.append(2, new Float32Array([9]))
    expect(values(b)).toEqual([0, 9])
  })

  it('finds slots only inside', () => {
    const b = board()
    expect([99, 100, 102.4, 104, 106].map((at) => b.slotAt(at))).toEqual([-1, 0, 2, 4, -1])
  })

  it('shows no value for what has been silent', () => {
    expect(newest([1, null, 3])).toBe(3)
    expect(newest([1, 3, null])).toBe(3)
    expect(newest([3, null, null])).toBeNull()
  })

  it('keeps the strongest lines in their order', () => {
    const columns = [3, 9, 1, 5].map((v) => ({ legend: String(v), values: [v] }))
    expect(strongest(columns, 2).map((c) => c.legend)).toEqual(['9', '5'])
  })
})

describe('axis', () => {
  it('ends at round numbers', () => {
    expect([0.034, 1, 1.2, 7, 84, 0].map(roundUp)).toEqual([0.04, 1, 1.5, 8, 100, 1])
  })

  it('grows at once and shrinks below 45 %', () => {
    let top = nextTop(0, 50)
    expect(top).toBe(60)
    top = nextTop(top, 61)
    expect(top).toBe(80)
    expect(nextTop(top, 37)).toBe(80)
    expect(nextTop(top, 35)).toBe(40)
  })

  it('stays where it is while there is nothing', () => {
    expect(nextTop(40, -Infinity)).toBe(40)
    expect(nextTop(0, 0)).toBe(1)
  })
})

describe('span', () => {
  it('reads and writes the address', () => {
    expect(parseSpan(null)).toEqual({ kind: 'live', seconds: 900 })
    expect(parseSpan('6h')).toEqual({ kind: 'live', seconds: 21600 })
    expect(parseSpan('1763870000-1763870900')).toEqual({ kind: 'fixed', from: 1763870000, to: 1763870900 })
    expect(parseSpan('nonsense')).toEqual({ kind: 'live', seconds: 900 })
    expect(formatSpan(parseSpan('15m'))).toBeNull()
    expect(formatSpan(parseSpan('7d'))).toBe('7d')
    expect(formatSpan(limit(1763870900, 1763870000))).toBe('1763870000-1763870900')
  })

  it('is never too short to see nor too long to fetch', () => {
    const short = limit(1000000000, 1000000001)
    expect(short.to - short.from).toBeGreaterThanOrEqual(30)
    const long = limit(0, 4e9)
    expect((long.to - long.from) / stepFor(long.to - long.from)).toBeLessThanOrEqual(900)
  })

  it('asks for no more points than a chart shows', () => {
    for (const [seconds, step] of [[900, 1], [3600, 5], [21600, 30], [86400, 120], [604800, 900]]) expect(stepFor(seconds)).toBe(step)
  })

  it('steps through the presets', () => {
    expect(neighbourPreset(900, 1)).toBe(3600)
    expect(neighbourPreset(900, -1)).toBe(900)
    expect(neighbourPreset(5000, -1)).toBe(3600)
    expect(neighbourPreset(604800, 1)).toBe(604800)
  })

  it('puts lines at whole local times that are not crowded', () => {
    const offset = 7200
    const found = ticks(1763870123, 1763871023, 280, offset)
    expect(found.every).toBe(300)
    expect(found.at.every((at) => (at + offset) % found.every === 0)).toBe(true)
    for (const length of [30, 900, 86400, 604800, 7776000]) {
      const { at } = ticks(1.7e9, 1.7e9 + length, 300, offset)
      expect(at.length).toBeLessThanOrEqual(Math.floor(300 / 76) + 1)
    }
  })
})

function host(name: string, labels: Record<string, string>): Host {
  return {
    name, state: 'normal', connected: true, behind_s: 0, complete_ratio: 1, labels, agent_version: '', os: '',
    cores: 1, memory_bytes: 1, first_seen: 0, last_seen: 0,
  }
}

function fleet(sites: number, roles: number, each: number): Host[] {
  const list: Host[] = []
  for (let s = 0; s < sites; s++) for (let r = 0; r < roles; r++) for (let i = 0; i < each; i++) list.push(host(`h${s}-${r}-${i}`, { site: `s${s}`, role: `r${r}` }))
  return list
}

/** Thousands of expectations: a machine that has other things to do needs a while. */
const SLOW_MS = 30_000

describe('map', () => {
  const cases: [string, Host[], number][] = [
    ['a matrix', fleet(5, 8, 25), 780],
    ['5,000 hosts', fleet(5, 8, 125), 780],
    ['a phone', fleet(5, 8, 25), 358],
    ['no labels', Array.from({ length: 200 }, (_, i) => host(`n${i}`, {})), 780],
    ['one host', [host('only', {})], 780],
    ['a small fleet with sites', fleet(2, 2, 4), 780],
    ['a small fleet on a phone', fleet(2, 2, 4), 320],
    ['more roles than columns', fleet(2, 90, 2), 600],
    ['many sites', fleet(60, 1, 3), 780],
    ['some without labels', [...fleet(2, 2, 20), host('x', {}), host('y', { site: 's0' })], 780],
  ]
  it.each(cases)('%s: every host has a place of its own inside the map', (_name, hosts, width) => {
    const map = layoutMap(hosts, width)
    const taken = new Set<string>()
    hosts.forEach((_, i) => {
      const [x, y] = [map.places[i * 2], map.places[i * 2 + 1]]
      expect(x).toBeGreaterThanOrEqual(0)
      expect(x + map.tile).toBeLessThanOrEqual(width)
      expect(y).toBeGreaterThanOrEqual(0)
      expect(y + map.tile).toBeLessThanOrEqual(map.height + 1)
      taken.add(`${x} ${y}`)
      expect(hostAt(map, x + map.tile / 2, y + map.tile / 2)).toBe(i)
    })
    expect(taken.size).toBe(hosts.length)
    expect(map.tile).toBeGreaterThanOrEqual(5)
    expect(map.tile).toBeLessThanOrEqual(21)
  }, SLOW_MS)

  it('lines roles up across sites', () => {
    const hosts = fleet(3, 4, 30)
    const map = layoutMap(hosts, 780)
    const lefts = new Map<string, Set<number>>()
    hosts.forEach((h, i) => {
      const key = `${h.labels.site} ${h.labels.role}`
      if (!lefts.has(key)) lefts.set(key, new Set())
      lefts.get(key)!.add(map.places[i * 2])
    })
    for (const role of ['r0', 'r1', 'r2', 'r3']) {
      const firsts = ['s0', 's1', 's2'].map((site) => Math.min(...lefts.get(`${site} ${role}`)!))
      expect(new Set(firsts).size).toBe(1)
    }
  })

  it('names the hosts of a small fleet only', () => {
    expect(layoutMap(fleet(1, 1, NAMED_TO), 780).named).toBeGreaterThan(0)
    expect(layoutMap(fleet(1, 1, NAMED_TO + 1), 780).named).toBe(0)
  })

  it('moves to the neighbour by arrows and back', () => {
    const map = layoutMap(fleet(2, 2, 60), 780)
    const right = neighbour(map, 0, 1, 0)
    expect(right).not.toBe(0)
    expect(neighbour(map, right, -1, 0)).toBe(0)
    expect(neighbour(map, 0, -1, 0)).toBe(0)
  })
})
