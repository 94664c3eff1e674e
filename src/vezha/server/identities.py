"""The agents' identities for the gateway: the ledger's rows, kept in memory.

10,000 agents that come back at once must not be 10,000 queries on the event loop, so the hashes
of all secrets stand in a dictionary, read anew every few seconds and whenever somebody nudges.
What agents tell of themselves is gathered and written by one thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from vezha.access.enrolment import enrol_agent
from vezha.access.errors import AccessError
from vezha.access.host import note_facts_of, note_seen
from vezha.access.secret import secret_fits
from vezha.gateway.sink import EnrolmentRefused, Identity
from vezha.ledger import Ledger
from vezha.ledger.tables import agent, host
from vezha.server.limits import FACTS_BYTES_MAX, FACTS_PENDING_MAX
from vezha.world import World

log = structlog.get_logger("vezha.identities")


@dataclass(frozen=True, slots=True)
class _Known:
    host: str
    secret_hash: str


class LedgerIdentities:
    """What `vezha.gateway.sink.Identities` wants, over a ledger."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        """Reads all identities. Raises SQLAlchemyError."""
        self._ledger = ledger
        self._world = world
        self._known: dict[str, _Known] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._told: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()
        self.on_hosts: Callable[[], None] = lambda: None
        """Called when hosts came or told something new of themselves; on any thread."""
        self.refresh()

    def check(self, agent_id: str, secret: str) -> Identity | None:
        known = self._known.get(agent_id)
        if known is None or not secret_fits(secret, known.secret_hash):
            return None
        return Identity(agent_id, known.host)

    def enrol(self, token: str, host: str, facts: Mapping[str, Any]) -> tuple[Identity, str]:
        try:
            made = enrol_agent(self._ledger, token, host, _bounded(facts), self._now_ms())
        except AccessError as error:
            raise EnrolmentRefused(str(error)) from None
        except SQLAlchemyError as error:
            log.error("enrolment_failed", error=type(error).__name__)
            raise EnrolmentRefused("the server cannot reach its ledger; try again") from None
        self.refresh()
        self.on_hosts()
        return Identity(made.agent_id, made.host_name), made.secret

    def state_told(self, identity: Identity, version: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            if len(self._told) < FACTS_PENDING_MAX:
                self._told[identity.host] = (version, facts)

    def refresh(self) -> set[str]:
        """Read the ledger; the ids of agents that are known no more. Raises SQLAlchemyError."""
        wanted = (
            select(agent.c.id, agent.c.secret_hash, host.c.name)
            .join_from(agent, host)
            .where(agent.c.revoked_ms.is_(None))
        )
        with self._ledger.read() as connection:
            rows = connection.execute(wanted).all()
            labels = connection.execute(select(host.c.name, host.c.labels)).all()
        known = {row.id: _Known(row.name, row.secret_hash) for row in rows}
        gone = set(self._known) - set(known)
        self._known = known
        self._labels = {row.name: dict(row.labels) for row in labels}
        return gone

    @property
    def hosts(self) -> dict[str, dict[str, str]]:
        """Labels of every host that the ledger knows."""
        return self._labels

    @property
    def watched(self) -> set[str]:
        """Hosts that have an agent."""
        return {known.host for known in self._known.values()}

    def write_told(self, seen_ms: Mapping[str, int]) -> None:
        """Write what agents told since the last time, and when hosts were last seen.
        Raises SQLAlchemyError; nothing is lost then but the facts, which are told again."""
        with self._lock:
            told, self._told = self._told, {}
        news = {
            name: {**_bounded(facts), "agent_version": version}
            for name, (version, facts) in told.items()
        }
        note_facts_of(self._ledger, news, self._now_ms())
        note_seen(self._ledger, seen_ms)
        if told:
            self.on_hosts()

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)


def _bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Plain, small facts: anything else in them is not ours to keep."""
    kept: dict[str, Any] = {}
    size = 0
    for name, value in facts.items():
        if isinstance(value, (str, int, float, bool)) and isinstance(name, str):
            size += len(name) + len(str(value))
            if size <= FACTS_BYTES_MAX:
                kept[name[:64]] = value
        elif name == "labels" and isinstance(value, dict):
            kept["labels"] = {str(k)[:64]: str(v)[:128] for k, v in list(value.items())[:32]}
    return kept
