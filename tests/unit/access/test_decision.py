"""The decision table: what it says, and that nothing gets past it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.access import ACTIONS, NOBODY, SYSTEM, Action, Role, Subject, SubjectKind, decide
from vezha.access.decision import Reason

SUBJECTS = st.builds(
    Subject,
    kind=st.sampled_from(SubjectKind),
    name=st.text(max_size=8),
    role=st.none() | st.sampled_from(Role),
    must_change_password=st.booleans(),
)


def person(role: Role, *, fresh: bool = False) -> Subject:
    return Subject(SubjectKind.USER, "olena", role, must_change_password=fresh)


def test_every_action_has_a_row_and_every_row_an_action() -> None:
    assert set(ACTIONS) == set(Action)
    assert all(rule.action is action for action, rule in ACTIONS.items())


@given(SUBJECTS, st.sampled_from(Action))
def test_no_subject_may_more_than_the_table_says(subject: Subject, action: Action) -> None:
    rule, decision = ACTIONS[action], decide(subject, action)
    if not decision.allowed:
        assert decision.sentence
        assert decision.reason is not Reason.ALLOWED
        return
    assert (
        rule.role is None
        or subject.kind is SubjectKind.SYSTEM
        or (
            subject.kind in (SubjectKind.USER, SubjectKind.TOKEN)
            and subject.role is not None
            and subject.role.rank >= rule.role.rank
            and (rule.before_password or not subject.must_change_password)
        )
    )


@given(st.sampled_from(Action))
def test_a_higher_role_may_all_that_a_lower_may(action: Action) -> None:
    allowed = [decide(person(role), action).allowed for role in Role]
    assert allowed == sorted(allowed)


@pytest.mark.parametrize("action", list(Action))
def test_an_admin_may_everything_and_nobody_only_what_is_open(action: Action) -> None:
    assert decide(person(Role.ADMIN), action).allowed
    assert decide(SYSTEM, action).allowed
    assert decide(NOBODY, action).allowed == (ACTIONS[action].role is None)


def test_what_is_open_to_anyone_is_this_and_no_more() -> None:
    opened = {action for action, rule in ACTIONS.items() if rule.role is None}
    assert opened == {
        Action.HEALTH_READ, Action.DESCRIPTION_READ, Action.SESSION_OPEN,
        Action.HEARTBEAT_BEAT,  # by a token of its own
        Action.CHANGE_HOOK,  # by the hook's signature or secret
        Action.CALENDAR_FETCH,  # by the calendar's own secret address
    }  # fmt: skip


def test_viewers_change_nothing_but_their_own_session() -> None:
    may = {a for a, r in ACTIONS.items() if r.changes and decide(person(Role.VIEWER), a).allowed}
    assert may == {
        Action.SESSION_OPEN, Action.SESSION_CLOSE, Action.PASSWORD_CHANGE_OWN,
        Action.SESSION_SEE_OWN,
        Action.CONTACT_CHANGE,  # the own contacts; others' need more, which the handler asks
        Action.CHANGE_HOOK,  # whoever has the hook's secret may; who is signed in counts for nothing
    }  # fmt: skip


def test_the_first_password_has_to_be_changed_before_anything_else() -> None:
    may = {a for a in Action if decide(person(Role.ADMIN, fresh=True), a).allowed}
    assert may == {
        Action.HEALTH_READ, Action.DESCRIPTION_READ, Action.SESSION_OPEN, Action.SESSION_READ,
        Action.SESSION_CLOSE, Action.PASSWORD_CHANGE_OWN, Action.HEARTBEAT_BEAT, Action.CHANGE_HOOK,
        Action.CALENDAR_FETCH,
    }  # fmt: skip
    refused = decide(person(Role.ADMIN, fresh=True), Action.HOST_READ)
    assert refused.reason is Reason.MUST_CHANGE_PASSWORD


def test_a_refusal_names_the_role_that_is_needed() -> None:
    refused = decide(person(Role.VIEWER), Action.HOST_REMOVE)
    assert refused.sentence == (
        "To remove a host and revoke its agent, the role admin is needed; olena has viewer."
    )
