"""`/api/v1/checklists`: what to do about an alert; how the lists fare. Runs: `checklist_runs`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.access.ownership import owner_of
from vezha.api.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from vezha.api.route import Call, Route
from vezha.incidents.checklists.book import ChecklistBook
from vezha.incidents.checklists.document import Checklist, Step
from vezha.incidents.checklists.figures import ChecklistFigures, read_figures
from vezha.incidents.checklists.parse import is_name, parse_checklist
from vezha.incidents.errors import ChecklistError, NoSuchChecklist, NoSuchIncident
from vezha.incidents.limits import CHECKLIST_CHARS_MAX, TIMES_DAYS_MAX
from vezha.incidents.oncall.rows import read_teams
from vezha.incidents.views import get_incident, get_members

BOOK = "checklist_book"
"""Under this name `Services.extra` holds the `ChecklistBook`; without it: the shipped ones."""
DAY_MS = 86_400_000


class ChecklistStepView(msgspec.Struct):
    """One step. `kind`: tick, yes/no, number, text, choice, query, chart, script."""

    number: int
    kind: str
    text: str
    text_uk: str
    help: str
    help_uk: str
    query: str
    unit: str
    span_s: int
    choices: list[str]
    choices_uk: list[str]
    script: str
    parameters: dict[str, str]
    approvals: int
    optional: bool
    stops: list[dict[str, str]]


class ChecklistView(msgspec.Struct):
    """A checklist in a list. `hash` changes with its text; `own` ones are the operator's; `team` is whose it is
    by its name, empty: nobody's."""

    name: str
    title: str
    title_uk: str
    version: str
    hash: str
    own: bool
    applies_to: list[str]
    sign_off: int
    steps_count: int
    team: str = ""


class ChecklistsView(msgspec.Struct):
    """Checklists by name, and by file the faults of those that are left out."""

    checklists: list[ChecklistView]
    problems: dict[str, list[str]]


class ChecklistDetailView(ChecklistView):
    """A checklist with its steps and the text that they are read from."""

    intro: str = ""
    intro_uk: str = ""
    steps: list[ChecklistStepView] = []
    text: str = ""


class ChecklistsQuery(msgspec.Struct):
    """All, or those for an alert's name, or for the alerts of an incident (the worst first)."""

    alert: str = ""
    incident: int = 0


class LintBody(msgspec.Struct, forbid_unknown_fields=True):
    """A checklist's text, to be looked over."""

    text: Annotated[str, msgspec.Meta(max_length=CHECKLIST_CHARS_MAX)]
    name: str = "checklist"


class ChecklistSaveBody(msgspec.Struct, forbid_unknown_fields=True):
    """A checklist as it is written. `hash` is that of the one that was changed; empty: a new one."""

    text: Annotated[str, msgspec.Meta(max_length=CHECKLIST_CHARS_MAX)]
    hash: str = ""


class ChecklistLintView(msgspec.Struct):
    """Faults, each with its line; none where the text can be used."""

    problems: list[str]


class FiguresQuery(msgspec.Struct):
    """How many days back."""

    days: Annotated[int, msgspec.Meta(ge=1, le=TIMES_DAYS_MAX)] = 90


class StepFiguresView(msgspec.Struct):
    """How each checklist that was run fares."""

    checklists: list[ChecklistFigures]


def book_of(call: Call) -> ChecklistBook:
    """The book of this server."""
    book = call.services.extra.get(BOOK)
    if book is None:
        book = call.services.extra[BOOK] = ChecklistBook()
    assert isinstance(book, ChecklistBook)
    return book


def checklist_view(one: Checklist, teams: Iterable[str] = ()) -> dict[str, Any]:
    """A checklist as lists show it; *teams* are the names of all that there are."""
    return {
        "name": one.name,
        "title": one.title,
        "title_uk": one.title_uk,
        "version": one.version,
        "hash": one.hash,
        "own": one.own,
        "applies_to": list(one.applies_to),
        "sign_off": one.sign_off,
        "steps_count": len(one.steps),
        "team": owner_of(one.name, teams),
    }


def step_view(step: Step) -> dict[str, Any]:
    """A step as written."""
    return {
        "number": step.number,
        "kind": step.kind.value,
        "text": step.text,
        "text_uk": step.text_uk,
        "help": step.help,
        "help_uk": step.help_uk,
        "query": step.expr,
        "unit": step.unit,
        "span_s": step.span_s,
        "choices": list(step.choices),
        "choices_uk": list(step.choices_uk),
        "script": step.script,
        "parameters": dict(step.parameters),
        "approvals": step.approvals,
        "optional": step.optional,
        "stops": [asdict(s) for s in step.stops],
    }


def checklist_detail(one: Checklist, teams: Iterable[str] = ()) -> dict[str, Any]:
    """A checklist with everything in it; *teams* are the names of all that there are."""
    return {
        **checklist_view(one, teams),
        "intro": one.intro,
        "intro_uk": one.intro_uk,
        "steps": [step_view(s) for s in one.steps],
        "text": one.text,
    }


def list_all(call: Call) -> dict[str, Any]:
    """Checklists."""
    query: ChecklistsQuery = call.query
    book = book_of(call)
    loaded = book.loaded()
    if query.incident:
        with call.services.ledger.read() as connection:
            try:
                get_incident(connection, query.incident)
            except NoSuchIncident:
                raise NotFoundError(f"There is no incident {query.incident}.") from None
            found = book.for_members(get_members(connection, query.incident))
    elif query.alert:
        found = book.for_alert(query.alert, {})
    else:
        found = sorted(loaded.checklists.values(), key=lambda c: c.name)
    teams = _teams(call)
    return {"checklists": [checklist_view(c, teams) for c in found], "problems": loaded.problems}


def read(call: Call) -> dict[str, Any]:
    """One checklist."""
    try:
        return checklist_detail(book_of(call).get(call.path["name"]), _teams(call))
    except NoSuchChecklist as fault:
        raise NotFoundError(sentence(fault)) from None


def _teams(call: Call) -> list[str]:
    with call.services.ledger.read() as connection:
        return [team.name for team in read_teams(connection)]


def lint(call: Call) -> dict[str, Any]:
    """Look a text over, keep nothing."""
    body: LintBody = call.body
    try:
        parse_checklist(body.text, body.name)
    except ChecklistError as fault:
        return {"problems": fault.problems}
    return {"problems": []}


def save(call: Call) -> dict[str, Any]:
    """Write an own checklist; where it has faults it is not kept."""
    body: ChecklistSaveBody = call.body
    book, name = book_of(call), call.path["name"]
    if book.own_folder is None:
        raise UnavailableError("This server keeps no files.")
    if not is_name(name):
        raise InvalidError("A checklist's name has small letters, digits and - alone.", "name")
    there = book.loaded().checklists.get(name)
    try:
        new = parse_checklist(body.text, name)
    except ChecklistError as fault:
        call.audited = True  # nothing was changed
        return {"problems": fault.problems}
    if (there.hash if there else "") != body.hash:
        if not body.hash:
            raise ConflictError(
                f"There is a checklist {name} already; choose another name.", "name"
            )
        raise ConflictError("Somebody has saved it meanwhile; load it again.")
    try:
        with call.services.ledger.begin() as connection:
            call.audit(connection, target=name, detail={"hash": new.hash})
            book.save(name, body.text, call.services.world.disk)
    except ChecklistError as fault:
        raise InvalidError(sentence(fault), "name") from None
    return {"problems": []}


def remove(call: Call) -> None:
    """Delete an own checklist."""
    book, name = book_of(call), call.path["name"]
    try:
        with call.services.ledger.begin() as connection:
            if not book.remove(name, call.services.world.disk):
                raise ConflictError("It ships with Vezha: it can be replaced, not removed.")
            call.audit(connection, target=name)
    except NoSuchChecklist as fault:
        raise NotFoundError(sentence(fault)) from None


def figures(call: Call) -> StepFiguresView:
    """Times and skips of steps."""
    query: FiguresQuery = call.query
    since_ms = call.services.now_ms() - query.days * DAY_MS
    with call.services.ledger.read() as connection:
        return StepFiguresView(read_figures(connection, since_ms))


def sentence(fault: Exception) -> str:
    """An operator's error as an answer's sentence."""
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}."


def wanted(call: Call, name: str) -> Checklist:
    """The checklist that a body names. Raises InvalidError."""
    try:
        return book_of(call).get(name)
    except NoSuchChecklist as fault:
        raise InvalidError(sentence(fault), "checklist") from None


ROUTES = (
    Route("GET", "/api/v1/checklists", Action.CHECKLIST_READ, list_all,
          "Checklists: all, or those for an alert or an incident.", query=ChecklistsQuery,
          result=ChecklistsView),
    Route("GET", "/api/v1/checklists/{name}", Action.CHECKLIST_READ, read,
          "One checklist with its steps.", result=ChecklistDetailView),
    Route("PUT", "/api/v1/checklists/{name}", Action.CHECKLIST_CHANGE, save,
          "Write a checklist. Faults are told and nothing is saved.", body=ChecklistSaveBody,
          result=ChecklistLintView),
    Route("DELETE", "/api/v1/checklists/{name}", Action.CHECKLIST_CHANGE, remove,
          "Delete an own checklist; a shipped one of that name is back.", status=204),
    Route("POST", "/api/v1/checklist-lint", Action.CHECKLIST_READ, lint,
          "Look a checklist's text over: every fault with its line.", body=LintBody,
          result=ChecklistLintView),
    Route("GET", "/api/v1/checklist-figures", Action.CHECKLIST_READ, figures,
          "How long each step takes, and which are skipped.", query=FiguresQuery,
          result=StepFiguresView),
)  # fmt: skip
