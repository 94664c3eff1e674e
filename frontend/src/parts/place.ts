/** Where an incident is, and where it is not. Pure. */
import type { KnownHost } from '../state/fleet'

export interface Place {
  /** What all affected hosts share: site, then role. */
  shared: string[]
  /** Hosts that share it, affected or not; 0 when the hosts are not known. */
  total: number
  /** Of those, how many are not affected, and how many of these are normal. */
  rest: number
  restNormal: number
  /** Sites without an affected host. */
  elsewhere: string[]
}

const SITES_SHOWN = 6

export function place(names: readonly string[], hosts: readonly KnownHost[]): Place {
  const hit = new Set(names)
  const found = hosts.filter((h) => hit.has(h.name))
  const shared = (['site', 'role'] as const).flatMap((label) => {
    const values = new Set(found.map((h) => h.labels[label] ?? ''))
    const only = values.size === 1 ? [...values][0] : ''
    return only === '' ? [] : [{ label, value: only }]
  })
  const alike = found.length === 0 ? [] : hosts.filter((h) => shared.every((s) => h.labels[s.label] === s.value))
  const rest = alike.filter((h) => !hit.has(h.name))
  const sites = new Set(hosts.map((h) => h.labels.site ?? '').filter(Boolean))
  for (const host of found) sites.delete(host.labels.site ?? '')
  return {
    shared: shared.map((s) => s.value),
    total: alike.length,
    rest: rest.length,
    restNormal: rest.filter((h) => h.state === 'normal').length,
    elsewhere: [...sites].sort().slice(0, SITES_SHOWN),
  }
}

/** A host to compare with: like the affected ones, but not affected. */
export function unaffected(names: readonly string[], hosts: readonly KnownHost[]): KnownHost | null {
  const hit = new Set(names)
  const first = hosts.find((h) => hit.has(h.name))
  let best: KnownHost | null = null
  let most = -1
  for (const host of hosts) {
    if (hit.has(host.name) || host.state !== 'normal') continue
    const alike = Number(host.labels.role === first?.labels.role) * 2 + Number(host.labels.site === first?.labels.site)
    if (alike > most) {
      most = alike
      best = host
    }
  }
  return best
}
