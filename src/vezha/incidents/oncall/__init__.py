"""Who is on call, and who is woken next.

Owns schedules with their layers and overrides, teams, escalation policies and their progress, how
a person is reached, and hand-over pages. In: what people set up, and the state of incidents. Out: who is
on call at any instant, entries `escalated` in incidents' timelines (which notify follows) and rows of
`handover`. Refuses: to name people that nobody knows, and to hide a gap.
"""
