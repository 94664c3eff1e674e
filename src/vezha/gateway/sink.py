"""What the gateway needs of others: a place for frames, and somebody who knows the agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vezha.model.columns import Refs, Times, Values
from vezha.model.labels import Labels


class FrameSink(Protocol):
    """Where frames go: the store, or a dictionary in tests. Layouts and batches are its own."""

    def known_schema(self, schema_id: int) -> bool:
        """Whether the schema need not be announced again."""
        ...

    def schema(self, schema_id: int) -> Sequence[Labels]:
        """The series of a schema that is known."""
        ...

    def put_schema(self, schema_id: int, series: Sequence[Labels]) -> None:
        """Learn a schema; durable with the next commit."""
        ...

    def layout(self, schema_id: int, extra: Labels) -> Any:
        """The place for the frames of one schema on one host; `extra` are the host's labels."""
        ...

    def origin(self, key: str) -> int:
        """A small number for a stream."""
        ...

    def progress(self, origin: int) -> list[tuple[int, int]]:
        """Ranges of sequence numbers that are stored for it."""
        ...

    def write_frame(
        self, layout: Any, origin: int, seq: int, ts_ms: int, raw: bytes, values: Values
    ) -> None:
        """Put one frame; readable at once, durable with the next commit."""
        ...

    def resolve(self, series: Sequence[Labels]) -> Refs:
        """References of series, made where they are new."""
        ...

    def write(self, refs: Refs, ts_ms: Times, values: Values) -> None:
        """Put columnar samples."""
        ...

    def seal(self) -> Any:
        """Cut what was put so far into a batch. On the thread that puts."""
        ...

    def commit(self, batch: Any) -> None:
        """Make a batch durable. Blocks; on another thread. Raises OSError; then try again."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """An agent that proved who it is."""

    agent_id: str
    host: str


class Identities(Protocol):
    """Somebody who knows the agents."""

    def check(self, agent_id: str, secret: str) -> Identity | None:
        """Whose secret it is; None if unknown, wrong or revoked. Fast: called on the loop."""
        ...

    def enrol(self, token: str, host: str, facts: Mapping[str, Any]) -> tuple[Identity, str]:
        """Make a new agent for a one-time token: its identity and secret. Blocks.
        Raises `EnrolmentRefused`."""
        ...

    def state_told(self, identity: Identity, version: str, facts: Mapping[str, Any]) -> None:
        """An agent told its facts. Must not block."""
        ...


class EnrolmentRefused(Exception):
    """The token is unknown, used or expired, or the name is taken; the text says which."""


class SeriesRefused(Exception):
    """The sink takes no more series of that source; the text says which limit."""
