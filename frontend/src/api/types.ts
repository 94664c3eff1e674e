/** What the public API sends, by the pages' own names. The shapes are the server's: `schema.ts` is
 * made from its description before each check. Moments are seconds since 1970. */
import type * as S from './schema'

/** `T` with some fields told more exactly than the server's description does. */
type Exactly<T, N extends { [K in keyof N]: K extends keyof T ? T[K] : never }> = Omit<T, keyof N> & N

export type Role = 'viewer' | 'operator' | 'admin'
export type State = 'normal' | 'warning' | 'critical' | 'silent' | 'unknown'
export type Severity = 'critical' | 'warning' | 'info'
export type IncidentState = 'open' | 'acknowledged' | 'resolved'
export type Moment = number | null

export type User = Exactly<S.UserView, { role: Role }>
/** In lists without its facts. */
export type Host = Exactly<S.HostView, { state: State }> & Partial<Pick<S.HostDetailView, 'facts'>>

export type ChartSeries = S.ChartSeriesView
/** The pages make such plans and lines themselves, too, and then need not say everything. */
export type ChartPlan = Omit<S.ChartView, 'max'> & Partial<Pick<S.ChartView, 'max'>>
export type HistorySeries = Omit<S.HistorySeriesView, 'labels'> & Partial<Pick<S.HistorySeriesView, 'labels'>>
export type History = Omit<S.HistoryView, 'series'> & { series: HistorySeries[] }

export type Incident = Exactly<S.IncidentView, { severity: Severity; state: IncidentState }>
export type TimelineEntry = S.EventView
export type IncidentAlert = Exactly<S.MemberView, { severity: Severity }>
export type IncidentDetail = Exactly<S.IncidentDetailView, { severity: Severity; state: IncidentState; alerts: IncidentAlert[] }>

export type Matcher = Required<S.MatcherBody>
/** A weekly window: `start` is HH:MM in `time_zone`. */
export type Recurrence = Required<S.RecursBody>
export type Silence = Exactly<S.SilenceView, { matchers: Matcher[]; recurs: Recurrence | null }>
export interface Silences {
  silences: Silence[]
}

/** A new invitation: token and command are shown this once. */
export type Invitation = S.InvitationView
export type Enrolment = S.EnrolmentView

export type Person = Exactly<S.PersonView, { role: Role }>
export type PersonChanged = Exactly<S.PersonChangedView, { user: Person }>
export type Token = Exactly<S.TokenView, { role: Role }>
export type TokenMade = Exactly<S.TokenMadeView, { role: Role }>
export type AuditRow = S.AuditRowView

export type Receiver = S.ReceiverView
export type Receivers = S.ReceiversView
export type ReceiverTypesView = S.ReceiverTypesView
export type SavedReceiverView = S.SavedReceiverView
export type OptionView = S.OptionView
export type OptionValue = string | number | boolean | string[] | null
export type NotifyRouteBody = S.NotifyRouteBody
export type NotifyRoutesView = S.NotifyRoutesView
/** How a person is reached, and with which key a browser subscribes. */
export type Contacts = S.ContactsView
