"""`/api/v1/users`: people and their roles. Admins only."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vezha.access import Action, Role
from vezha.access.user import add_user, change_user, list_users, remove_user, reset_password
from vezha.api.errors import NotFoundError
from vezha.api.route import Call, Route, seconds

RoleName = Literal["viewer", "operator", "admin"]


class UserAddBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new person. Without a password a one-time one is made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    role: RoleName = "viewer"
    password: Annotated[str, msgspec.Meta(max_length=1_024)] | None = None


class UserChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to change; `reset_password` makes a new one-time password."""

    role: RoleName | None = None
    disabled: bool | None = None
    reset_password: bool = False


class PersonView(msgspec.Struct):
    """A person."""

    name: str
    role: str
    disabled: bool
    must_change_password: bool
    created_at: float | None
    last_sign_in_at: float | None


class PeopleView(msgspec.Struct):
    """All people."""

    users: list[PersonView]


class PersonChangedView(msgspec.Struct):
    """A person, and the one-time password where one was made: it is shown this once."""

    user: PersonView
    one_time_password: str | None = None


def _people(call: Call) -> list[PersonView]:
    return [
        PersonView(
            row.name,
            row.role,
            bool(row.disabled),
            bool(row.must_change_password),
            seconds(row.created_ms),
            seconds(row.last_sign_in_ms),
        )
        for row in list_users(call.services.ledger)
    ]


def _person(call: Call, name: str) -> PersonView:
    for person in _people(call):
        if person.name == name:
            return person
    raise NotFoundError(f"There is no person {name!r}.")


def list_all(call: Call) -> PeopleView:
    """All people."""
    return PeopleView(_people(call))


def add(call: Call) -> PersonChangedView:
    """Add a person."""
    given: UserAddBody = call.body
    services = call.services
    one_time = add_user(
        services.ledger,
        call.subject,
        given.name,
        Role(given.role),
        services.now_ms(),
        password=given.password,
        passwords=services.sessions.passwords,
        chance=services.world.chance,
    )
    call.audited = True
    return PersonChangedView(_person(call, given.name), one_time)


def change(call: Call) -> PersonChangedView:
    """Change a person."""
    given: UserChangeBody = call.body
    services, name = call.services, call.path["name"]
    role = None if given.role is None else Role(given.role)
    change_user(
        services.ledger, call.subject, name, services.now_ms(), role=role, disabled=given.disabled
    )
    one_time = None
    if given.reset_password:
        one_time = reset_password(
            services.ledger,
            call.subject,
            name,
            services.now_ms(),
            passwords=services.sessions.passwords,
            chance=services.world.chance,
        )
    call.audited = True
    return PersonChangedView(_person(call, name), one_time)


def remove(call: Call) -> None:
    """Remove a person."""
    remove_user(call.services.ledger, call.subject, call.path["name"], call.services.now_ms())
    call.audited = True


ROUTES = (
    Route("GET", "/api/v1/users", Action.USER_READ, list_all, "All people.", result=PeopleView),
    Route("POST", "/api/v1/users", Action.USER_CHANGE, add, "Add a person.",
          body=UserAddBody, result=PersonChangedView, status=201),
    Route("PATCH", "/api/v1/users/{name}", Action.USER_CHANGE, change,
          "Change a role, disable, enable, or reset the password.", body=UserChangeBody,
          result=PersonChangedView),
    Route("DELETE", "/api/v1/users/{name}", Action.USER_CHANGE, remove, "Remove a person.",
          status=204),
)  # fmt: skip
