"""Seeing as somebody else only ever takes away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vezha.access import ACTIONS, Action, Role, Subject, SubjectKind, decide
from vezha.access.decision import LOOKS
from vezha.access.seeing import Eyes, read_eyes, see_as

SUBJECTS = st.builds(
    Subject,
    kind=st.sampled_from([SubjectKind.USER, SubjectKind.TOKEN, SubjectKind.NOBODY]),
    name=st.text(min_size=1, max_size=8),
    role=st.none() | st.sampled_from(Role),
    must_change_password=st.booleans(),
)
EYES = st.builds(Eyes, role=st.sampled_from(Role), person=st.text(max_size=8))


@given(EYES)
def test_the_cookie_says_what_was_wished(eyes: Eyes) -> None:
    wanted = Eyes(person=eyes.person) if eyes.person else eyes
    assert read_eyes(str(eyes)) == wanted
    assert str(eyes).isascii()


@given(st.text(max_size=30))
def test_any_other_cookie_is_no_wish_or_a_harmless_one(text: str) -> None:
    eyes = read_eyes(text)
    assert eyes is None or eyes.person or eyes.role in Role


@given(SUBJECTS, EYES, st.none() | st.sampled_from(Role), st.sampled_from(Action))
def test_it_never_gives_anything(
    subject: Subject, eyes: Eyes, role: Role | None, action: Action
) -> None:
    seen = see_as(subject, eyes, role)
    if decide(seen, action).allowed:
        assert decide(subject, action).allowed
    if seen is subject:
        return
    assert (subject.kind, subject.role) == (SubjectKind.USER, Role.ADMIN)
    assert seen.seen_by == subject.name
    assert seen.role is role
    if decide(seen, action).allowed and ACTIONS[action].role is not None:
        assert action in LOOKS


def test_what_may_be_done_meanwhile_changes_nothing() -> None:
    ends = {Action.SESSION_CLOSE, Action.SESSION_SEE_OWN}
    assert [action for action in LOOKS - ends if ACTIONS[action].changes] == []
