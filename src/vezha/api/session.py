"""`/api/v1/session`: signing in and out, and the own password."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import anyio.to_thread
import msgspec
from starlette.responses import Response

from vezha.access import Action, Role, SignedIn, Subject
from vezha.access.errors import ThrottledError
from vezha.access.seeing import Eyes, find_role
from vezha.access.subject import SubjectKind
from vezha.api import limits
from vezha.api.authentication import origin_of
from vezha.api.cookie import read_cookie, set_cookie, set_eyes_cookie
from vezha.api.dispatch import answer, run_in_thread
from vezha.api.errors import ApiError, InvalidError, NotFoundError, UnavailableError
from vezha.api.route import Call, Route
from vezha.incidents.oncall.rows import read_teams
from vezha.incidents.oncall.team import Team

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
_Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class SignInBody(msgspec.Struct, forbid_unknown_fields=True):
    """Name and password."""

    name: _Name
    password: _Password


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    """The old password, and the new one twice as good."""

    old: _Password
    new: _Password


class UserView(msgspec.Struct):
    """Who is signed in. `kind` is user or token.

    `teams` are those that the person is in, whose own things an operator may change.
    `seen_by` is the administrator who sees the pages as this person or role, else empty.
    """

    name: str
    role: str
    must_change_password: bool
    kind: str
    seen_by: str = ""
    teams: list[str] = []


class EyesBody(msgspec.Struct, forbid_unknown_fields=True):
    """As whom to see the pages: a person, or else a role."""

    person: Annotated[str, msgspec.Meta(max_length=253)] = ""
    role: Literal["viewer", "operator", "admin"] = "viewer"


class SessionView(msgspec.Struct):
    """The open session."""

    user: UserView


def view_of(subject: Subject, teams: Sequence[Team] = ()) -> SessionView:
    """A subject as the API shows it; *teams* are all that there are."""
    assert subject.role is not None
    return SessionView(
        UserView(
            subject.name,
            subject.role.value,
            subject.must_change_password,
            subject.kind.value,
            subject.seen_by,
            [team.name for team in teams if subject.name in team.members],
        )
    )


async def sign_in(call: Call) -> Response:
    """Open a session; the answer sets its cookie."""
    given: SignInBody = call.body
    old = read_cookie(call.request.headers, origin_of(call.request))

    def check() -> SignedIn:
        return call.services.sessions.sign_in(
            given.name, given.password, call.subject.address, call.services.now_ms(), old
        )

    call.audited = True
    return _signed_in(call, await _hashing(call, check))


async def change_password(call: Call) -> Response:
    """Change the own password; other sessions of the person end."""
    given: PasswordBody = call.body
    if call.subject.kind is not SubjectKind.USER:
        raise InvalidError("A token has no password.")

    def change() -> SignedIn:
        return call.services.sessions.change_password(
            call.subject.name, given.old, given.new, call.subject.address, call.services.now_ms()
        )

    call.audited = True
    return _signed_in(call, await _hashing(call, change))


async def read_session(call: Call) -> SessionView:
    """Who is signed in. A browser asks when it opens a page, which then wants the fleet."""
    if call.services.hub is not None and call.subject.kind is SubjectKind.USER:
        call.services.hub.expect()
    return view_of(call.subject, await run_in_thread(call.services, _teams, call))


def _teams(call: Call) -> list[Team]:
    if call.subject.kind is not SubjectKind.USER:
        return []
    with call.services.ledger.read() as connection:
        return read_teams(connection)


def see_as(call: Call) -> Response:
    """See the pages as a role or a person would, from the next request on, and change nothing."""
    given: EyesBody = call.body
    if call.subject.kind is not SubjectKind.USER:
        raise InvalidError("A token has no pages to look at.")
    eyes = Eyes(Role(given.role), given.person)
    with call.services.ledger.begin() as connection:
        if eyes.person and find_role(connection, eyes.person) is None:
            raise NotFoundError(f"There is nobody called {eyes.person[:64]!r} who may sign in.")
        call.audit(connection, target=eyes.person or eyes.role.value)
    return _with_eyes(str(eyes))


def see_own(call: Call) -> Response:
    """See the pages as oneself again."""
    return _with_eyes("")


def _with_eyes(value: str) -> Response:
    response = Response(status_code=204)
    response.headers.append("set-cookie", set_eyes_cookie(value))
    return response


def sign_out(call: Call) -> Response:
    """End the session."""
    if call.session_secret:
        call.services.sessions.end(call.session_secret)
    response = _with_eyes("")
    _add_cookie(call, response, "", 0)
    return response


async def _hashing(call: Call, work: Callable[[], SignedIn]) -> SignedIn:
    """Run *work* on a thread for passwords; a flood of sign-ins is turned away, not queued."""
    limiter = call.services.sign_in_threads
    if limiter.statistics().tasks_waiting >= limits.SIGN_INS_WAITING_MAX:
        raise UnavailableError("Too many sign-ins at the same time; try again in a moment.")
    try:
        return await anyio.to_thread.run_sync(work, limiter=limiter)
    except ThrottledError as error:
        wait = str(max(1, round(error.retry_after_s)))
        raise ApiError(429, error.code, str(error), headers={"Retry-After": wait}) from error


def _signed_in(call: Call, signed_in: SignedIn) -> Response:
    with call.services.ledger.read() as connection:
        teams = read_teams(connection)
    response = answer(view_of(signed_in.subject, teams), 200)
    max_age_s = (signed_in.expires_ms - call.services.now_ms()) // 1000
    _add_cookie(call, response, signed_in.secret, max_age_s)
    response.headers.append("set-cookie", set_eyes_cookie(""))
    return response


def _add_cookie(call: Call, response: Response, secret: str, max_age_s: int) -> None:
    agent = call.request.headers.get("user-agent", "")
    response.headers.append(
        "set-cookie", set_cookie(origin_of(call.request), secret, max_age_s, agent)
    )


ROUTES = (
    Route("POST", "/api/v1/session", Action.SESSION_OPEN, sign_in,
          "Sign in: sets the session's cookie.", body=SignInBody, result=SessionView),
    Route("GET", "/api/v1/session", Action.SESSION_READ, read_session,
          "Who is signed in.", result=SessionView),
    Route("DELETE", "/api/v1/session", Action.SESSION_CLOSE, sign_out, "Sign out.", status=204),
    Route("POST", "/api/v1/session/as", Action.SESSION_SEE_AS, see_as,
          "See the pages as a role or a person would; only looking.", body=EyesBody, status=204),
    Route("DELETE", "/api/v1/session/as", Action.SESSION_SEE_OWN, see_own,
          "See the pages as oneself again.", status=204),
    Route("POST", "/api/v1/session/password", Action.PASSWORD_CHANGE_OWN, change_password,
          "Change the own password; the other sessions end.", body=PasswordBody,
          result=SessionView),
)  # fmt: skip
