/** What the public API sends. Moments are seconds since 1970, `null` when there is none. */

export type Role = 'viewer' | 'operator' | 'admin'
export type State = 'normal' | 'warning' | 'critical' | 'silent' | 'unknown'
export type Severity = 'critical' | 'warning' | 'info'
export type IncidentState = 'open' | 'acknowledged' | 'resolved'
export type Moment = number | null

export interface User {
  name: string
  role: Role
  must_change_password: boolean
}

export interface Host {
  name: string
  state: State
  connected: boolean
  behind_s: number | null
  complete_ratio: number | null
  labels: Record<string, string>
  agent_version: string | null
  os: string | null
  cores: number | null
  memory_bytes: number | null
  first_seen: Moment
  last_seen: Moment
  facts?: Record<string, unknown>
}

export interface ChartSeries {
  id: string
  legend: string
  expr: string
}

export interface ChartPlan {
  id: string
  group: string
  title: string
  unit: string
  max?: number | null
  series: ChartSeries[]
}

export interface HistorySeries {
  chart: string
  legend: string
  labels?: Record<string, string>
  values: (number | null)[]
}

export interface History {
  start: number
  step: number
  count: number
  series: HistorySeries[]
}

export interface Incident {
  id: string | number
  title: string
  severity: Severity
  state: IncidentState
  /** The first of `hosts_count`. */
  hosts: string[]
  hosts_count?: number
  silent_because?: string
  began_at: Moment
  detected_at: Moment
  acknowledged_at: Moment
  acknowledged_by: string | null
  resolved_at: Moment
  next: string | null
  summary: string | null
}

export interface TimelineEntry {
  at: Moment
  kind: string
  actor: string | null
  text: string | null
  data?: Record<string, unknown> | null
}

export interface IncidentAlert {
  name: string
  host?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  state?: string
  severity?: Severity
}

export interface IncidentDetail extends Incident {
  timeline: TimelineEntry[]
  alerts: IncidentAlert[]
}

export interface Matcher {
  name: string
  op: string
  value: string
}

/** A weekly window: `start` is HH:MM in `time_zone`. */
export interface Recurrence {
  days: string[]
  start: string
  minutes: number
  time_zone: string
}

export interface Silence {
  id: number
  state: string
  matchers: Matcher[]
  starts_at: Moment
  ends_at: Moment
  author: string
  comment: string
  ended_by: string | null
  recurs: Recurrence | null
}

export interface Silences {
  silences: Silence[]
}

/** A new invitation: token and command are shown this once. */
export interface Invitation {
  id: number
  token: string
  command: string
  expires_at: Moment
}

export interface Enrolment {
  id: number
  labels: Record<string, string>
  created_by: string
  created_at: Moment
  expires_at: Moment
}

export interface Person {
  name: string
  role: Role
  disabled: boolean
  must_change_password: boolean
  created_at: Moment
  last_sign_in_at: Moment
}

export interface PersonChanged {
  user: Person
  one_time_password: string | null
}

export interface Token {
  id: number
  name: string
  role: Role
  created_by: string
  created_at: Moment
  expires_at: Moment
  used_at: Moment
}

export interface TokenMade {
  id: number
  name: string
  role: Role
  token: string
}

export interface AuditRow {
  id: number
  at: Moment
  actor: string
  actor_kind: string
  action: string
  target: string
  outcome: string
  address: string
  detail: unknown
}

export interface Receiver {
  name: string
  type: string
  waiting: number
  failed: number
  last_sent_at: Moment
  last_error: string
}

export interface Receivers {
  receivers: Receiver[]
  /** Why the settings file is not in force; empty when it is. */
  problem: string
}
