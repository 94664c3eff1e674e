"""Subjects: who asks. Roles: how far they are trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """Three roles, each may all that the one before may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def __init__(self, _name: str) -> None:
        self.rank = len(type(self).__members__)
        """0 is the least trusted."""


class SubjectKind(Enum):
    """What kind of identity asks."""

    NOBODY = "nobody"
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a kind of subject
    SYSTEM = "system"
    """Vezha itself, or somebody at this machine's command line who can read the state folder."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. `role` is None for nobody; `address` is where the request came from.

    `seen_by` is the administrator who looks through this subject's eyes, and is empty otherwise.
    """

    kind: SubjectKind
    name: str = ""
    role: Role | None = None
    must_change_password: bool = False
    address: str = ""
    seen_by: str = ""


NOBODY = Subject(SubjectKind.NOBODY)
