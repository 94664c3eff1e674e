"""The spool: a state machine with crashes, torn tails, full disks and acks; and its bounds."""

import errno

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vezha.agent.spool import EPOCH_SHIFT, Spool
from vezha.testing.disk import MemoryDisk
from vezha.wire.frame import pack_frame, values_of
from vezha.wire.ranges import Ranges
from vezha.world import Chance, World


def world_on(disk: MemoryDisk) -> World:
    return World(disk=disk, chance=Chance(1))


def put(spool: Spool, value: float, schema: int = 5) -> int:
    seq = spool.next_seq
    spool.put_schema(schema, b"schema-%d" % schema)
    spool.append(seq, schema, pack_frame(seq, schema, 1000, [value, 2.0]))
    return seq


def seqs(spool: Spool) -> list[int]:
    found, at = [], 0
    while (seq := spool.stored_from(at)) is not None:
        found.append(seq)
        at = seq + 1
    return found


class SpoolMachine(RuleBasedStateMachine):
    """What was synced and not acknowledged is there, whole, after anything that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk(seed=3)
        self.spool = self.open()
        self.values: dict[int, float] = {}
        self.must: set[int] = set()  # survives a crash
        self.may: set[int] = set()  # written, not synced
        self.alive: set[int] = set()
        self.acked = Ranges()
        self.given: set[int] = set()

    def open(self) -> Spool:
        # a disk that refuses at the start gives a spool in memory: a test of its own below
        self.disk._faults.clear()
        # a tiny segment size makes every boundary common
        return Spool(world_on(self.disk), "s", 1 << 20, 1e9, segment_bytes=400)

    @rule(value=st.floats(allow_nan=False), schema=st.integers(1, 3))
    def append(self, value: float, schema: int) -> None:
        seq = put(self.spool, value, schema)
        assert seq not in self.given, "a number was given twice"
        self.given.add(seq)
        self.values[seq] = value
        self.may.add(seq)
        self.alive.add(seq)

    @rule()
    def sync(self) -> None:
        errors = self.spool.disk_errors
        self.spool.sync()
        if self.spool.disk_errors == errors and not self.spool._loose:
            self.must |= self.may
            self.may = set()

    @precondition(lambda self: self.values)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        stored = seqs(self.spool)
        if stored:
            cut = data.draw(st.sampled_from(stored))
            for seq in stored:
                if seq <= cut:
                    self.acked.add(seq)
            self.spool.trim(self.acked)

    @rule()
    def kill(self) -> None:
        """kill -9: what was written stays, what was in memory alone is gone."""
        stored = set(seqs(self.spool)) - set(self.spool._loose)
        self.spool = self.open()
        self.forget_all_but(stored)
        self.check_all(stored)

    @rule()
    def power_cut(self) -> None:
        self.disk.crash()
        self.spool = self.open()
        stored = set(seqs(self.spool))
        self.check_all(self.must)
        self.forget_all_but(stored)

    def forget_all_but(self, stored: set[int]) -> None:
        # what was trimmed may come back after a crash; that is harmless, so values are kept
        self.alive &= stored
        self.must &= stored
        self.may &= stored

    @rule(n=st.integers(1, 3))
    def disk_refuses(self, n: int) -> None:
        self.disk.fail("write", error=errno.ENOSPC, times=n)

    def check_all(self, wanted: set[int]) -> None:
        stored = set(seqs(self.spool))
        assert {s for s in wanted if s not in self.acked} <= stored

    @invariant()
    def readable(self) -> None:
        for seq in seqs(self.spool)[-5:]:
            record = self.spool.read(seq)
            assert record is not None
            head, values = values_of(record)
            assert head.seq == seq
            assert values[0] == self.values[seq]
            assert self.spool.schema(head.schema_id) == b"schema-%d" % head.schema_id

    @invariant()
    def nothing_dropped(self) -> None:
        assert self.spool.dropped_frames == 0
        self.check_all(self.alive)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_when_full_the_oldest_goes_first_and_is_counted() -> None:
    disk = MemoryDisk()
    spool = Spool(world_on(disk), "s", 4000, 1e9, segment_bytes=500)
    for n in range(200):
        put(spool, float(n))
    kept = seqs(spool)
    assert kept == list(range(kept[0], 200))
    assert spool.dropped_frames == kept[0] > 0
    assert spool.size_bytes <= 4000 + 500


def test_a_full_disk_keeps_frames_in_memory_and_writes_them_later() -> None:
    disk = MemoryDisk()
    spool = Spool(world_on(disk), "s", 1 << 20, 1e9)
    put(spool, 1.0)
    disk.fail("write", error=errno.ENOSPC, times=5)
    for n in range(5):
        put(spool, float(n))
    assert seqs(spool) == list(range(6))
    put(spool, 9.0)
    again = Spool(world_on(disk), "s", 1 << 20, 1e9)
    assert seqs(again) == list(range(7))


def test_a_restart_begins_a_new_epoch_on_the_same_stream() -> None:
    disk = MemoryDisk()
    spool = Spool(world_on(disk), "s", 1 << 20, 1e9)
    put(spool, 1.0)
    again = Spool(world_on(disk), "s", 1 << 20, 1e9)
    assert again.stream == spool.stream
    assert again.next_seq == 1 << EPOCH_SHIFT
    wiped = Spool(World(disk=MemoryDisk(), chance=Chance(2)), "s", 1 << 20, 1e9)
    assert wiped.stream != spool.stream


def test_a_spool_that_cannot_be_opened_lives_in_memory() -> None:
    disk = MemoryDisk()
    disk.fail("replace", error=errno.EROFS, times=99)
    disk.fail("write", error=errno.EROFS, times=999)
    spool = Spool(world_on(disk), "s", 1 << 20, 1e9)
    put(spool, 1.0)
    assert spool.disk_errors
    assert spool.read(0) is not None


def test_age_bounds_it_too() -> None:
    class Clock:
        at = 1000.0

        def now(self) -> float:
            return self.at

        monotonic = now

        def sleep(self, seconds: float) -> None:
            self.at += seconds

    clock = Clock()
    spool = Spool(World(clock=clock, disk=MemoryDisk()), "s", 1 << 20, 60.0, segment_bytes=300)
    for _ in range(100):
        put(spool, 1.0)
        clock.sleep(2.0)
    assert spool.dropped_frames > 50
    assert len(seqs(spool)) < 45


def test_a_spool_without_a_home_never_mixes_with_the_one_on_disk() -> None:
    # found by the simulated fleet: numbers of two streams stood in one folder, and the next
    # start took the second stream's frames for the first's
    disk = MemoryDisk()
    first = Spool(world_on(disk), "/s", 1 << 20, 1e9)
    put(first, 1.0)
    first.close()
    disk.fail("replace", times=1)
    homeless = Spool(World(disk=disk, chance=Chance(2)), "/s", 1 << 20, 1e9)
    assert homeless.stream != first.stream
    assert homeless.read(put(homeless, 2.0)) is not None
    homeless.close()
    last = Spool(world_on(disk), "/s", 1 << 20, 1e9)
    assert last.stream == first.stream
    assert seqs(last) == [0]
    record = last.read(0)
    assert record is not None
    assert values_of(record)[1] == (1.0, 2.0)


def test_a_disk_that_breaks_amid_a_write_and_its_clean_up_is_survived() -> None:
    # found by the simulated fleet: the error of the clean-up left `append`
    disk = MemoryDisk()
    spool = Spool(world_on(disk), "/s", 1 << 20, 1e9)
    disk.fail("write", times=1)
    disk.fail("remove", times=1)
    seq = put(spool, 1.0)
    assert spool.read(seq) is not None
    put(spool, 2.0)
    assert seqs(spool) == [0, 1]
    assert spool.dropped_frames == 0
