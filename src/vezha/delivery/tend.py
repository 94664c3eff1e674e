"""After a rollout: hosts that joined late or came back get its version, and nobody is left behind.

The two-version rule: before its wave is active a host keeps the version that it has, once the
rollout is done it goes straight to the new one. Only the newest rollout that was done of each
artifact is followed, so that a host goes one step and not one for each release that it missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, case, func, insert, select

from vezha.delivery import limits
from vezha.delivery.attempt import BAD, IN_FLIGHT, Act, State, step
from vezha.delivery.back import give_back
from vezha.delivery.change import DIRECTIVE_KINDS, Kind
from vezha.delivery.drift import keep_baselines
from vezha.delivery.flight import directive_detail
from vezha.delivery.follow import run_of
from vezha.delivery.freeze import keeps, read_windows
from vezha.delivery.plan import CAPABILITY, HostFacts, incompatible
from vezha.delivery.rollout import OPEN
from vezha.delivery.rollout import State as RolloutState
from vezha.delivery.rows import (
    Move,
    apply_moves,
    drop_directives,
    next_generation,
    read_hosts,
    read_quarantined,
    write_directives,
)
from vezha.delivery.selector import parse_selector
from vezha.delivery.situation import PlanView
from vezha.ledger import AnyRow
from vezha.ledger.tables import attempt, change, directive, release, rollout, running

_FOLLOWED = (Kind.AGENT, Kind.CONFIG)
_ENDED = [s.value for s in RolloutState if s not in OPEN]
_IN_FLIGHT = [s.value for s in IN_FLIGHT]


def tend(
    connection: Connection,
    plan_of: Callable[[Connection, int], PlanView],
    up: Mapping[str, bool] | None,
    fault_ms: int,
    now_ms: int,
) -> int:
    """One look at all that is over; how many hosts went a step. *fault_ms* is when last something was
    our own fault."""
    keep_baselines(connection, now_ms)
    moved = _settle_back(connection, now_ms)
    moved += _lose_patience(connection, plan_of, up, fault_ms, now_ms)
    for row in _newest_done(connection):
        moved += _follow_late(connection, row, plan_of(connection, row.plan_id), up, now_ms)
    return moved


def _settle_back(connection: Connection, now_ms: int) -> int:
    """Hosts that tell that they run what they ran before, or what a directive of another rollout
    says, have gone back, whatever was lost."""
    other = (
        select(directive.c.sha256)
        .where(
            directive.c.host_id == attempt.c.host_id,
            directive.c.run == "",
            directive.c.kind
            == case((change.c.kind == Kind.AGENT.value, "release"), else_=change.c.kind),
            directive.c.sha256 != change.c.sha256,
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            attempt,
            change.c.kind,
            running.c.release_sha256,
            running.c.config_sha256,
            other.label("other_sha256"),
        )
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .join(running, running.c.host_id == attempt.c.host_id)
        .where(
            attempt.c.state == State.REVERTING.value,
            running.c.received_ms > attempt.c.since_ms,
        )
    ).all()
    moves = []
    for row in rows:
        runs = row.release_sha256 if row.kind == Kind.AGENT.value else row.config_sha256
        if runs in (row.from_sha256, row.other_sha256):
            moves.append(
                Move(row.rollout_id, row.host_id, State.REVERTING, State.REVERTED, row.reason,
                     row.detail)
            )  # fmt: skip
    return apply_moves(connection, moves, now_ms)


def _lose_patience(
    connection: Connection,
    plan_of: Callable[[Connection, int], PlanView],
    up: Mapping[str, bool] | None,
    fault_ms: int,
    now_ms: int,
) -> int:
    """Hosts that were in flight when their rollout ended, or joined late, and do not arrive."""
    rows = connection.execute(
        select(attempt, change.c.kind, rollout.c.plan_id)
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .where(rollout.c.state.in_(_ENDED), attempt.c.state.in_(_IN_FLIGHT))
    ).all()
    moves = []
    for row in rows:
        policy = plan_of(connection, row.plan_id).policy
        patience_ms = int(policy.patience_s * 1000)
        if now_ms - max(row.offered_ms or row.since_ms, fault_ms) <= patience_ms:
            continue
        state, kind = State(row.state), Kind(row.kind)
        is_up = up is None or up.get(row.host, False)
        act, code = Act.TAKE_BACK, "stuck" if is_up else "silent"
        if not is_up and step(state, Act.SKIP) is not None:
            act, code = Act.SKIP, "offline"
        elif kind is Kind.SCRIPT:
            act = Act.LEAVE
        run, directive_kind = run_of(kind, row.rollout_id), DIRECTIVE_KINDS[kind]
        extra = None
        if kind is Kind.SCRIPT:
            drop_directives(connection, directive_kind, run, [row.host_id])
        else:
            generation, _ = give_back(
                connection, row.rollout_id, directive_kind, run, [row], policy, now_ms
            )
            extra = {"generation": generation} if act is Act.TAKE_BACK else None
        after = step(state, act)
        assert after is not None, (state, act)
        said = f"it was {state.value} for too long"
        moves.append(Move(row.rollout_id, row.host_id, state, after, code, said, 0, extra))
    return apply_moves(connection, moves, now_ms)


def artifact_of(target: str) -> str:
    """What an artifact is a version of: kind and name of `<kind>/<name>/<version>/<file>`."""
    return "/".join(target.split("/")[:2])


def _newest_done(connection: Connection) -> list[AnyRow]:
    """The newest rollout of each artifact, where it is done and hosts may follow it."""
    newest: dict[str, AnyRow] = {}
    for row in connection.execute(
        select(
            rollout.c.id, rollout.c.plan_id, rollout.c.state, rollout.c.change_id,
            change.c.kind, change.c.target, change.c.sha256, change.c.selector, change.c.policy,
        )
        .join(change, change.c.id == rollout.c.change_id)
        .where(change.c.kind.in_([k.value for k in _FOLLOWED]))
        .order_by(rollout.c.id)
    ):  # fmt: skip
        if dict(row.policy).get("only_drifted"):
            continue  # it mends what an earlier one brought, and that one is followed on
        if row.state in (RolloutState.DONE.value, *(s.value for s in OPEN)):
            # one that was taken back leaves the version of the one before
            newest[artifact_of(row.target)] = row
    return [row for row in newest.values() if row.state == RolloutState.DONE.value]


def _follow_late(
    connection: Connection, row: AnyRow, plan: PlanView, up: Mapping[str, bool] | None, now_ms: int
) -> int:
    if plan.policy.late != "follow":
        return 0
    if row.sha256 in read_quarantined(connection).get(0, set()) and not plan.policy.forced:
        return 0
    kind, late_wave = Kind(row.kind), len(plan.waves)
    attempts = {
        a.host_id: a
        for a in connection.execute(
            select(attempt.c.host_id, attempt.c.state, attempt.c.reason, attempt.c.wave).where(
                attempt.c.rollout_id == row.id
            )
        )
    }
    failures = sum(a.wave == late_wave and State(a.state) in BAD for a in attempts.values())
    if failures > limits.LATE_FAILURES_MAX:
        return 0
    room = plan.policy.max_in_flight - sum(State(a.state) in IN_FLIGHT for a in attempts.values())
    hosts = read_hosts(connection, kind, up, now_ms, limits.SEEN_MS)
    custom = _custom(connection, plan.to.target)
    windows = read_windows(connection, now_ms)
    selector = parse_selector(row.selector)
    fresh: list[HostFacts] = []
    again: list[HostFacts] = []
    for found in hosts:
        if len(fresh) + len(again) >= min(room, limits.OFFERS_PER_STEP_MAX):
            break
        known = attempts.get(found.id)
        if known is not None and (known.state, known.reason) != (State.SKIPPED.value, "offline"):
            continue
        if not selector.fits(found.name, found.labels) or not _takes(found, kind, plan, custom):
            continue
        if keeps(windows, found.name, found.labels, now_ms) is not None:
            continue
        (again if known is not None else fresh).append(found)
    _offer_late(connection, row, plan, kind, fresh, again, late_wave, now_ms)
    return len(fresh) + len(again)


def _takes(found: HostFacts, kind: Kind, plan: PlanView, custom: Mapping[str, Any]) -> bool:
    return (
        found.up
        and found.held_by is None
        and CAPABILITY[kind] in found.capabilities
        and plan.to.sha256 not in found.quarantined
        and found.runs.sha256 != plan.to.sha256
        and not incompatible(custom, found.facts)
    )


def _custom(connection: Connection, target: str) -> Mapping[str, Any]:
    found = connection.execute(select(release.c.custom).where(release.c.target == target)).scalar()
    return found or {}


def _offer_late(
    connection: Connection,
    row: AnyRow,
    plan: PlanView,
    kind: Kind,
    fresh: list[HostFacts],
    again: list[HostFacts],
    late_wave: int,
    now_ms: int,
) -> None:
    if not fresh and not again:
        return
    # newer than whatever the host has seen since
    generation = next_generation(connection, now_ms)
    if fresh:
        connection.execute(
            insert(attempt),
            [
                attempt_row(
                    row.id, h, late_wave, now_ms, "late", "it joined after the plan was made"
                )
                for h in fresh
            ],
        )
    moves = [
        Move(row.id, h.id, State.WAITING if h in fresh else State.SKIPPED, State.OFFERED, "late",
             "the rollout is done, so it goes straight to its version",
             extra={"generation": generation, "offered_ms": now_ms,
                    "from_version": h.runs.version, "from_target": h.runs.target,
                    "from_sha256": h.runs.sha256, "from_length": h.runs.length})
        for h in (*fresh, *again)
    ]  # fmt: skip
    apply_moves(connection, moves, now_ms)
    detail = directive_detail(row, plan.policy)
    rows = [(h.id, generation, plan.to, detail) for h in (*fresh, *again)]
    write_directives(connection, DIRECTIVE_KINDS[kind], "", rows, row.id, now_ms)


def attempt_row(
    rollout_id: int, host: HostFacts, wave: int, now_ms: int, reason: str = "", detail: str = ""
) -> dict[str, Any]:
    """A row of `attempt` that waits."""
    return {
        "rollout_id": rollout_id, "host_id": host.id, "host": host.name, "wave": wave,
        "state": State.WAITING.value, "reason": reason, "detail": detail,
        "from_version": host.runs.version, "from_target": host.runs.target,
        "from_sha256": host.runs.sha256, "from_length": host.runs.length, "generation": None,
        "result": None, "offered_ms": None, "since_ms": now_ms, "updated_ms": now_ms,
    }  # fmt: skip


def count_open(connection: Connection) -> dict[tuple[str, str], int]:
    """Rollouts by kind and state, and of the open ones their hosts by state (kind: `hosts`)."""
    out: dict[tuple[str, str], int] = {}
    for row in connection.execute(
        select(change.c.kind, rollout.c.state, func.count().label("n"))
        .join(change, change.c.id == rollout.c.change_id)
        .group_by(change.c.kind, rollout.c.state)
    ):
        out[(row.kind, row.state)] = row.n
    return out
