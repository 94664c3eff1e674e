"""One run from one seed: a small fleet, a timetable of troubles, a quiet end, the verdict.

The same seed gives the same run to the byte, so a failure is replayed by its number.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from vezha.testing.fleet.journal import EPOCH_S, Journal
from vezha.testing.fleet.virtual import VirtualLoop
from vezha.testing.fleet.virtualhost import VirtualHost
from vezha.testing.fleet.virtualserver import MemoryStorage, Storage, VirtualServer

HOSTS_MAX = 6
TROUBLED_S = 150.0
QUIET_S_MAX = 240.0
"""Longest time after the last trouble until every spool must be empty."""
REPLAY = "python -m vezha.testing.fleet --seed {seed}"

MakeStorage = Callable[[Journal, VirtualLoop], Storage]


@dataclass
class Verdict:
    """What a run showed."""

    seed: int
    hosts: int
    sampled: int
    stored: int
    excused: int
    dropped: int
    live_checked: int
    live_lag_s_max: float
    virtual_s: float
    faults: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.hosts} hosts, {self.virtual_s:.0f} s, "
            f"{len(self.faults)} troubles, {self.sampled} frames sampled, {self.stored} stored, "
            f"{self.dropped} dropped and counted, {self.excused} lost with power or memory, "
            f"live lag ≤ {self.live_lag_s_max:.2f} s"
        ]
        if self.violations:
            lines += ["violated:", *(f"  {v}" for v in self.violations)]
            lines += ["after:", *(f"  {f}" for f in self.faults)]
            lines += [f"replay: {REPLAY.format(seed=self.seed)}"]
        return "\n".join(lines)


def simulate(seed: int, make_storage: MakeStorage = MemoryStorage) -> Verdict:
    """Run *seed* to its end. Raises nothing for what it finds: see `Verdict.violations`."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_Run(loop, seed, make_storage).run())
    finally:
        loop.close()


class _Run:
    def __init__(self, loop: VirtualLoop, seed: int, make_storage: MakeStorage) -> None:
        self.loop = loop
        self.seed = seed
        self.chance = random.Random(seed)
        self.journal = Journal()
        self.storage = make_storage(self.journal, loop)
        self.server = VirtualServer(loop, self.journal, self.storage, EPOCH_S)
        self.slow_disk_until_s = self.slow_network_until_s = 0.0
        self.server.delay_s = self._delay_s
        loop.work_s = self._work_s
        loop.set_exception_handler(self._crashed)
        count = self.chance.randint(2, HOSTS_MAX)
        self.hosts = [
            VirtualHost(
                loop,
                self.journal,
                f"h{i}",
                seed * 1000 + i,
                EPOCH_S + self.chance.uniform(-0.5, 0.5),
                self.server.dial,
                # one in five has so small a spool that it must drop
                spool_bytes=16_384 if self.chance.random() < 0.2 else 1 << 20,
            )
            for i in range(count)
        ]

    def _crashed(self, _loop: object, context: dict[str, object]) -> None:
        """An exception that nobody caught would have ended an agent, or the server."""
        what = context.get("exception") or context.get("message")
        self.journal.violate(self.loop.time(), f"not caught: {what!r}")

    def _delay_s(self) -> float:
        slow = self.loop.time() < self.slow_network_until_s
        return self.chance.uniform(0.001, 1.5 if slow else 0.05)

    def _work_s(self) -> tuple[float, float]:
        if self.loop.time() < self.slow_disk_until_s:
            return self.chance.uniform(0.5, 2.0), self.chance.uniform(0.0, 0.5)
        return self.chance.uniform(0.001, 0.02), self.chance.uniform(0.0, 0.005)

    async def run(self) -> Verdict:
        await self.server.start()
        for host in self.hosts:
            self.loop.call_later(self.chance.uniform(0.0, 3.0), host.start)
        await self._trouble()
        await self._calm()
        stuck = await self._settle()
        for host in self.hosts:
            host.finish()
        self.server.kill()
        stored = self.storage.stored()
        journal = self.journal
        journal.check(stored)
        journal.violations += stuck
        self.storage.close()
        await asyncio.sleep(0)
        return Verdict(
            self.seed,
            len(self.hosts),
            sum(map(len, journal.sampled.values())),
            len(stored),
            sum(1 for key in journal.excused if key not in stored),
            sum(journal.dropped.values()),
            journal.live_checked,
            journal.live_lag_s_max,
            self.loop.time(),
            journal.faults,
            journal.violations,
        )

    # troubles -------------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        kinds = [
            (4, self._kill_server), (2, self._stop_server), (2, self._refuse_commits),
            (2, self._slow_disk), (4, self._cut), (2, self._cut_all), (4, self._kill_agent),
            (4, self._lose_power), (2, self._lose_power_amid_write), (3, self._fill_disk),
            (2, self._break_disk), (3, self._set_clock), (1, self._set_server_clock),
            (2, self._slow_network), (1, self._wipe), (3, self._change_schema),
        ]  # fmt: skip
        if not self.storage.sets_clocks:
            kinds = [k for k in kinds if k[1] not in (self._set_clock, self._set_server_clock)]
        weights = [w for w, _ in kinds]
        until = self.loop.time() + TROUBLED_S
        while self.loop.time() < until:
            await asyncio.sleep(self.chance.expovariate(1 / 6.0))
            kind = self.chance.choices(kinds, weights)[0][1]
            await kind()

    def _note(self, what: str) -> None:
        self.journal.fault(self.loop.time(), what)

    def _all_troubled(self) -> None:
        self.journal.trouble_all(self.loop.time())

    def _host(self) -> VirtualHost:
        return self.chance.choice(self.hosts)

    async def _kill_server(self) -> None:
        if self.server.gateway is None:
            return
        down = self.chance.uniform(0.2, 20.0)
        self._note(f"server killed for {down:.1f} s")
        self.server.kill()
        self._all_troubled()
        self._start_server_in(down)

    async def _stop_server(self) -> None:
        if self.server.gateway is None:
            return
        down = self.chance.uniform(0.2, 8.0)
        self._note(f"server stopped for {down:.1f} s")
        self._all_troubled()
        await self.server.stop()
        self._all_troubled()
        self._start_server_in(down)

    def _start_server_in(self, seconds: float) -> None:
        def start() -> None:
            if self.server.gateway is None:
                self._starting = asyncio.ensure_future(self.server.start())
                self._all_troubled()

        self.loop.call_later(seconds, start)

    async def _refuse_commits(self) -> None:
        sink = self.storage.sink
        sink.fail_commits = self.chance.randint(1, 6)
        self._note(f"server's disk full for {sink.fail_commits} commits")

    async def _slow_disk(self) -> None:
        lasts = self.chance.uniform(3.0, 15.0)
        self._note(f"server's disk slow for {lasts:.1f} s")
        self.slow_disk_until_s = self.loop.time() + lasts
        for second in range(int(lasts) + 4):
            self.loop.call_later(float(second), self._all_troubled)

    async def _cut(self) -> None:
        host, hole = self._host(), self.chance.random() < 0.5
        lasts = self.chance.expovariate(1 / 15.0)
        self._note(f"{host.name}: network {'swallows' if hole else 'cut'} for {lasts:.1f} s")
        host.lose_network(hole)
        self.loop.call_later(lasts, host.regain_network)

    async def _cut_all(self) -> None:
        hole = self.chance.random() < 0.5
        lasts = self.chance.uniform(1.0, 60.0)
        self._note(f"all: network {'swallows' if hole else 'cut'} for {lasts:.1f} s")
        for host in self.hosts:
            host.lose_network(hole)
            self.loop.call_later(lasts + self.chance.random(), host.regain_network)

    async def _kill_agent(self) -> None:
        host = self._host()
        if not host.running:
            return
        self._note(f"{host.name}: agent killed")
        host.kill()
        self._start_host_in(host, self.chance.uniform(0.1, 10.0))

    async def _lose_power(self) -> None:
        host = self._host()
        if not host.running:
            return
        self._note(f"{host.name}: power lost")
        host.lose_power()
        self._start_host_in(host, self.chance.uniform(1.0, 20.0))

    async def _lose_power_amid_write(self) -> None:
        host = self._host()
        if host.running:
            host.disk.cut_power_at(host.disk.operations + self.chance.randint(1, 12))

    def _start_host_in(self, host: VirtualHost, seconds: float) -> None:
        def start() -> None:
            if not host.running:
                host.start()

        self.loop.call_later(seconds, start)

    async def _fill_disk(self) -> None:
        host = self._host()
        lasts = self.chance.uniform(2.0, 60.0)
        room = self.chance.choice([0, 30, 500, 5000])
        self._note(f"{host.name}: disk full after {room} bytes, for {lasts:.1f} s")
        host.disk.capacity_bytes = host.disk.used_bytes() + room

        def end() -> None:
            host.disk.capacity_bytes = None

        self.loop.call_later(lasts, end)

    async def _break_disk(self) -> None:
        host = self._host()
        operation = self.chance.choice(["write", "sync", "remove", "replace"])
        self._note(f"{host.name}: the disk's next {operation} fails")
        host.disk.fail(operation, self.chance.randint(0, 3), errno.EIO, self.chance.randint(1, 4))

    async def _set_clock(self) -> None:
        host = self._host()
        by_s = self.chance.choice([-1, 1]) * self.chance.choice([0.3, 2.0, 30.0, 400.0, 90_000.0])
        self._note(f"{host.name}: clock set by {by_s} s")
        host.set_clock(by_s)

    async def _set_server_clock(self) -> None:
        by_s = self.chance.uniform(-20.0, 20.0)
        self._note(f"server's clock set by {by_s:.1f} s")
        self.server.clock.offset_s += by_s

    async def _slow_network(self) -> None:
        lasts = self.chance.uniform(2.0, 15.0)
        self._note(f"network slow for {lasts:.1f} s")
        self.slow_network_until_s = self.loop.time() + lasts
        for second in range(int(lasts) + 4):
            self.loop.call_later(float(second), self._all_troubled)

    async def _wipe(self) -> None:
        host = self._host()
        if not host.running:
            return
        self._note(f"{host.name}: agent killed and spool deleted")
        host.kill()
        host.wipe()
        self._start_host_in(host, self.chance.uniform(0.1, 5.0))

    async def _change_schema(self) -> None:
        self._host().change_schema()

    # the quiet end -----------------------------------------------------------------------------------

    async def _calm(self) -> None:
        self._note("everything is mended")
        await asyncio.sleep(61.0)  # cuts and full disks end by themselves
        for host in self.hosts:
            host.disk.capacity_bytes = None
            host.disk._faults.clear()
            host.disk._cut_at = None
            host.regain_network()
            if host.running and host.spool is not None and host.spool._homeless:
                # what lies on its disk is sent by the next life, which finds the disk mended
                host.kill()
            self._start_host_in(host, 0.0)
        if self.server.gateway is None:
            await self.server.start()
        await asyncio.sleep(1.0)

    async def _settle(self) -> list[str]:
        until = self.loop.time() + QUIET_S_MAX
        while self.loop.time() < until:
            await asyncio.sleep(1.0)
            # two frames may be under way at any moment
            if all(h.running and h.waiting() <= 2 for h in self.hosts):
                await asyncio.sleep(3.0)
                return self._freeze()
        return [
            f"{h.name}: {h.waiting()} frames still wait after {QUIET_S_MAX:.0f} quiet seconds"
            for h in self.hosts
            if h.waiting() > 2
        ]

    def _freeze(self) -> list[str]:
        """What is under way at the very end is nobody's loss."""
        for host in self.hosts:
            for seq, made in self.journal.sampled.get(host.key, {}).items():
                if made.made_s > self.loop.time() - 2.0:
                    self.journal.excused.add((host.key, seq))
        return []
