"""Rows of delivery: read, and written so that a transition and its history are one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from vezha.delivery import change as change_states
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.change import Kind
from vezha.delivery.drift import drifts_from, read_drift
from vezha.delivery.errors import NoSuchChange, WrongState
from vezha.delivery.plan import HostFacts, Version
from vezha.delivery.rollout import OPEN
from vezha.ledger import AnyRow
from vezha.ledger.tables import (
    attempt,
    attempt_event,
    change,
    change_event,
    cursor,
    directive,
    host,
    plan,
    quarantine,
    release,
    rollout,
    running,
)

BY_SYSTEM = "vezha"
"""The actor of what nobody did by hand."""
_OPEN = [state.value for state in OPEN]
_LOCK = 0x76657A6861
"""PostgreSQL's number for the lock of all delivery loops."""
_IN_MAX = 5_000
"""Values in one IN clause."""


@dataclass(frozen=True, slots=True)
class Move:
    """One attempt goes from a state to another. `extra` are more columns to set."""

    rollout_id: int
    host_id: int
    before: AttemptState
    after: AttemptState
    reason: str = ""
    detail: str = ""
    at_ms: int = 0
    extra: Mapping[str, Any] | None = None


def lock_delivery(connection: Connection) -> None:
    """Let no other loop write until the transaction ends; SQLite has one writer anyway. What people
    wish waits for nothing but the row that they wish it of."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def apply_moves(connection: Connection, moves: Sequence[Move], now_ms: int) -> int:
    """Write *moves* and their history; how many. A move whose state has gone on is not made."""
    if not moves:
        return 0
    # several steps of one host are one update, and as many lines of its history
    first: dict[tuple[int, int], Move] = {}
    last: dict[tuple[int, int], Move] = {}
    extra: dict[tuple[int, int], dict[str, Any]] = {}
    for move in moves:
        key = (move.rollout_id, move.host_id)
        first.setdefault(key, move)
        assert key not in last or last[key].after is move.before, move
        last[key] = move
        extra.setdefault(key, {}).update(move.extra or {})
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for key in last:
        groups.setdefault(tuple(sorted(extra[key])), []).append(key)
    for names, keys in groups.items():
        values: dict[str, Any] = {name: bindparam(f"x_{name}") for name in names}
        statement = (
            update(attempt)
            .where(
                attempt.c.rollout_id == bindparam("r"),
                attempt.c.host_id == bindparam("h"),
                attempt.c.state == bindparam("b"),
            )
            .values(
                state=bindparam("a"), reason=bindparam("why"), detail=bindparam("said"),
                since_ms=now_ms, updated_ms=now_ms, **values,
            )
        )  # fmt: skip
        rows = [
            {
                "r": key[0], "h": key[1], "b": first[key].before.value, "a": last[key].after.value,
                "why": last[key].reason, "said": last[key].detail,
                **{f"x_{name}": extra[key][name] for name in names},
            }
            for key in keys
        ]  # fmt: skip
        done = connection.execute(statement, rows)
        # the caller holds the rollout's lock, so what it read is what is there
        assert done.rowcount in (len(rows), -1), (done.rowcount, len(rows))
    connection.execute(
        insert(attempt_event),
        [
            {
                "rollout_id": m.rollout_id, "host_id": m.host_id, "at_ms": m.at_ms or now_ms,
                "written_ms": now_ms, "from_state": m.before.value, "to_state": m.after.value,
                "reason": m.reason, "detail": m.detail,
            }
            for m in moves
        ],
    )  # fmt: skip
    # who has read the hosts meanwhile must look again
    connection.execute(
        update(rollout)
        .where(rollout.c.id.in_(sorted({m.rollout_id for m in moves})))
        .values(revision=rollout.c.revision + 1)
    )
    return len(moves)


def next_generation(connection: Connection, now_ms: int) -> int:
    """A generation above all that were ever given, even where a back-up of the ledger was restored:
    agents refuse what is not newer."""
    highest = 0
    for column in (rollout.c.generation, rollout.c.revert_generation, directive.c.generation,
                   attempt.c.generation):  # fmt: skip
        highest = max(highest, connection.execute(select(func.max(column))).scalar() or 0)
    return max(highest + 1, now_ms)


def write_directives(
    connection: Connection,
    kind: str,
    run: str,
    rows: Sequence[tuple[int, int, Version, Mapping[str, Any]]],
    rollout_id: int,
    now_ms: int,
) -> None:
    """Desire (host, generation, version, detail) of *kind*, in the place of what was desired."""
    if not rows:
        return
    drop_directives(connection, kind, run, [row[0] for row in rows])
    connection.execute(
        insert(directive),
        [
            {
                "host_id": host_id, "kind": kind, "run": run, "generation": generation,
                "target": version.target, "sha256": version.sha256, "length": version.length,
                "detail": dict(detail), "rollout_id": rollout_id, "updated_ms": now_ms,
            }
            for host_id, generation, version, detail in rows
        ],
    )  # fmt: skip


def drop_directives(connection: Connection, kind: str, run: str, hosts: Sequence[int]) -> None:
    """Desire nothing of *kind* of these hosts any more."""
    for part in pieces(hosts):
        connection.execute(
            delete(directive).where(
                directive.c.kind == kind, directive.c.run == run, directive.c.host_id.in_(part)
            )
        )


def pieces(values: Sequence[int]) -> Iterable[Sequence[int]]:
    """*values* in pieces that fit in one statement."""
    for at in range(0, len(values), _IN_MAX):
        yield values[at : at + _IN_MAX]


def add_quarantine(
    connection: Connection,
    *,
    sha256: str,
    host_id: int,
    kind: str,
    target: str,
    reason: str,
    detail: str,
    rollout_id: int | None,
    now_ms: int,
) -> None:
    """Never offer that hash again to that host (0: to any); again where it had been lifted."""
    where = (quarantine.c.sha256 == sha256, quarantine.c.host_id == host_id)
    values = {
        "kind": kind, "target": target, "reason": reason, "detail": detail,
        "rollout_id": rollout_id, "at_ms": now_ms, "lifted_ms": None, "lifted_by": None,
        "lifted_why": None,
    }  # fmt: skip
    if connection.execute(select(quarantine.c.id).where(*where)).first() is not None:
        connection.execute(update(quarantine).where(*where).values(**values))
    else:
        connection.execute(insert(quarantine).values(sha256=sha256, host_id=host_id, **values))


def read_quarantined(connection: Connection) -> dict[int, set[str]]:
    """Hashes in quarantine by host; 0: those that no host gets."""
    out: dict[int, set[str]] = {}
    for row in connection.execute(
        select(quarantine.c.host_id, quarantine.c.sha256).where(quarantine.c.lifted_ms.is_(None))
    ):
        out.setdefault(row.host_id, set()).add(row.sha256)
    return out


def read_change(connection: Connection, id_: int, *, lock: bool = False) -> AnyRow:
    """One change. Raises NoSuchChange."""
    wanted = select(change).where(change.c.id == id_)
    found = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if found is None:
        raise NoSuchChange(f"there is no change {id_}; see `vezha change list`")
    return found


def read_rollout(connection: Connection, id_: int, *, lock: bool = False) -> AnyRow:
    """One rollout. Raises NoSuchChange."""
    wanted = select(rollout).where(rollout.c.id == id_)
    found = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if found is None:
        raise NoSuchChange(f"there is no rollout {id_}; see `vezha rollout list`")
    return found


def read_plan(connection: Connection, id_: int) -> AnyRow:
    """One plan by its id."""
    return connection.execute(select(plan).where(plan.c.id == id_)).one()


def newest_plan(connection: Connection, change_id: int, number: int = 0) -> AnyRow:
    """A change's plan, the newest where no number is given. Raises NoSuchChange."""
    wanted = select(plan).where(plan.c.change_id == change_id).order_by(plan.c.number.desc())
    if number:
        wanted = wanted.where(plan.c.number == number)
    found = connection.execute(wanted.limit(1)).first()
    if found is None:
        which = f"plan {number}" if number else "plan"
        raise NoSuchChange(
            f"change {change_id} has no {which}; see `vezha change plan {change_id}`"
        )
    return found


def move_change(
    connection: Connection,
    row: AnyRow,
    act: change_states.Act,
    *,
    actor: str,
    now_ms: int,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    **values: Any,
) -> change_states.State:
    """Let *act* happen to a change, with a line in its timeline. Raises WrongState."""
    state = change_states.State(row.state)
    found = change_states.step(state, act)
    if found is None:
        verb = act.value.replace("_", " ")
        raise WrongState(f"change {row.id} is {state.value}, so one cannot {verb} it")
    connection.execute(
        update(change)
        .where(change.c.id == row.id)
        .values(state=found.to.value, updated_ms=now_ms, revision=change.c.revision + 1, **values)
    )
    add_event(connection, row.id, found.event, actor, text, now_ms, data)
    return found.to


def add_event(
    connection: Connection, change_id: int, kind: str, actor: str, text: str, now_ms: int,
    data: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """A line in a change's timeline."""
    connection.execute(
        insert(change_event).values(
            change_id=change_id, at_ms=now_ms, kind=kind, actor=actor, text=text,
            data=dict(data or {}),
        )
    )  # fmt: skip


def read_hosts(
    connection: Connection, kind: Kind, up: Mapping[str, bool] | None, now_ms: int, silent_ms: int
) -> list[HostFacts]:
    """All hosts as a plan of *kind* sees them; *up* by name, else whoever was seen lately."""
    directive_kind = change_states.DIRECTIVE_KINDS.get(kind, "")
    tells = {row.host_id: row for row in connection.execute(select(running))}
    wanted = {
        row.host_id: row
        for row in connection.execute(
            select(directive).where(directive.c.kind == directive_kind, directive.c.run == "")
        )
    }
    known = {
        row.sha256: row
        for row in connection.execute(
            select(release.c.sha256, release.c.version, release.c.target, release.c.length)
            .where(release.c.kind == kind.value)
            .order_by(release.c.id)
        )
    }
    taken = _taken(connection, kind)
    drifts = {} if kind is Kind.SCRIPT else drifts_from(read_drift(connection), kind)
    bad = read_quarantined(connection)
    out = []
    for row in connection.execute(select(host).order_by(host.c.id)):
        told = tells.get(row.id)
        is_up = row.last_seen_ms is not None and now_ms - row.last_seen_ms < silent_ms
        quarantined = set(bad.get(row.id, ()))
        if told is not None and kind is not Kind.SCRIPT:
            quarantined |= set(told.quarantined or ())
        out.append(
            HostFacts(
                row.id,
                row.name,
                dict(row.labels),
                dict(row.facts),
                up.get(row.name, False) if up is not None else is_up,
                _runs(kind, told, wanted.get(row.id), known),
                frozenset(told.capabilities or ()) if told is not None else frozenset(),
                taken.get(row.id),
                frozenset(quarantined),
                drifts.get(row.id, ""),
            )
        )
    return out


def _runs(
    kind: Kind, told: AnyRow | None, wanted: AnyRow | None, known: Mapping[str, AnyRow]
) -> Version:
    if kind is Kind.SCRIPT or told is None:
        return Version()
    sha256 = told.release_sha256 if kind is Kind.AGENT else told.config_sha256
    version = told.version if kind is Kind.AGENT else ""
    if sha256 in known:
        found = known[sha256]
        return Version(found.version, found.target, sha256, found.length)
    if wanted is not None and wanted.sha256 == sha256 and sha256:
        return Version(version, wanted.target, sha256, wanted.length)
    return Version(version, "", sha256, 0)


def _taken(connection: Connection, kind: Kind) -> dict[int, int]:
    """Hosts that an open rollout of the same kind has, and its number. Scripts share hosts."""
    if kind is Kind.SCRIPT:
        return {}
    rows = connection.execute(
        select(attempt.c.host_id, attempt.c.rollout_id)
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .where(
            rollout.c.state.in_(_OPEN),
            change.c.kind == kind.value,
            attempt.c.state != AttemptState.SKIPPED.value,
        )
    )
    return {row.host_id: row.rollout_id for row in rows}


def count_states(connection: Connection, rollout_id: int) -> dict[int, dict[str, int]]:
    """How many attempts are in which state, by wave."""
    out: dict[int, dict[str, int]] = {}
    for row in connection.execute(
        select(attempt.c.wave, attempt.c.state, func.count().label("n"))
        .where(attempt.c.rollout_id == rollout_id)
        .group_by(attempt.c.wave, attempt.c.state)
    ):
        out.setdefault(row.wave, {})[row.state] = row.n
    return out


def read_cursor(connection: Connection, name: str) -> int:
    """Up to which row a follower has read; 0 at first."""
    found = connection.execute(select(cursor.c.position).where(cursor.c.name == name)).scalar()
    return found or 0


def write_cursor(connection: Connection, name: str, position: int) -> None:
    """Remember it, in the transaction that did the work."""
    done = connection.execute(update(cursor).where(cursor.c.name == name).values(position=position))
    if not done.rowcount:
        connection.execute(insert(cursor).values(name=name, position=position))
