"""A rollout as it stands: its rows, read once per step, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from vezha.delivery import limits
from vezha.delivery.attempt import BAD, IN_FLIGHT
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.change import DIRECTIVE_KINDS, Kind
from vezha.delivery.decide import control_plane_fault
from vezha.delivery.evidence import Scope, Touched
from vezha.delivery.follow import run_of
from vezha.delivery.freeze import Window
from vezha.delivery.plan import SERVER, Version, version_of
from vezha.delivery.rollout import Phase, State
from vezha.delivery.rows import count_states
from vezha.delivery.spec import Gate, Policy, Wave
from vezha.ledger import AnyRow
from vezha.ledger.tables import (
    alert_state,
    approval,
    attempt,
    attempt_event,
    change_event,
    user,
)

_IN_FLIGHT = [s.value for s in IN_FLIGHT]
_BAD = [s.value for s in BAD]
_BLAMED_SKIPS = ("stuck", "silent")
_NAMED_MAX = 200


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan's document, read once."""

    id: int
    to: Version
    waves: tuple[Wave, ...]
    gates: tuple[Gate, ...]
    policy: Policy
    members: tuple[tuple[tuple[int, str], ...], ...]
    """(id, name) by wave."""
    order: Mapping[int, int]
    hosts: int
    author: str

    @property
    def names(self) -> tuple[str, ...]:
        """All hosts by name."""
        return tuple(name for wave in self.members for _, name in wave)


def read_plan_view(row: AnyRow) -> PlanView:
    """A plan out of its row."""
    document = row.document
    waves, members = [], []
    for wave in document["waves"]:
        spec = {name: value for name, value in wave.items() if name != "members"}
        waves.append(msgspec.convert(spec, Wave))
        members.append(tuple((m[0], m[1]) for m in wave["members"]))
    gates = [msgspec.convert(g, Gate) for g in document["gates"]]
    if not any(g.kind == "proof" for g in gates):
        # whatever else is asked: installed is not proven
        gates.insert(0, Gate("proof"))
    ids = [m[0] for wave in members for m in wave]
    return PlanView(
        row.id,
        version_of(document["to"]),
        tuple(waves),
        tuple(gates),
        msgspec.convert(document["policy"], Policy),
        tuple(members),
        {id_: at for at, id_ in enumerate(ids)},
        len(ids),
        row.created_by,
    )


@dataclass(slots=True)
class Situation:
    """Everything that one step of one rollout looks at."""

    row: AnyRow
    change: AnyRow
    plan: PlanView
    now_ms: int
    counts: dict[int, dict[str, int]]
    in_flight: list[AnyRow] = field(default_factory=list)
    reverting: list[AnyRow] = field(default_factory=list)
    waiting: list[AnyRow] = field(default_factory=list)
    up: Mapping[str, bool] | None = None
    strain: str = ""
    """Why our own server keeps agents waiting."""
    excused: str = ""
    """Which hosts did not take it too often, for what is not the version's fault."""
    windows: list[Window] = field(default_factory=list)

    @property
    def state(self) -> State:
        return State(self.row.state)

    @property
    def phase(self) -> Phase:
        return Phase(self.row.phase)

    @property
    def kind(self) -> Kind:
        return Kind(self.change.kind)

    @property
    def directive_kind(self) -> str:
        """How directives call it; empty for rules."""
        return DIRECTIVE_KINDS.get(self.kind, "")

    @property
    def run(self) -> str:
        return run_of(self.kind, self.row.id)

    @property
    def wave(self) -> Wave:
        at: int = min(self.row.wave, len(self.plan.waves) - 1)
        return self.plan.waves[at]

    @property
    def is_last(self) -> bool:
        return bool(self.row.wave >= len(self.plan.waves) - 1)

    def total(self, *states: AttemptState) -> int:
        """How many hosts of the rollout are in one of *states*."""
        return sum(by.get(s.value, 0) for by in self.counts.values() for s in states)

    def is_up(self, name: str) -> bool:
        """Whether a host is connected; unknown counts as yes."""
        return self.up is None or name == SERVER.name or self.up.get(name, False)

    @property
    def flat_counts(self) -> dict[str, int]:
        """Hosts by state."""
        out: dict[str, int] = {}
        for by in self.counts.values():
            for name, n in by.items():
                out[name] = out.get(name, 0) + n
        return out


def read_situation(
    connection: Connection, row: AnyRow, change_row: AnyRow, plan: PlanView, now_ms: int
) -> Situation:
    """The rows of a rollout that a step looks at."""
    found = Situation(row, change_row, plan, now_ms, count_states(connection, row.id))
    found.in_flight = list(
        connection.execute(
            select(attempt).where(attempt.c.rollout_id == row.id, attempt.c.state.in_(_IN_FLIGHT))
        )
    )
    found.reverting = list(
        connection.execute(
            select(attempt).where(
                attempt.c.rollout_id == row.id, attempt.c.state == AttemptState.REVERTING.value
            )
        )
    )
    if found.state in (State.RUNNING, State.HELD) and found.phase is not Phase.BAKING:
        found.waiting = list(
            connection.execute(
                select(
                    attempt.c.host_id,
                    attempt.c.host,
                    attempt.c.generation,
                    attempt.c.since_ms,
                    attempt.c.reason,
                ).where(
                    attempt.c.rollout_id == row.id,
                    attempt.c.state == AttemptState.WAITING.value,
                    attempt.c.wave == row.wave,
                )
            )
        )
        found.waiting.sort(key=lambda r: plan.order.get(r.host_id, 0))
        found.excused = _excused(connection, found)
    return found


def _excused(connection: Connection, situation: Situation) -> str:
    """The sentence of hosts that did not take it `EXCUSES_MAX` times since a person last let it go on."""
    again = {
        r.host_id: f"{r.host} ({r.reason})" for r in situation.waiting if r.generation is not None
    }
    if not again:
        return ""
    resumed_ms = (
        select(func.coalesce(func.max(change_event.c.at_ms), 0))
        .where(
            change_event.c.change_id == situation.change.id, change_event.c.kind == "wish_resume"
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(attempt_event.c.host_id, func.count().label("n"))
        .where(
            attempt_event.c.rollout_id == situation.row.id,
            attempt_event.c.to_state == AttemptState.WAITING.value,
            attempt_event.c.written_ms > resumed_ms,
        )
        .group_by(attempt_event.c.host_id)
    )
    names = sorted(
        again[r.host_id] for r in rows if r.n >= limits.EXCUSES_MAX and r.host_id in again
    )
    if not names:
        return ""
    shown = ", ".join(names[: limits.HOSTS_NAMED_MAX])
    more = len(names) - limits.HOSTS_NAMED_MAX
    return (
        f"did not take it {limits.EXCUSES_MAX} times each, for what is not the version's fault: {shown}"
        f"{f' and {more} more' if more > 0 else ''}; resume it to try again, or take it back"
    )


def read_scope(
    connection: Connection,
    situation: Situation,
    control_plane: str,
    outside: Mapping[str, Any],
    *,
    needs_hosts: bool,
) -> Scope:
    """What gates are asked about. *needs_hosts* says that some gate looks at single hosts."""
    id_, now_ms = situation.row.id, situation.now_ms
    touched: list[Touched] = []
    untouched: list[str] = []
    if needs_hosts:
        for row in connection.execute(
            select(attempt.c.host, attempt.c.state, attempt.c.offered_ms, attempt.c.since_ms).where(
                attempt.c.rollout_id == id_
            )
        ):
            if row.state == AttemptState.WAITING.value:
                untouched.append(row.host)
            elif row.state == AttemptState.PROVEN.value or row.state in _IN_FLIGHT:
                proven = row.state == AttemptState.PROVEN.value
                touched.append(Touched(row.host, row.offered_ms or now_ms, proven, row.since_ms))
    blamed = [r for r in situation.reverting if r.reason in _BLAMED_SKIPS]
    failures = situation.total(*BAD) + len(blamed)
    bad: list[tuple[str, str]] = [(r.host, r.reason) for r in blamed]
    if failures:
        rows = connection.execute(
            select(attempt.c.host, attempt.c.reason)
            .where(attempt.c.rollout_id == id_, attempt.c.state.in_(_BAD))
            .order_by(attempt.c.updated_ms.desc())
            .limit(_NAMED_MAX)
        )
        bad += [(r.host, r.reason) for r in rows]
    return Scope(
        now_ms,
        situation.row.wave,
        tuple(touched),
        tuple(untouched),
        situation.total(AttemptState.PROVEN),
        len(situation.in_flight) + _waiting_of_wave(situation),
        tuple(bad),
        failures,
        control_plane,
        _answers(connection, situation),
        _alerts(connection) if needs_hosts else (),
        frozenset()
        if situation.up is None
        else frozenset(n for n, up in situation.up.items() if not up),
        outside,
        situation.plan.names if needs_hosts else (),
        situation.plan.policy,
    )


def _waiting_of_wave(situation: Situation) -> int:
    by = situation.counts.get(situation.row.wave, {})
    return by.get(AttemptState.WAITING.value, 0)


def _answers(connection: Connection, situation: Situation) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        select(approval.c.user_name, approval.c.answer)
        .where(approval.c.plan_id == situation.plan.id, approval.c.wave == situation.row.wave)
        .order_by(approval.c.id)
    )
    return tuple((r.user_name, r.answer) for r in rows)


def _alerts(connection: Connection) -> tuple[tuple[str, str, str, int], ...]:
    rows = connection.execute(
        select(
            alert_state.c.alert_name, alert_state.c.host, alert_state.c.severity,
            alert_state.c.fired_ms,
        ).where(alert_state.c.fired_ms.is_not(None), alert_state.c.state.not_in(_CALM))
    )  # fmt: skip
    return tuple((r.alert_name, r.host, r.severity, r.fired_ms) for r in rows if r.host)


_CALM = ("inactive", "pending")


def approval_lacking(connection: Connection, situation: Situation) -> str:
    """Why the plan may not go on yet, in a sentence; empty where it may.

    The plan's author does not count, and each person once; a role counts as it is today.
    """
    needed = situation.plan.policy.approvals
    if needed.count == 0:
        return ""
    return lacking_sentence(
        connection, situation.plan.id, needed.count, needed.role, situation.plan.author
    )


def lacking_sentence(
    connection: Connection, plan_id: int, count: int, role: str, author: str
) -> str:
    """How many yeses a plan lacks, in a sentence; empty where it lacks none."""
    rows = connection.execute(
        select(approval.c.user_name, approval.c.role, approval.c.answer).where(
            approval.c.plan_id == plan_id, approval.c.wave == -1
        )
    ).all()
    against = [r.user_name for r in rows if r.answer == "rejected"]
    if against:
        return f"{against[0]} rejected the plan"
    disabled = set(
        connection.execute(select(user.c.name).where(user.c.disabled.is_(True))).scalars()
    )
    roles = ("operator", "admin") if role == "operator" else ("admin",)
    people = {
        r.user_name for r in rows
        if r.role in roles and r.user_name != author and r.user_name not in disabled
    }  # fmt: skip
    if len(people) >= count:
        return ""
    who = "people" if count > 1 else "person"
    return f"{len(people)} of {count} {who} other than {author} ({role} or above) approved the plan"


def silent_fault(situation: Situation, recent: Mapping[str, int], settling: bool) -> str:
    """Why silence of hosts is our own fault, in a sentence; empty where it is not.

    *recent* are hosts that were there lately, by name. Looked at are those that the rollout did
    not touch; where all are touched, only a fleet that is silent as a whole is our fault.
    """
    if settling and situation.up is not None:
        # who was there before we started and is not yet: agents are coming back
        known = {*recent, *situation.plan.names}
        settling = any(not situation.is_up(name) for name in known)
    if situation.up is None:
        return control_plane_fault(
            untouched=0,
            untouched_silent=0,
            share=1.0,
            least=1,
            settling=settling,
            strain=situation.strain,
        )
    busy = {r.host for r in situation.in_flight} | {r.host for r in situation.reverting}
    planned = set(situation.plan.names)
    waiting = {r.host for r in situation.waiting}
    untouched = [n for n in recent if n not in planned] + sorted(waiting)
    found = control_plane_fault(
        untouched=len(untouched),
        untouched_silent=sum(not situation.is_up(n) for n in untouched),
        share=limits.FAULT_SHARE,
        least=limits.FAULT_HOSTS_LEAST,
        settling=settling,
        strain=situation.strain,
    )
    if found or untouched:
        return found
    rest = [n for n in planned if n not in busy]
    silent = sum(not situation.is_up(n) for n in rest)
    if silent >= limits.FAULT_HOSTS_LEAST and silent > 0.5 * len(rest):
        return f"{silent} of {len(rest)} hosts are silent at once: the network or the server is at fault"
    return ""
