"""The tables, one file per noun, all on one `metadata`.

Names of constraints follow one convention on both databases, so that migrations can name
them. `JSON` columns hold small documents that nothing queries inside.
"""

from __future__ import annotations

from vezha.ledger.tables.agent import agent, enrolment
from vezha.ledger.tables.alert import alert_state, alert_transition, rule_group_state
from vezha.ledger.tables.audit import audit
from vezha.ledger.tables.base import metadata
from vezha.ledger.tables.blame import blame
from vezha.ledger.tables.change import approval, change, change_event, freeze, plan
from vezha.ledger.tables.checklist import checklist_event, checklist_run, checklist_version
from vezha.ledger.tables.contact import contact, person_preference
from vezha.ledger.tables.dependency import dependency
from vezha.ledger.tables.diary import diary_page
from vezha.ledger.tables.directive import directive, progress, proven_config, running
from vezha.ledger.tables.external_alert import external_alert
from vezha.ledger.tables.host import host
from vezha.ledger.tables.incident import (
    cursor,
    incident,
    incident_alert,
    incident_event,
    silence,
)
from vezha.ledger.tables.notify import message, message_thread
from vezha.ledger.tables.oncall import (
    calendar_feed,
    escalation,
    escalation_policy,
    handover,
    oncall_override,
    oncall_schedule,
    oncall_shift,
    team,
)
from vezha.ledger.tables.receiver import notify_route, receiver
from vezha.ledger.tables.release import quarantine, release
from vezha.ledger.tables.rollout import attempt, attempt_event, rollout, verdict
from vezha.ledger.tables.rule_file import rule_file_version
from vezha.ledger.tables.scenario import scenario_look, scenario_round, scenario_version
from vezha.ledger.tables.session import session, throttle
from vezha.ledger.tables.setting import setting
from vezha.ledger.tables.token import api_token
from vezha.ledger.tables.user import user

__all__ = [
    "agent",
    "alert_state",
    "alert_transition",
    "api_token",
    "approval",
    "attempt",
    "attempt_event",
    "audit",
    "blame",
    "calendar_feed",
    "change",
    "change_event",
    "checklist_event",
    "checklist_run",
    "checklist_version",
    "contact",
    "cursor",
    "dependency",
    "diary_page",
    "directive",
    "enrolment",
    "escalation",
    "escalation_policy",
    "external_alert",
    "freeze",
    "handover",
    "host",
    "incident",
    "incident_alert",
    "incident_event",
    "message",
    "message_thread",
    "metadata",
    "notify_route",
    "oncall_override",
    "oncall_schedule",
    "oncall_shift",
    "person_preference",
    "plan",
    "progress",
    "proven_config",
    "quarantine",
    "receiver",
    "release",
    "rollout",
    "rule_file_version",
    "rule_group_state",
    "running",
    "scenario_look",
    "scenario_round",
    "scenario_version",
    "session",
    "setting",
    "silence",
    "team",
    "throttle",
    "user",
    "verdict",
]
