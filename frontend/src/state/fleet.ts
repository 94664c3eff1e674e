/** The hosts: their facts change rarely and are a signal; their cells change each second and are
 * one byte array that the map and the table read by hand. */
import { computed, signal } from '@preact/signals'
import { apply, CELLS, STATES, UNKNOWN, type FleetFrame } from '../api/frame'
import { get } from '../api/client'
import type { HostColumns } from '../api/live'
import type { Host, State } from '../api/types'

/** What every page may know of any host. */
export type KnownHost = Pick<Host, 'name' | 'labels' | 'os' | 'state'>

export const hosts = signal<KnownHost[] | null>(null)
/** Hosts × 6: state, cpu, memory, space, disk, network. Replaced when the hosts change. */
export let cells = new Uint8Array(0)
export const METRICS = ['cpu', 'memory', 'space', 'disk', 'network'] as const

export interface Counts {
  normal: number
  warning: number
  critical: number
  silent: number
  unknown: number
}

export const counts = signal<Counts>({ normal: 0, warning: 0, critical: 0, silent: 0, unknown: 0 })

/** The hosts with their states of now. */
export const standing = computed<KnownHost[]>(() => {
  void counts.value // changes with the states, hardly ever otherwise
  return (hosts.value ?? []).map((host, index) => ({ ...host, state: stateOf(index) }))
})

export const byName = computed(() => new Map((hosts.value ?? []).map((host, index) => [host.name, index])))

let revision = -1
const watchers = new Set<() => void>()

/** Calls `tick` after each second's cells have been written. */
export function watch(tick: () => void): () => void {
  watchers.add(tick)
  return () => watchers.delete(tick)
}

export function stateOf(index: number): State {
  return STATES[cells[index * CELLS]] ?? 'unknown'
}

/** Hosts out of the columns of the live channel. */
export function hostsOf({ names, labels, os }: HostColumns): KnownHost[] {
  const columns = Object.entries(labels)
  return names.map((name, i) => {
    const mine: Record<string, string> = {}
    for (const [label, { values, at }] of columns) if (at[i] >= 0) mine[label] = values[at[i]]
    return { name, labels: mine, os: os.values[os.at[i]] ?? '', state: 'unknown' }
  })
}

export function setHosts(list: KnownHost[], at: number): void {
  const next = new Uint8Array(list.length * CELLS).fill(UNKNOWN)
  const old = byName.peek()
  list.forEach((host, index) => {
    const before = old.get(host.name)
    if (before !== undefined) next.set(cells.subarray(before * CELLS, before * CELLS + CELLS), index * CELLS)
    next[index * CELLS] = Math.max(0, STATES.indexOf(host.state))
  })
  cells = next
  revision = at
  hosts.value = list
  count()
}

export function applyFrame(frame: FleetFrame): void {
  if (frame.revision !== revision || !apply(frame, cells)) return
  count()
  for (const tick of watchers) tick()
}

function count(): void {
  const sum = [0, 0, 0, 0, 0]
  for (let i = 0; i < cells.length; i += CELLS) sum[Math.min(cells[i], 4)]++
  const now = counts.peek()
  if (STATES.some((state, i) => now[state] !== sum[i])) {
    counts.value = { normal: sum[0], warning: sum[1], critical: sum[2], silent: sum[3], unknown: sum[4] }
  }
}

/** For the pages without a fleet subscription. */
export async function loadHosts(): Promise<void> {
  setHosts((await get<{ hosts: Host[] }>('/hosts')).hosts, -1)
}

/** From worst to best: who needs someone comes first. */
export const URGENCY: Record<State, number> = { critical: 0, warning: 1, silent: 2, unknown: 3, normal: 4 }

const collator = new Intl.Collator('en', { numeric: true })
export const compareNames = (a: string, b: string): number => collator.compare(a, b)

/** Each host's place by name, and by site, role and name: compared once for a list, not at each sort. */
const ranks = new WeakMap<KnownHost[], { name: Int32Array; place: Int32Array }>()

function ranksOf(list: KnownHost[]): { name: Int32Array; place: Int32Array } {
  const known = ranks.get(list)
  if (known) return known
  const rank = (compare: (a: number, b: number) => number): Int32Array => {
    const places = new Int32Array(list.length)
    list.map((_, i) => i).sort(compare).forEach((host, at) => (places[host] = at))
    return places
  }
  const name = rank((a, b) => compareNames(list[a].name, list[b].name))
  const text = (i: number, label: string): string => list[i].labels[label] ?? '\uffff'
  const place = rank((a, b) => compareTexts(text(a, 'site'), text(b, 'site')) || compareTexts(text(a, 'role'), text(b, 'role')) || name[a] - name[b])
  const made = { name, place }
  ranks.set(list, made)
  return made
}

const compareTexts = (a: string, b: string): number => (a === b ? 0 : compareNames(a, b))

export type Sort = 'state' | 'name' | (typeof METRICS)[number]

/** The hosts' indices that match every word of `filter`, in the order of `sort`. */
export function select(list: KnownHost[], filter: string, sort: Sort, state: (index: number) => State, cell: (index: number, metric: number) => number, word: (state: State) => string): number[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const found: number[] = []
  list.forEach((host, index) => {
    if (words.length > 0) {
      const text = [host.name, ...Object.values(host.labels), state(index), word(state(index)), host.os ?? ''].join('\n').toLowerCase()
      if (!words.every((w) => text.includes(w))) return
    }
    found.push(index)
  })
  const metric = METRICS.indexOf(sort as (typeof METRICS)[number])
  const known = (i: number): number => {
    const value = cell(i, metric + 1)
    return value === UNKNOWN ? -1 : value
  }
  const { name, place } = ranksOf(list)
  return found.sort((a, b) => {
    if (metric >= 0) {
      const by = known(b) - known(a)
      if (by !== 0) return by
    } else if (sort === 'state') {
      return URGENCY[state(a)] - URGENCY[state(b)] || place[a] - place[b]
    }
    return name[a] - name[b]
  })
}
