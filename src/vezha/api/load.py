"""`/api/v1/load…`: predictability, forecasts, what fills up, calm windows, usual ranges, anomalies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np

from vezha.access import Action
from vezha.access.host import find_host, list_hosts
from vezha.api import host_charts, limits
from vezha.api.charts import wait_gone
from vezha.api.dispatch import run_in_thread
from vezha.api.errors import InvalidError, NotFoundError, UnavailableError
from vezha.api.host_charts import CHARTS
from vezha.api.route import Call, Route
from vezha.forecast import views
from vezha.forecast.book import Book
from vezha.forecast.errors import NoSuchLoad, WrongWindow
from vezha.forecast.limits import DAY_STEPS, STEP_S
from vezha.forecast.usual import usual
from vezha.query.engine import Engine

SHELF = "load"
"""The name of the book in `Services.extra`."""
USUAL_DAYS = 14


class Shelf:
    """The book as the API reads it: one reader at a time."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._usual: dict[tuple[str, str, int], list[dict[str, Any]]] = {}

    def read(self, work: Callable[[Book], Any]) -> Any:
        """What *work* makes of the newest book."""
        with self._lock:
            self._book.refresh()
            return work(self._book)

    def usual(
        self, host: str, chart: str, step: int, make: Callable[[], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Ranges are kept for as long as their last step is the newest."""
        key = (host, chart, step)
        kept = self._usual.get(key)
        if kept is None:
            kept = make()
            if len(self._usual) >= limits.USUAL_KEPT_MAX:
                self._usual.clear()
            self._usual[key] = kept
        return kept


class LoadQuery(msgspec.Struct):
    """Which loads: of hosts, groups or both; of one host or group by name; the first so many."""

    kind: Literal["", "host", "group"] = ""
    name: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000


class LoadsView(msgspec.Struct):
    """Loads; `total` before the limit. `newest` is the end of the last step that was read."""

    loads: list[views.LoadRow]
    total: int
    newest: float | None
    step_s: float


class ForecastQuery(msgspec.Struct):
    """One load, and how far ahead."""

    host: str = ""
    group: str = ""
    resource: Literal["cpu", "memory", "network", "disk"] = "cpu"
    horizon: Literal["1d", "7d", "30d"] = "7d"


class FillsQuery(msgspec.Struct):
    """Of one host, or all."""

    host: str = ""


class FillsView(msgspec.Struct):
    """File systems, the first to be full first."""

    fills: list[views.Fill]


class CalmQuery(msgspec.Struct):
    """Hosts by name with commas, or a group (`site=kyiv`); without either, all hosts."""

    hosts: str = ""
    group: str = ""
    length_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3_600.0
    start: Annotated[float, msgspec.Meta(ge=0, le=4e10)] | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3


class UsualQuery(msgspec.Struct):
    """A host, and one chart of it or all."""

    host: str
    chart: str = ""


class UsualSeriesView(msgspec.Struct):
    """The range of one line by time of day (UTC), a value per slot, null where too little is known."""

    chart: str
    legend: str
    low: list[float | None]
    high: list[float | None]


class UsualView(msgspec.Struct):
    """`slots` of `slot_s` seconds from midnight UTC on; of the last `days` days."""

    slot_s: float
    slots: int
    days: int
    series: list[UsualSeriesView]


class AnomaliesQuery(msgspec.Struct):
    """The strangest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20


class AnomalyView(msgspec.Struct):
    """One load; `why` in a sentence."""

    load: views.LoadRow
    why: str
    why_uk: str


class AnomaliesView(msgspec.Struct):
    """Loads that are off their forecast, each with a sentence. They page nobody."""

    anomalies: list[AnomalyView]


def _shelf(call: Call) -> Shelf:
    shelf = call.services.extra.get(SHELF)
    if shelf is None:
        raise UnavailableError("There is no forecast on this server.")
    return cast(Shelf, shelf)


def loads(call: Call) -> LoadsView:
    """How well each load can be foreseen."""
    query: LoadQuery = call.query

    def read(book: Book) -> LoadsView:
        rows = views.overview(book, query.kind, [query.name] if query.name else [])
        newest = (book.loads.newest + 1) * STEP_S if book.loads.newest >= 0 else None
        return LoadsView(rows[: query.limit], len(rows), newest, STEP_S)

    return cast(LoadsView, _shelf(call).read(read))


def outlook(call: Call) -> views.Outlook:
    """One load's forecast."""
    query: ForecastQuery = call.query
    if bool(query.host) == bool(query.group):
        raise InvalidError("Say host or group, one of them.", "host")
    kind, name = ("host", query.host) if query.host else ("group", query.group)
    days = int(query.horizon[:-1])
    try:
        return cast(
            views.Outlook,
            _shelf(call).read(lambda book: views.outlook(book, kind, name, query.resource, days)),
        )
    except NoSuchLoad as fault:
        raise NotFoundError(str(fault)) from None


def fills(call: Call) -> FillsView:
    """What fills up, when, and how sure that is."""
    query: FillsQuery = call.query
    names = [query.host] if query.host else []
    return FillsView(_shelf(call).read(lambda book: views.fills(book, names)))


def calm(call: Call) -> views.CalmWindows:
    """When a change disturbs least."""
    query: CalmQuery = call.query
    start_s = call.services.now_ms() / 1000 if query.start is None else query.start

    def read(book: Book) -> views.CalmWindows:
        hosts = [name for name in query.hosts.split(",") if name]
        if not hosts:
            hosts = sorted({key[1] for key in book.known("host")})
            if query.group:
                members = _members(call, query.group)
                hosts = [name for name in hosts if name in members]
        return views.calm(book, hosts, query.length_s, start_s, query.count)

    try:
        return cast(views.CalmWindows, _shelf(call).read(read))
    except WrongWindow as fault:
        raise InvalidError(str(fault), "hosts" if "hosts" in str(fault) else "length_s") from None


def _members(call: Call, group: str) -> set[str]:
    name, _, value = group.partition("=")
    return {h.name for h in list_hosts(call.services.ledger) if h.labels.get(name) == value}


async def usual_range(call: Call) -> UsualView:
    """The range behind a chart's line."""
    query: UsualQuery = call.query
    querying = call.services.querying
    if querying is None:
        raise UnavailableError("The store is not open.")
    known = [c.id for c in CHARTS]
    if query.chart and query.chart not in known:
        raise InvalidError(
            f"There is no chart {query.chart!r}: choose of {', '.join(known)}.", "chart"
        )
    if await run_in_thread(call.services, find_host, call.services.ledger, query.host) is None:
        raise NotFoundError(f"There is no host {query.host!r}.")
    shelf = _shelf(call)
    last = int(call.services.now_ms() // (STEP_S * 1000))

    def work(cancelled: Callable[[], bool]) -> list[dict[str, Any]]:
        def make() -> list[dict[str, Any]]:
            return ranges(querying.engine, query.host, query.chart, last, cancelled)

        return shelf.usual(query.host, query.chart, last, make)

    found = await querying.run(work, f"usual range of {query.host}", gone=lambda: wait_gone(call))
    series = [UsualSeriesView(**one) for one in found]
    return UsualView(float(STEP_S), DAY_STEPS, USUAL_DAYS, series)


def ranges(
    engine: Engine, host: str, chart: str, last: int, cancelled: Callable[[], bool] | None = None
) -> list[dict[str, Any]]:
    """Each line's range: chart, legend, low, high. Rates are over whole steps there, which roll-ups
    answer, so that two weeks cost little."""
    steps = USUAL_DAYS * DAY_STEPS
    start_ms, end_ms = (last - steps) * STEP_S * 1000, last * STEP_S * 1000
    out = []
    for one in CHARTS:
        if chart and one.id != chart:
            continue
        for series in one.series:
            text = host_charts.stepped(series.expr, host, STEP_S)
            result = engine.range(text, start_ms, end_ms, STEP_S * 1000, cancelled=cancelled)
            # an edge's value belongs to the step that it ends
            low, high = usual(result.filled()[:, 1:], last - steps)
            for i, labels in enumerate(result.labels[: host_charts.LEGENDS_PER_SERIES_MAX]):
                if np.isfinite(high[i]).any():
                    out.append(
                        {"chart": one.id, "legend": host_charts.legend_of(series, labels),
                         "low": views.column(low[i]), "high": views.column(high[i])}
                    )  # fmt: skip
    return out


def anomalies(call: Call) -> AnomaliesView:
    """Loads that are off their forecast, the strangest first."""
    query: AnomaliesQuery = call.query

    def read(book: Book) -> list[views.LoadRow]:
        return views.strangest(views.overview(book), query.limit)

    rows = _shelf(call).read(read)
    return AnomaliesView(
        [AnomalyView(row, views.explained(row), views.explained(row, "uk")) for row in rows]
    )


ROUTES = (
    Route("GET", "/api/v1/load", Action.HOST_READ, loads,
          "How well the load of hosts and groups can be foreseen.",
          query=LoadQuery, result=LoadsView),
    Route("GET", "/api/v1/load/forecast", Action.HOST_READ, outlook,
          "The forecast of one load, with its interval and the week before.",
          query=ForecastQuery, result=views.Outlook),
    Route("GET", "/api/v1/load/fills", Action.HOST_READ, fills,
          "Which file systems fill up, when, and how sure that is.",
          query=FillsQuery, result=FillsView),
    Route("GET", "/api/v1/load/calm", Action.HOST_READ, calm,
          "The next windows in which a change disturbs least.",
          query=CalmQuery, result=views.CalmWindows),
    Route("GET", "/api/v1/load/usual", Action.HOST_READ, usual_range,
          "The usual range of a host's charts by time of day.",
          query=UsualQuery, result=UsualView),
    Route("GET", "/api/v1/load/anomalies", Action.HOST_READ, anomalies,
          "Loads that are off their forecast, the strangest first.",
          query=AnomaliesQuery, result=AnomaliesView),
)  # fmt: skip
