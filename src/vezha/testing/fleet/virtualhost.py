"""A simulated host under virtual time: the real spool, link and ticker's decision, no threads.

Only the loops around them are replaced: where the real ones wait, events are scheduled. What the
disk and the journal know survives the agent's lives.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

from vezha.agent.dial import Server
from vezha.agent.identity import Identity
from vezha.agent.limits import LINK_IO_TIMEOUT_S, SPOOL_SYNC_INTERVAL_S
from vezha.agent.link import Link, _Conversation, _SentAway, backoff_s
from vezha.agent.spool import Spool
from vezha.agent.ticker import TickerState, decide, first_stamp
from vezha.model.labels import Labels, metric
from vezha.testing.disk import MemoryDisk, PowerCut
from vezha.testing.fleet.journal import Journal, Sampled
from vezha.testing.fleet.virtual import VirtualClock, VirtualLoop
from vezha.testing.fleet.wiretap import Wire
from vezha.wire import websocket as ws
from vezha.wire.agent_session import AgentSession
from vezha.wire.errors import ProtocolError
from vezha.wire.frame import pack_frame
from vezha.wire.limits import BACKOFF_MAX_S
from vezha.wire.schema import pack_schema
from vezha.world import Chance, World

FOLDER = "/state/spool"
INTERVAL_MS = 1000
Dial = Callable[["VirtualHost"], Wire]


class VirtualHost:
    """One host. `dial` connects it, or raises what dialling raises."""

    def __init__(
        self,
        loop: VirtualLoop,
        journal: Journal,
        name: str,
        seed: int,
        epoch_s: float,
        dial: Dial,
        spool_bytes: int,
    ) -> None:
        self.loop = loop
        self.journal = journal
        self.identity = Identity(f"id-{name}", "secret", name, "sim:1")
        self.clock = VirtualClock(loop, epoch_s)
        self.disk = MemoryDisk(seed)
        self.cut_off = ""
        """ "" while the network works, else "refused" or "hole"."""
        self.wire: Wire | None = None
        self.spool: Spool | None = None
        self.synced: set[tuple[str, int]] = set()
        self.cuts_power_on_boot = False
        self._chance = random.Random(seed)
        self._world = World(clock=self.clock, disk=self.disk, chance=Chance(seed))
        self._dial = dial
        self._spool_bytes = spool_bytes
        self._phase_ms = self._chance.randrange(INTERVAL_MS)
        self._life = 0
        self._width = 3
        self._link: Link | None = None
        self._talk: _Conversation | None = None
        self._turn_wanted = False
        self._dialled_s = 0.0
        self._failures = 0
        self._last: TickerState | None = None
        journal.calm_since_s[name] = 0.0

    @property
    def name(self) -> str:
        """The host's name."""
        return self.identity.host

    @property
    def key(self) -> str:
        """The present stream's key."""
        assert self.spool is not None
        return f"{self.identity.agent_id}/{self.spool.stream}"

    @property
    def running(self) -> bool:
        """Whether the agent's process is there."""
        return self._link is not None

    def trouble(self) -> None:
        """Something is wrong with this host from now on."""
        self.journal.calm_since_s[self.name] = self.loop.time()

    # the agent's life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent, as systemd would. A power cut in the middle means another start."""
        assert not self.running
        self._life += 1
        self.trouble()
        try:
            self.spool = Spool(self._world, FOLDER, self._spool_bytes, 3600.0, segment_bytes=4096)
        except PowerCut:
            self.disk.crash()
            self._later(1.0, self.start)
            return
        self._link = Link(
            self._world, Server("sim", 1), self.identity, self.spool, dict, lambda _text: None
        )
        self._failures = 0
        self._last = None
        self._turn_wanted = False
        self._announce()
        self._later(0.0, self._tick)
        self._later(0.0, self._connect)

    def kill(self) -> None:
        """kill -9: what the kernel has is kept, what was only in memory is gone."""
        if not self.running:
            return
        assert self.spool is not None
        key = self.key
        self.journal.excused |= {(key, seq) for seq in self.spool._loose}
        self._end()
        if self.wire is not None:
            self.wire.close()

    def lose_power(self) -> None:
        """The machine stops; the disk keeps what was synced, and perhaps more."""
        if not self.running:
            return
        self._excuse_all_but(self.synced)
        self._end()
        self.disk.crash()
        if self.wire is not None:
            self.wire.hole = True  # nobody tells the server

    def wipe(self) -> None:
        """Somebody deletes the spool while the agent is down."""
        assert not self.running
        self._excuse_all_but(set())
        self.disk._faults.clear()
        self.disk._cut_at = None
        for name in self.disk.list_names(FOLDER):
            self.disk.remove(f"{FOLDER}/{name}")
        self.disk.sync_folder(FOLDER)

    def _excuse_all_but(self, kept: set[tuple[str, int]]) -> None:
        """Frames of any stream of this host that the server does not have may be lost."""
        for key, frames in self.journal.sampled.items():
            if key.startswith(f"{self.identity.agent_id}/"):
                told = self.journal.durable.get(key, ())
                self.journal.excused |= {(key, s) for s in frames if s not in told} - kept

    def _end(self) -> None:
        assert self.spool is not None
        assert self._link is not None
        self._life += 1
        self.trouble()
        dropped = self.journal.dropped
        dropped[self.name] = dropped.get(self.name, 0) + self.spool.dropped_frames
        self._link._wake_read.close()
        self._link._wake_write.close()
        self._link = self._talk = None

    def finish(self) -> None:
        """The end of the run: count what this life dropped, close what is open."""
        if self.running:
            self._end()

    def waiting(self) -> int:
        """Frames in the spool that the server does not have."""
        if self.spool is None or self._link is None:
            return 0
        return self.spool.waiting(self._link.durable)

    # sampling -----------------------------------------------------------------------------------------

    def change_schema(self) -> None:
        """A disk was plugged in, or pulled."""
        self._width = 2 + (self._width + 1) % 4
        if self.running:
            self._announce()

    def _announce(self) -> None:
        assert self.spool is not None
        series: list[Labels] = [metric("node_simulated", shard=str(i)) for i in range(self._width)]
        self._schema_id, packed = pack_schema(series)
        self.spool.put_schema(self._schema_id, packed)

    def _tick(self) -> None:
        wall_ms = round(self.clock.now() * 1000)
        if self._last is None:
            stamp = first_stamp(wall_ms, INTERVAL_MS, self._phase_ms)
            self._later((stamp - wall_ms) / 1000, self._sample, stamp)
            return
        steady_ms = round(self.clock.monotonic() * 1000)
        found = decide(self._last, wall_ms, steady_ms, INTERVAL_MS, self._phase_ms)
        if found.wait_ms == 0:
            self._sample(found.stamp_ms)
        elif found.jump_ms:
            self._later(found.wait_ms / 1000, self._sample, found.stamp_ms)
        else:
            self._later(found.wait_ms / 1000, self._tick)

    def _sample(self, stamp_ms: int) -> None:
        assert self.spool is not None
        spool, seq = self.spool, self.spool.next_seq
        noise = [self._chance.random() for _ in range(self._width - 1)]
        values = (float(seq & 0xFFFFFF), *noise)
        made = Sampled(self.name, stamp_ms, values, self.loop.time())
        self.journal.sample(self.key, seq, made)
        try:
            spool.append(seq, self._schema_id, pack_frame(seq, self._schema_id, stamp_ms, values))
        except PowerCut:
            self._power_went()
            return
        self._last = TickerState(
            stamp_ms, round(self.clock.now() * 1000), round(self.clock.monotonic() * 1000)
        )
        self._later(0.0, self._tick)
        self._nudge()

    # talking -------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        assert self._link is not None
        assert self.spool is not None
        self._dialled_s = self.loop.time()
        if self.cut_off == "hole":
            self._later(LINK_IO_TIMEOUT_S, self._disconnected, 0.0)
            return
        try:
            self.wire = self._dial(self)
            session = AgentSession(self._link._hello())
            self.wire.send(session.start())
        except ws.Refused as error:
            self._disconnected(error.retry_after_s)
            return
        except OSError:
            self._disconnected(0.0)
            return
        self._talk = _Conversation(self._link, self.wire, session)  # type: ignore[arg-type]
        self._turn()

    def _turn(self) -> None:
        talk, wire = self._talk, self.wire
        if talk is None or wire is None:
            return
        had_news = bool(wire.inbox)
        was = talk._welcomed
        try:
            talk.turn()
        except _SentAway as error:
            self._disconnected(error.retry_after_s)
            return
        except (ProtocolError, OSError) as error:
            if isinstance(error, ProtocolError):
                self.journal.violate(self.loop.time(), f"{self.name} heard nonsense: {error}")
            self._disconnected(0.0)
            return
        except PowerCut:
            self._power_went()
            return
        if talk._welcomed and not was:
            self.trouble()
        if had_news:
            self._nudge()
        else:
            self._later(max(wire.wait_s, 0.01), self._turn_if, talk)

    def _turn_if(self, talk: _Conversation) -> None:
        if self._talk is talk:
            self._turn()

    def news(self) -> None:
        """The wire has something for us."""
        self._nudge()

    def _nudge(self) -> None:
        if not self._turn_wanted:
            self._turn_wanted = True
            self._later(0.001, self._turn_nudged)

    def _turn_nudged(self) -> None:
        self._turn_wanted = False
        self._turn()

    def _disconnected(self, retry_after_s: float) -> None:
        """As `Link._run` does after each conversation."""
        self.trouble()
        if self.wire is not None:
            self.wire.close()
        self._talk = None
        lasted = self.loop.time() - self._dialled_s
        self._failures = 0 if lasted > BACKOFF_MAX_S else self._failures + 1
        wait = backoff_s(max(self._failures - 1, 0), retry_after_s, self._world.chance.uniform)
        self._wait(self.loop.time() + wait)

    def _wait(self, until_s: float) -> None:
        left = until_s - self.loop.time()
        if left <= 0:
            self._connect()
            return
        self._later(min(left, SPOOL_SYNC_INTERVAL_S), self._sync, until_s)

    def _sync(self, until_s: float) -> None:
        assert self.spool is not None
        spool = self.spool
        errors = spool.disk_errors
        written = [s for s in self.journal.sampled.get(self.key, {}) if s not in spool._loose]
        try:
            spool.sync()
        except PowerCut:
            self._power_went()
            return
        if spool.disk_errors == errors:
            self.synced |= {(self.key, seq) for seq in written}
        self._wait(until_s)

    def _power_went(self) -> None:
        self.journal.fault(self.loop.time(), f"{self.name}: power lost amid a write")
        self.lose_power()
        self._later(self._chance.uniform(1.0, 10.0), self.start)

    def _later(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        """Do that unless the agent's process has ended by then."""
        life = self._life

        def if_alive() -> None:
            if self._life == life:
                act(*args)

        self.loop.call_later(seconds, if_alive)

    def set_clock(self, by_s: float) -> None:
        """Somebody sets the host's clock."""
        self.clock.offset_s += by_s
        self.trouble()

    def lose_network(self, hole: bool) -> None:
        """Cut it off until `regain_network`."""
        self.cut_off = "hole" if hole else "refused"
        self.trouble()
        if self.wire is not None:
            if hole:
                self.wire.hole = True
            else:
                self.wire.cut()

    def regain_network(self) -> None:
        """The cut ends."""
        self.cut_off = ""
        self.trouble()
        if self.wire is not None and self.running:
            with contextlib.suppress(ConnectionError):
                self.wire.heal()
