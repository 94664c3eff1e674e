"""People, the first admin, API tokens, secrets."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.access import Role, Sessions, Subject, SubjectKind, first_start
from vezha.access.errors import AccessError, LastAdminError, NameTakenError, UnknownError
from vezha.access.password import Passwords, one_time_password
from vezha.access.secret import SECRET_CHARS, hash_secret, make_secret, secret_fits
from vezha.access.token import create_token, list_tokens, recognise_token, revoke_token
from vezha.access.user import add_user, change_user, list_users, remove_user
from vezha.ledger import Ledger
from vezha.world import Chance

ADMIN = Subject(SubjectKind.USER, "root", Role.ADMIN)


def test_the_first_admin_is_made_once(ledger: Ledger, passwords: Passwords) -> None:
    password = first_start(ledger, 1, passwords)
    assert password is not None
    assert first_start(ledger, 2, passwords) is None
    people = list_users(ledger)
    assert [(p.name, p.role, p.must_change_password) for p in people] == [("admin", "admin", True)]


def test_a_one_time_password_is_long_and_plain_to_type() -> None:
    made = {one_time_password(Chance()) for _ in range(50)}
    assert len(made) == 50
    for password in made:
        assert len(password.replace("-", "")) == 16
        assert not set(password) & set("0O1lIi")


@pytest.mark.parametrize("name", ["", " a", "a ", "-a", "a/b", "a\n", "a" * 64, "a\x00"])
def test_a_name_that_is_none_is_refused(ledger: Ledger, passwords: Passwords, name: str) -> None:
    with pytest.raises(AccessError, match="name"):
        add_user(ledger, ADMIN, name, Role.VIEWER, 0, passwords=passwords)


def test_names_are_unique_and_may_be_ukrainian(ledger: Ledger, passwords: Passwords) -> None:
    assert add_user(ledger, ADMIN, "Олена Ґудзь", Role.VIEWER, 0, passwords=passwords)
    with pytest.raises(NameTakenError):
        add_user(ledger, ADMIN, "Олена Ґудзь", Role.ADMIN, 1, passwords=passwords)


def test_the_last_admin_cannot_be_lost(ledger: Ledger, passwords: Passwords) -> None:
    first_start(ledger, 0, passwords)
    with pytest.raises(LastAdminError):
        remove_user(ledger, ADMIN, "admin", 1)
    with pytest.raises(LastAdminError):
        change_user(ledger, ADMIN, "admin", 1, disabled=True)
    with pytest.raises(LastAdminError):
        change_user(ledger, ADMIN, "admin", 1, role=Role.VIEWER)
    add_user(ledger, ADMIN, "second", Role.ADMIN, 2, passwords=passwords)
    remove_user(ledger, ADMIN, "admin", 3)
    assert [p.name for p in list_users(ledger)] == ["second"]


def test_unknown_people_and_tokens_are_told(ledger: Ledger) -> None:
    with pytest.raises(UnknownError):
        remove_user(ledger, ADMIN, "x", 0)
    with pytest.raises(UnknownError):
        revoke_token(ledger, ADMIN, 1, 0)


def test_a_token_is_bound_to_its_role_and_ends(ledger: Ledger) -> None:
    number, secret = create_token(ledger, ADMIN, "grafana", Role.VIEWER, 0, lifetime_s=60)
    subject = recognise_token(ledger, secret, "::1", 59_999)
    assert subject is not None
    assert (subject.kind, subject.role) == (SubjectKind.TOKEN, Role.VIEWER)
    assert recognise_token(ledger, secret, "::1", 60_000) is None
    assert secret not in str(list_tokens(ledger))
    assert revoke_token(ledger, ADMIN, number, 61_000) == "grafana"
    assert recognise_token(ledger, secret, "::1", 1) is None


def test_nobody_makes_a_token_above_the_own_role(ledger: Ledger) -> None:
    operator = Subject(SubjectKind.USER, "o", Role.OPERATOR)
    with pytest.raises(AccessError, match="higher role"):
        create_token(ledger, operator, "t", Role.ADMIN, 0)
    assert create_token(ledger, operator, "t", Role.OPERATOR, 0)


@pytest.mark.parametrize("lifetime_s", [0.0, -5.0, 1e12])
def test_a_lifetime_that_is_none_is_refused(ledger: Ledger, lifetime_s: float) -> None:
    with pytest.raises(AccessError, match="lives"):
        create_token(ledger, ADMIN, "t", Role.VIEWER, 0, lifetime_s=lifetime_s)


@given(st.text(max_size=60))
def test_only_the_very_secret_fits(guess: str) -> None:
    secret = make_secret("vzt_", Chance(3))
    assert len(secret) == SECRET_CHARS
    assert secret_fits(secret, hash_secret(secret))
    assert secret_fits(guess, hash_secret(secret)) is (guess == secret)


def test_no_secret_reaches_the_log(
    ledger: Ledger, passwords: Passwords, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
    try:
        password = first_start(ledger, 0, passwords)
        assert password is not None
        _, token = create_token(ledger, ADMIN, "t", Role.VIEWER, 0)
        sessions = Sessions(ledger, passwords=passwords)
        opened = sessions.sign_in("admin", password, "::1", 1)
        sessions.recognise(opened.secret, "::1", 2)
        recognise_token(ledger, token, "::1", 2)
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    out, err = capfd.readouterr()
    written = caplog.text + out + err
    assert "INSERT INTO session" in written, "the database's own log was not looked at"
    for secret in (password, token, opened.secret):
        assert secret not in written
