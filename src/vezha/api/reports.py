"""Changes made elsewhere are reported here: our own format, CDEvents, GitHub, GitLab.

A report and a CDEvent come with an API token (role operator). GitHub and GitLab sign or name a
secret of their own, which stands in the settings `[hooks]`; without one their doors are shut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import anyio
import msgspec

from vezha.access import Action
from vezha.api.body import read_bytes
from vezha.api.errors import ApiError, InvalidError, NotFoundError
from vezha.api.limits import BODY_BYTES_MAX
from vezha.api.route import Call, Route, seconds
from vezha.delivery.errors import OperatorError, ReportError
from vezha.delivery.external import (
    Report,
    from_body,
    from_cdevent,
    from_github,
    from_gitlab,
    github_signed,
    gitlab_known,
)
from vezha.delivery.figures import BY, Figures, read_delivered, summarise
from vezha.delivery.reporting import take_report
from vezha.incidents.cause import caused_by_people
from vezha.incidents.times import week_of

HOOKS = "hooks"
"""Under this name `Services.extra` holds a `HookSecrets`."""
_HOOK_BYTES_MAX = 1 << 20
DAY_MS = 86_400_000
_DAYS_MAX = 3_660


@dataclass(frozen=True, slots=True)
class HookSecrets:
    """What GitHub signs with and what GitLab names; empty: that door is shut."""

    github: str = ""
    gitlab: str = ""

    def __repr__(self) -> str:
        return "HookSecrets(…)"


class ReportBody(msgspec.Struct, forbid_unknown_fields=True):
    """A change that was made outside of Vezha. Times: seconds since 1970 or ISO 8601."""

    title: str
    key: str = ""
    why: str = ""
    author: str = ""
    version: str = ""
    service: str = ""
    environment: str = ""
    labels: dict[str, str] = {}
    hosts: list[str] = []
    links: list[str] = []
    outcome: Literal["running", "done", "failed", "rolled_back"] = "done"
    began_at: float | str | None = None
    ended_at: float | str | None = None
    committed_at: float | str | None = None
    source: str = ""


class ReportedView(msgspec.Struct):
    """The change that a report belongs to; null where it spoke of none."""

    change: int | None


class FiguresQuery(msgspec.Struct):
    """How many days back, and by what: some of week, team, kind, with commas."""

    days: Annotated[int, msgspec.Meta(ge=1, le=_DAYS_MAX)] = 84
    by: str = "week"


class FiguresView(msgspec.Struct):
    """A row for each combination; durations in seconds, null where there are none."""

    since: float | None
    figures: list[Figures]


def report(call: Call) -> dict[str, Any]:
    """`POST /api/v1/changes/report`."""
    body: ReportBody = call.body
    given = {k: v for k, v in msgspec.to_builtins(body).items() if v not in ("", None, [], {})}
    try:
        said = from_body(given, call.services.now_ms(), call.subject.name)
    except ReportError as fault:
        raise InvalidError(f"{fault}.") from None
    return {"change": _take(call, said)}


async def cdevent(call: Call) -> dict[str, Any]:
    """`POST /api/v1/changes/cdevents`."""
    raw = await read_bytes(call.request, BODY_BYTES_MAX)
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    return await _hooked(call, lambda now_ms: from_cdevent(headers, raw, now_ms))


async def github(call: Call) -> dict[str, Any]:
    """`POST /api/v1/changes/github`: signed with `hooks.github_secret`."""
    secret = _secrets(call).github
    raw = await read_bytes(call.request, _HOOK_BYTES_MAX)
    signature = call.request.headers.get("x-hub-signature-256", "")
    if not secret or not github_signed(secret, raw, signature):
        raise _shut("hooks.github_secret")
    event = call.request.headers.get("x-github-event", "")
    return await _hooked(call, lambda now_ms: from_github(event, raw, now_ms))


async def gitlab(call: Call) -> dict[str, Any]:
    """`POST /api/v1/changes/gitlab`: with `hooks.gitlab_token`."""
    secret = _secrets(call).gitlab
    if not secret or not gitlab_known(secret, call.request.headers.get("x-gitlab-token", "")):
        raise _shut("hooks.gitlab_token")
    raw = await read_bytes(call.request, _HOOK_BYTES_MAX)
    event = call.request.headers.get("x-gitlab-event", "")
    return await _hooked(call, lambda now_ms: from_gitlab(event, raw, now_ms))


def _secrets(call: Call) -> HookSecrets:
    secrets = call.services.extra.get(HOOKS, HookSecrets())
    assert isinstance(secrets, HookSecrets)
    return secrets


def _shut(setting: str) -> NotFoundError:
    """One answer for a door that is shut and for a wrong secret: nobody learns which."""
    return NotFoundError(f"There is nothing here, or the secret is not that of {setting}.")


async def _hooked(call: Call, parse: Callable[[int], Report | None]) -> dict[str, Any]:
    try:
        said = parse(call.services.now_ms())
    except ReportError as fault:
        raise InvalidError(f"{str(fault)[:1].upper()}{str(fault)[1:]}.") from None
    if said is None:
        return {"change": None}
    return {"change": await anyio.to_thread.run_sync(_take, call, said)}


def _take(call: Call, said: Report) -> int:
    if not said.key:
        raise ApiError(400, "invalid", "The report names no change.")
    with call.services.ledger.begin() as connection:
        id_ = take_report(connection, said, call.services.now_ms())
        call.audit(
            connection,
            target=str(id_),
            detail={"source": said.source, "title": said.title, "outcome": said.outcome},
        )
    call.services.nudge("changes")
    return id_


def figures(call: Call) -> dict[str, Any]:
    """`GET /api/v1/delivery/figures`."""
    query: FiguresQuery = call.query
    now_ms = call.services.now_ms()
    since_ms = now_ms - query.days * DAY_MS
    with call.services.ledger.read() as connection:
        caused = caused_by_people(connection)
        found = read_delivered(connection, since_ms, now_ms + 1, caused)
    weeks = {one.id: week_of(one.ended_ms) for one in found}
    try:
        rows = summarise(found, [name for name in query.by.split(",") if name], query.days, weeks)
    except OperatorError as fault:
        raise InvalidError(f"{fault}.", "by") from None
    return {"since": seconds(since_ms), "figures": rows}


assert BY == ("week", "team", "kind"), "FiguresQuery says so"
ROUTES: tuple[Route, ...] = (
    Route("POST", "/api/v1/changes/report", Action.CHANGE_REPORT, report,
          "Report a change that was made elsewhere: a deploy, a migration, a new switch.",
          body=ReportBody, result=ReportedView),
    Route("POST", "/api/v1/changes/cdevents", Action.CHANGE_REPORT, cdevent,
          "A CDEvent over HTTP (CloudEvents, binary or structured mode).", result=ReportedView),
    Route("POST", "/api/v1/changes/github", Action.CHANGE_HOOK, github,
          "GitHub's web hook: deployments and their states, signed.", result=ReportedView,
          body_bytes_max=_HOOK_BYTES_MAX),
    Route("POST", "/api/v1/changes/gitlab", Action.CHANGE_HOOK, gitlab,
          "GitLab's web hook: deployments, with its secret token.", result=ReportedView,
          body_bytes_max=_HOOK_BYTES_MAX),
    Route("GET", "/api/v1/delivery/figures", Action.DELIVERY_READ, figures,
          "Lead time, frequency, failed changes, their recovery, rework.", query=FiguresQuery,
          result=FiguresView),
)  # fmt: skip
