"""Signing in, being recognised, waiting after failures, changing the password."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from vezha.access import SYSTEM, Role, Subject
from vezha.access import limits as l
from vezha.access.audit import list_audit
from vezha.access.errors import SignInError, ThrottledError, WeakPasswordError
from vezha.access.password import Passwords
from vezha.access.session import Sessions
from vezha.access.user import add_user, change_user, remove_user, reset_password
from vezha.ledger import Ledger
from vezha.ledger.tables import session, user

GOOD = "correct horse battery"
HOME = "192.0.2.1"


@pytest.fixture(autouse=True)
def _olena(ledger: Ledger, passwords: Passwords) -> None:
    add_user(ledger, SYSTEM, "olena", Role.OPERATOR, 0, password=GOOD, passwords=passwords)
    add_user(ledger, SYSTEM, "root", Role.ADMIN, 0, password=GOOD, passwords=passwords)


def who(sessions: Sessions, secret: str, now_ms: int) -> Subject | None:
    return sessions.recognise(secret, HOME, now_ms)


def test_a_session_is_recognised_and_says_the_role(sessions: Sessions) -> None:
    opened = sessions.sign_in("olena", GOOD, HOME, 1_000)
    subject = who(sessions, opened.secret, 2_000)
    assert subject is not None
    assert (subject.name, subject.role) == ("olena", Role.OPERATOR)


def test_only_the_hash_of_a_session_lies_in_the_ledger(ledger: Ledger, sessions: Sessions) -> None:
    opened = sessions.sign_in("olena", GOOD, HOME, 1_000)
    with ledger.read() as connection:
        stored = connection.execute(select(session)).one()
        person = connection.execute(select(user).where(user.c.name == "olena")).one()
    assert opened.secret not in str(stored)
    assert person.password_hash.startswith("$argon2id$")
    assert GOOD not in str(person)


@pytest.mark.parametrize(
    ("name", "password"),
    [("olena", "wrong"), ("nobody", GOOD), ("Olena", GOOD), ("olena", ""), ("olena", "x" * 9_999)],
)
def test_a_wrong_name_and_a_wrong_password_are_told_alike(
    sessions: Sessions, name: str, password: str
) -> None:
    with pytest.raises(SignInError, match=r"^Name or password is wrong\.$"):
        sessions.sign_in(name, password, HOME, 1_000)


@pytest.mark.parametrize("secret", ["", "vzs_", "x" * 47, "vzs_" + "a" * 43, "vzs_" + "ї" * 43])
def test_a_secret_that_is_none_is_nobody(sessions: Sessions, secret: str) -> None:
    sessions.sign_in("olena", GOOD, HOME, 1_000)
    assert who(sessions, secret, 1_000) is None


def test_a_session_ends_without_use_and_lives_on_with_it(sessions: Sessions) -> None:
    idle_ms = int(l.SESSION_IDLE_S * 1000)
    left, used = (sessions.sign_in("olena", GOOD, HOME, 0).secret for _ in range(2))
    assert who(sessions, used, idle_ms - 1)
    assert who(sessions, left, idle_ms) is None
    assert who(sessions, used, idle_ms + 1)
    assert who(sessions, left, 1) is None, "an ended session must not come back"


def test_a_session_ends_at_last_even_when_used(sessions: Sessions) -> None:
    secret, now = sessions.sign_in("olena", GOOD, HOME, 0).secret, 0
    while now < l.SESSION_LIFETIME_S * 1000 - 3_600_000:
        now += 3_600_000
        assert who(sessions, secret, now)
    assert who(sessions, secret, now + 3_600_000) is None


def test_signing_in_again_ends_the_session_that_the_request_came_with(sessions: Sessions) -> None:
    first = sessions.sign_in("olena", GOOD, HOME, 0).secret
    second = sessions.sign_in("olena", GOOD, HOME, 1, first).secret
    assert first != second
    assert who(sessions, first, 2) is None
    assert who(sessions, second, 2)


def test_more_sign_ins_than_the_limit_end_the_oldest(sessions: Sessions) -> None:
    secrets = [
        sessions.sign_in("olena", GOOD, HOME, i).secret for i in range(l.SESSIONS_PER_USER_MAX + 2)
    ]
    alive = [who(sessions, s, 100) is not None for s in secrets]
    assert alive == [False, False, *[True] * l.SESSIONS_PER_USER_MAX]


def test_disabling_removing_and_resetting_end_the_sessions(
    ledger: Ledger, sessions: Sessions, passwords: Passwords
) -> None:
    def open_one() -> str:
        return sessions.sign_in("olena", GOOD, HOME, 0).secret

    disabled = open_one()
    change_user(ledger, SYSTEM, "olena", 1, disabled=True)
    assert who(sessions, disabled, 2) is None
    with pytest.raises(SignInError):
        sessions.sign_in("olena", GOOD, HOME, 3)
    change_user(ledger, SYSTEM, "olena", 4, disabled=False)
    again = open_one()
    reset_password(ledger, SYSTEM, "olena", 5, password=GOOD, passwords=passwords)
    assert who(sessions, again, 6) is None
    last = open_one()
    remove_user(ledger, SYSTEM, "olena", 7)
    assert who(sessions, last, 8) is None


def test_a_changed_role_counts_at_once(ledger: Ledger, sessions: Sessions) -> None:
    secret = sessions.sign_in("olena", GOOD, HOME, 0).secret
    change_user(ledger, SYSTEM, "olena", 1, role=Role.VIEWER)
    subject = who(sessions, secret, 2)
    assert subject is not None
    assert subject.role is Role.VIEWER


def test_failures_make_the_name_wait_ever_longer(sessions: Sessions) -> None:
    now, waits = 0, []
    for _ in range(12):
        try:
            sessions.sign_in("olena", "wrong", HOME, now)
        except ThrottledError as error:
            waits.append(error.retry_after_s)
            now += int(error.retry_after_s * 1000)
        except SignInError:
            pass
    assert waits == sorted(waits)
    assert waits[0] == l.THROTTLE_FIRST_S
    assert max(waits) <= l.THROTTLE_MAX_S
    for _ in range(2):
        with pytest.raises((SignInError, ThrottledError)):
            sessions.sign_in("olena", "wrong", HOME, now)
    # Also with the right password: otherwise the wait would tell whether a guess was right.
    with pytest.raises(ThrottledError):
        sessions.sign_in("olena", GOOD, HOME, now)


def test_an_address_that_guesses_many_names_waits_too(sessions: Sessions) -> None:
    for i in range(l.THROTTLE_FREE_FAILURES):
        with pytest.raises(SignInError):
            sessions.sign_in(f"name-{i}", "wrong", HOME, 0)
    with pytest.raises(ThrottledError):
        sessions.sign_in("olena", GOOD, HOME, 1)
    assert sessions.sign_in("olena", GOOD, "198.51.100.9", 1)


def test_a_reset_by_an_admin_ends_the_wait(
    ledger: Ledger, sessions: Sessions, passwords: Passwords
) -> None:
    for i in range(l.THROTTLE_FREE_FAILURES):
        with pytest.raises(SignInError):
            sessions.sign_in("olena", "wrong", f"192.0.2.{i}", 0)
    with pytest.raises(ThrottledError):
        sessions.sign_in("olena", GOOD, "192.0.2.99", 1)
    fresh = reset_password(ledger, SYSTEM, "olena", 2, passwords=passwords)
    assert sessions.sign_in("olena", fresh, "192.0.2.99", 3).subject.must_change_password


def test_changing_the_password_ends_the_other_sessions(sessions: Sessions) -> None:
    other = sessions.sign_in("olena", GOOD, HOME, 0).secret
    own = sessions.sign_in("olena", GOOD, HOME, 0).secret
    changed = sessions.change_password("olena", GOOD, "another fine phrase", HOME, 1)
    assert who(sessions, other, 2) is None
    assert who(sessions, own, 2) is None
    assert who(sessions, changed.secret, 2)
    assert sessions.sign_in("olena", "another fine phrase", HOME, 3)


@pytest.mark.parametrize(
    ("new", "why"),
    [("short", "at least"), ("aaaaaaaaaaaa", "repeats"), ("password12345", "common"),
     ("olena olena", "repeats|common"), ("x" * 300, "at most")],
)  # fmt: skip
def test_a_weak_new_password_is_refused_with_the_reason(
    sessions: Sessions, new: str, why: str
) -> None:
    with pytest.raises(WeakPasswordError, match=why):
        sessions.change_password("olena", GOOD, new, HOME, 1)
    assert sessions.sign_in("olena", GOOD, HOME, 2)


def test_the_old_password_cannot_be_guessed_by_changing_it(sessions: Sessions) -> None:
    for _ in range(l.THROTTLE_FREE_FAILURES):
        with pytest.raises(SignInError, match="old password"):
            sessions.change_password("olena", "wrong", "another fine phrase", HOME, 0)
    with pytest.raises(ThrottledError):
        sessions.change_password("olena", GOOD, "another fine phrase", HOME, 1)


def test_refused_sign_ins_are_audited_without_what_was_typed(
    ledger: Ledger, sessions: Sessions
) -> None:
    for name in ("olena", "my secret password typed as a name"):
        with pytest.raises(SignInError):
            sessions.sign_in(name, "wrong guess", HOME, 5)
    with ledger.read() as connection:
        rows = [r for r in list_audit(connection, 10) if r["outcome"] == "refused"]
    assert [r["target"] for r in rows] == ["(unknown name)", "olena"]
    assert {r["address"] for r in rows} == {HOME}
    assert not any("secret" in str(r) or "guess" in str(r) for r in rows)


def test_a_hash_of_an_older_cost_is_renewed_at_sign_in(ledger: Ledger, sessions: Sessions) -> None:
    stronger = Sessions(ledger, passwords=Passwords(passes=2, memory_kib=8, lanes=1))
    with ledger.read() as connection:
        before = connection.execute(select(user.c.password_hash)).scalars().first()
    stronger.sign_in("olena", GOOD, HOME, 1)
    with ledger.read() as connection:
        after = connection.execute(select(user.c.password_hash)).scalars().first()
    assert before is not None
    assert after is not None
    assert "t=1" in before
    assert "t=2" in after
