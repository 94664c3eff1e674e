"""Transitions → incidents: gathers alerts that have one cause, keeps the desk and its timeline.

Owns incidents, their timelines, silences and maintenance windows. In: rows of
`alert_transition` (followed by a durable cursor) and what people do (acknowledge, resolve, note,
silence). Out: rows of `incident`, `incident_alert` and `incident_event`; the last is what notify
follows. Refuses: to decide who is told (notify does), and to forget: the timeline is only ever
added to.
"""
