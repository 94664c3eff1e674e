"""`/api/v1/changes`, `/api/v1/rollouts`, `/api/v1/verdicts`: changes and how they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from sqlalchemy import select

from vezha.access import Action
from vezha.access.subject import Role
from vezha.api import change_views as v
from vezha.api.change_views import refusal
from vezha.api.errors import ApiError, InvalidError
from vezha.api.limits import REHEARSAL_S_MAX
from vezha.api.route import Call, Route, path_id
from vezha.api.rules_rehearsal import RELEASES, asking, rehearse_rules
from vezha.delivery import desk, limits, views
from vezha.delivery.change import TOPIC
from vezha.delivery.engine_signals import EngineSignals
from vezha.delivery.errors import DeliveryError
from vezha.delivery.gate import recompute
from vezha.delivery.plan import digest, plan_text
from vezha.delivery.rehearse import armed_gate
from vezha.delivery.rehearse import rehearse as rehearse_gate
from vezha.delivery.rows import newest_plan
from vezha.delivery.selector import parse_selector
from vezha.delivery.signals import NoStore, Signals
from vezha.delivery.spec import DEFAULT_WAVES, Policy, read_gates
from vezha.ledger import Ledger
from vezha.ledger.tables import host
from vezha.trust.folder import ReleaseFolder


class ChangesQuery(msgspec.Struct):
    """Which changes: `state` open or all, of one kind or of all."""

    state: str = "all"
    kind: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.CHANGES_LISTED_MAX)] = 100


class AttemptsQuery(msgspec.Struct):
    """Which hosts of a rollout."""

    state: str = ""
    wave: int | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.ATTEMPTS_LISTED_MAX)] = 1_000


class PlanQuery(msgspec.Struct):
    """Which plan; 0: the newest."""

    number: int = 0


class VerdictQuery(msgspec.Struct):
    """Whether the verdict is judged again from its samples."""

    recompute: bool = False


def signals_of(call: Call) -> Signals:
    """The hosts' signals as this contour can ask for them."""
    querying = call.services.querying
    return NoStore() if querying is None else EngineSignals(querying.engine)


def open_changes(ledger: Ledger) -> list[dict[str, Any]]:
    """Rollouts that run, are held or go back, for the live stream."""
    with ledger.read() as connection:
        return views.list_rollouts(connection, open_only=True, limit=limits.CHANGES_LISTED_MAX)


def list_all(call: Call) -> dict[str, Any]:
    """Changes."""
    query: ChangesQuery = call.query
    if query.state not in ("open", "all"):
        raise InvalidError("state is open or all.", "state")
    with call.services.ledger.read() as connection:
        return {
            "changes": views.list_changes(
                connection, open_only=query.state == "open", kind=query.kind, limit=query.limit
            )
        }


def read(call: Call) -> dict[str, Any]:
    """One change."""
    return _detail(call, path_id(call))


def _detail(call: Call, id_: int) -> dict[str, Any]:
    try:
        with call.services.ledger.read() as connection:
            return views.get_change(connection, id_)
    except DeliveryError as fault:
        raise refusal(fault) from None


def _draft_of(body: v.ChangeBody) -> desk.Draft:
    given = {name: getattr(body, name) for name in body.__struct_fields__ if name != "ready_at"}
    ready_ms = None if body.ready_at is None else int(body.ready_at * 1000)
    return desk.Draft(**given, ready_ms=ready_ms)


def create(call: Call) -> dict[str, Any]:
    """Write a change down."""
    services, body = call.services, call.body
    try:
        with services.ledger.begin() as connection:
            id_ = desk.draft_change(
                connection, _draft_of(body), call.subject.name, services.now_ms()
            )
            call.audit(connection, target=str(id_), detail={"target": body.target})
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _detail(call, id_)


def edit(call: Call) -> dict[str, Any]:
    """Write a change anew, before it is started."""
    services, id_ = call.services, path_id(call)
    try:
        with services.ledger.begin() as connection:
            desk.edit_change(
                connection, id_, _draft_of(call.body), call.subject.name, services.now_ms()
            )
            call.audit(connection, target=str(id_))
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _detail(call, id_)


async def make_plan(call: Call) -> dict[str, Any]:
    """Plan a change; of rules it is said what they would have done."""
    rehearsal = await _rehearsed(call)
    return await asyncio.to_thread(_make_plan, call, rehearsal)


async def _rehearsed(call: Call) -> dict[str, Any] | None:
    services, id_ = call.services, path_id(call)

    def wanted() -> desk.RulesToTry | None:
        try:
            with services.ledger.read() as connection:
                return desk.rules_to_rehearse(connection, id_)
        except DeliveryError as fault:
            raise refusal(fault) from None

    found, querying = await asyncio.to_thread(wanted), services.querying
    if found is None:
        return None
    if querying is None or RELEASES not in services.extra:
        return {"sha256": found.to.sha256, "problem": "there is no store to ask here"}
    folder = ReleaseFolder(services.world, str(services.extra[RELEASES]))
    end_ms = services.now_ms() // 1000 * 1000

    def work(cancelled: Callable[[], bool]) -> dict[str, Any]:
        ask = asking(querying.engine, cancelled)
        return rehearse_rules(folder, services.world, found, ask, end_ms)

    try:
        return await querying.run(work, "rehearsal", timeout_s=REHEARSAL_S_MAX)
    except ApiError as fault:
        return {"sha256": found.to.sha256, "problem": str(fault).rstrip(".")}


def _make_plan(call: Call, rehearsal: dict[str, Any] | None) -> dict[str, Any]:
    services, id_ = call.services, path_id(call)
    dry_run = call.body is not None and call.body.dry_run
    now_ms = services.now_ms()
    up = signals_of(call).up(now_ms)
    try:
        if dry_run:
            with services.ledger.read() as connection:
                number, document = desk.plan_change(
                    connection,
                    id_,
                    up,
                    call.subject.name,
                    now_ms,
                    dry_run=True,
                    rehearsal=rehearsal,
                )
            call.audited = True  # nothing was changed
        else:
            with services.ledger.begin() as connection:
                number, document = desk.plan_change(
                    connection, id_, up, call.subject.name, now_ms, rehearsal=rehearsal
                )
                call.audit(connection, target=str(id_), detail={"plan": number})
            services.nudge(TOPIC)
    except DeliveryError as fault:
        raise refusal(fault) from None
    return {
        "number": number, "change_id": id_, "sha256": digest(document),
        "created_at": now_ms / 1000, "created_by": call.subject.name, "document": document,
        "text": plan_text(number, document), "kept": not dry_run,
    }  # fmt: skip


def read_plan(call: Call) -> dict[str, Any]:
    """A plan of a change."""
    try:
        with call.services.ledger.read() as connection:
            row = newest_plan(connection, path_id(call), call.query.number)
    except DeliveryError as fault:
        raise refusal(fault) from None
    return views.plan_view(row, plan_text(row.number, row.document))


def answer(call: Call) -> dict[str, Any]:
    """Say yes or no."""
    services, id_, body = call.services, path_id(call), call.body
    try:
        with services.ledger.begin() as connection:
            desk.answer_plan(
                connection, id_, user=call.subject.name, role=call.subject.role or Role.VIEWER,
                answer=body.answer, comment=body.comment, now_ms=services.now_ms(),
                wave=body.wave, number=body.plan,
            )  # fmt: skip
            call.audit(connection, target=str(id_), detail={"answer": body.answer})
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _detail(call, id_)


def start(call: Call) -> dict[str, Any]:
    """Begin the rollout of a plan."""
    services, id_ = call.services, path_id(call)
    number = 0 if call.body is None else call.body.plan
    try:
        with services.ledger.begin() as connection:
            rollout_id = desk.start_change(
                connection, id_, call.subject.name, services.now_ms(), number=number
            )
            call.audit(connection, target=str(id_), detail={"rollout": rollout_id})
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _rollout(call, rollout_id)


def cancel(call: Call) -> dict[str, Any]:
    """Give up a change that was not started."""
    services, id_ = call.services, path_id(call)
    try:
        with services.ledger.begin() as connection:
            desk.cancel_change(connection, id_, call.subject.name, services.now_ms(), _why(call))
            call.audit(connection, target=str(id_))
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _detail(call, id_)


def _why(call: Call) -> str:
    return "" if call.body is None else str(call.body.why)


# Rollouts


def list_rollouts(call: Call) -> dict[str, Any]:
    """Rollouts."""
    query: ChangesQuery = call.query
    with call.services.ledger.read() as connection:
        return {
            "rollouts": views.list_rollouts(
                connection, open_only=query.state == "open", limit=query.limit
            )
        }


def read_rollout(call: Call) -> dict[str, Any]:
    """One rollout."""
    return _rollout(call, path_id(call))


def _rollout(call: Call, id_: int) -> dict[str, Any]:
    try:
        with call.services.ledger.read() as connection:
            return views.get_rollout(connection, id_)
    except DeliveryError as fault:
        raise refusal(fault) from None


def steer(call: Call) -> dict[str, Any]:
    """Pause, resume, abort or revert."""
    services, id_ = call.services, path_id(call)
    act = call.route.path.rsplit("/", 1)[1]
    try:
        with services.ledger.begin() as connection:
            desk.wish(connection, id_, act, call.subject.name, services.now_ms(), _why(call))
            call.audit(connection, target=str(id_), detail={"act": act, "why": _why(call)})
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _rollout(call, id_)


def break_glass(call: Call) -> dict[str, Any]:
    """Set windows aside."""
    services, id_, body = call.services, path_id(call), call.body
    try:
        with services.ledger.begin() as connection:
            desk.break_glass(
                connection, id_, call.subject.name, body.why, int(body.minutes * 60_000),
                services.now_ms(),
            )  # fmt: skip
            detail = {"why": body.why, "minutes": body.minutes}
            call.audit(connection, target=str(id_), detail=detail)
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return _rollout(call, id_)


def list_attempts(call: Call) -> dict[str, Any]:
    """Hosts of a rollout."""
    query: AttemptsQuery = call.query
    states = [s for s in query.state.split(",") if s]
    try:
        with call.services.ledger.read() as connection:
            found = views.list_attempts(
                connection, path_id(call), states=states, wave=query.wave, limit=query.limit
            )
    except DeliveryError as fault:
        raise refusal(fault) from None
    return {"attempts": found}


def read_attempt(call: Call) -> dict[str, Any]:
    """One host in a rollout."""
    try:
        with call.services.ledger.read() as connection:
            return views.get_attempt(connection, path_id(call), call.path["host"])
    except DeliveryError as fault:
        raise refusal(fault) from None


def host_attempts(call: Call) -> dict[str, Any]:
    """What became of a host."""
    with call.services.ledger.read() as connection:
        return {"attempts": views.host_history(connection, call.path["name"])}


# Verdicts and rehearsal


def list_verdicts(call: Call) -> dict[str, Any]:
    """Verdicts of a rollout."""
    with call.services.ledger.read() as connection:
        return {"verdicts": views.list_verdicts(connection, path_id(call))}


def read_verdict(call: Call) -> dict[str, Any]:
    """One verdict, judged again where asked for."""
    try:
        with call.services.ledger.read() as connection:
            row = views.get_verdict(connection, path_id(call))
    except DeliveryError as fault:
        raise refusal(fault) from None
    out = views.verdict_view(row, full=True)
    if call.query.recompute:
        out.update(recompute(row.spec, row.samples, row.result, row.sentence))
    return out


def rehearse(call: Call) -> dict[str, Any]:
    """Ask a gate of the past."""
    body: v.RehearseBody = call.body
    try:
        with call.services.ledger.read() as connection:
            if body.change:
                name = str(body.gate.get("name") or body.gate.get("kind") or "")
                gate, text, policy = armed_gate(connection, body.change, name)
            else:
                (gate,) = read_gates([body.gate], DEFAULT_WAVES)
                text, policy = "", Policy()
            selector = parse_selector(body.selector or text)
            rows = connection.execute(select(host.c.name, host.c.labels)).all()
        names = [r.name for r in rows if selector.covers(r.name, r.labels)]
        found = rehearse_gate(
            gate, names, signals_of(call), int(body.start_at * 1000), int(body.end_at * 1000),
            int(body.step_s * 1000), policy,
        )  # fmt: skip
    except DeliveryError as fault:
        raise refusal(fault) from None
    spans = [
        {"start_at": s.start_ms / 1000, "end_at": s.end_ms / 1000, "result": s.result,
         "sentence": s.sentence}
        for s in found.spans
    ]  # fmt: skip
    return {"counts": found.counts, "spans": spans}


_CHANGE, _ROLLOUT = "/api/v1/changes/{id}", "/api/v1/rollouts/{id}"
_A = Action
ROUTES = (
    Route("GET", "/api/v1/changes", _A.DELIVERY_READ, list_all,
          "Changes: open ones, or all.", query=ChangesQuery, result=v.ChangesView),
    Route("POST", "/api/v1/changes", _A.DELIVERY_DRAFT, create,
          "Write a change down.", body=v.ChangeBody, result=v.ChangeDetailView),
    Route("GET", _CHANGE, _A.DELIVERY_READ, read,
          "One change with its timeline, plans and rollouts.", result=v.ChangeDetailView),
    Route("PUT", _CHANGE, _A.DELIVERY_DRAFT, edit,
          "Write a change anew, before it is started.", body=v.ChangeBody,
          result=v.ChangeDetailView),
    Route("POST", f"{_CHANGE}/plan", _A.DELIVERY_DRAFT, make_plan,
          "Make a plan: which hosts go in which wave, from what to what.", body=v.PlanBody,
          result=v.PlanView),
    Route("GET", f"{_CHANGE}/plan", _A.DELIVERY_READ, read_plan,
          "A plan, the newest where no number is given.", query=PlanQuery, result=v.PlanView),
    Route("POST", f"{_CHANGE}/answer", _A.DELIVERY_APPROVE, answer,
          "Say yes or no to a plan, or to one of its waves.", body=v.AnswerBody,
          result=v.ChangeDetailView),
    Route("POST", f"{_CHANGE}/start", _A.DELIVERY_START, start,
          "Begin the rollout of a plan.", body=v.StartBody, result=v.RolloutDetailView),
    Route("POST", f"{_CHANGE}/cancel", _A.DELIVERY_DRAFT, cancel,
          "Give up a change that was not started.", body=v.WhyBody, result=v.ChangeDetailView),
    Route("GET", "/api/v1/rollouts", _A.DELIVERY_READ, list_rollouts,
          "Rollouts: open ones, or all.", query=ChangesQuery, result=v.RolloutsView),
    Route("GET", _ROLLOUT, _A.DELIVERY_READ, read_rollout,
          "One rollout with its waves, gates and verdicts.", result=v.RolloutDetailView),
    *(
        Route("POST", f"{_ROLLOUT}/{act}", _A.DELIVERY_STEER, steer, summary, body=v.WhyBody,
              result=v.RolloutDetailView)
        for act, summary in (
            ("pause", "Let a rollout wait."),
            ("resume", "Let a rollout go on."),
            ("abort", "End a rollout; hosts that have it keep it."),
            ("revert", "Take a rollout back."),
        )
    ),
    Route("POST", f"{_ROLLOUT}/break-glass", _A.DELIVERY_BREAK_GLASS, break_glass,
          "Let a rollout go on in spite of windows, for a time.", body=v.GlassBody,
          result=v.RolloutDetailView),
    Route("GET", f"{_ROLLOUT}/attempts", _A.DELIVERY_READ, list_attempts,
          "Hosts of a rollout, with scripts' results.", query=AttemptsQuery,
          result=v.AttemptsView),
    Route("GET", f"{_ROLLOUT}/attempts/{{host}}", _A.DELIVERY_READ, read_attempt,
          "One host of a rollout, with its history.", result=v.AttemptDetailView),
    Route("GET", f"{_ROLLOUT}/verdicts", _A.DELIVERY_READ, list_verdicts,
          "All verdicts of a rollout.", result=v.VerdictsView),
    Route("GET", "/api/v1/verdicts/{id}", _A.DELIVERY_READ, read_verdict,
          "One verdict with its samples; `recompute` judges them again.", query=VerdictQuery,
          result=v.VerdictDetailView),
    Route("POST", "/api/v1/gates/rehearse", _A.DELIVERY_READ, rehearse,
          "What a gate would have said over the past.", body=v.RehearseBody,
          result=v.RehearsalView),
    Route("GET", "/api/v1/hosts/{name}/attempts", _A.DELIVERY_READ, host_attempts,
          "What became of a host in all rollouts.", result=v.HostAttemptsView),
)  # fmt: skip
