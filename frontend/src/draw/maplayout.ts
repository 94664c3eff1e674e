/** Where each host's tile lies on the fleet map. Pure: hosts and a width in, places out.
 *
 * Sites are rows and roles are columns that line up across sites, so that the map reads as a matrix.
 * A fleet without sites or roles simply has fewer rows or columns; a small fleet gets its names. */
import { compareNames, type KnownHost } from '../state/fleet'

export interface Label {
  text: string
  x: number
  y: number
  /** A second, quieter text: below it on a wide map, beside it on a narrow one. */
  count?: number
  beside?: boolean
}

export interface MapLayout {
  width: number
  height: number
  /** Side of a tile, and from one tile to the next, in pixels. */
  tile: number
  pitch: number
  /** Left upper corner of each host's tile: x, y by host. */
  places: Float32Array
  sites: Label[]
  roles: Label[]
  /** A small fleet: each tile has its host's name beside it, cells are this wide. */
  named: number
}

export const WIDE_FROM = 560
/** Fleets up to this size are shown with names. */
export const NAMED_TO = 40

const PITCHES = [24, 22, 20, 18, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6]
const SITE_LABEL = 100
const COLUMN_GAP = 16
const COLUMN_GAP_NARROW = 10
const PITCH_NARROW = 12
/** On a phone a fleet up to this size has large tiles. */
const ROOMY_TO = 150
const ROW_GAP = 16
const HEADING = 24
/** A letter of a heading, roughly. */
const HEADING_LETTER = 6.2
const NAMED_PITCH = 26
const NAMED_CELL = 168
const LEAST_ROW = 34

interface Group {
  site: string
  roles: Map<string, number[]>
  count: number
}

export function layoutMap(hosts: readonly KnownHost[], width: number): MapLayout {
  const wide = width >= WIDE_FROM
  const bySite = hosts.some((h) => h.labels.site)
  const { groups, roles } = group(hosts)
  if (hosts.length <= NAMED_TO) return layNamed(hosts, groups, bySite, width, wide)
  const left = wide && bySite ? SITE_LABEL : 0
  const most = hosts.length > 1500 ? 620 : 364
  let best: Plan | null = null
  for (const pitch of PITCHES) {
    if (!wide && pitch > PITCH_NARROW && hosts.length > ROOMY_TO) continue
    const plan = fit(groups, roles, width - left, pitch, wide) ?? fit(groups.map(merge), [''], width - left, pitch, wide)
    if (!plan) continue
    best = plan
    if (tall(plan, wide, bySite) <= (wide ? most : Infinity)) break
  }
  if (!best) throw new Error('one column of the smallest tiles fits any width')
  return lay(best, hosts.length, width, left, wide, bySite)
}

function group(hosts: readonly KnownHost[]): { groups: Group[]; roles: string[] } {
  const sites = new Map<string, Group>()
  const sizes = new Map<string, number>()
  hosts.forEach((host, index) => {
    const site = host.labels.site ?? ''
    const role = host.labels.role ?? ''
    let g = sites.get(site)
    if (!g) sites.set(site, (g = { site, roles: new Map(), count: 0 }))
    const list = g.roles.get(role)
    if (list) list.push(index)
    else g.roles.set(role, [index])
    g.count++
    sizes.set(role, (sizes.get(role) ?? 0) + 1)
  })
  const groups = [...sites.values()].sort((a, b) => Number(a.site === '') - Number(b.site === '') || b.count - a.count || compareNames(a.site, b.site))
  for (const g of groups) for (const list of g.roles.values()) list.sort((a, b) => compareNames(hosts[a].name, hosts[b].name))
  const roles = [...sizes.keys()].sort((a, b) => Number(a === '') - Number(b === '') || sizes.get(b)! - sizes.get(a)! || compareNames(a, b))
  return { groups, roles }
}

function merge(g: Group): Group {
  return { ...g, roles: new Map([['', [...g.roles.values()].flat()]]) }
}

const gapOf = (wide: boolean): number => (wide ? COLUMN_GAP : COLUMN_GAP_NARROW)

interface Plan {
  groups: Group[]
  roles: string[]
  columns: number[]
  rows: number[]
  pitch: number
}

/** The flattest plan that is not wider than `width`: fewest rows, so that columns are even. */
function fit(groups: Group[], roles: string[], width: number, pitch: number, wide: boolean): Plan | null {
  const room = Math.floor((width - gapOf(wide) * (roles.length - 1)) / pitch)
  if (room < roles.length) return null
  const largest = roles.map((role) => Math.max(...groups.map((g) => g.roles.get(role)?.length ?? 0)))
  let rows = 1
  while (largest.reduce((sum, n) => sum + Math.ceil(n / rows), 0) > room) rows++
  const columns = largest.map((n) => Math.ceil(n / rows))
  return {
    groups,
    roles,
    columns,
    pitch,
    rows: groups.map((g) => Math.max(...roles.map((role, r) => Math.ceil((g.roles.get(role)?.length ?? 0) / columns[r])))),
  }
}

function tall(plan: Plan, wide: boolean, bySite: boolean): number {
  return plan.rows.reduce((sum, rows) => sum + rowHeight(rows, plan.pitch, wide, bySite) + ROW_GAP, 0)
}

function rowHeight(rows: number, pitch: number, wide: boolean, bySite: boolean): number {
  const tiles = rows * pitch
  if (!bySite) return tiles
  return wide ? Math.max(tiles, LEAST_ROW) : tiles + HEADING
}

function lay(plan: Plan, count: number, width: number, left: number, wide: boolean, bySite: boolean): MapLayout {
  const { pitch, roles, columns } = plan
  const places = new Float32Array(count * 2)
  const headed = wide && roles.some((r) => r !== '')
  const gap = gapOf(wide)
  const tight = columns.map((n) => n * pitch)
  // Room for the headings, if there is room.
  const roomy = columns.map((n, r) => Math.max(n * pitch, roles[r].length * HEADING_LETTER))
  const total = (widths: readonly number[]): number => widths.reduce((a, b) => a + b + gap, -gap)
  const widths = headed && total(roomy) <= width - left ? roomy : tight
  const x0: number[] = []
  let x = left
  for (const w of widths) {
    x0.push(x)
    x += w + gap
  }
  const sites: Label[] = []
  let y = headed ? HEADING : 0
  plan.groups.forEach((g, s) => {
    const top = !wide && bySite ? y + HEADING : y
    if (bySite) {
      sites.push({ text: g.site, count: g.count, x: 0, y: wide ? y : y + 2, beside: !wide })
    }
    roles.forEach((role, r) => {
      const list = g.roles.get(role)
      if (!list) return
      // Column by column: the ragged end is one short last column.
      const deep = Math.min(plan.rows[s], Math.ceil(list.length / columns[r]))
      list.forEach((host, i) => {
        places[host * 2] = x0[r] + Math.floor(i / deep) * pitch
        places[host * 2 + 1] = top + (i % deep) * pitch
      })
    })
    y += rowHeight(plan.rows[s], pitch, wide, bySite) + ROW_GAP
  })
  const between = pitch >= 15 ? 4 : pitch >= 11 ? 3 : pitch >= 8 ? 2 : 1
  return {
    width,
    height: Math.max(0, y - ROW_GAP),
    tile: Math.min(21, pitch - between),
    pitch,
    places,
    sites,
    roles: headed ? roles.map((text, r) => ({ text, x: x0[r], y: 0 })) : [],
    named: 0,
  }
}

function layNamed(hosts: readonly KnownHost[], groups: Group[], bySite: boolean, width: number, wide: boolean): MapLayout {
  const left = wide && bySite ? SITE_LABEL : 0
  const across = Math.max(1, Math.floor((width - left) / NAMED_CELL))
  const cell = Math.floor((width - left) / Math.max(across, 1))
  const places = new Float32Array(hosts.length * 2)
  const sites: Label[] = []
  let y = 0
  for (const g of groups) {
    const list = [...g.roles.values()].flat()
    const deep = Math.ceil(list.length / across)
    const top = !wide && bySite ? y + HEADING : y
    if (bySite) sites.push({ text: g.site, count: g.count, x: 0, y: wide ? y : y + 2, beside: !wide })
    list.forEach((host, i) => {
      places[host * 2] = left + (i % across) * Math.min(cell, NAMED_CELL + 40)
      places[host * 2 + 1] = top + Math.floor(i / across) * NAMED_PITCH + 3
    })
    y = top + Math.max(deep * NAMED_PITCH, wide && bySite ? LEAST_ROW : 0) + (bySite ? ROW_GAP : 0)
  }
  return {
    width,
    height: Math.max(NAMED_PITCH, bySite ? y - ROW_GAP : y),
    tile: 14,
    pitch: NAMED_PITCH,
    places,
    sites,
    roles: [],
    named: Math.min(cell, NAMED_CELL + 40),
  }
}

/** The host whose tile (or the gap around it) is under the point, or -1. */
export function hostAt(map: MapLayout, x: number, y: number): number {
  const reachX = map.named || map.pitch
  const reachY = map.pitch
  for (let i = 0; i < map.places.length; i += 2) {
    const dx = x - map.places[i] + 1
    const dy = y - map.places[i + 1] + (map.named ? 4 : 1)
    if (dx >= 0 && dx < reachX && dy >= 0 && dy < reachY) return i / 2
  }
  return -1
}

/** The nearest host from `from` in a direction; `from` itself when there is none. */
export function neighbour(map: MapLayout, from: number, dx: number, dy: number): number {
  const x = map.places[from * 2]
  const y = map.places[from * 2 + 1]
  let best = from
  let least = Infinity
  for (let i = 0; i < map.places.length / 2; i++) {
    const ahead = (map.places[i * 2] - x) * dx + (map.places[i * 2 + 1] - y) * dy
    if (ahead <= 0) continue
    const aside = Math.abs((map.places[i * 2] - x) * dy) + Math.abs((map.places[i * 2 + 1] - y) * dx)
    const cost = ahead + aside * 4
    if (cost < least) {
      least = cost
      best = i
    }
  }
  return best
}
