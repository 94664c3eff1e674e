"""`/api/v2/silences` as Alertmanager answers it; amtool and karma begin and end silences here.

They are the silences of `/api/v1/silences`: one set, two doors. A silence's number is shown in
the shape of a UUID. Changing one ends it and begins another, as Alertmanager does.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from starlette.responses import Response

from vezha.access import Action
from vezha.api.alertmanager import matchers_of, silence_id, time_ms
from vezha.api.errors import InvalidError, NotFoundError
from vezha.api.own_team import check_own_team
from vezha.api.route import Call, Route
from vezha.api.rules import rfc3339
from vezha.incidents.errors import SilenceError
from vezha.incidents.limits import CLOSED_SILENCES_KEPT_MS
from vezha.incidents.silence import (
    LabelMatcher,
    Silence,
    add_silence,
    end_silence,
    make_matcher,
    read_silences,
    team_of_silence,
)
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables import silence as silence_table

_UUID = re.compile(r"(?:00000000-0000-4000-8000-0*)?(\d{1,9})")


class MatcherView(msgspec.Struct, rename="camel"):
    """A condition on a label: `=`, or by the flags `!=`, `=~`, `!~`."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class PostableSilence(msgspec.Struct, rename="camel"):
    """A silence to begin; with `id` in place of that one."""

    matchers: list[MatcherView]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    id: str | None = None


class SilenceStatusView(msgspec.Struct):
    """`state`: active, pending or expired."""

    state: str


class GettableSilence(msgspec.Struct, rename="camel"):
    """A silence; a maintenance window is one that is pending between its times."""

    id: str
    status: SilenceStatusView
    updated_at: str
    matchers: list[MatcherView]
    starts_at: str
    ends_at: str
    created_by: str
    comment: str


class MadeView(msgspec.Struct):
    """The new silence's id."""

    silence_id: str = msgspec.field(name="silenceID")


class SilencesFilter(msgspec.Struct):
    """Silences that have each of these matchers."""

    filter: list[str] = []


def _view(silence: Silence, now_ms: int) -> GettableSilence:
    state = silence.state(now_ms)
    return GettableSilence(
        id=silence_id(silence.id),
        status=SilenceStatusView(state),
        updated_at=rfc3339(silence.ends_ms if silence.ended_by else silence.created_ms),
        matchers=[
            MatcherView(m.name, m.value, m.op.endswith("~"), m.op.startswith("="))
            for m in silence.matchers
        ],
        starts_at=rfc3339(silence.starts_ms),
        ends_at=rfc3339(silence.ends_ms),
        created_by=silence.author,
        comment=silence.comment,
    )


def _matcher(view: MatcherView) -> LabelMatcher:
    ops = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    return make_matcher(view.name, ops[view.is_regex, view.is_equal], view.value)


def _fits(silence: Silence, filters: list[LabelMatcher]) -> bool:
    """As Alertmanager: the silence's matchers, read as labels, fulfil the filter."""
    labels = {m.name: m.value for m in silence.matchers}
    return all(f.fits(labels) for f in filters)


def get_silences(call: Call) -> list[GettableSilence]:
    """Silences of the last 30 days and to come."""
    filters = matchers_of(call.query.filter)
    now_ms = call.services.now_ms()
    with call.services.ledger.read() as connection:
        found = read_silences(connection, now_ms - CLOSED_SILENCES_KEPT_MS)
    return [_view(s, now_ms) for s in found if _fits(s, filters)]


def get_silence(call: Call) -> GettableSilence:
    """One silence, however old."""
    id_ = _id(call.path["id"])
    with call.services.ledger.read() as connection:
        found = [s for s in read_silences(connection, 0) if s.id == id_]
    if not found:
        raise NotFoundError(f"There is no silence {call.path['id'][:64]}.")
    return _view(found[0], call.services.now_ms())


def post_silence(call: Call) -> dict[str, Any]:
    """Begin a silence, or put one in the place of another."""
    body: PostableSilence = call.body
    now_ms = call.services.now_ms()
    starts_ms = max(now_ms, time_ms(body.starts_at) or 0)
    ends_ms = time_ms(body.ends_at) or 0
    try:
        matchers = [_matcher(m) for m in body.matchers]
        with call.services.ledger.begin() as connection:
            if body.id:
                _end(connection, call, body.id, now_ms)
            made = add_silence(
                connection, matchers, starts_ms, ends_ms, _author(call), body.comment, now_ms
            )
            shown = ", ".join(str(m) for m in matchers)
            call.audit(connection, target=str(made.id), detail={"matchers": shown})
    except SilenceError as fault:
        raise InvalidError(f"{fault}.") from None
    call.services.nudge("incidents")
    return {"silenceID": silence_id(made.id)}


def _author(call: Call) -> str:
    """Whom the client names, and always who is signed in: a name alone could be anybody's."""
    said, name = call.body.created_by.strip(), call.subject.name
    return name if said in ("", name) else f"{said} via {name}"[:NAME_CHARS_MAX]


def _end(connection: Connection, call: Call, text: str, now_ms: int) -> None:
    id_ = _id(text)
    there = select(silence_table.c.id).where(silence_table.c.id == id_)
    if connection.execute(there).first() is None:
        raise NotFoundError(f"There is no silence {text[:64]}.")
    check_own_team(call, connection, team_of_silence(connection, id_), must_exist=False)
    end_silence(connection, id_, call.subject.name, now_ms)


def delete_silence(call: Call) -> Response:
    """End a silence now; one that is over already stays so."""
    with call.services.ledger.begin() as connection:
        _end(connection, call, call.path["id"], call.services.now_ms())
        call.audit(connection, target=str(_id(call.path["id"])))
    call.services.nudge("incidents")
    return Response(status_code=200)


def _id(text: str) -> int:
    match = _UUID.fullmatch(text)
    if match is None:
        raise NotFoundError(f"There is no silence {text[:64]!r}.")
    return int(match[1])


ROUTES = (
    Route("GET", "/api/v2/silences", Action.SILENCE_READ, get_silences,
          "Silences, as Alertmanager answers.", query=SilencesFilter,
          result=list[GettableSilence], plain_errors=True),
    Route("POST", "/api/v2/silences", Action.SILENCE_CHANGE, post_silence,
          "Begin a silence, as Alertmanager does.", body=PostableSilence, result=MadeView,
          plain_errors=True),
    Route("GET", "/api/v2/silence/{id}", Action.SILENCE_READ, get_silence,
          "One silence, as Alertmanager answers.", result=GettableSilence, plain_errors=True),
    Route("DELETE", "/api/v2/silence/{id}", Action.SILENCE_CHANGE, delete_silence,
          "End a silence now, as Alertmanager does.", plain_errors=True),
)  # fmt: skip
