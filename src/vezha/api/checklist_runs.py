"""`/api/v1/checklist-runs`: checklists being done, by several people at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.api.change_views import refusal
from vezha.api.changes import signals_of
from vezha.api.checklists import sentence, step_view, wanted
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.delivery.change import TOPIC
from vezha.delivery.errors import DeliveryError
from vezha.incidents.checklists.document import Kind
from vezha.incidents.checklists.fill import Ask, fill, in_words, variables_of, with_values
from vezha.incidents.checklists.rows import (
    ReadRun,
    RunView,
    act_in,
    act_on_run,
    begin_run,
    list_runs,
    read_run,
)
from vezha.incidents.checklists.run import Asked, RunAct, RunEvent, StepState
from vezha.incidents.checklists.script import ScriptAsked, run_script_step, script_results
from vezha.incidents.errors import (
    AnsweredMeanwhile,
    NoSuchChecklist,
    NoSuchIncident,
    OperatorError,
    WrongState,
)
from vezha.incidents.limits import (
    CHECKLIST_RUNS_LISTED_MAX,
    CHECKLIST_SCRIPT_HOSTS_MAX,
    CHECKLIST_STEPS_MAX,
    CHECKLIST_TRIES_MAX,
    NOTE_CHARS_MAX,
)
from vezha.incidents.views import get_incident, get_members

_VARIABLES_MAX = 50


class RunListView(msgspec.Struct):
    """A run in a list. `state`: running, stopped, done or abandoned."""

    id: int
    checklist: str
    version: str
    title: str
    title_uk: str
    incident: int | None
    change: int | None
    state: str
    revision: int
    variables: dict[str, str]
    steps: int
    steps_open: int
    started_at: float | None
    started_by: str
    updated_at: float | None
    finished_at: float | None


class RunsView(msgspec.Struct):
    """Runs, the newest first."""

    runs: list[RunListView]


class RunDetailView(RunListView):
    """A run: its steps with their answers, who signed, and what happened.

    Each of `checklist_steps` is a step with `state` (open, answered, skipped), `value`, `note`,
    `answered_by`, `answered_at`, `revision`, `filled`: what its query gave, and `went`: what came of
    its script (`change`, `rollout`, `state`, `reason`, `hosts` with exit codes and output).
    """

    intro: str = ""
    intro_uk: str = ""
    sign_off: int = 1
    stopped_because: str = ""
    stopped_because_uk: str = ""
    waits_for_signature: bool = False
    signed_by: list[str] = []
    checklist_steps: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []


class RunsQuery(msgspec.Struct):
    """Which runs."""

    incident: int | None = None
    change: int | None = None
    checklist: str = ""
    state: str = "all"
    limit: Annotated[int, msgspec.Meta(ge=1, le=CHECKLIST_RUNS_LISTED_MAX)] = 100


class BeginBody(msgspec.Struct, forbid_unknown_fields=True):
    """Begin a run, for an incident, for a change, or for itself.

    An incident gives the variables (`host`, `instance` and the other labels of its worst alert);
    `variables` are put over them.
    """

    checklist: str
    incident: int | None = None
    change: int | None = None
    variables: dict[str, str] = {}


class StepAnswerBody(msgspec.Struct, forbid_unknown_fields=True):
    """Answer a step. `revision` is the run's that was looked at; without it the last word wins."""

    step: Annotated[int, msgspec.Meta(ge=1, le=CHECKLIST_STEPS_MAX)]
    value: Any = True
    note: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    revision: int | None = None


class SkipBody(msgspec.Struct, forbid_unknown_fields=True):
    """Skip a step, and why."""

    step: Annotated[int, msgspec.Meta(ge=1, le=CHECKLIST_STEPS_MAX)]
    reason: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    revision: int | None = None


class ClearBody(msgspec.Struct, forbid_unknown_fields=True):
    """Open a step again."""

    step: Annotated[int, msgspec.Meta(ge=1, le=CHECKLIST_STEPS_MAX)]
    revision: int | None = None


class FillBody(msgspec.Struct, forbid_unknown_fields=True):
    """Ask the query of one step again, or of all (0)."""

    step: Annotated[int, msgspec.Meta(ge=0, le=CHECKLIST_STEPS_MAX)] = 0


class ScriptBody(msgspec.Struct, forbid_unknown_fields=True):
    """Run the script of a step on `hosts` (without: the run's own `host`). `trying` runs it as a dry
    run of its own, `dry_run` only says what would be begun."""

    step: Annotated[int, msgspec.Meta(ge=1, le=CHECKLIST_STEPS_MAX)]
    hosts: Annotated[list[str], msgspec.Meta(max_length=CHECKLIST_SCRIPT_HOSTS_MAX)] = []
    trying: bool = False
    dry_run: bool = False


class ScriptView(msgspec.Struct):
    """The plan, the change that runs it (null for a dry run), and the run as it is then."""

    target: str
    text: str
    hosts: list[str]
    change_id: int | None
    rollout_id: int | None
    run: RunDetailView


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""


def run_view(view: RunView) -> dict[str, Any]:
    """A run as lists show it."""
    return {
        "id": view.id,
        "checklist": view.checklist,
        "version": view.version,
        "title": view.title,
        "title_uk": view.title_uk,
        "incident": view.incident_id,
        "change": view.change_id,
        "state": view.state,
        "revision": view.revision,
        "variables": view.variables,
        "steps": view.steps,
        "steps_open": view.steps_open,
        "started_at": seconds(view.started_ms),
        "started_by": view.started_by,
        "updated_at": seconds(view.updated_ms),
        "finished_at": seconds(view.finished_ms),
    }


def run_detail(
    read: ReadRun, scripts: Mapping[int, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """A run with everything that happened in it; *scripts* is what came of script steps."""
    run, variables = read.run, read.view.variables
    steps = []
    for step in run.checklist.steps:
        shown = step_view(step)
        for name in ("text", "text_uk", "help", "help_uk"):
            shown[name] = in_words(getattr(step, name), variables)
        if step.kind in (Kind.QUERY, Kind.CHART):
            shown["query"], shown["missing"] = with_values(step.expr, variables)
        shown["parameters"] = {k: in_words(v, variables) for k, v in step.parameters}
        went = None if scripts is None else scripts.get(step.number)
        steps.append({**shown, **_step_state(run.step(step.number)), "went": went})
    return {
        **run_view(read.view),
        "title_uk": run.checklist.title_uk,
        "intro": in_words(run.checklist.intro, variables),
        "intro_uk": in_words(run.checklist.intro_uk, variables),
        "sign_off": run.checklist.sign_off,
        "stopped_because": run.stopped_because,
        "stopped_because_uk": next(
            filter(None, (s.stop_uk(run.stopped_because) for s in run.checklist.steps)), ""
        ),
        "waits_for_signature": run.waits_for_signature,
        "signed_by": [s.actor for s in run.signatures],
        "checklist_steps": steps,
        "events": [_event_view(e) for e in read.events],
    }


def _step_state(state: StepState) -> dict[str, Any]:
    return {
        "state": state.state,
        "value": state.value,
        "note": state.note,
        "answered_by": state.actor,
        "answered_at": seconds(state.at_ms),
        "filled": state.filled,
        "revision": state.revision,
    }


def _event_view(event: RunEvent) -> dict[str, Any]:
    return {
        "number": event.number,
        "at": seconds(event.at_ms),
        "kind": event.kind,
        "actor": event.actor,
        "step": event.step or None,
        "value": event.value if event.kind not in ("filled", "ran") else None,
        "text": event.text,
    }


def list_all(call: Call) -> dict[str, Any]:
    """Runs."""
    query: RunsQuery = call.query
    if query.state not in ("open", "all"):
        raise InvalidError("state is open or all.", "state")
    with call.services.ledger.read() as connection:
        found = list_runs(
            connection, incident=query.incident, change=query.change, checklist=query.checklist,
            only_open=query.state == "open", limit=query.limit,
        )  # fmt: skip
    return {"runs": [run_view(view) for view in found]}


def read(call: Call) -> dict[str, Any]:
    """One run."""
    return _shown(call, path_id(call))


def _shown(call: Call, id_: int) -> dict[str, Any]:
    with call.services.ledger.read() as connection:
        try:
            found = read_run(connection, id_)
            return run_detail(found, script_results(connection, found))
        except NoSuchChecklist as fault:
            raise NotFoundError(sentence(fault)) from None


def begin(call: Call) -> dict[str, Any]:
    """Begin a run and put in what its queries give now."""
    body: BeginBody = call.body
    services = call.services
    checklist = wanted(call, body.checklist)
    if len(body.variables) > _VARIABLES_MAX:
        raise InvalidError(f"At most {_VARIABLES_MAX} variables.", "variables")
    try:
        with services.ledger.begin() as connection:
            given: dict[str, str] = {}
            if body.incident is not None:
                incident = get_incident(connection, body.incident)
                members = get_members(connection, body.incident)
                given = variables_of(members, body.incident, incident.team)
            id_ = begin_run(
                connection, checklist, call.subject.name, services.now_ms(),
                incident=body.incident, change=body.change, variables=given | body.variables,
            )  # fmt: skip
            detail = {"checklist": checklist.name, "version": checklist.hash}
            call.audit(connection, target=str(id_), detail=detail)
    except NoSuchIncident as fault:
        raise InvalidError(sentence(fault), "incident") from None
    except OperatorError as fault:
        raise InvalidError(sentence(fault)) from None
    _fill(call, id_, 0)
    return _told(call, id_)


def _act(call: Call, act: RunAct, **asked: Any) -> dict[str, Any]:
    id_ = path_id(call)
    services = call.services
    one = Asked(act, call.subject.name, services.now_ms(), **asked)
    try:
        for _ in range(CHECKLIST_TRIES_MAX):
            with services.ledger.begin() as connection:
                made = act_in(connection, id_, one)
                if made is not None:
                    detail: dict[str, Any] = {"act": act.value}
                    if one.step:
                        detail["step"] = one.step
                    call.audit(connection, target=str(id_), detail=detail)
                    break
        else:
            raise AnsweredMeanwhile("too many people write at once; try again")
    except OperatorError as fault:
        raise _error_of(fault) from None
    return _told(call, id_)


def _error_of(fault: OperatorError) -> ApiError:
    if isinstance(fault, NoSuchChecklist):
        return NotFoundError(sentence(fault))
    if isinstance(fault, AnsweredMeanwhile):
        return ConflictError(sentence(fault), "revision")
    if isinstance(fault, WrongState):
        return ConflictError(sentence(fault))
    return InvalidError(sentence(fault))


def _told(call: Call, id_: int) -> dict[str, Any]:
    shown = _shown(call, id_)
    call.services.nudge(f"checklists:{id_}")
    if shown["incident"] is not None:
        call.services.nudge("incidents")
    return shown


def answer(call: Call) -> dict[str, Any]:
    """Answer a step."""
    body: StepAnswerBody = call.body
    return _act(
        call, RunAct.ANSWER, step=body.step, value=body.value, text=body.note, seen=body.revision
    )


def skip(call: Call) -> dict[str, Any]:
    """Skip a step."""
    body: SkipBody = call.body
    return _act(call, RunAct.SKIP, step=body.step, text=body.reason, seen=body.revision)


def clear(call: Call) -> dict[str, Any]:
    """Open a step again."""
    body: ClearBody = call.body
    return _act(call, RunAct.CLEAR, step=body.step, seen=body.revision)


def sign(call: Call) -> dict[str, Any]:
    """Sign the run off."""
    return _act(call, RunAct.SIGN, text=_reason(call))


def resume(call: Call) -> dict[str, Any]:
    """Go on although a stop rule said not to."""
    return _act(call, RunAct.RESUME, text=_reason(call))


def abandon(call: Call) -> dict[str, Any]:
    """End a run that nobody will finish."""
    return _act(call, RunAct.ABANDON, text=_reason(call))


def refill(call: Call) -> dict[str, Any]:
    """Ask the queries again."""
    id_ = path_id(call)
    try:
        count = _fill(call, id_, call.body.step)
    except OperatorError as fault:
        raise _error_of(fault) from None
    with call.services.ledger.begin() as connection:
        call.audit(connection, target=str(id_), detail={"act": "fill", "steps": count})
    return _told(call, id_)


def _fill(call: Call, id_: int, number: int) -> int:
    """Put in what queries give now; how many. Raises OperatorError."""
    services = call.services
    querying = services.querying
    if querying is None:
        return 0
    ask: Ask = querying.recent
    with services.ledger.read() as connection:
        found = read_run(connection, id_)
    filled = 0
    for step in found.run.checklist.steps:
        if step.fills and number in (0, step.number):
            now_ms = services.now_ms()
            value = fill(step, found.view.variables, ask, now_ms)
            one = Asked(RunAct.FILL, call.subject.name, now_ms, step=step.number, value=value)
            act_on_run(services.ledger, id_, one)
            filled += 1
    return filled


def script(call: Call) -> dict[str, Any]:
    """Run the script of a step, as a change."""
    services, body, id_ = call.services, call.body, path_id(call)
    asked = ScriptAsked(id_, body.step, call.subject.name, tuple(body.hosts), body.trying)
    now_ms = services.now_ms()
    up = signals_of(call).up(now_ms)
    try:
        if body.dry_run:
            with services.ledger.read() as connection:
                made = run_script_step(connection, asked, up, now_ms, dry_run=True)
            call.audited = True  # nothing was changed
        else:
            with services.ledger.begin() as connection:
                made = run_script_step(connection, asked, up, now_ms, dry_run=False)
                detail = {"run": id_, "step": body.step, "rollout": made.rollout_id}
                call.audit(connection, target=str(made.change_id), detail=detail)
            services.nudge(TOPIC)
    except OperatorError as fault:
        raise _error_of(fault) from None
    except DeliveryError as fault:
        raise refusal(fault) from None
    run = _shown(call, id_) if body.dry_run else _told(call, id_)
    return {**made.as_json(), "run": run}


def _reason(call: Call) -> str:
    return "" if call.body is None else str(call.body.reason)


_RUN = "/api/v1/checklist-runs/{id}"
_ACT, _READ = Action.CHECKLIST_RUN, Action.CHECKLIST_READ
ROUTES = (
    Route("GET", "/api/v1/checklist-runs", _READ, list_all,
          "Runs of checklists.", query=RunsQuery, result=RunsView),
    Route("POST", "/api/v1/checklist-runs", _ACT, begin,
          "Begin a run, for an incident, a change, or for itself.", body=BeginBody,
          result=RunDetailView),
    Route("GET", _RUN, _READ, read,
          "One run: steps, answers, what happened.", result=RunDetailView),
    Route("POST", f"{_RUN}/answer", _ACT, answer,
          "Answer a step.", body=StepAnswerBody, result=RunDetailView),
    Route("POST", f"{_RUN}/skip", _ACT, skip,
          "Skip a step, and say why.", body=SkipBody, result=RunDetailView),
    Route("POST", f"{_RUN}/clear", _ACT, clear,
          "Open a step again.", body=ClearBody, result=RunDetailView),
    Route("POST", f"{_RUN}/fill", _ACT, refill,
          "Ask the queries of a run again.", body=FillBody, result=RunDetailView),
    Route("POST", f"{_RUN}/script", Action.DELIVERY_START, script,
          "Run the script of a step, as a change.", body=ScriptBody, result=ScriptView),
    Route("POST", f"{_RUN}/resume", _ACT, resume,
          "Go on after a stop, and say why.", body=ReasonBody, result=RunDetailView),
    Route("POST", f"{_RUN}/sign", _ACT, sign,
          "Sign a run off.", body=ReasonBody, result=RunDetailView),
    Route("POST", f"{_RUN}/abandon", _ACT, abandon,
          "End a run that nobody will finish.", body=ReasonBody, result=RunDetailView),
)  # fmt: skip
