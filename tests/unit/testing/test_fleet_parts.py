"""The simulated fleet's parts: loads, values, frames, spool, counting."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.testing.fleet.inventory import ROLES, machines
from vezha.testing.fleet.limits import UNSENT_FRAMES_MAX
from vezha.testing.fleet.load import base_load, daily_shape
from vezha.testing.fleet.memoryspool import MemorySpool
from vezha.testing.fleet.programs import PROGRAM_SERIES, program_series
from vezha.testing.fleet.realagent import missing_and_doubled
from vezha.testing.fleet.series import Columns, series_of
from vezha.testing.fleet.sockets import pack_rows
from vezha.testing.fleet.virtual import VirtualLoop
from vezha.testing.fleet.vitals import Vitals
from vezha.wire.frame import FrameHead, unpack_payload
from vezha.wire.ranges import Ranges
from vezha.wire.schema import pack_schema, unpack_schema

NOW_S = 1_700_000_000.0


def test_a_fleet_follows_from_its_seed() -> None:
    assert machines(200, 7) == machines(200, 7)
    assert machines(200, 7) != machines(200, 8)
    assert len({m.name for m in machines(1000)}) == 1000
    assert {m.role for m in machines(200)} == set(ROLES)


def test_series_are_a_valid_schema_of_the_asked_width() -> None:
    for role in ROLES:
        for count in (50, 100, 300):
            schema_id, packed = pack_schema(series_of(role, count))
            assert len(unpack_schema(schema_id, packed)) == count


def test_days_have_quiet_nights_and_busy_afternoons() -> None:
    shape = daily_shape(np.arange(24.0))
    assert shape[3] < 0.1 < 0.9 < shape[14]
    one = np.ones(1)
    friday = 1_700_179_200.0 + 15 * 3600
    working = base_load(friday, 0 * one, 0.1 * one, 0.6 * one)
    weekend = base_load(friday + 86_400, 0 * one, 0.1 * one, 0.6 * one)
    assert weekend[0] < working[0]


def test_counters_only_grow_and_a_second_of_processor_time_is_a_second() -> None:
    vitals = Vitals(machines(40), NOW_S)
    everyone = slice(0, 40)
    before = vitals.sample(everyone, NOW_S + 1).copy()
    after = vitals.sample(everyone, NOW_S + 2).copy()
    cpu = after[:, Columns.cpu] - before[:, Columns.cpu]
    assert (cpu >= 0).all()
    spent = cpu.reshape(40, 4, 8).sum(axis=2)
    assert np.allclose(spent, 1.0, atol=0.04)
    for part in (Columns.network, Columns.pressure):
        assert (after[:, part] >= before[:, part]).all()
    sizes, free = after[:, Columns.data.start], after[:, Columns.data.start + 1]
    assert ((free > 0) & (free < sizes)).all()


def test_troubles_show_in_the_values_and_a_restart_begins_at_zero() -> None:
    vitals = Vitals(machines(40), NOW_S)
    everyone = slice(0, 40)
    vitals.error_ratio[0] = 0.5
    vitals.fill_per_s[1] = 1e9
    before = vitals.sample(everyone, NOW_S + 1).copy()
    after = vitals.sample(everyone, NOW_S + 11).copy()
    at = Columns.application.start
    errors, ok = after[0, at + 1] - before[0, at + 1], after[0, at] - before[0, at]
    assert errors / (errors + ok) == pytest.approx(0.5, abs=0.1)
    filled = before[1, Columns.data.start + 1] - after[1, Columns.data.start + 1]
    assert filled == pytest.approx(1e10, rel=0.05)
    vitals.restart(2, NOW_S + 11)
    restarted = vitals.sample(everyone, NOW_S + 12)
    assert restarted[2, Columns.cpu].sum() < 10
    assert restarted[2, Columns.kernel.start + 5] == NOW_S + 11


def test_rows_are_packed_as_the_agent_packs_them() -> None:
    values = np.array([[1.0, -2.5, 3e300] * 40, list(np.random.default_rng(1).random(120))])
    for (codec, payload), row in zip(pack_rows(values), values, strict=True):
        record = b"\0" * 32 + payload + b"\0" * 4
        planes = unpack_payload(FrameHead(codec, 120, 0, 0, 0), record)
        raw = np.frombuffer(planes, np.uint8)
        plain = raw if codec == 0 else np.ascontiguousarray(raw.reshape(8, 120).T)
        assert (plain.view("<f8").ravel() == row).all()
    assert zlib.crc32(b"") == 0


@given(st.lists(st.sampled_from(["append", "ack", "epoch"]), max_size=60), st.randoms())
def test_the_spool_in_memory_forgets_only_what_is_durable(steps: list[str], dice: object) -> None:
    spool, durable, kept = MemorySpool(), Ranges(), set[int]()
    for step in steps:
        if step == "append":
            kept.add(spool.next_seq)
            spool.append(b"x")
        elif step == "epoch":
            spool.new_epoch()
        elif kept:
            gone = dice.choice(sorted(kept))  # type: ignore[attr-defined]
            durable.add(gone)
            kept.discard(gone)
            spool.trim(durable)
        found, at = [], 0
        while (seq := spool.stored_from(at)) is not None:
            found.append(seq)
            at = seq + 1
        assert kept <= set(found)
        assert set(found) - kept <= {s for low, high in durable for s in range(low, high + 1)}


def test_the_spool_in_memory_is_bounded_and_counts() -> None:
    spool = MemorySpool()
    for _ in range(UNSENT_FRAMES_MAX + 5):
        spool.append(b"x")
    assert (spool.dropped_frames, spool.stored_from(0)) == (5, 5)


def test_missing_and_doubled_frames_are_seen() -> None:
    assert missing_and_doubled([0, 1, 2, 0, 1], [3, 2]) == (0, 0)
    assert missing_and_doubled([0, 2, 0, 1], [3, 2]) == (1, 0)
    assert missing_and_doubled([0, 1, 2], [3, 2]) == (2, 0)
    assert missing_and_doubled([0, 1, 2, 3], [3])[1] == 1


def test_virtual_time_jumps_to_the_next_event() -> None:
    loop = VirtualLoop()
    seen: list[float] = []
    loop.call_later(1000.0, lambda: seen.append(loop.time()))
    loop.call_later(2000.0, loop.stop)
    loop.run_forever()
    loop.close()
    assert seen == [1000.0]


def test_what_runs_on_a_host_takes_what_the_host_is_busy_with() -> None:
    hosts = machines(40)
    for role in ROLES:
        packed = pack_schema((*series_of(role), *program_series(role)))
        assert len(unpack_schema(*packed)) == Columns.shards + PROGRAM_SERIES
    vitals = Vitals(hosts, NOW_S, programs=True)
    everyone = slice(0, 40)
    before = vitals.sample(everyone, NOW_S + 1).copy()
    after = vitals.sample(everyone, NOW_S + 11).copy()
    assert after.shape == (40, Columns.shards + PROGRAM_SERIES)
    names = [dict(labels) for labels in program_series(hosts[0].role)]
    own = after[0, Columns.shards :]
    at = {
        (labels["__name__"], labels.get("unit", labels.get("name", ""))): i
        for i, labels in enumerate(names)
    }
    spent = sum(
        after[0, Columns.shards + i] - before[0, Columns.shards + i]
        for (name, _), i in at.items()
        if name == "vezha_process_cpu_seconds_total"
    )
    idle = slice(Columns.cpu.start, Columns.cpu.stop, 8)
    busy = 40.0 - (after[0, idle] - before[0, idle]).sum()
    assert 0.5 * busy < spent < 1.1 * busy
    assert own[at["node_systemd_unit_state", "nginx.service"]] == 1.0
    assert own[at["vezha_process_count", "nginx.service"]] == 5.0
    resident = own[at["vezha_process_resident_memory_bytes", "php8.2-fpm.service"]]
    assert 0 < resident < 16 * 2**30
    vitals.restart(0, NOW_S + 11)
    restarted = vitals.sample(everyone, NOW_S + 12)
    cpu = Columns.shards + at["vezha_process_cpu_seconds_total", "nginx.service"]
    assert restarted[0, cpu] < after[0, cpu]
