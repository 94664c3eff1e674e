/** The rules behind an incident's alerts. */
import { get } from '../api/client'
import type { IncidentDetail } from '../api/types'

interface Rules {
  data: { groups: { rules: { name: string; query: string }[] }[] }
}

/** The expressions of the rules that fired, by the alerts' names. Nothing where rules may not be
 * read or have gone. */
export async function expressions(incident: IncidentDetail): Promise<Map<string, string>> {
  const names = new Set(incident.alerts.map((a) => a.name))
  const rules = await get<Rules>('/rules').catch(() => null)
  const all = (rules?.data.groups ?? []).flatMap((g) => g.rules)
  return new Map(all.filter((r) => names.has(r.name)).map((r) => [r.name, r.query]))
}
