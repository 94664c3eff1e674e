/** A change as a form holds it, and as the server takes it: waves, gates, policy, parameters. Pure.
 *
 * A form's values are texts, as typed; durations of waves are minutes there, shares are percents. */
import type { ChangeDetailView, ReleaseView } from '../api/schema'

export type Document = Record<string, unknown>
export type Values = Record<string, string>

// Waves

export const WAVE_BY = ['rest', 'count', 'percent', 'hosts', 'selector'] as const
export type WaveBy = (typeof WAVE_BY)[number]

export interface WaveRow {
  name: string
  by: WaveBy
  /** A number, names, or matchers, by `by`. */
  amount: string
  /** Minutes. */
  bake: string
  /** What the form does not show and must not lose. */
  rest: Document
}

const MINUTE_S = 60

export const usualWaves = (): WaveRow[] => [
  { name: 'canary', by: 'count', amount: '1', bake: '10', rest: {} },
  { name: 'tenth', by: 'percent', amount: '10', bake: '10', rest: {} },
  { name: 'half', by: 'percent', amount: '50', bake: '10', rest: {} },
  { name: 'all', by: 'rest', amount: '', bake: '10', rest: {} },
]

export function waveRow(given: Document): WaveRow {
  const { name, hosts, selector, count, percent, bake_s: bake, ...rest } = given as Document & { hosts?: string[] }
  const row: WaveRow = { name: String(name ?? ''), by: 'rest', amount: '', bake: text(Number(bake ?? 600) / MINUTE_S), rest: defined(rest) }
  if (Array.isArray(hosts) && hosts.length > 0) return { ...row, by: 'hosts', amount: hosts.join(', ') }
  if (selector) return { ...row, by: 'selector', amount: String(selector), rest: defined({ ...rest, count, percent }) }
  if (count != null) return { ...row, by: 'count', amount: String(count) }
  if (percent != null) return { ...row, by: 'percent', amount: String(percent) }
  return row
}

export function waveDocument(row: WaveRow): Document {
  const one: Document = { ...row.rest, name: row.name.trim(), bake_s: Math.round(Number(row.bake || 0) * MINUTE_S) }
  const amount = row.amount.trim()
  if (row.by === 'hosts') one.hosts = list(amount)
  else if (row.by === 'selector') one.selector = amount
  else if (row.by !== 'rest') one[row.by] = Number(amount)
  return one
}

// Gates

export interface GateField {
  name: string
  as: 'text' | 'number' | 'percent' | 'expr' | 'choice'
  options?: readonly string[]
  usual?: string
  needed?: boolean
}

const SEVERITIES = ['critical', 'warning', 'info'] as const
export const GATES: Record<string, readonly GateField[]> = {
  proof: [
    { name: 'failures_max', as: 'number', usual: '0' },
    { name: 'tolerated', as: 'percent', usual: '2' },
  ],
  health: [
    { name: 'severity', as: 'choice', options: SEVERITIES, usual: 'warning' },
    { name: 'completeness', as: 'percent', usual: '99' },
  ],
  promql: [
    { name: 'expr', as: 'expr', needed: true },
    { name: 'op', as: 'choice', options: ['<', '<=', '>', '>=', '==', '!='], usual: '<' },
    { name: 'threshold', as: 'number', needed: true },
    { name: 'window_s', as: 'number', usual: '300' },
  ],
  canary: [
    { name: 'expr', as: 'expr', needed: true },
    { name: 'direction', as: 'choice', options: ['up', 'down', 'both'], usual: 'up' },
    { name: 'tolerance', as: 'percent', usual: '10' },
    { name: 'window_s', as: 'number', usual: '300' },
  ],
  budget: [
    { name: 'objective', as: 'percent', usual: '99.9' },
    { name: 'expr', as: 'expr' },
  ],
  predictability: [
    { name: 'resource', as: 'text', usual: 'cpu' },
    { name: 'least', as: 'percent', usual: '50' },
  ],
  approval: [
    { name: 'count', as: 'number', usual: '1' },
    { name: 'role', as: 'choice', options: ['operator', 'admin'], usual: 'operator' },
  ],
  webhook: [{ name: 'url', as: 'text', needed: true }],
}
export const GATE_KINDS = Object.keys(GATES)
/** Gates whose answer depends on samples that are kept, so that the past can be asked. */
export const REHEARSED = new Set(['health', 'promql', 'budget', 'predictability'])

export interface GateRow {
  kind: string
  name: string
  values: Values
  /** Names of the waves that it guards; none: all. */
  waves: string[]
  shadow: boolean
  onFail: string
  onNoEvidence: string
  rest: Document
}

export function gateRow(given: Document): GateRow {
  const { kind, name, waves, shadow, on_fail: onFail, on_no_evidence: onNone, ...rest } = given
  const fields = GATES[String(kind)] ?? []
  const values: Values = {}
  for (const f of fields) {
    const value = rest[f.name]
    delete rest[f.name]
    values[f.name] = value == null || value === '' ? (f.usual ?? '') : f.as === 'percent' ? text(Number(value) * 100) : String(value)
  }
  return { kind: String(kind), name: String(name ?? ''), values, waves: (waves as string[] | undefined) ?? [], shadow: Boolean(shadow), onFail: String(onFail ?? ''), onNoEvidence: String(onNone ?? 'hold'), rest: defined(rest) }
}

export const newGate = (kind: string): GateRow => gateRow({ kind })

export function gateDocument(row: GateRow): Document {
  const one: Document = { ...row.rest, kind: row.kind }
  if (row.name.trim()) one.name = row.name.trim()
  if (row.waves.length > 0) one.waves = row.waves
  if (row.shadow) one.shadow = true
  if (row.onFail) one.on_fail = row.onFail
  if (row.onNoEvidence !== 'hold') one.on_no_evidence = row.onNoEvidence
  for (const f of GATES[row.kind] ?? []) {
    const value = (row.values[f.name] ?? '').trim()
    if (value === '') continue
    one[f.name] = f.as === 'percent' ? ratio(value) : f.as === 'number' ? Number(value) : value
  }
  return one
}

// Policy

export interface PolicyRow {
  inFlight: string
  /** With % a share, else a number of hosts. */
  unavailable: string
  onePer: string
  jitter: string
  watch: string
  approvals: string
  approver: string
  pace: boolean
  late: boolean
  dryRun: boolean
  rest: Document
}

export function policyRow(given: Document): PolicyRow {
  const { max_in_flight: inFlight, max_unavailable: unavailable, one_per: onePer, jitter_s: jitter, watch_s: watch, approvals, pace, late, dry_run: dryRun, ...rest } = given
  const asked = (approvals ?? {}) as { count?: number; role?: string }
  const away = Number(unavailable ?? 0)
  return {
    inFlight: inFlight == null ? '' : String(inFlight),
    unavailable: unavailable == null ? '' : away < 1 ? `${text(away * 100)} %` : String(away),
    onePer: ((onePer as string[] | undefined) ?? []).join(', '),
    jitter: jitter == null ? '' : String(jitter),
    watch: watch ? String(watch) : '',
    approvals: String(asked.count ?? 0),
    approver: asked.role ?? 'operator',
    pace: pace !== false,
    late: late !== 'leave',
    dryRun: Boolean(dryRun),
    rest: defined(rest),
  }
}

export function policyDocument(row: PolicyRow): Document {
  const one: Document = { ...row.rest, pace: row.pace, late: row.late ? 'follow' : 'leave' }
  if (row.inFlight.trim()) one.max_in_flight = Number(row.inFlight)
  const away = row.unavailable.trim()
  if (away) one.max_unavailable = away.endsWith('%') ? ratio(away.slice(0, -1)) : Number(away)
  if (row.onePer.trim()) one.one_per = list(row.onePer)
  if (row.jitter.trim()) one.jitter_s = Number(row.jitter)
  if (row.watch.trim()) one.watch_s = Number(row.watch)
  if (Number(row.approvals) > 0) one.approvals = { count: Number(row.approvals), role: row.approver }
  if (row.dryRun) one.dry_run = true
  return one
}

// A script's parameters

export interface Parameter {
  name: string
  type: 'text' | 'whole' | 'choice' | 'flag'
  about?: string
  default?: unknown
  pattern?: string
  chars_max?: number
  low?: number
  high?: number
  choices?: string[]
}

export const parametersOf = (release: ReleaseView | undefined): Parameter[] => (release?.kind === 'script' ? ((release.custom.parameters as Parameter[] | undefined) ?? []) : [])

/** What is typed, as the types that were signed; what is left empty is left to its default. */
export function parameterValues(asked: readonly Parameter[], values: Values): Document {
  const found: Document = {}
  for (const p of asked) {
    const value = values[p.name] ?? ''
    if (p.type === 'flag') {
      if (value !== '') found[p.name] = value === 'true'
    } else if (value.trim() !== '') found[p.name] = p.type === 'whole' ? Number(value) : value
  }
  return found
}

/** The whole body of a draft. */
export interface Draft {
  kind: string
  target: string
  title: string
  why: string
  owner: string
  checklist: string
  risk: string
  selector: string
  links: string
  waves: WaveRow[]
  gates: GateRow[]
  policy: PolicyRow
  params: Values
  kept: { labels: Record<string, string>; mends: number | null; ready_at: number | null }
}

export function newDraft(kind: string, target: string, owner: string): Draft {
  return {
    kind, target, title: '', why: '', owner, checklist: '', risk: 'medium', selector: '', links: '',
    waves: usualWaves(), gates: [newGate('proof'), newGate('health')], policy: policyRow({}), params: {},
    kept: { labels: {}, mends: null, ready_at: null },
  }
}

export function draftOf(change: ChangeDetailView): Draft {
  return {
    kind: change.kind, target: change.target, title: change.title, why: change.why, owner: change.owner, checklist: change.checklist,
    risk: change.risk, selector: change.selector, links: change.links.join('\n'),
    waves: (change.waves ?? []).map(waveRow), gates: (change.gates ?? []).map(gateRow), policy: policyRow(change.policy ?? {}),
    params: Object.fromEntries(Object.entries(change.params ?? {}).map(([name, value]) => [name, String(value)])),
    kept: { labels: change.labels, mends: change.mends, ready_at: change.ready_at },
  }
}

export function bodyOf(draft: Draft, asked: readonly Parameter[]): Document {
  return {
    kind: draft.kind, target: draft.target, title: draft.title.trim(), why: draft.why.trim(), owner: draft.owner.trim(),
    checklist: draft.checklist, risk: draft.risk, selector: draft.kind === 'rules' ? '' : draft.selector.trim(),
    links: draft.links.split(/\s+/).filter(Boolean), waves: draft.waves.map(waveDocument), gates: draft.gates.map(gateDocument),
    policy: policyDocument(draft.policy), params: parameterValues(asked, draft.params), ...draft.kept,
  }
}

export const list = (typed: string): string[] => typed.split(/[\s,]+/).filter(Boolean)

/** A percent as a share, without the noise of binary fractions. */
export const ratio = (percent: string): number => Number((Number(percent) / 100).toPrecision(12))

const text = (value: number): string => String(Number(value.toPrecision(12)))

function defined(given: Document): Document {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value != null && value !== '' && !(Array.isArray(value) && value.length === 0)))
}
