"""Seeing as somebody else: an administrator looks at the pages as a role or a person would.

The wish travels in a cookie beside the session's, and only ever takes away: who looks through other
eyes has that role, may read and nothing else, and stands in the audit under the own name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from sqlalchemy import Connection, select

from vezha.access.subject import Role, Subject, SubjectKind
from vezha.ledger.tables import user

_ROLE, _PERSON = "role", "person"


@dataclass(frozen=True, slots=True)
class Eyes:
    """As whom: a person's name, or else a role."""

    role: Role = Role.VIEWER
    person: str = ""

    def __str__(self) -> str:
        """As the cookie's value and the audit's target say it."""
        return (
            f"{_PERSON}.{quote(self.person, '')}" if self.person else f"{_ROLE}.{self.role.value}"
        )


def read_eyes(text: str) -> Eyes | None:
    """What a cookie says, or None for what is no such wish."""
    kind, _, value = text.partition(".")
    if kind == _PERSON and value:
        return Eyes(person=unquote(value))
    if kind == _ROLE and value in (role.value for role in Role):
        return Eyes(Role(value))
    return None


def find_role(connection: Connection, person: str) -> Role | None:
    """The role of a person who may sign in, or None."""
    wanted = select(user.c.role).where(user.c.name == person, user.c.disabled.is_(False))
    row = connection.execute(wanted).first()
    return None if row is None else Role(row.role)


def see_as(subject: Subject, eyes: Eyes, role: Role | None) -> Subject:
    """*subject* looking through *eyes*, where it is an administrator and there is such a *role*.

    For anybody else, and for a person who is gone, nothing changes.
    """
    able = subject.kind is SubjectKind.USER and subject.role is Role.ADMIN
    if not able or subject.must_change_password or role is None:
        return subject
    return replace(subject, name=eyes.person or subject.name, role=role, seen_by=subject.name)
