"""`/api/v1/scenarios` and `/api/v1/rounds`: saved walks, and the rounds in which they are walked."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import Row

from vezha.access import Action
from vezha.alerting.ask import Ask, ask_of, check_expression
from vezha.api import limits
from vezha.api.errors import ApiError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.scenario import limits as scenario_limits
from vezha.scenario.book import ScenarioBook, Shelf
from vezha.scenario.errors import NoSuchRound, NoSuchScenario, ScenarioError, WrongRound
from vezha.scenario.file import Scenario, View, parse_scenario
from vezha.scenario.look import Look, look_all
from vezha.scenario.round import (
    RUN,
    WATCH,
    Use,
    begin_round,
    judge,
    keep_play,
    leave,
    read_round,
    read_rounds,
    read_uses,
    read_versions,
    say,
    sign,
)

BOOK = "scenario_book"
"""Under this name `Services.extra` holds the `ScenarioBook`; without it the built-in ones show."""
_ROUNDS_OF_ONE = 20


class ViewView(msgspec.Struct):
    """One stop of a walk. A person ticks it where it has neither `expect` nor `odd`."""

    title: str
    title_uk: str
    at: str
    look_for: str
    look_for_uk: str
    expect: str
    odd: str


class UseView(msgspec.Struct):
    """How often within 30 days, and when last."""

    run: int
    watch: int
    play: int
    last_at: float | None


class RoundView(msgspec.Struct):
    """A round in a list. `odd` counts views that were not as expected."""

    id: int
    scenario: str
    version: str
    kind: str
    state: str
    by: str
    began_at: float | None
    ended_at: float | None
    ended_by: str | None
    note: str
    odd: int


class ScenarioView(msgspec.Struct):
    """A scenario in a list. `every_s` 0: the server does not play it."""

    name: str
    title: str
    title_uk: str
    about: str
    about_uk: str
    topic: str
    version: str
    views: int
    every_s: float
    watch_s: float
    builtin: bool
    uses: UseView
    unused: bool
    last: RoundView | None


class ScenariosView(msgspec.Struct):
    """All scenarios by name; what is wrong with files, by file."""

    scenarios: list[ScenarioView]
    problems: dict[str, list[str]]


class VersionView(msgspec.Struct):
    """A version that was used, and since when."""

    version: str
    first_at: float | None


class ScenarioDetailView(ScenarioView):
    """One scenario: its views, its text (YAML), its versions and its last rounds."""

    walk: list[ViewView]
    text: str
    versions: list[VersionView]
    rounds: list[RoundView]


class LookView(msgspec.Struct):
    """How a view stands: `waiting`, `expected`, `odd` or `unknown`; who says so, and why."""

    state: str
    by: str
    at: float | None
    said: str
    evidence: list[dict[str, Any]]


class RoundDetailView(RoundView):
    """A round with the scenario as it was when the round began."""

    title: str
    title_uk: str
    walk: list[ViewView]
    looks: list[LookView]


class RoundsView(msgspec.Struct):
    """Rounds, the newest first."""

    rounds: list[RoundView]


class LooksView(msgspec.Struct):
    """How all views of a scenario stand now."""

    looks: list[LookView]


class ScenarioBody(msgspec.Struct, forbid_unknown_fields=True):
    """A scenario as it is written. `version` is the one that was changed; empty for a new one."""

    text: Annotated[str, msgspec.Meta(max_length=scenario_limits.FILE_BYTES_MAX)]
    version: str = ""


class ScenarioFaultsView(msgspec.Struct):
    """What is wrong with a text; nothing where it can be saved."""

    problems: list[str]


class RoundBody(msgspec.Struct, forbid_unknown_fields=True):
    """`run` to walk it and sign, `watch` on a wall, `play` to let the server look now."""

    kind: Annotated[str, msgspec.Meta(pattern="^(run|watch|play)$")] = RUN


class SayBody(msgspec.Struct, forbid_unknown_fields=True):
    """A person's word on a view; `odd` needs a text."""

    state: Annotated[str, msgspec.Meta(pattern="^(expected|odd|waiting)$")]
    text: Annotated[str, msgspec.Meta(max_length=scenario_limits.NOTE_CHARS_MAX)] = ""


class EndBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is said at the end."""

    note: Annotated[str, msgspec.Meta(max_length=scenario_limits.NOTE_CHARS_MAX)] = ""


class RoundsQuery(msgspec.Struct):
    """Of one scenario, or of all."""

    scenario: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=scenario_limits.ROUNDS_LISTED_MAX)] = 50


def _book(call: Call) -> ScenarioBook:
    book = call.services.extra.get(BOOK)
    if book is None:
        book = call.services.extra[BOOK] = ScenarioBook()
    assert isinstance(book, ScenarioBook)
    return book


def _ask(call: Call) -> Ask:
    querying = call.services.querying
    if querying is None:
        raise ApiError(503, "unavailable", "There are no samples to ask here.")
    return ask_of(querying.engine)


def _find(shelf: Shelf, name: str) -> Scenario:
    try:
        return shelf.find(name)
    except NoSuchScenario as fault:
        raise NotFoundError(str(fault)) from None


def _view(view: View) -> ViewView:
    return ViewView(**{field: getattr(view, field) for field in View.__slots__})


def _round(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id, "scenario": row.name, "version": row.version, "kind": row.kind,
        "state": row.state, "by": row.by, "began_at": seconds(row.began_ms),
        "ended_at": seconds(row.ended_ms), "ended_by": row.ended_by, "note": row.note,
        "odd": row.odd,
    }  # fmt: skip


def _scenario(scenario: Scenario, use: Use, last: Row[Any] | None) -> dict[str, Any]:
    return {
        "name": scenario.name, "title": scenario.title, "title_uk": scenario.title_uk,
        "about": scenario.about, "about_uk": scenario.about_uk, "topic": scenario.topic,
        "version": scenario.version, "views": len(scenario.views),
        "every_s": scenario.every_ms / 1000, "watch_s": float(scenario.watch_s),
        "builtin": scenario.builtin,
        "uses": UseView(use.run, use.watch, use.play, seconds(use.last_ms)),
        "unused": use.is_unused,
        "last": None if last is None else RoundView(**_round(last)),
    }  # fmt: skip


def _look(one: Look, at_ms: int) -> LookView:
    return LookView(one.state, "", seconds(at_ms), one.said, list(one.evidence))


def scenarios(call: Call) -> ScenariosView:
    """All, with how they were used of late."""
    shelf = _book(call).shelf()
    with call.services.ledger.read() as connection:
        uses = read_uses(connection, call.services.now_ms())
        last: dict[str, Row[Any]] = {}
        for row in read_rounds(connection):
            last.setdefault(row.name, row)
    found = [
        ScenarioView(**_scenario(one, uses.get(name, Use()), last.get(name)))
        for name, one in sorted(shelf.scenarios.items())
    ]
    return ScenariosView(found, shelf.problems)


def scenario(call: Call) -> ScenarioDetailView:
    """One."""
    found = _find(_book(call).shelf(), call.path["name"])
    with call.services.ledger.read() as connection:
        use = read_uses(connection, call.services.now_ms()).get(found.name, Use())
        rounds = read_rounds(connection, found.name, _ROUNDS_OF_ONE)
        versions = read_versions(connection, found.name)
    return ScenarioDetailView(
        **_scenario(found, use, rounds[0] if rounds else None),
        walk=[_view(v) for v in found.views],
        text=found.text,
        versions=[VersionView(version, seconds(ms)) for version, ms in versions],
        rounds=[RoundView(**_round(row)) for row in rounds],
    )


def lint(call: Call) -> ScenarioFaultsView:
    """Without saving."""
    body: ScenarioBody = call.body
    try:
        parse_scenario(body.text, check_expression)
    except ScenarioError as fault:
        return ScenarioFaultsView(fault.problems)
    return ScenarioFaultsView([])


def save(call: Call) -> ScenarioFaultsView:
    """Write an own scenario; a built-in of its name is replaced."""
    body: ScenarioBody = call.body
    book = _book(call)
    if not book.folder:
        raise ApiError(503, "unavailable", "This server keeps no files.")
    try:
        new = parse_scenario(body.text, check_expression)
    except ScenarioError as fault:
        return ScenarioFaultsView(fault.problems)
    if new.name != call.path["name"]:
        raise ApiError(
            400, "invalid", f"The text names it {new.name}; save it under that name.", field="text"
        )
    there = book.shelf().scenarios.get(new.name)
    if (there.version if there else "") != body.version:
        raise ApiError(409, "conflict", "Somebody has saved it meanwhile; load it again.")
    with call.services.ledger.begin() as connection:
        call.audit(connection, target=new.name, detail={"version": new.version})
    book.save(body.text)
    return ScenarioFaultsView([])


def remove(call: Call) -> None:
    """Delete an own scenario."""
    book = _book(call)
    _find(book.shelf(), call.path["name"])
    with call.services.ledger.begin() as connection:
        if not book.folder or not book.remove(call.path["name"]):
            raise ApiError(409, "conflict", "It ships with Vezha: it can be replaced, not removed.")
        call.audit(connection, target=call.path["name"])


def looks(call: Call) -> LooksView:
    """How it stands now; nothing is written down."""
    found = _find(_book(call).shelf(), call.path["name"])
    now_ms = call.services.now_ms()
    return LooksView([_look(one, now_ms) for one in look_all(found, _ask(call), now_ms)])


def begin(call: Call) -> RoundDetailView:
    """Begin a round; a play is over at once."""
    body: RoundBody = call.body
    found = _find(_book(call).shelf(), call.path["name"])
    now_ms, by = call.services.now_ms(), call.subject.name
    seen = None if body.kind == WATCH else look_all(found, _ask(call), now_ms)
    try:
        with call.services.ledger.begin() as connection:
            if body.kind in (RUN, WATCH):
                number = begin_round(connection, found, body.kind, by, now_ms)
                if seen is not None:
                    judge(connection, number, dict(enumerate(seen)), now_ms)
            else:
                assert seen is not None
                played = keep_play(connection, found, seen, now_ms, by=by)
                assert played is not None, "a play without a slot is always kept"
                number = played
            call.audit(connection, target=found.name, detail={"kind": body.kind})
    except WrongRound as fault:
        raise ApiError(409, "limit", str(fault)) from None
    call.services.nudge("scenarios")
    return _detail(call, number)


def rounds(call: Call) -> RoundsView:
    """Runs and plays."""
    query: RoundsQuery = call.query
    with call.services.ledger.read() as connection:
        rows = read_rounds(connection, query.scenario, query.limit)
    return RoundsView([RoundView(**_round(row)) for row in rows])


def round_(call: Call) -> RoundDetailView:
    """One."""
    return _detail(call, path_id(call))


def _detail(call: Call, number: int) -> RoundDetailView:
    try:
        with call.services.ledger.read() as connection:
            row, then, seen = read_round(connection, number)
    except NoSuchRound as fault:
        raise NotFoundError(str(fault)) from None
    return RoundDetailView(
        **_round(row),
        title=then.title,
        title_uk=then.title_uk,
        walk=[_view(v) for v in then.views],
        looks=[LookView(x.state, x.by, seconds(x.at_ms), x.said, x.evidence) for x in seen],
    )


def look_again(call: Call) -> RoundDetailView:
    """Ask the conditions of an open round again; people's words stay."""
    number, now_ms = path_id(call), call.services.now_ms()
    detail = _detail(call, number)
    if detail.state != "open":
        raise ApiError(409, "conflict", f"Round {number} is over.")
    with call.services.ledger.read() as connection:
        _, then, _ = read_round(connection, number)
    seen = look_all(then, _ask(call), now_ms)
    with call.services.ledger.begin() as connection:
        judge(connection, number, dict(enumerate(seen)), now_ms)
        call.audit(connection, target=str(number))
    return _detail(call, number)


def speak(call: Call) -> RoundDetailView:
    """A person's word on one view."""
    body: SayBody = call.body
    number, view = path_id(call), path_id(call, "view")
    return _act(call, number, lambda connection, by, now_ms: say(
        connection, number, view, body.state, by, body.text, now_ms
    ))  # fmt: skip


def end(call: Call) -> RoundDetailView:
    """Sign."""
    number = path_id(call)
    return _act(call, number, lambda connection, by, now_ms: sign(
        connection, number, by, call.body.note, now_ms
    ))  # fmt: skip


def abandon(call: Call) -> RoundDetailView:
    """Leave."""
    number = path_id(call)
    return _act(call, number, lambda connection, by, now_ms: leave(
        connection, number, by, call.body.note, now_ms
    ))  # fmt: skip


def _act(call: Call, number: int, what: Any) -> RoundDetailView:
    try:
        with call.services.ledger.begin() as connection:
            what(connection, call.subject.name, call.services.now_ms())
            call.audit(connection, target=str(number))
    except NoSuchRound as fault:
        raise NotFoundError(str(fault)) from None
    except WrongRound as fault:
        raise ApiError(409, "conflict", str(fault)) from None
    call.services.nudge("scenarios")
    return _detail(call, number)


ROUTES = (
    Route("GET", "/api/v1/scenarios", Action.SCENARIO_READ, scenarios,
          "Saved walks through the pages, and how they are used.", result=ScenariosView),
    Route("POST", "/api/v1/scenarios/lint", Action.SCENARIO_READ, lint,
          "What is wrong with a scenario's text.", body=ScenarioBody, result=ScenarioFaultsView,
          body_bytes_max=limits.BODY_BYTES_MAX),
    Route("GET", "/api/v1/scenarios/{name}", Action.SCENARIO_READ, scenario,
          "One scenario with its views, versions and last rounds.", result=ScenarioDetailView),
    Route("PUT", "/api/v1/scenarios/{name}", Action.SCENARIO_CHANGE, save,
          "Save a scenario; answers what is wrong, and saves nothing then.", body=ScenarioBody,
          result=ScenarioFaultsView),
    Route("DELETE", "/api/v1/scenarios/{name}", Action.SCENARIO_CHANGE, remove,
          "Delete an own scenario; a built-in of its name comes back."),
    Route("GET", "/api/v1/scenarios/{name}/looks", Action.SCENARIO_READ, looks,
          "How the views of a scenario stand now.", result=LooksView),
    Route("POST", "/api/v1/scenarios/{name}/rounds", Action.SCENARIO_RUN, begin,
          "Begin a round: run, watch or play.", body=RoundBody, result=RoundDetailView),
    Route("GET", "/api/v1/rounds", Action.SCENARIO_READ, rounds,
          "Rounds, the newest first.", query=RoundsQuery, result=RoundsView),
    Route("GET", "/api/v1/rounds/{id}", Action.SCENARIO_READ, round_,
          "One round with what was seen at each view.", result=RoundDetailView),
    Route("POST", "/api/v1/rounds/{id}/look", Action.SCENARIO_RUN, look_again,
          "Judge the conditions of an open round again.", result=RoundDetailView),
    Route("POST", "/api/v1/rounds/{id}/views/{view}", Action.SCENARIO_RUN, speak,
          "A person's word on a view: expected, odd, or back to waiting.", body=SayBody,
          result=RoundDetailView),
    Route("POST", "/api/v1/rounds/{id}/sign", Action.SCENARIO_RUN, end,
          "End a round with one's name.", body=EndBody, result=RoundDetailView),
    Route("POST", "/api/v1/rounds/{id}/leave", Action.SCENARIO_RUN, abandon,
          "End a round without signing it.", body=EndBody, result=RoundDetailView),
)  # fmt: skip
