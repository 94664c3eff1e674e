"""`/api/v1/marks`: what changed when, for charts to carry: changes, waves, deploys, restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
import numpy as np

from vezha.access import Action
from vezha.api.charts import wait_gone
from vezha.api.dispatch import run_in_thread
from vezha.api.errors import InvalidError
from vezha.api.route import Call, Route, seconds
from vezha.delivery.limits import MARKS_MAX
from vezha.delivery.marks import RESTART, Mark, read_marks
from vezha.model.labels import quote_value
from vezha.query import Engine

BOOTS = "node_boot_time_seconds{instance=$host}"
AGENTS = (
    "process_start_time_seconds{instance=$host}"
    " and on (instance, job) vezha_agent_info{instance=$host}"
)
"""Other programs of the host say when they began, too, under jobs of their own."""
_SAME_S = 5.0
"""Boot times of one boot differ by as much: the kernel's clock was set meanwhile."""
_STEPS = 200
_STEP_MS_MIN = 1000
_TIME_S_MAX = 7e9


class MarksQuery(msgspec.Struct):
    """From when to when, in seconds since 1970; of one host, or of the fleet."""

    start: Annotated[float, msgspec.Meta(ge=0, le=_TIME_S_MAX)]
    end: Annotated[float, msgspec.Meta(ge=0, le=_TIME_S_MAX)]
    host: Annotated[str, msgspec.Meta(max_length=200)] = ""


class MarkView(msgspec.Struct):
    """One moment. `kind`: change, external, restart. `what`: what happened then: of a change its
    event (started, wave, held, resumed, reverting, reverted, aborted, done), of a change of one
    host that host's state, of one made elsewhere its outcome, of a restart `host` or `agent`.
    `until` is the end of what lasted."""

    at: float | None
    kind: str
    what: str
    title: str
    text: str
    change: int
    until: float | None
    hosts: int


class MarksView(msgspec.Struct):
    """Marks, the oldest first."""

    marks: list[MarkView]


async def marks(call: Call) -> MarksView:
    """What changed when."""
    query: MarksQuery = call.query
    if query.end <= query.start:
        raise InvalidError("end must be after start.", "end")
    start_ms, end_ms = int(query.start * 1000), int(query.end * 1000)

    def rows() -> list[Mark]:
        with call.services.ledger.read() as connection:
            return read_marks(connection, start_ms, end_ms, query.host)

    found = await run_in_thread(call.services, rows)
    querying = call.services.querying
    if query.host and querying is not None:
        engine = querying.engine

        def work(cancelled: Callable[[], bool]) -> list[Mark]:
            return restarts(engine, query.host, start_ms, end_ms, cancelled)

        what = f"restarts of {query.host}"
        found += await querying.run(work, what, gone=lambda: wait_gone(call))
    found.sort(key=lambda mark: mark.at_ms)
    return MarksView([mark_view(mark) for mark in found[-MARKS_MAX:]])


def restarts(
    engine: Engine, name: str, start_ms: int, end_ms: int, cancelled: Callable[[], bool]
) -> list[Mark]:
    """When the host, and when its agent, began anew: by what they themselves say of it."""
    out: list[Mark] = []
    step_ms = max(_STEP_MS_MIN, (end_ms - start_ms) // _STEPS)
    for what, expr in (("host", BOOTS), ("agent", AGENTS)):
        text = expr.replace("$host", quote_value(name))
        result = engine.range(text, start_ms, end_ms, step_ms, cancelled=cancelled)
        values = result.filled()
        begins = np.unique(values[np.isfinite(values)])
        begins = begins[(begins * 1000 >= start_ms) & (begins * 1000 <= end_ms)]
        fresh = begins[np.diff(begins, prepend=-np.inf) > _SAME_S]
        out += [Mark(int(at * 1000), RESTART, what, name, hosts=1) for at in fresh.tolist()]
    return out


def mark_view(mark: Mark) -> MarkView:
    """A mark as the API shows it."""
    return MarkView(
        seconds(mark.at_ms), mark.kind, mark.what, mark.title, mark.text, mark.change,
        seconds(mark.until_ms), mark.hosts,
    )  # fmt: skip


ROUTES = (
    Route("GET", "/api/v1/marks", Action.HOST_READ, marks,
          "What changed when: changes and their waves, changes made elsewhere, restarts.",
          query=MarksQuery, result=MarksView),
)  # fmt: skip
