"""Intake: from a frame's bytes to the sink, and from the sink's commit back to acks.

Everything but `FrameSink.commit` happens on the event loop's thread. A batch is sealed together
with the marks of what it acknowledges, so that no ack can run ahead of the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import structlog

from vezha.gateway.admission import window_for
from vezha.gateway.limits import ACKS_PER_SLICE, COMMIT_INTERVAL_S, COMMIT_RETRY_S, STRAIN_COMMIT_S
from vezha.gateway.sink import FrameSink
from vezha.gateway.strain import COMMITS, SLOW
from vezha.model.columns import Times, Values
from vezha.model.stages import BOUNDS_S, SENT, STORED, Stages
from vezha.wire.frame import CODEC_RAW, FrameHead, unpack_payload
from vezha.wire.limits import WINDOW_FRAMES_DEFAULT

if TYPE_CHECKING:
    from vezha.gateway.connection import Connection

log = structlog.get_logger("vezha.gateway")
_FLOAT64 = np.dtype("<f8")


def values_of(head: FrameHead, record: bytes) -> Values:
    """The values of a frame, float64[head.width]. Raises ProtocolError."""
    data = unpack_payload(head, record)
    if head.codec != CODEC_RAW:
        width = head.width
        # one array that reads the planes across: each call of numpy costs as much as the work
        data = np.ndarray((width, 8), np.uint8, data, 0, (1, width)).tobytes()
    return np.frombuffer(data, _FLOAT64)


@dataclass
class Counters:
    """What the gateway did since it started."""

    frames: int = 0
    samples: int = 0
    frame_bytes: int = 0
    replays: int = 0
    commits: int = 0
    commit_s: float = 0.0
    commit_failures: int = 0
    connects: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, code: str) -> None:
        """Count a peer's error."""
        self.refused[code] = self.refused.get(code, 0) + 1


class Intake:
    """The sink, the batch that is gathering, and the connections that wait for its ack."""

    def __init__(
        self,
        sink: FrameSink,
        wall_ms: Callable[[], int],
        interval_s: float = COMMIT_INTERVAL_S,
        on_written: Callable[[], None] | None = None,
        on_strain: Callable[[str], None] = lambda _: None,
    ) -> None:
        """*on_strain* is told why agents have to wait (`vezha.gateway.strain`)."""
        self._on_strain = on_strain
        self.sink = sink
        self.counters = Counters()
        self.window = WINDOW_FRAMES_DEFAULT
        self.last_commit_s = 0.0
        self._wall_ms = wall_ms
        self._interval_s = interval_s
        # in the order in which they came: a run from a seed must not depend on addresses
        self._dirty: dict[Connection, None] = {}
        self._waiting: list[Callable[[], None]] = []
        self._written = False
        self._on_written = on_written
        self.stages = Stages()
        self._stamps_ms: list[int] = []
        self._arrived_ms: list[int] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")

    def put(
        self, connection: Connection, layout: object, origin: int, head: FrameHead,
        ts_ms: int, record: bytes,
    ) -> None:  # fmt: skip
        """Write a fresh frame. Raises ProtocolError if its values cannot be unpacked."""
        values = values_of(head, record)
        self.sink.write_frame(layout, origin, head.seq, ts_ms, record, values)
        counters = self.counters
        counters.frames += 1
        counters.samples += head.width
        counters.frame_bytes += len(record)
        self._stamps_ms.append(ts_ms)
        self._arrived_ms.append(self._wall_ms())
        self._dirty[connection] = None
        self._written = True

    def acknowledge(self, connection: Connection) -> None:
        """A replay: nothing to write, but the next ack tells the agent again."""
        self.counters.replays += 1
        self._dirty[connection] = None

    def wrote(self) -> None:
        """Samples were put past the intake (fleet series, rules); commit them too."""
        self._written = True

    def when_durable(self, tell: Callable[[], None]) -> None:
        """Call *tell* once everything put until now is on disk."""
        self._waiting.append(tell)
        self._written = True

    async def run(self) -> None:
        """Commit for ever; cancelled at the end, after which `finish` makes the last batch."""
        while True:
            await asyncio.sleep(self._interval_s)
            if self._on_written is not None and self._written:
                self._on_written()
            if self._written or self._dirty:
                await self.commit()

    async def commit(self) -> None:
        """Seal, make durable, acknowledge. Tries until the disk takes it."""
        self._written = False
        marked = [c for c in self._dirty if c.session.mark()]
        self._dirty.clear()
        waiting, self._waiting = self._waiting, []
        batch = self.sink.seal()
        stamps_ms, self._stamps_ms = self._stamps_ms, []
        arrived_ms, self._arrived_ms = self._arrived_ms, []
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        while True:
            try:
                await loop.run_in_executor(self._thread, self.sink.commit, batch)
                break
            except OSError as error:
                # Not acknowledged, so nothing is lost: the agents hold their windows and wait.
                self.counters.commit_failures += 1
                self._on_strain(COMMITS)
                self.window = window_for(WINDOW_FRAMES_DEFAULT, 0.0, failing=True)
                log.error("commit_failed", error=str(error), retry_s=COMMIT_RETRY_S)
                await asyncio.sleep(COMMIT_RETRY_S)
        self.last_commit_s = time.perf_counter() - began
        self.counters.commits += 1
        self.counters.commit_s += self.last_commit_s
        self.window = window_for(WINDOW_FRAMES_DEFAULT, self.last_commit_s, failing=False)
        if self.last_commit_s > STRAIN_COMMIT_S:
            self._on_strain(SLOW)
        for tell in waiting:
            tell()
        now_ms = self._wall_ms()
        if stamps_ms:
            self._note_stages(np.array(stamps_ms), np.array(arrived_ms), now_ms)
        for at in range(0, len(marked), ACKS_PER_SLICE):
            for connection in marked[at : at + ACKS_PER_SLICE]:
                connection.send_ack(self.window, now_ms)
            await asyncio.sleep(0)

    def _note_stages(self, stamps_ms: Times, arrived_ms: Times, now_ms: int) -> None:
        for stage, took_ms in ((SENT, arrived_ms - stamps_ms), (STORED, now_ms - arrived_ms)):
            took_s = np.maximum(took_ms, 0) / 1000
            buckets = np.searchsorted(BOUNDS_S, took_s)
            counts = np.bincount(buckets, minlength=len(BOUNDS_S) + 1)
            self.stages.add(stage, counts.tolist(), float(took_s.sum()))

    async def finish(self) -> None:
        """The last commit before the end."""
        await self.commit()
        self._thread.shutdown()
