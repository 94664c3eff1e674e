"""People: adding, changing, disabling, removing; the first admin.

Each change and its audit row are one transaction. At least one admin who can sign in stays.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, delete, func, select

from vezha.access.audit import append_audit
from vezha.access.errors import AccessError, LastAdminError, NameTakenError, UnknownError
from vezha.access.password import Passwords, check_new_password, one_time_password
from vezha.access.session import end_sessions
from vezha.access.subject import Role, Subject, SubjectKind
from vezha.access.throttle import forget_failures
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import user
from vezha.world import Chance

FIRST_ADMIN = "admin"
SYSTEM = Subject(SubjectKind.SYSTEM, "vezha", Role.ADMIN)
_NAME = re.compile(r"[\w][\w.@+ -]{0,62}")


def first_start(
    ledger: Ledger, now_ms: int, passwords: Passwords | None = None, chance: Chance | None = None
) -> str | None:
    """The one-time password of the first admin, or None where there are people already.

    It is made once, kept only as a hash, and must be changed at the first sign-in.
    """
    with ledger.read() as connection:
        if _count(connection):
            return None
    password = one_time_password(chance or Chance())
    password_hash = (passwords or Passwords()).hash(password)
    with ledger.begin() as connection:
        if _count(connection):
            return None
        _insert(connection, FIRST_ADMIN, password_hash, Role.ADMIN, True, now_ms)
        append_audit(
            connection,
            subject=SYSTEM,
            action="user.first_start",
            now_ms=now_ms,
            target=FIRST_ADMIN,
        )
    return password


def add_user(
    ledger: Ledger,
    actor: Subject,
    name: str,
    role: Role,
    now_ms: int,
    *,
    password: str | None = None,
    passwords: Passwords | None = None,
    chance: Chance | None = None,
) -> str | None:
    """Add a person. Without *password* a one-time one is made and returned (shown once).

    Raises `AccessError` (name), `NameTakenError`, `WeakPasswordError`.
    """
    check_name(name)
    one_time = None
    if password is None:
        password = one_time = one_time_password(chance or Chance())
    else:
        check_new_password(password, name)
    password_hash = (passwords or Passwords()).hash(password)
    with ledger.begin() as connection:
        if _by_name(connection, name) is not None:
            raise NameTakenError(f"There is a person {name!r} already.")
        _insert(connection, name, password_hash, role, one_time is not None, now_ms)
        append_audit(
            connection,
            subject=actor,
            action="user.add",
            now_ms=now_ms,
            target=name,
            detail={"role": role.value},
        )
    return one_time


def list_users(ledger: Ledger) -> list[AnyRow]:
    """All people by name, without their hashes."""
    columns = [c for c in user.c if c.name != "password_hash"]
    with ledger.read() as connection:
        return list(connection.execute(select(*columns).order_by(user.c.name)))


def change_user(
    ledger: Ledger,
    actor: Subject,
    name: str,
    now_ms: int,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
) -> None:
    """Change a person's role, or disable or enable one; disabling ends the sessions.

    Raises `UnknownError`, `LastAdminError`.
    """
    with ledger.begin() as connection:
        row = _required(connection, name)
        values: dict[str, Any] = {}
        if role is not None and role.value != row.role:
            values["role"] = role.value
        if disabled is not None and disabled != row.disabled:
            values["disabled"] = disabled
        if not values:
            return
        connection.execute(user.update().where(user.c.id == row.id).values(**values))
        _check_admin_left(connection)
        if values.get("disabled"):
            end_sessions(connection, row.id)
        append_audit(
            connection,
            subject=actor,
            action="user.change",
            now_ms=now_ms,
            target=name,
            detail=values,
        )


def reset_password(
    ledger: Ledger,
    actor: Subject,
    name: str,
    now_ms: int,
    *,
    password: str | None = None,
    passwords: Passwords | None = None,
    chance: Chance | None = None,
) -> str:
    """Give a person a new one-time password (or *password*), to be changed at the next sign-in.

    Ends the person's sessions and waiting times. Raises `UnknownError`, `WeakPasswordError`.
    """
    if password is not None:
        check_new_password(password, name)
    fresh = password or one_time_password(chance or Chance())
    password_hash = (passwords or Passwords()).hash(fresh)
    with ledger.begin() as connection:
        row = _required(connection, name)
        connection.execute(
            user.update()
            .where(user.c.id == row.id)
            .values(
                password_hash=password_hash, must_change_password=True, password_changed_ms=now_ms
            )
        )
        end_sessions(connection, row.id)
        forget_failures(connection, name)
        append_audit(
            connection, subject=actor, action="user.reset_password", now_ms=now_ms, target=name
        )
    return fresh


def remove_user(ledger: Ledger, actor: Subject, name: str, now_ms: int) -> None:
    """Remove a person and the sessions. Raises `UnknownError`, `LastAdminError`."""
    with ledger.begin() as connection:
        row = _required(connection, name)
        connection.execute(delete(user).where(user.c.id == row.id))
        _check_admin_left(connection)
        append_audit(connection, subject=actor, action="user.remove", now_ms=now_ms, target=name)


def check_name(name: str) -> None:
    """Raises `AccessError` for a name that is no name."""
    if not _NAME.fullmatch(name) or name != name.strip():
        raise AccessError(
            "A name has 1 to 63 letters, digits, spaces or . _ @ + - and begins with a letter "
            "or digit.",
            "name",
        )


def _insert(
    connection: Connection,
    name: str,
    password_hash: str,
    role: Role,
    must_change: bool,
    now_ms: int,
) -> None:
    connection.execute(
        user.insert().values(
            name=name,
            password_hash=password_hash,
            role=role.value,
            must_change_password=must_change,
            disabled=False,
            created_ms=now_ms,
        )
    )


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(user)).scalar_one()


def _by_name(connection: Connection, name: str) -> AnyRow | None:
    return connection.execute(select(user).where(user.c.name == name)).first()


def _required(connection: Connection, name: str) -> AnyRow:
    row = _by_name(connection, name)
    if row is None:
        raise UnknownError(f"There is no person {name!r}.", "name")
    return row


def _check_admin_left(connection: Connection) -> None:
    left = connection.execute(
        select(func.count())
        .select_from(user)
        .where(user.c.role == Role.ADMIN.value, user.c.disabled.is_(False))
    ).scalar_one()
    if not left:
        raise LastAdminError("This is the last admin who can sign in; make another one first.")
