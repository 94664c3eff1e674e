/** Rules as `/api/v1/rules` tells of them (the format is Prometheus's), and how each stands. Pure. */

export interface RuleRow {
  name: string
  query: string
  type: string
  health: string
  state?: string
  lastError?: string
  /** Seconds. */
  evaluationTime: number
  lastEvaluation: string
  /** Seconds that an alert must hold before it fires. */
  duration?: number
  labels?: Record<string, string>
  alerts?: { state: string }[]
}

export interface RuleGroup {
  name: string
  file: string
  interval: number
  evaluationTime: number
  lastEvaluation: string
  rules: RuleRow[]
}

export interface RuleList {
  groups: RuleGroup[]
  /** File -> what is wrong with it; files without a fault are not named. */
  problems?: Record<string, string[]>
}

export type Standing = 'failing' | 'firing' | 'pending' | 'unknown' | 'quiet'

export function standing(rule: RuleRow): Standing {
  if (rule.health === 'err') return 'failing'
  if (rule.state === 'firing' || rule.state === 'pending') return rule.state
  return rule.state === 'unknown' || evaluated(rule.lastEvaluation) === null ? 'unknown' : 'quiet'
}

/** When, in seconds since 1970; the year 1 is how Prometheus writes "never". */
export function evaluated(stamp: string): number | null {
  const at = Date.parse(stamp) / 1000
  return Number.isFinite(at) && at > 0 ? at : null
}
