"""A group: one vector, one schema; what crashes or hangs harms only itself."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import pytest

from vezha.agent.catalogue import Entry
from vezha.agent.collect.collector import MISSING, Collector, NotHere
from vezha.agent.collect.group import Group, Sample
from vezha.agent.collect.host import Host
from vezha.agent.collect.runner import Runner
from vezha.agent.limits import BACK_OFF_MAX_S, FAILURES_BEFORE_LEFT_OUT, PROBE_AGAIN_S
from vezha.model.columns import STALE_BITS
from vezha.model.labels import metric
from vezha.world import World


class StepClock:
    """Real waiting is not its business: only what the time is."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class Scripted(Collector):
    """Does what the test says."""

    def __init__(self, name: str = "a", count: int = 1) -> None:
        super().__init__(Host(World()))
        self.name = name
        self.fails: Exception | None = None
        self.fails_to_start: Exception | None = None
        self.hang = threading.Event()
        self.hang.set()
        self.started = self.stopped = self.reads = 0
        self.grow(count)

    def grow(self, count: int) -> None:
        self.series = tuple(metric(f"{self.name}{i}") for i in range(count))

    def start(self) -> None:
        if self.fails_to_start is not None:
            raise self.fails_to_start
        self.started += 1

    def read(self, now: float) -> Sequence[float]:
        self.reads += 1
        self.hang.wait()
        if self.fails is not None:
            raise self.fails
        return [now] * len(self.series)

    def stop(self) -> None:
        self.stopped += 1


def group_of(
    *collectors: Scripted, timeout_s: float = 5.0
) -> tuple[Group, list[Runner], StepClock]:
    clock = StepClock()
    runners = [
        Runner(Entry(c.name, "scripted"), c, clock, interval_s=1, timeout_s=timeout_s)
        for c in collectors
    ]
    return Group("test", 1, 0, runners), runners, clock


def taken(group: Group, now: float = 1.0) -> Sample:
    sample = group.sample(now)
    assert sample is not None
    return sample


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def test_one_vector_in_the_order_of_one_schema() -> None:
    group, _, _ = group_of(Scripted("a", 2), Scripted("b", 3))
    sample = taken(group, 7.0)
    assert sample.series == tuple(metric(n) for n in ("a0", "a1", "b0", "b1", "b2"))
    assert sample.values.tolist() == [7.0] * 5
    assert len(sample.values.tobytes()) == 40
    group.close()


def test_the_schema_is_the_same_object_until_the_structure_changes() -> None:
    first, second = Scripted("a"), Scripted("b")
    group, _, _ = group_of(first, second)
    before = taken(group).series
    assert taken(group).series is before
    first.grow(2)
    after = taken(group).series
    assert after is not before
    assert len(after) == 3
    assert taken(group).series is after
    group.close()


def test_a_crash_is_missing_values_and_then_no_series() -> None:
    good, bad = Scripted("a"), Scripted("b", 2)
    group, (_, runner), clock = group_of(good, bad)
    schema = taken(group).series
    bad.fails = ValueError("odd text")
    for failure in range(1, FAILURES_BEFORE_LEFT_OUT):
        sample = taken(group, 2.0)
        assert sample.series is schema
        assert sample.values[0] == 2.0
        assert [bits(v) for v in sample.values[1:]] == [STALE_BITS] * 2
        assert (runner.failures, runner.success) == (failure, 0.0)
    sample = taken(group)
    assert sample.series == (metric("a0"),)
    assert runner.errors_total == FAILURES_BEFORE_LEFT_OUT
    assert "odd text" in runner.last_error
    # It rests, and the rests grow.
    reads = bad.reads
    taken(group)
    assert bad.reads == reads
    clock.at += BACK_OFF_MAX_S + 1
    bad.fails = None
    assert taken(group).series == schema
    assert (runner.failures, runner.success) == (0, 1.0)
    assert bad.started == FAILURES_BEFORE_LEFT_OUT + 1
    group.close()


def test_backing_off_grows_to_its_limit() -> None:
    bad = Scripted("b")
    bad.fails = OSError("no")
    group, (runner,), clock = group_of(bad)
    for _ in range(2000):
        group.sample(1.0)
        clock.at += 1
    assert 12 < runner.errors_total < 25
    group.close()


def test_what_is_not_here_is_off_and_looked_for_again() -> None:
    absent = Scripted("b")
    absent.fails_to_start = NotHere("no /proc/mdstat")
    group, (_, runner), clock = group_of(Scripted("a"), absent)
    assert taken(group).series == (metric("a0"),)
    assert (runner.off_reason, runner.running, runner.errors_total) == ("no /proc/mdstat", False, 0)
    absent.fails_to_start = None
    taken(group)
    assert not runner.running
    clock.at += PROBE_AGAIN_S
    assert len(taken(group).series) == 2
    assert runner.running
    group.close()


def test_a_hanging_collector_costs_its_own_time_out_only() -> None:
    first, hung, last = Scripted("a"), Scripted("h"), Scripted("z")
    group, (_, runner, _), _ = group_of(first, hung, last, timeout_s=0.05)
    schema = taken(group).series
    hung.hang.clear()
    sample = taken(group, 3.0)
    assert sample.series is schema
    assert [sample.values[0], sample.values[2]] == [3.0, 3.0]
    assert bits(sample.values[1]) == STALE_BITS
    assert (runner.hung, runner.timeouts_total, runner.success) == (True, 1, 0.0)
    # It is not asked again while its thread is away, and costs nothing.
    reads = hung.reads
    assert taken(group, 4.0).values[2] == 4.0
    assert hung.reads == reads
    assert last.reads == 3
    hung.hang.set()
    wait_until(lambda: not runner.hung)
    assert taken(group, 5.0).values.tolist() == [5.0, 5.0, 5.0]
    assert runner.success == 1.0
    group.close()


def test_the_last_collector_may_hang_too() -> None:
    first, hung = Scripted("a"), Scripted("h")
    group, (_, runner), _ = group_of(first, hung, timeout_s=0.05)
    hung.hang.clear()
    sample = taken(group, 3.0)
    assert sample.series == (metric("a0"),)
    assert runner.hung
    assert taken(group, 4.0).values.tolist() == [4.0]
    hung.hang.set()
    wait_until(lambda: not runner.hung)
    assert len(taken(group).series) == 2
    group.close()


def test_who_is_late_again_and_again_is_left_out_and_rests() -> None:
    hung = Scripted("h")
    group, (_, runner), clock = group_of(Scripted("a"), hung, timeout_s=0.05)
    taken(group)
    for _ in range(FAILURES_BEFORE_LEFT_OUT):
        hung.hang.clear()
        group.sample(1.0)
        hung.hang.set()
        wait_until(lambda: not runner.hung)
    reads = hung.reads
    assert taken(group).series == (metric("a0"),)
    assert hung.reads == reads
    clock.at += BACK_OFF_MAX_S
    assert len(taken(group).series) == 2
    group.close()


def test_of_equal_series_the_first_stays() -> None:
    first, second = Scripted("a", 2), Scripted("b", 2)
    second.series = (metric("a0"), metric("b1"))
    group, _, _ = group_of(first, second)
    sample = taken(group, 5.0)
    assert sample.series == (metric("a0"), metric("a1"), metric("b1"))
    assert len(sample.values) == 3
    assert group.duplicates == 1
    again = taken(group, 6.0)
    assert again.series is sample.series
    assert again.values.tolist() == [6.0] * 3
    second.series = (metric("b0"), metric("b1"))
    assert len(taken(group).series) == 4
    assert group.duplicates == 0
    group.close()


@pytest.mark.parametrize("count", [0, 2])
def test_values_that_do_not_fit_the_series_are_a_failure(count: int) -> None:
    class Wrong(Scripted):
        def read(self, now: float) -> Sequence[float]:
            return [1.0] * count

    wrong = Wrong("w")
    group, (_, runner), _ = group_of(Scripted("a"), wrong)
    assert taken(group).series == (metric("a0"),)
    assert runner.failures == 1
    group.close()


def test_nothing_to_tell_is_no_sample() -> None:
    group, _, _ = group_of(Scripted("a", 0))
    assert group.sample(1.0) is None
    group.close()


def test_groups_are_due_at_their_phase_and_all_at_first() -> None:
    group = Group("slow", 10, 3, [])
    assert [tick for tick in range(40) if group.is_due(tick)] == [0, 3, 13, 23, 33]


def test_news_make_a_group_due_at_once() -> None:
    class Told(Scripted):
        hears_of_changes = True
        told = False

        def has_news(self) -> bool:
            return self.told

    told = Told("t")
    runner = Runner(Entry("t", "told"), told, StepClock(), interval_s=10, timeout_s=5.0)
    group = Group("told", 10, 3, [runner])
    told.told = True
    assert not group.is_due(5)  # not started yet
    taken(group)
    assert group.is_due(5)
    told.told = False
    assert not group.is_due(5)
    assert group.is_due(13)
    group.close()


def test_the_marker_is_prometheus_stale_marker() -> None:
    assert bits(MISSING) == STALE_BITS


def wait_until(is_so: object) -> None:
    assert callable(is_so)
    for _ in range(500):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come about in 5 s")
