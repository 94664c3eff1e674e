/** Matchers of silences: as text, and for the alerts of an incident. Pure. */
import type { IncidentAlert, Matcher } from '../api/types'

/** The server takes no longer value of a matcher. */
const VALUE_CHARS_MAX = 500

export function matcherText({ name, op, value }: Matcher): string {
  return `${name}${op}"${value.replace(/["\\]/g, '\\$&')}"`
}

export const matchersText = (list: readonly Matcher[]): string => list.map(matcherText).join(', ')

/** A matcher that fits exactly these values; `null` when there is none or they are too long. */
function anyOf(name: string, values: readonly string[]): Matcher | null {
  const all = [...new Set(values)].sort()
  if (all.length === 0 || all.includes('')) return null
  if (all.length === 1) return { name, op: '=', value: all[0] }
  const value = all.map((v) => v.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')
  return value.length <= VALUE_CHARS_MAX ? { name, op: '=~', value } : null
}

/** What fits the alerts of an incident that still fire, and little else: their rules and hosts.
 * Where the hosts are too many to name, the labels that all these alerts share. */
export function matchersOf(alerts: readonly Pick<IncidentAlert, 'name' | 'state' | 'labels'>[]): string {
  const firing = alerts.filter((a) => a.state !== 'resolved')
  const chosen = firing.length > 0 ? firing : alerts
  const rule = anyOf('alertname', chosen.map((a) => a.labels?.alertname ?? a.name))
  const hosts = anyOf('instance', chosen.map((a) => a.labels?.instance ?? ''))
  const list = [rule, hosts].filter((m): m is Matcher => m !== null)
  if (hosts === null) {
    const [first, ...others] = chosen.map((a) => a.labels ?? {})
    for (const [name, value] of Object.entries(first ?? {})) {
      if (name === 'alertname' || value === '' || others.some((labels) => labels[name] !== value)) continue
      if (value.length <= VALUE_CHARS_MAX) list.push({ name, op: '=', value })
    }
  }
  return matchersText(list)
}
