"""Actions: everything that can be asked of Vezha, in one table.

A new action is a member of `Action` and a row of `ACTIONS`; tests prove that each member has
a row, and that each route names an action.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vezha.access.subject import Role


class Action(Enum):
    """What is asked; the value is the name that the audit and the errors show."""

    HEALTH_READ = "health.read"
    DESCRIPTION_READ = "description.read"
    SESSION_OPEN = "session.open"
    SESSION_READ = "session.read"
    SESSION_CLOSE = "session.close"
    SESSION_SEE_AS = "session.see_as"
    SESSION_SEE_OWN = "session.see_own"
    PASSWORD_CHANGE_OWN = "password.change_own"  # noqa: S105 - the name of an action

    HOST_READ = "host.read"
    HOST_CHANGE = "host.change"
    HOST_REMOVE = "host.remove"
    ENROLMENT_READ = "enrolment.read"
    ENROLMENT_CREATE = "enrolment.create"
    ENROLMENT_REVOKE = "enrolment.revoke"

    SAMPLES_READ = "samples.read"
    SAMPLES_WRITE = "samples.write"
    SAMPLES_DELETE = "samples.delete"
    HEARTBEAT_BEAT = "heartbeat.beat"
    RULE_READ = "rule.read"
    RULE_CHANGE = "rule.change"
    ALERT_READ = "alert.read"
    ALERT_WRITE = "alert.write"

    RELEASE_PUBLISH = "release.publish"

    INCIDENT_READ = "incident.read"
    INCIDENT_ACKNOWLEDGE = "incident.acknowledge"
    INCIDENT_RESOLVE = "incident.resolve"
    INCIDENT_NOTE = "incident.note"
    INCIDENT_SNOOZE = "incident.snooze"
    INCIDENT_MITIGATE = "incident.mitigate"
    INCIDENT_MERGE = "incident.merge"
    INCIDENT_SPLIT = "incident.split"
    INCIDENT_UNDO = "incident.undo"
    INCIDENT_ASSIGN = "incident.assign"
    CHECKLIST_READ = "checklist.read"
    CHECKLIST_CHANGE = "checklist.change"
    CHECKLIST_RUN = "checklist.run"
    INCIDENT_JUDGE = "incident.judge"
    ONCALL_READ = "oncall.read"
    ONCALL_CHANGE = "oncall.change"
    TEAM_CHANGE = "team.change"
    ONCALL_OVERRIDE = "oncall.override"
    CALENDAR_CHANGE = "calendar.change"
    CALENDAR_FETCH = "calendar.fetch"
    CONTACT_READ = "contact.read"
    CONTACT_CHANGE = "contact.change"
    DEPENDENCY_READ = "dependency.read"
    DEPENDENCY_CHANGE = "dependency.change"
    SILENCE_READ = "silence.read"
    SILENCE_CHANGE = "silence.change"

    SCENARIO_READ = "scenario.read"
    SCENARIO_RUN = "scenario.run"
    SCENARIO_CHANGE = "scenario.change"

    RECEIVER_READ = "receiver.read"
    RECEIVER_OPTIONS = "receiver.options"
    RECEIVER_TEST = "receiver.test"
    RECEIVER_CHANGE = "receiver.change"
    OUTBOX_READ = "outbox.read"
    OUTBOX_CHANGE = "outbox.change"

    CHANGE_REPORT = "change.report"
    CHANGE_HOOK = "change.hook"
    DELIVERY_READ = "delivery.read"
    DIARY_READ = "diary.read"

    DELIVERY_DRAFT = "delivery.draft"
    DELIVERY_APPROVE = "delivery.approve"
    DELIVERY_START = "delivery.start"
    DELIVERY_STEER = "delivery.steer"
    DRIFT_ACCEPT = "drift.accept"
    DELIVERY_BREAK_GLASS = "delivery.break_glass"
    FREEZE_CHANGE = "freeze.change"
    QUARANTINE_LIFT = "quarantine.lift"

    USER_READ = "user.read"
    USER_CHANGE = "user.change"
    TOKEN_READ = "token.read"  # noqa: S105 - the name of an action
    TOKEN_CHANGE = "token.change"  # noqa: S105 - the name of an action
    AUDIT_READ = "audit.read"
    SETTING_CHANGE = "setting.change"
    OWN_METRICS_READ = "own_metrics.read"


@dataclass(frozen=True, slots=True)
class ActionRule:
    """Who may: from `role` upwards, or anyone where it is None.

    `changes` says that doing it alters something, so that each time stands in the audit.
    `own_role` is enough where the thing is of the subject's own team (`access.ownership`);
    `others_role` is needed where it is another team's.
    `before_password` says that a person who still has to change the first password may do it.
    """

    action: Action
    role: Role | None
    about: str
    changes: bool = False
    before_password: bool = False
    own_role: Role | None = None
    others_role: Role | None = None


def _rules() -> tuple[ActionRule, ...]:
    anyone, viewer, operator, admin = None, Role.VIEWER, Role.OPERATOR, Role.ADMIN
    a, rule = Action, ActionRule
    return (
        rule(a.HEALTH_READ, anyone, "ask whether the server is well", before_password=True),
        rule(a.DESCRIPTION_READ, anyone, "read the API's description", before_password=True),
        rule(a.SESSION_OPEN, anyone, "sign in", changes=True, before_password=True),
        rule(a.SESSION_READ, viewer, "ask who is signed in", before_password=True),
        rule(a.SESSION_CLOSE, viewer, "sign out", changes=True, before_password=True),
        rule(a.SESSION_SEE_AS, admin, "see the pages as somebody else", changes=True),
        rule(a.SESSION_SEE_OWN, viewer, "see the pages as oneself again", changes=True),
        rule(
            a.PASSWORD_CHANGE_OWN,
            viewer,
            "change the own password",
            changes=True,
            before_password=True,
        ),
        rule(a.HOST_READ, viewer, "see hosts and their charts"),
        rule(a.HOST_CHANGE, operator, "change a host's labels", changes=True),
        rule(a.HOST_REMOVE, admin, "remove a host and revoke its agent", changes=True),
        rule(a.ENROLMENT_READ, operator, "see open invitations for agents"),
        rule(a.ENROLMENT_CREATE, operator, "invite an agent", changes=True),
        rule(a.ENROLMENT_REVOKE, operator, "withdraw an invitation", changes=True),
        rule(a.SAMPLES_READ, viewer, "query samples"),
        rule(a.SAMPLES_WRITE, operator, "send samples from other tools"),
        rule(a.SAMPLES_DELETE, admin, "delete samples", changes=True),
        rule(a.HEARTBEAT_BEAT, anyone, "say that a job ran, by its own token"),
        rule(a.RULE_READ, viewer, "see rules"),
        rule(a.RULE_CHANGE, admin, "change rules", changes=True, own_role=operator),
        rule(a.ALERT_READ, viewer, "see alerts"),
        rule(a.ALERT_WRITE, operator, "send alerts from other tools"),
        rule(a.RELEASE_PUBLISH, admin, "make keys and publish what they signed", changes=True),
        rule(a.INCIDENT_READ, viewer, "see incidents"),
        rule(a.INCIDENT_ACKNOWLEDGE, operator, "take an incident", changes=True),
        rule(a.INCIDENT_RESOLVE, operator, "close an incident", changes=True),
        rule(a.INCIDENT_NOTE, operator, "write a note on an incident", changes=True),
        rule(a.INCIDENT_SNOOZE, operator, "put an incident off", changes=True),
        rule(a.INCIDENT_MITIGATE, operator, "say that an incident's harm is over", changes=True),
        rule(a.INCIDENT_MERGE, operator, "merge incidents", changes=True),
        rule(a.INCIDENT_SPLIT, operator, "split an incident", changes=True),
        rule(a.INCIDENT_UNDO, operator, "take back a line of a timeline", changes=True),
        rule(a.INCIDENT_ASSIGN, operator, "give an incident to a team", changes=True),
        rule(a.CHECKLIST_READ, viewer, "see checklists and their runs"),
        rule(a.CHECKLIST_RUN, operator, "do a checklist", changes=True),
        rule(
            a.CHECKLIST_CHANGE,
            operator,
            "write or delete a checklist",
            changes=True,
            others_role=admin,
        ),
        rule(a.INCIDENT_JUDGE, operator, "say which change caused an incident", changes=True),
        rule(a.ONCALL_READ, viewer, "see who is on call, schedules, policies, teams"),
        rule(
            a.ONCALL_CHANGE,
            admin,
            "change schedules and policies",
            changes=True,
            own_role=operator,
        ),
        rule(a.TEAM_CHANGE, admin, "change teams and who is in them", changes=True),
        rule(a.ONCALL_OVERRIDE, operator, "stand in for somebody on call", changes=True),
        rule(a.CALENDAR_CHANGE, operator, "make or end a calendar's address", changes=True),
        rule(a.CALENDAR_FETCH, anyone, "fetch a calendar, by its own secret"),
        rule(a.CONTACT_READ, viewer, "see how one is reached; others': as an admin"),
        rule(
            a.CONTACT_CHANGE,
            viewer,
            "change how one is reached; others': as an admin",
            changes=True,
        ),
        rule(a.DEPENDENCY_READ, viewer, "see what depends on what"),
        rule(a.DEPENDENCY_CHANGE, operator, "say what depends on what", changes=True),
        rule(a.SILENCE_READ, viewer, "see silences"),
        rule(a.SILENCE_CHANGE, operator, "begin or end a silence", changes=True),
        rule(a.SCENARIO_READ, viewer, "see scenarios and their rounds"),
        rule(a.SCENARIO_RUN, operator, "walk and sign a round", changes=True),
        rule(a.SCENARIO_CHANGE, operator, "write or delete a scenario", changes=True),
        rule(a.RECEIVER_READ, viewer, "see receivers, without their secrets"),
        rule(
            a.RECEIVER_OPTIONS,
            admin,
            "see how a receiver is set, without its secrets",
            own_role=operator,
        ),
        rule(a.RECEIVER_TEST, operator, "send a test message", changes=True),
        rule(
            a.RECEIVER_CHANGE,
            admin,
            "change receivers and routes",
            changes=True,
            own_role=operator,
        ),
        rule(a.OUTBOX_READ, viewer, "see messages and whether they arrived"),
        rule(a.OUTBOX_CHANGE, operator, "retry or drop a message", changes=True),
        rule(a.CHANGE_REPORT, operator, "report a change made elsewhere", changes=True),
        rule(a.CHANGE_HOOK, anyone, "report a change by a hook's own secret", changes=True),
        rule(a.DELIVERY_READ, viewer, "see changes, rollouts and the figures of delivery"),
        rule(a.DIARY_READ, viewer, "read the diary"),
        rule(a.DELIVERY_DRAFT, operator, "write, plan or give up a change", changes=True),
        rule(a.DELIVERY_APPROVE, operator, "say yes or no to a plan or a wave", changes=True),
        rule(a.DELIVERY_START, operator, "start a change", changes=True),
        rule(a.DELIVERY_STEER, operator, "pause, end or take back a rollout", changes=True),
        rule(a.DRIFT_ACCEPT, operator, "take what was edited on a host for meant", changes=True),
        rule(a.DELIVERY_BREAK_GLASS, admin, "let a rollout go on in a freeze", changes=True),
        rule(a.FREEZE_CHANGE, operator, "begin or end a freeze or window", changes=True),
        rule(a.QUARANTINE_LIFT, admin, "let a version in quarantine be offered", changes=True),
        rule(a.USER_READ, admin, "see people and their roles"),
        rule(a.USER_CHANGE, admin, "add, change or disable people", changes=True),
        rule(a.TOKEN_READ, admin, "see API tokens, without their secrets"),
        rule(a.TOKEN_CHANGE, admin, "make or revoke API tokens", changes=True),
        rule(a.AUDIT_READ, admin, "read the audit"),
        rule(a.SETTING_CHANGE, admin, "change settings", changes=True),
        rule(a.OWN_METRICS_READ, viewer, "read the server's own metrics"),
    )


ACTIONS: dict[Action, ActionRule] = {rule.action: rule for rule in _rules()}
