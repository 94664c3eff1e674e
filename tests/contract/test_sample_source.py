"""The contract of `SampleSource`: one suite for every place that samples come from.

The store is tried in each state that samples can be in: in the head, in tiles, half and half,
late ones over tiles, and after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vezha.model.columns import (
    STALE_NAN,
    Matcher,
    MatchOp,
    SampleSource,
    Selection,
    TooManySamples,
    is_stale,
)
from vezha.model.labels import Labels, labels_of, metric
from vezha.model.native import NativeSample, parts_of
from vezha.query.histogram import Hint
from vezha.query.native_source import with_histograms
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

T0 = 1_790_000_000_000


class StillClock:
    """It is always the same time."""

    def now(self) -> float:
        return T0 / 1000 + 100_000

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits {seconds} s here")


Sample = tuple[Labels, int, float]
Make = Callable[[list[Sample]], SampleSource]


def _memory(samples: list[Sample], folder: Path) -> Iterator[SampleSource]:
    memory = pytest.importorskip("vezha.query.memory")
    source = memory.MemorySource()
    for labels, ts, value in samples:
        source.append(labels, ts, value)
    yield source


def _write(store: Store, samples: list[Sample]) -> None:
    if samples:
        refs = store.resolve([s[0] for s in samples])
        ts = np.array([s[1] for s in samples], np.int64)
        store.write(refs, ts, np.array([s[2] for s in samples]))
    store.commit(store.seal())


def _store(path: Path) -> Store:
    world = World(clock=StillClock())
    settings = StoreSettings(background=False, head_folder=str(path / "memory"))
    return Store.open(str(path / "store"), world, settings)


def _stored(samples: list[Sample], folder: Path, state: str) -> Iterator[SampleSource]:
    store = _store(folder)
    half = len(samples) // 2
    if state == "late":
        # every second sample comes after the others were made tiles
        _write(store, samples[::2])
        store.flush()
        _write(store, samples[1::2])
        store.flush()
    else:
        _write(store, samples[:half])
        if state in ("half", "restarted"):
            store.flush()
        _write(store, samples[half:])
        if state == "tiles":
            store.flush()
    if state == "restarted":
        store.abandon()
        store = _store(folder)
    reader = StoreReader.open(str(folder / "store")) if state == "reader" else None
    yield reader or store
    if reader:
        reader.close()
    store.close()


SOURCES = ["memory", "head", "tiles", "half", "late", "restarted", "reader"]


@pytest.fixture(params=SOURCES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Iterator[SampleSource]] = []

    def build(samples: list[Sample]) -> SampleSource:
        if request.param == "memory":
            source = _memory(samples, tmp_path)
        else:
            source = _stored(samples, tmp_path, request.param)
        made.append(source)
        return next(source)

    yield build
    for source in made:
        next(source, None)


def eq(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.EQ, value)


def select(source: SampleSource, *matchers: Matcher, start: int = T0 - 1, end: int = T0 + 10**7,
           limit: int = 10**6) -> dict[Labels, list[tuple[int, float]]]:  # fmt: skip
    data = source.select(Selection(tuple(matchers), start, end, samples_max=limit))
    assert data.labels == sorted(data.labels)
    assert len(data.offsets) == len(data.labels) + 1
    assert data.offsets[0] == 0
    assert data.offsets[-1] == len(data.ts) == len(data.values)
    assert (data.ts.dtype, data.values.dtype) == (np.dtype(np.int64), np.dtype(np.float64))
    found = {}
    for i, labels in enumerate(data.labels):
        low, high = int(data.offsets[i]), int(data.offsets[i + 1])
        assert low < high
        assert (np.diff(data.ts[low:high]) > 0).all()
        pairs = zip(data.ts[low:high].tolist(), data.values[low:high].tolist(), strict=True)
        found[labels] = list(pairs)
    return found


def test_nothing(make: Make) -> None:
    source = make([])
    assert select(source, eq("__name__", "up")) == {}
    assert source.series([], T0, T0 + 1) == []
    assert source.label_names([], T0, T0 + 1) == []
    assert source.label_values("job", [], T0, T0 + 1) == []


def test_start_is_exclusive_and_end_inclusive(make: Make) -> None:
    up = metric("up", instance="a")
    source = make([(up, T0 + i * 1000, float(i)) for i in range(10)])
    found = select(source, eq("__name__", "up"), start=T0 + 2000, end=T0 + 5000)
    assert found == {up: [(T0 + 3000, 3.0), (T0 + 4000, 4.0), (T0 + 5000, 5.0)]}
    assert select(source, eq("__name__", "up"), start=T0 + 9000, end=T0 + 99_000) == {}
    assert select(source, eq("__name__", "up"), start=T0 - 10**6, end=T0 - 1) == {}


FLEET = [
    metric("cpu", instance="db-1", job="node", mode="idle"),
    metric("cpu", instance="db-1", job="node", mode="user"),
    metric("cpu", instance="db-2", job="node", mode="idle"),
    metric("cpu", instance="web-1", job="node", mode="idle"),
    metric("mem", instance="web-1", job="node"),
    metric("mem", instance="web-10"),
    metric("alone"),
    labels_of({"__name__": "odd name", "зала": "2", "mode": "a.b"}),
]


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        ([eq("__name__", "cpu")], [0, 1, 2, 3]),
        ([eq("__name__", "cpu"), eq("instance", "db-1")], [0, 1]),
        ([eq("instance", "web-1")], [3, 4]),
        ([eq("__name__", "cpu"), Matcher("instance", MatchOp.NE, "db-1")], [2, 3]),
        ([eq("__name__", "mem"), Matcher("job", MatchOp.NE, "node")], [5]),
        ([eq("job", ""), eq("__name__", "mem")], [5]),
        ([eq("mode", ""), Matcher("__name__", MatchOp.RE, ".+")], [4, 5, 6]),
        ([Matcher("mode", MatchOp.NE, "")], [0, 1, 2, 3, 7]),
        ([Matcher("instance", MatchOp.RE, "db-.*")], [0, 1, 2]),
        ([Matcher("instance", MatchOp.RE, "db-1|web-1")], [0, 1, 3, 4]),
        ([Matcher("instance", MatchOp.RE, "(db-1|web-1)")], [0, 1, 3, 4]),
        ([Matcher("instance", MatchOp.RE, "web-1")], [3, 4]),
        ([Matcher("instance", MatchOp.RE, "web-1.+")], [5]),
        ([Matcher("instance", MatchOp.RE, "w?e?b?-?1?0?")], [3, 4, 5, 6, 7]),
        ([Matcher("instance", MatchOp.NRE, "db.*|")], [3, 4, 5]),
        ([Matcher("instance", MatchOp.NRE, ".+"), eq("__name__", "alone")], [6]),
        ([Matcher("mode", MatchOp.RE, "a\\.b")], [7]),
        ([Matcher("mode", MatchOp.RE, "a.b")], [7]),
        ([Matcher("instance", MatchOp.RE, "(?i)DB-[12]"), eq("mode", "idle")], [0, 2]),
        ([eq("зала", "2")], [7]),
        ([eq("__name__", "none")], []),
        ([eq("no", "label")], []),
        ([Matcher("no", MatchOp.NE, "label"), eq("__name__", "alone")], [6]),
        ([], list(range(8))),
    ],
)
def test_matchers(make: Make, matchers: list[Matcher], expected: list[int]) -> None:
    source = make([(labels, T0, float(i)) for i, labels in enumerate(FLEET)])
    assert list(select(source, *matchers)) == sorted(FLEET[i] for i in expected)
    assert source.series(matchers, T0, T0) == sorted(FLEET[i] for i in expected)


def test_names_and_values_of_labels(make: Make) -> None:
    source = make([(labels, T0, 1.0) for labels in FLEET])
    assert source.label_names([], T0, T0) == ["__name__", "instance", "job", "mode", "зала"]
    assert source.label_names([eq("__name__", "mem")], T0, T0) == ["__name__", "instance", "job"]
    assert source.label_values("instance", [], T0, T0) == ["db-1", "db-2", "web-1", "web-10"]
    assert source.label_values("mode", [eq("instance", "db-1")], T0, T0) == ["idle", "user"]
    assert source.label_values("none", [], T0, T0) == []


def test_series_are_bounded_by_time_and_limit(make: Make) -> None:
    old, new = metric("x", age="old"), metric("x", age="new")
    source = make([(old, T0, 1.0), (new, T0 + 7_200_000, 1.0)])
    assert source.series([eq("__name__", "x")], T0, T0 + 1000) == [old]
    assert source.series([eq("__name__", "x")], T0 + 7_000_000, T0 + 8_000_000) == [new]
    assert source.series([eq("__name__", "x")], T0, T0 + 8_000_000) == [new, old]
    assert source.series([eq("__name__", "x")], T0, T0 + 8_000_000, 1) == [new]


def test_every_bit_of_a_value_comes_back(make: Make) -> None:
    odd = [0.0, -0.0, float("inf"), float("-inf"), STALE_NAN, float("nan"), 5e-324, 0.1, 2.0**53]
    labels = metric("odd", instance="a")
    source = make([(labels, T0 + i * 1000, value) for i, value in enumerate(odd)])
    data = source.select(Selection((eq("__name__", "odd"),), T0 - 1, T0 + 100_000))
    assert data.values.view(np.uint64).tolist() == np.array(odd).view(np.uint64).tolist()


def test_samples_out_of_order_come_sorted(make: Make) -> None:
    random = np.random.default_rng(5)
    series = [metric("late", instance=f"h{i}", n=str(i % 3)) for i in range(7)]
    samples = [
        (labels, T0 + int(at) * 1000, float(at))
        for labels in series
        for at in random.permutation(400)
    ]
    samples = [samples[i] for i in random.permutation(len(samples))]
    found = select(make(samples), eq("__name__", "late"))
    expected = [(T0 + i * 1000, float(i)) for i in range(400)]
    assert found == dict.fromkeys(sorted(series), expected)


def test_native_histograms_come_back_whole(make: Make) -> None:
    """Stored as series of their parts; buckets come and go, and the series ends."""
    samples = [
        NativeSample(
            2, 3.0 * i, i / 2, 0.001, 1.0, {i: 2.0 * i, -3: float(i)}, {5: 1.0}, (), i == 3
        )
        for i in range(1, 6)
    ]
    rows: list[Sample] = [
        (metric("h", instance="a", __histogram__=part), T0 + 1000 * i, value)
        for i, sample in enumerate([*samples, NativeSample(sum=STALE_NAN)])
        for part, value in parts_of(sample)
    ]
    rows += [(metric("h", instance="b"), T0, 7.0), (metric("h", instance="a"), T0 - 1000, 4.0)]
    source = with_histograms(make(rows))
    got = source.select(Selection((), T0 - 2000, T0 + 10**7))
    assert got.labels == [metric("h", instance="a"), metric("h", instance="b")]
    assert got.offsets.tolist() == [0, 7, 8]
    assert got.histograms is not None
    assert got.ts.tolist()[:7] == [T0 - 1000, *(T0 + 1000 * i for i in range(6))]
    for sample, histogram in zip(samples, got.histograms.tolist()[1:6], strict=True):
        assert (histogram.schema, histogram.count, histogram.sum) == (2, sample.count, sample.sum)
        assert (histogram.zero_threshold, histogram.zero_count) == (0.001, 1.0)
        assert (histogram.positive, histogram.negative) == (sample.positive, sample.negative)
        assert (histogram.hint is Hint.GAUGE) == sample.gauge
    assert is_stale(got.values[6:7]).all()
    assert got.histograms[6] is None
    assert source.series((), T0, T0 + 10_000) == got.labels
    assert source.label_names((), T0, T0 + 10_000) == ["__name__", "instance"]
    newest = source.select(Selection((eq("instance", "a"),), T0, T0 + 4_500, newest_only=True))
    assert newest.histograms is not None
    assert newest.histograms[-1].positive == samples[4].positive


def test_too_many_samples_are_refused(make: Make) -> None:
    up = metric("up", instance="a")
    source = make([(up, T0 + i * 1000, 1.0) for i in range(11)])
    assert len(select(source, eq("__name__", "up"), limit=11)[up]) == 11
    with pytest.raises(TooManySamples):
        select(source, eq("__name__", "up"), limit=10)
