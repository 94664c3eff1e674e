"""`/api/v1/heartbeats`: jobs call here to say that they ran.

The secret stands in the URL, because what calls is a line in a crontab. When a job called last
is a row of the ledger's settings, so that a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from sqlalchemy import select, update

from vezha.access import Action
from vezha.api.errors import NotFoundError
from vezha.api.route import Call, Route
from vezha.checks.heartbeat import Beat, HeartbeatProbe
from vezha.ledger import Ledger
from vezha.ledger.tables import setting

HEARTBEATS = "heartbeats"
"""Under this name `Services.extra` holds a function that gives the heartbeats in force, by name."""
_BY = "heartbeat"


class BeatQuery(msgspec.Struct):
    """The job's secret, and how it ended."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    exit: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


def beat(call: Call) -> None:
    """`POST /api/v1/heartbeats/{name}?token=…&exit=0`."""
    query: BeatQuery = call.query
    known: Mapping[str, HeartbeatProbe] = call.services.extra.get(HEARTBEATS, dict)()
    name = call.path["name"]
    probe = known.get(name)
    if probe is None or not probe.fits(query.token):
        raise NotFoundError("There is no heartbeat of that name with that token.")
    note_beat(call.services.ledger, name, call.services.now_ms(), query.exit)


def know_heartbeat(ledger: Ledger, name: str, now_ms: int) -> Beat:
    """The last beat of *name*; one that was never seen is known from *now_ms* on. Blocks."""
    with ledger.begin() as connection:
        value = connection.execute(select(setting.c.value).where(setting.c.key == _key(name)))
        row: Any = value.scalar_one_or_none()
        if row is None:
            row = {"at_ms": None, "since_ms": now_ms, "exit": 0}
            connection.execute(
                setting.insert().values(
                    key=_key(name), value=row, changed_ms=now_ms, changed_by=_BY
                )
            )
    return Beat(row["at_ms"], row["since_ms"], row["exit"])


def note_beat(ledger: Ledger, name: str, now_ms: int, exit_code: int) -> None:
    """*name* called just now. Blocks."""
    since_ms = know_heartbeat(ledger, name, now_ms).since_ms
    row = {"at_ms": now_ms, "since_ms": since_ms, "exit": exit_code}
    with ledger.begin() as connection:
        connection.execute(
            update(setting)
            .where(setting.c.key == _key(name))
            .values(value=row, changed_ms=now_ms, changed_by=_BY)
        )


def _key(name: str) -> str:
    return f"heartbeat:{name}"


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/api/v1/heartbeats/{name}", Action.HEARTBEAT_BEAT, beat,
        "Say that a job ran; the heartbeat's token stands in the URL.", query=BeatQuery,
        status=204,
    ),
)  # fmt: skip
