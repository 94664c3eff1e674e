"""What the gateway needs of delivery: the ledger's `directive`, `progress` and `running` rows, and
the files that were published. It decides nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from vezha.access import Subject, SubjectKind
from vezha.access.audit import append_audit
from vezha.gateway.sink import Identity
from vezha.ledger import Ledger
from vezha.ledger.tables import agent, directive, host, progress, running
from vezha.server.limits import (
    DIRECTIVES_ALL_AGAIN_S,
    DIRECTIVES_OVERLAP_MS,
    EFFECTIVE_TEXT_CHARS_MAX,
    FACTS_PENDING_MAX,
    FENCED_AUDIT_S,
)
from vezha.server.releases import keep_fresh
from vezha.trust.errors import CODES
from vezha.trust.folder import ReleaseFolder
from vezha.wire import message as m
from vezha.wire.directive import REFUSED
from vezha.world import World

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

log = structlog.get_logger("vezha.changes")

_HASHES_MAX = 64
_NOT_AUDITED = {"expired", "no_space", "no_launcher", "quarantined", "busy", "ran_already"}
_AUDITED = frozenset(CODES) - _NOT_AUDITED
"""Refusals that may be an attack, or somebody's mistake: each is a line in the audit. The others are
expected, and can come from a whole fleet at once."""


class LedgerChanges:
    """`vezha.gateway.change.Changes` over a ledger and a folder of releases."""

    def __init__(self, ledger: Ledger, world: World, releases: str) -> None:
        self._ledger = ledger
        self._world = world
        self._path = releases
        self._folder = ReleaseFolder(world, releases)
        self._directives: dict[str, list[dict[str, Any]]] = {}
        self._hosts: dict[int, str] = {}
        self._count = -1
        self._newest_ms = 0
        self._all_at_s = -1e9
        self._states: dict[str, tuple[Identity, m.State]] = {}
        self._lock = threading.Lock()
        self._fenced_s: dict[str, float] = {}
        self.expiries_s: dict[str, float] = {}
        """When each role of the signed metadata expires, in seconds since the epoch."""

    # what the gateway asks ---------------------------------------------------------------------------

    def directives_of(self, host: str) -> Sequence[dict[str, Any]]:
        return self._directives.get(host, ())

    def read_published(self, path: str, offset: int, length: int) -> tuple[int, bytes] | None:
        try:
            total = self._world.disk.size(f"{self._path}/{path}")
            return total, self._world.disk.read(f"{self._path}/{path}", offset, length)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write_progress(self, told: Sequence[tuple[Identity, m.Progress]]) -> None:
        now_ms = self._now_ms()
        rows = []
        with self._ledger.begin() as connection:
            ids = dict(
                connection.execute(
                    select(agent.c.id, agent.c.host_id).where(
                        agent.c.id.in_({identity.agent_id for identity, _ in told})
                    )
                ).all()
            )  # fmt: skip
            for identity, said in told:
                if identity.agent_id not in ids:
                    continue  # revoked and removed meanwhile: nobody is left to ask
                rows.append(
                    {
                        "agent_id": identity.agent_id,
                        "host_id": ids[identity.agent_id],
                        "number": said.number,
                        "kind": said.kind[:16],
                        "generation": said.generation,
                        "sha256": said.sha256[:64],
                        "run": said.run[:64],
                        "step": said.step[:16],
                        "reason": said.reason[:32],
                        "detail": said.detail,
                        "at_ms": said.time_ms,
                        "received_ms": now_ms,
                    }
                )
            self._audit_refusals(connection, told, rows)
            if rows:
                # what is told again is the same row
                connection.execute(_insert_of(connection)(progress).on_conflict_do_nothing(), rows)

    def _audit_refusals(
        self,
        connection: Connection,
        told: Sequence[tuple[Identity, m.Progress]],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        suspect = {
            (row["agent_id"], row["number"]): row
            for row in rows
            if row["step"] == REFUSED and row["reason"] in _AUDITED
        }
        if not suspect:
            return
        known = connection.execute(
            select(progress.c.agent_id, progress.c.number).where(
                progress.c.agent_id.in_({agent_id for agent_id, _ in suspect}),
                progress.c.number.in_({number for _, number in suspect}),
            )
        ).all()
        hosts = {identity.agent_id: identity.host for identity, _ in told}
        for key, row in suspect.items():
            if key not in {tuple(found) for found in known}:
                detail = {
                    "kind": row["kind"],
                    "sha256": row["sha256"],
                    "reason": row["reason"],
                    "text": str(row["detail"].get("text", ""))[:300],
                }
                self._audit(connection, "directive.refuse", hosts[key[0]], detail)

    def audit_fenced(self, host: str, old: str, new: str) -> None:
        """Two agents used one identity: a line in the audit, at most one a minute and host.
        Blocks; never raises."""
        now_s = self._world.clock.monotonic()
        with self._lock:
            if now_s - self._fenced_s.get(host, -1e9) < FENCED_AUDIT_S:
                return
            self._fenced_s[host] = now_s
        log.warning("agent_identity_used_twice", host=host, old=old, new=new)
        try:
            with self._ledger.begin() as connection:
                detail = {
                    "text": "a second connection with this agent's identity took over while the "
                    "first was alive: revoke it if it was copied",
                    "old_address": old,
                    "new_address": new,
                }
                self._audit(connection, "agent.fence", host, detail)
        except SQLAlchemyError as error:
            log.error("audit_unwritten", error=str(error)[:300])

    def _audit(
        self, connection: Connection, action: str, host: str, detail: dict[str, Any]
    ) -> None:
        append_audit(
            connection,
            subject=Subject(SubjectKind.SYSTEM, f"agent of {host}"),
            action=action,
            now_ms=self._now_ms(),
            target=host,
            outcome=REFUSED,
            detail=detail,
        )

    def state_told(self, identity: Identity, state: m.State) -> None:
        with self._lock:
            if len(self._states) < FACTS_PENDING_MAX:
                self._states[identity.agent_id] = (identity, state)

    # what the contour does ---------------------------------------------------------------------------

    def refresh(self) -> set[str]:
        """Read the directives; the hosts whose directives are others now. Blocks. Raises
        SQLAlchemyError."""
        now_s = self._world.clock.monotonic()
        with self._ledger.read() as connection:
            found = connection.execute(
                select(func.count(), func.max(directive.c.updated_ms)).select_from(directive)
            ).one()
            count, newest_ms = int(found[0]), int(found[1] or 0)
            whole = now_s - self._all_at_s >= DIRECTIVES_ALL_AGAIN_S or count < self._count
            if not whole and (count, newest_ms) == (self._count, self._newest_ms):
                return set()
            wanted = select(directive, host.c.name).join_from(directive, host)
            if not whole:
                since_ms = self._newest_ms - DIRECTIVES_OVERLAP_MS
                changed = select(directive.c.host_id).where(directive.c.updated_ms >= since_ms)
                wanted = wanted.where(directive.c.host_id.in_(changed))
            rows = connection.execute(wanted.order_by(directive.c.kind, directive.c.run)).all()
        fresh: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            fresh.setdefault(row.name, []).append(
                {
                    "kind": row.kind,
                    "run": row.run,
                    "generation": row.generation,
                    "target": row.target,
                    "sha256": row.sha256,
                    "length": row.length,
                    "detail": row.detail,
                }
            )
        if whole:
            self._all_at_s = now_s
            seen = set(self._directives) | set(fresh)
        else:
            seen = set(fresh)
        news = {name for name in seen if fresh.get(name, []) != self._directives.get(name, [])}
        merged = {} if whole else dict(self._directives)
        merged.update(fresh)
        self._directives = merged
        self._count, self._newest_ms = count, newest_ms
        return news

    def write_states(self) -> bool:
        """Write what agents run; whether there was anything. Raises SQLAlchemyError."""
        with self._lock:
            states, self._states = self._states, {}
        if not states:
            return False
        now_ms = self._now_ms()
        with self._ledger.begin() as connection:
            known = dict(
                connection.execute(
                    select(agent.c.id, agent.c.host_id).where(
                        agent.c.id.in_(states), agent.c.revoked_ms.is_(None)
                    )
                ).all()
            )  # fmt: skip
            for agent_id, (_, state) in states.items():
                if agent_id not in known:
                    continue
                values = {**_row_of(state, agent_id, now_ms), "host_id": known[agent_id]}
                changed = connection.execute(
                    running.update().where(running.c.host_id == known[agent_id]).values(values)
                )
                if not changed.rowcount:
                    connection.execute(running.insert().values(values))
        return True

    def keep_fresh(self) -> None:
        """Sign anew what is the server's to sign, and look when the rest expires. Never raises:
        change may freeze, monitoring goes on."""
        try:
            self.expiries_s = keep_fresh(self._folder, self._world.clock.now())
        except Exception as error:
            log.error("releases_unreadable", error=str(error)[:300])

    def root(self) -> str:
        """The metadata of the keys that new agents pin; empty where there is none."""
        try:
            return self._folder.root().decode()
        except (OSError, ValueError) as error:
            log.error("releases_unreadable", error=str(error)[:300])
            return ""

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)


def _row_of(state: m.State, agent_id: str, now_ms: int) -> dict[str, Any]:
    release, config = state.release, state.config
    generations = {
        "release": _whole(release.get("generation")),
        "config": _whole(config.get("generation")),
    }
    detail = {
        "slot": _text(release, "slot", 16),
        "launcher": bool(release.get("launcher")),
        "why_not": _text(release, "why_not", 200),
        "text": _text(config, "text", EFFECTIVE_TEXT_CHARS_MAX),
        "drift": [str(key)[:128] for key in _list(config.get("drift"))],
        "trouble": _text(config, "trouble", 400),
    }
    return {
        "agent_id": agent_id,
        "build": _text(release, "build", 64),
        "version": _text(release, "version", 64),
        "release_sha256": _text(release, "sha256", 64),
        "config_sha256": _text(config, "sha256", 64),
        "effective_sha256": _text(config, "effective_sha256", 64),
        "generations": generations,
        "quarantined": [one[:64] for one in state.quarantined[:_HASHES_MAX]],
        "capabilities": [one[:16] for one in state.capabilities[:16]],
        "detail": json.loads(json.dumps(detail)),
        "reported_ms": now_ms,
        "received_ms": now_ms,
    }


def _text(told: Mapping[str, Any], name: str, chars_max: int) -> str:
    value = told.get(name, "")
    return value[:chars_max] if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def _list(value: Any) -> list[Any]:
    return value[:_HASHES_MAX] if isinstance(value, list) else []


def _insert_of(connection: Connection) -> Callable[[Table], postgresql.Insert | sqlite.Insert]:
    """`insert` as the database has it. Only the one that is used is loaded: PostgreSQL's are 1.5 MB."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite
