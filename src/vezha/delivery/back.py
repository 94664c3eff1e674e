"""The way back: hosts are told to run again what they ran before. Acts within a transaction.

Several rollouts may have passed over one host, so two questions come first, each with one answer:

1. Is the host this rollout's to take back? `claim`, a table: by whose directive the host follows
   now, and which way that directive leads.
2. To what does it go back? To what it ran before, unless that was taken back itself: then to what
   it ran before that. What was taken back is never brought back by a later way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, select, update

from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.limits import BACK_STEPS_MAX
from vezha.delivery.plan import Version
from vezha.delivery.rollout import State as RolloutState
from vezha.delivery.rows import (
    Move,
    apply_moves,
    next_generation,
    pieces,
    write_directives,
)
from vezha.delivery.spec import Policy
from vezha.ledger import AnyRow
from vezha.ledger.tables import attempt, change, directive, rollout

_TAKEN_BACK = (RolloutState.REVERTING.value, RolloutState.REVERTED.value)


class Holder(Enum):
    """Whose directive a host follows, as seen from the rollout that is taken back."""

    OURS = "this rollout"
    NEWER = "a newer one"
    OLDER = "an older one"
    NOBODY = "nobody"


class Way(Enum):
    """Where that directive leads."""

    FORWARD = "to what that one brings"
    UNDONE = "to what that one brings, and that one is being taken back"
    TO_OURS = "back, to what this one brought"
    BACK = "back, to something else"


class Claim(Enum):
    """What a rollout that is taken back does with a host."""

    TAKE = "take it back"
    TAKE_OVER = "take it farther back; one proof ends both ways back"
    WAIT = "wait until that one has taken it back"
    LEAVE = "leave it"


@dataclass(frozen=True, slots=True)
class Row:
    """That holder's directive leads that way → the claim."""

    holder: Holder
    way: Way | None
    claim: Claim


TABLE: tuple[Row, ...] = (
    Row(Holder.OURS, None, Claim.TAKE),
    # it keeps what the newer one gave it
    Row(Holder.NEWER, Way.FORWARD, Claim.LEAVE),
    Row(Holder.NEWER, Way.UNDONE, Claim.WAIT),
    # it would end at the very version that is being taken back
    Row(Holder.NEWER, Way.TO_OURS, Claim.TAKE_OVER),
    Row(Holder.NEWER, Way.BACK, Claim.LEAVE),
    # it goes farther back already, or was brought to something older anew
    Row(Holder.OLDER, None, Claim.LEAVE),
    Row(Holder.NOBODY, None, Claim.LEAVE),
)


def claim(holder: Holder, way: Way) -> Claim:
    """The claim on a host."""
    return next(r.claim for r in TABLE if r.holder is holder and r.way in (None, way))


def table_as_markdown() -> str:
    """The table for the documentation."""
    lines = ["| The host follows | which leads | then |", "|---|---|---|"]
    for row in TABLE:
        way = row.way.value if row.way is not None else "anywhere"
        lines.append(f"| {row.holder.value} | {way} | {row.claim.value} |")
    return "\n".join(lines) + "\n"


def before_of(row: AnyRow) -> Version:
    """What the host of an attempt ran before; without a target: what it had by itself."""
    length = row.from_length if row.from_target else 0
    return Version(row.from_version, row.from_target, row.from_sha256, length)


def back_detail(policy: Policy) -> dict[str, Any]:
    """What a directive of a way back says besides the version."""
    # it ran there already, so a quarantine of another day does not keep it away
    detail: dict[str, Any] = {"forced": True}
    if policy.watch_s:
        detail["watch_s"] = policy.watch_s
    return detail


def claims(
    connection: Connection, rollout_id: int, kind: str, run: str, hosts: Sequence[int]
) -> dict[int, tuple[Claim, int]]:
    """The claim of a rollout on each of *hosts*, and the number of the rollout that it follows now
    (0: of none)."""
    brought = _brought(connection, [rollout_id])[rollout_id].sha256
    found: dict[int, AnyRow] = {}
    for part in pieces(hosts):
        for row in connection.execute(
            select(directive.c.host_id, directive.c.rollout_id, directive.c.sha256).where(
                directive.c.kind == kind, directive.c.run == run, directive.c.host_id.in_(part)
            )
        ):
            found[row.host_id] = row
    others = _brought(connection, sorted({r.rollout_id for r in found.values() if r.rollout_id}))
    out: dict[int, tuple[Claim, int]] = {}
    for host_id in hosts:
        follows = found.get(host_id)
        number = (follows.rollout_id or 0) if follows is not None else 0
        if follows is None or not number:
            holder, way = Holder.NOBODY, Way.FORWARD
        else:
            holder = Holder.OURS if number == rollout_id else Holder.NEWER
            holder = Holder.OLDER if number < rollout_id else holder
            way = Way.TO_OURS if follows.sha256 == brought else Way.BACK
            other = others.get(number)
            if other is not None and follows.sha256 == other.sha256:
                undone = other.state == RolloutState.REVERTING.value
                way = Way.UNDONE if undone else Way.FORWARD
        out[host_id] = claim(holder, way), number
    return out


def _brought(connection: Connection, rollouts: Sequence[int]) -> dict[int, AnyRow]:
    """The hash that each rollout brings, and its state."""
    return {
        row.id: row
        for part in pieces(rollouts)
        for row in connection.execute(
            select(rollout.c.id, rollout.c.state, change.c.sha256)
            .join(change, rollout.c.change_id == change.c.id)
            .where(rollout.c.id.in_(part))
        )
    }


TAKES = (Claim.TAKE, Claim.TAKE_OVER)


def give_back(
    connection: Connection,
    rollout_id: int,
    kind: str,
    run: str,
    rows: Sequence[AnyRow],
    policy: Policy,
    now_ms: int,
) -> tuple[int, set[int]]:
    """Desire of each attempt's host what it ran before, under a new generation; the generation, and
    the hosts that were told. Hosts that are not the rollout's to take back are left alone."""
    found = claims(connection, rollout_id, kind, run, [row.host_id for row in rows])
    ours = [row for row in rows if found[row.host_id][0] in TAKES]
    generation = next_generation(connection, now_ms)
    to, passed = _where_to(connection, rollout_id, ours)
    detail = back_detail(policy)
    backward = [(row.host_id, generation, to[row.host_id], detail) for row in ours]
    write_directives(connection, kind, run, backward, rollout_id, now_ms)
    for row in ours:
        one, number = found[row.host_id]
        if one is Claim.TAKE_OVER:
            connection.execute(
                update(attempt)
                .where(
                    attempt.c.rollout_id == number,
                    attempt.c.host_id == row.host_id,
                    attempt.c.state == AttemptState.REVERTING.value,
                )
                .values(generation=generation, updated_ms=now_ms)
            )
    # whose version is passed over is taken back with it
    moves = [
        Move(row.rollout_id, row.host_id, AttemptState.PROVEN, AttemptState.REVERTING, row.why,
             f"rollout {rollout_id} takes it farther back", 0, {"generation": generation})
        for row in passed
        if row.state == AttemptState.PROVEN.value
    ]  # fmt: skip
    apply_moves(connection, moves, now_ms)
    return generation, {row.host_id for row in ours}


def _where_to(
    connection: Connection, rollout_id: int, rows: Sequence[AnyRow]
) -> tuple[Mapping[int, Version], list[AnyRow]]:
    """What each host goes back to: the newest that it ran before and that was not taken back; and
    the attempts of rollouts whose version is passed over."""
    to = {row.host_id: before_of(row) for row in rows}
    passed: list[AnyRow] = []
    for _ in range(BACK_STEPS_MAX):
        stale = _taken_back(connection, rollout_id, to)
        if not stale:
            break
        passed += stale
        to.update({row.host_id: before_of(row) for row in stale})
    return to, passed


def _taken_back(connection: Connection, rollout_id: int, to: Mapping[int, Version]) -> list[AnyRow]:
    """The attempts that brought those hosts what was taken back meanwhile."""
    kind = (
        select(change.c.kind)
        .join(rollout, rollout.c.change_id == change.c.id)
        .where(rollout.c.id == rollout_id)
        .scalar_subquery()
    )
    joined = rollout.join(change, rollout.c.change_id == change.c.id)
    hashes = sorted({v.sha256 for v in to.values() if v.target})
    known = (change.c.kind == kind, change.c.sha256.in_(hashes), rollout.c.id < rollout_id)
    bad = select(rollout.c.id).select_from(joined).where(*known, rollout.c.state.in_(_TAKEN_BACK))
    if not hashes or connection.execute(bad.limit(1)).first() is None:
        return []
    out: list[AnyRow] = []
    seen: set[int] = set()
    for part in pieces(sorted(to)):
        for row in connection.execute(
            select(
                attempt,
                change.c.sha256,
                rollout.c.state.label("rollout_state"),
                rollout.c.reason_code.label("why"),
            )
            .select_from(joined.join(attempt, attempt.c.rollout_id == rollout.c.id))
            .where(*known, attempt.c.host_id.in_(part), attempt.c.offered_ms.is_not(None))
            .order_by(rollout.c.id.desc())
        ):
            if row.sha256 != to[row.host_id].sha256 or row.host_id in seen:
                continue
            # the newest that brought it counts: what was taken back may have come again since
            seen.add(row.host_id)
            if row.rollout_state in _TAKEN_BACK:
                out.append(row)
    return out
