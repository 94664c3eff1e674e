"""What the hosts' kernels and applications would say: one matrix [hosts × series], stepped by numpy.

Counters only grow (until a restart of the host), whole numbers are whole, processor time comes in
hundredths as Linux gives it: so frames and tiles compress as those of real hosts do. Trouble is
set through the public columns and stays until it is set back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vezha.testing.fleet.inventory import SITES, Machine
from vezha.testing.fleet.limits import CORES, SERIES_DEFAULT
from vezha.testing.fleet.load import base_load
from vezha.testing.fleet.programs import PROGRAM_SERIES, Programs
from vezha.testing.fleet.series import CPU_MODES, Columns

Floats = npt.NDArray[np.float64]
Rows = slice
_C = Columns
_MEMORY_BYTES = float(16 << 30)
_ROOT_BYTES = float(64 << 30)
_DATA_BYTES = float(512 << 30)
_BLOCK = 4096.0


class Vitals:
    """The fleet's values. Public columns (float64[hosts]) are the troubles of a story:

    `extra_load` added to the load, `error_ratio` share of requests that fail, `slowness` factor
    on the requests' duration, `fill_per_s` bytes a second that fill the data file system,
    `leak_per_s` bytes a second that memory loses. `width` is how many values a host has.
    """

    def __init__(
        self,
        hosts: Sequence[Machine],
        start_s: float,
        series: int = SERIES_DEFAULT,
        seed: int = 1,
        programs: bool = False,
    ) -> None:
        """*programs*: after the *series* come those of what runs on the host."""
        n = len(hosts)
        self._chance = np.random.default_rng(seed)
        self._programs = Programs(list(hosts)) if programs else None
        self._shards = slice(_C.shards, max(series, _C.shards))
        more = PROGRAM_SERIES if programs else 0
        assert series >= _C.shards or not programs, "programs come after a whole host"
        self.width = series + more
        self.extra_load = np.zeros(n)
        self.error_ratio = np.full(n, 0.0004)
        self.slowness = np.ones(n)
        self.fill_per_s = np.zeros(n)
        self.leak_per_s = np.zeros(n)
        self._leaked = np.zeros(n)
        self._at_s = np.full(n, start_s)
        self._wander = np.zeros(n)
        self._own = self._chance.uniform(0.75, 1.25, n)
        self._load = np.zeros((n, 3))
        role = [h.role for h in hosts]
        self._offset_h = np.array([SITES.get(h.site, 0.0) for h in hosts])
        self._night = np.array([r.night for r in role])
        self._day = np.array([r.day for r in role])
        self._iowait = np.array([r.iowait for r in role])
        self._held = np.array([r.memory for r in role]) * self._chance.uniform(0.85, 1.1, n)
        self._net = np.array([r.bytes_per_load for r in role])
        self._disk = np.array([r.disk_bytes_per_load for r in role])
        self._requests = np.array([r.requests_per_load for r in role])
        self.values = np.zeros((n, self._shards.stop + more))
        self._begin(start_s)

    def _begin(self, start_s: float) -> None:
        """Hosts that have run for some days."""
        v, n = self.values, len(self.values)
        age = self._chance.uniform(0.5, 60.0, n) * 86_400.0
        busy = base_load(start_s, self._offset_h, self._night, self._day) * self._own
        self._load[:] = (busy * CORES)[:, None]
        v[:, _C.memory.start] = _MEMORY_BYTES
        v[:, _C.memory.start + 5] = float(2 << 30)
        for place, size in ((_C.root, _ROOT_BYTES), (_C.data, _DATA_BYTES)):
            v[:, place.start] = size
            free = np.round(size * self._chance.uniform(0.3, 0.8, n) / _BLOCK) * _BLOCK
            v[:, place.start + 2] = free
            v[:, place.start + 3] = size / 16384
            v[:, place.start + 4] = np.round(size / 16384 * self._chance.uniform(0.6, 0.95, n))
        v[:, _C.kernel.start + 5] = np.round(start_s - age)
        v[:, _C.rest.start + 4] = 1_048_576.0
        # One long step gives the counters the height of their age.
        self._at_s -= age
        self._step(slice(0, n), start_s, busy)

    def restart(self, row: int, now_s: float) -> None:
        """The host booted just now: counters begin at zero."""
        v = self.values[row]
        for part in (_C.cpu, _C.disk, _C.network, _C.sockets, _C.pressure, _C.application):
            v[part] = 0.0
        v[_C.kernel.start : _C.kernel.start + 3] = 0.0
        v[_C.kernel.start + 5] = round(now_s)
        v[_C.rest.start : _C.rest.start + 3] = 0.0
        v[_C.shards :] = 0.0
        self._leaked[row] = 0.0
        self._at_s[row] = now_s - 1.0

    def free_share(self, row: int) -> float:
        """Which part of the data file system is free."""
        return float(self.values[row, _C.data.start + 2] / self.values[row, _C.data.start])

    def clean(self, row: int, share: float = 0.6) -> None:
        """Somebody deletes files until that part of the data file system is free."""
        size = self.values[row, _C.data.start]
        self.values[row, _C.data.start + 2] = np.round(size * share / _BLOCK) * _BLOCK

    def sample(self, rows: Rows, now_s: float) -> Floats:
        """float64[rows, series]: the values at *now_s* (true time); a view, to be read at once."""
        base = base_load(now_s, self._offset_h[rows], self._night[rows], self._day[rows])
        wander = self._wander[rows]
        wander *= 0.97
        wander += self._chance.normal(0.0, 0.012, len(wander))
        busy = np.clip(base * self._own[rows] + wander + self.extra_load[rows], 0.01, 0.995)
        self._step(rows, now_s, busy)
        return self.values[rows, : self.width]

    def _step(self, rows: Rows, now_s: float, busy: Floats) -> None:
        passed = np.maximum(now_s - self._at_s[rows], 0.0)
        self._at_s[rows] = now_s
        v = self.values[rows]
        self._step_cpu(v, rows, busy, passed)
        self._step_memory(v, rows, busy, passed)
        self._step_disks(v, rows, busy, passed)
        self._step_network(v, rows, busy, passed)
        self._step_rest(v, rows, busy, passed)
        if self._programs is not None:
            held = _MEMORY_BYTES - v[:, _C.memory.start + 2]
            own = v[:, self._shards.stop :]
            self._programs.step(own, rows, busy, held, self._disk[rows], passed)

    def _step_cpu(self, v: Floats, rows: Rows, busy: Floats, passed: Floats) -> None:
        n = len(v)
        cores = np.clip(busy[:, None] * self._chance.uniform(0.8, 1.2, (n, CORES)), 0.0, 1.0)
        wait = np.minimum(cores * self._iowait[rows][:, None], 1.0 - cores)
        part = np.empty((n, CORES, len(CPU_MODES)))
        part[:, :, 1] = wait
        part[:, :, 2] = 0.0
        part[:, :, 3] = 0.0
        part[:, :, 4] = cores * 0.04
        part[:, :, 5] = 0.0
        part[:, :, 6] = cores * 0.18
        part[:, :, 7] = cores * 0.78
        part[:, :, 0] = 1.0 - wait - cores
        spent = np.round(part * (passed * 100.0)[:, None, None]) / 100.0
        cpu = v[:, _C.cpu]
        cpu += spent.reshape(n, -1)
        np.round(cpu, 2, out=cpu)
        for i, minutes in enumerate((1.0, 5.0, 15.0)):
            fade = np.exp(-np.minimum(passed, 600.0) / (minutes * 60.0))
            self._load[rows, i] = self._load[rows, i] * fade + busy * CORES * (1.0 - fade)
        v[:, _C.load] = np.round(self._load[rows], 2)
        v[:, _C.kernel.start + 3] = np.round(1.0 + busy * CORES)
        v[:, _C.kernel.start + 4] = np.round(wait.sum(axis=1))
        over = np.maximum(busy - 0.7, 0.0)
        v[:, _C.pressure.start] += np.round(over * passed, 6)
        for i, strength in ((1, 0.5), (2, 0.2)):
            v[:, _C.pressure.start + i] += np.round(wait.mean(axis=1) * strength * passed, 6)

    def _step_memory(self, v: Floats, rows: Rows, busy: Floats, passed: Floats) -> None:
        leaked = self._leaked[rows]
        leaked += self.leak_per_s[rows] * passed
        np.clip(leaked, 0.0, 0.62 * _MEMORY_BYTES, out=leaked)
        held = self._held[rows] * (0.8 + 0.2 * busy) * _MEMORY_BYTES + leaked
        available = np.maximum(_MEMORY_BYTES - held, 0.01 * _MEMORY_BYTES)
        at = _C.memory.start
        v[:, at + 2] = np.round(available / 1024.0) * 1024.0
        v[:, at + 1] = np.round(available * 0.2 / 1024.0) * 1024.0
        v[:, at + 3] = np.round(available * 0.05 / 1024.0) * 1024.0
        v[:, at + 4] = np.round(available * 0.7 / 1024.0) * 1024.0
        v[:, at + 6] = v[:, at + 5]
        v[:, at + 7] = np.round(busy * 4000.0) * 4096.0
        tight = np.maximum(0.06 - available / _MEMORY_BYTES, 0.0) * 10.0
        for i in (3, 4):
            v[:, _C.pressure.start + i] += np.round(tight * passed, 6)

    def _step_disks(self, v: Floats, rows: Rows, busy: Floats, passed: Floats) -> None:
        jitter = self._chance.uniform(0.5, 1.5, (2, len(v)))
        at = _C.disk.start
        for first, share, noise in ((at, 0.4, jitter[0]), (at + 3, 0.6, jitter[1])):
            blocks = np.round(self._disk[rows] * busy * share * noise * passed / 16384.0)
            v[:, first] += blocks
            v[:, first + 1] += blocks * 16384.0
            v[:, first + 2] += np.round(blocks * 0.0004, 3)
        active = np.minimum(self._disk[rows] * busy / 400e6, 1.0)
        v[:, at + 6] += np.round(active * passed, 3)
        v[:, at + 7] = np.round(active * 8.0)
        grown = self.fill_per_s[rows] * passed
        short = np.minimum(passed, 60.0)  # the long first step must not fill the disks
        grown += self._disk[rows] * busy * 0.0002 * short
        free = v[:, _C.data.start + 2]
        free -= np.round(grown / _BLOCK) * _BLOCK
        np.maximum(free, 0.0, out=free)
        v[:, _C.root.start + 1] = v[:, _C.root.start + 2]
        v[:, _C.data.start + 1] = free

    def _step_network(self, v: Floats, rows: Rows, busy: Floats, passed: Floats) -> None:
        jitter = self._chance.uniform(0.8, 1.2, (2, len(v)))
        at = _C.network.start
        for first, share, noise in ((at, 0.45, jitter[0]), (at + 4, 0.55, jitter[1])):
            packets = np.round(self._net[rows] * busy * share * noise * passed / 900.0)
            v[:, first] += packets * 900.0 + np.round(noise * 100.0)
            v[:, first + 1] += packets
        at = _C.sockets.start
        packets = v[:, _C.network.start + 1]
        v[:, at] = np.round(20.0 + busy * 600.0 * jitter[0])
        v[:, at + 1] += np.round(busy * 40.0 * jitter[1] * passed)
        v[:, at + 2] += np.round(busy * 0.4 * jitter[0] * passed)
        v[:, at + 3] = packets
        v[:, at + 4] = v[:, _C.network.start + 5]
        v[:, at + 5] = np.round(180.0 + busy * 700.0)
        v[:, at + 6] = np.round(busy * 300.0 * jitter[1])

    def _step_rest(self, v: Floats, rows: Rows, busy: Floats, passed: Floats) -> None:
        n = len(v)
        jitter = self._chance.uniform(0.9, 1.1, (3, n))
        at = _C.kernel.start
        v[:, at] += np.round((800.0 + busy * 9000.0) * jitter[0] * passed)
        v[:, at + 1] += np.round((1500.0 + busy * 16000.0) * jitter[1] * passed)
        v[:, at + 2] += np.round((1.0 + busy * 12.0) * jitter[2] * passed)
        at = _C.rest.start
        v[:, at] += np.round((300.0 + busy * 5000.0) * jitter[0] * passed)
        v[:, at + 1] += np.round(busy * 0.3 * jitter[1] * passed)
        v[:, at + 3] = np.round(1200.0 + busy * 900.0) * 32.0
        v[:, at + 5] = self._chance.normal(0.0, 4e-5, n).round(9)
        at = _C.application.start
        asked = np.round(self._requests[rows] * busy * jitter[2] * passed)
        failed = np.round(asked * np.minimum(self.error_ratio[rows] * jitter[0], 1.0))
        v[:, at] += asked - failed
        v[:, at + 1] += failed
        slow = 0.02 * (1.0 + 3.0 * busy**4) * self.slowness[rows]
        v[:, at + 2] += np.round(asked * slow * jitter[1], 6)
        v[:, at + 3] += asked
        v[:, at + 4] = np.round(self._requests[rows] * busy * slow)
        shards = self._shards.stop - self._shards.start
        if shards:
            split = self._chance.uniform(0.5, 1.5, (n, shards)) / shards
            v[:, self._shards] += np.round(asked[:, None] * split)
