"""The one decision: may this subject do that? Pure, and asked on every route."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vezha.access.action import ACTIONS, Action
from vezha.access.subject import Subject, SubjectKind


class Reason(Enum):
    """Why a decision fell as it did; the value is the API's error code."""

    ALLOWED = "allowed"
    NOT_SIGNED_IN = "not_signed_in"
    ROLE_TOO_LOW = "role_too_low"
    NOT_YOUR_TEAMS = "not_your_teams"
    ONLY_LOOKING = "only_looking"
    MUST_CHANGE_PASSWORD = "must_change_password"  # noqa: S105 - an error code


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, and one sentence that says why."""

    allowed: bool
    reason: Reason
    sentence: str


LOOKS = frozenset(action for action in Action if action.value.endswith(".read")) | {
    Action.SESSION_CLOSE, Action.SESSION_SEE_OWN,
}  # fmt: skip
"""What may be done while seeing as somebody else: read, and end it."""

_ALLOWED = Decision(True, Reason.ALLOWED, "")


def decide(subject: Subject, action: Action) -> Decision:
    """Whether *subject* may do *action*; the rules stand in `ACTIONS`."""
    rule = ACTIONS[action]
    if rule.role is None or subject.kind is SubjectKind.SYSTEM:
        return _ALLOWED
    if subject.kind is SubjectKind.NOBODY or subject.role is None:
        return Decision(False, Reason.NOT_SIGNED_IN, "Sign in first.")
    if subject.must_change_password and not rule.before_password:
        return Decision(False, Reason.MUST_CHANGE_PASSWORD, "Change the one-time password first.")
    if subject.seen_by and action not in LOOKS:
        return Decision(
            False, Reason.ONLY_LOOKING, "You look through other eyes: nothing can be changed."
        )
    if subject.role.rank < rule.role.rank:
        return Decision(
            False,
            Reason.ROLE_TOO_LOW,
            f"To {rule.about}, the role {rule.role.value} is needed; "
            f"{subject.name} has {subject.role.value}.",
        )
    return _ALLOWED
