"""What is a host's and what a column's label, and that nobody sees it in a query."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.store.conftest import HOST, T0_MS, Bench, schema_of

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import Labels, get_label, metric
from vezha.store import Store


def target(instance: str, count: int, **common: str) -> list[Labels]:
    return [metric("m", instance=instance, job="j", n=str(i), **common) for i in range(count)]


def test_labels_that_a_source_has_in_common_are_its_hosts(bench: Bench) -> None:
    store = bench.store
    for i in range(50):
        store.resolve(target(f"h{i}", 20, rack=f"r{i % 7}", pod=f"p{i}"))
    assert len(store._index.columns.sets) == 20
    assert len(store._index.hosts.sets) == 50
    assert store.stats()["sources"] == 50


def test_a_series_stays_the_same_however_it_comes(bench: Bench) -> None:
    store = bench.store
    wide, alone = target("a", 20, rack="r1"), [metric("up", instance="a", job="j")]
    first = store.resolve(alone)  # before the source had anything in common
    refs = store.resolve([*wide, *alone])
    assert refs[-1] == first[0]
    moved = target("a", 20, rack="r2")
    later = store.resolve([*moved, *wide[:3], metric("x", instance="a", job="j", rack="r1")])
    assert later[20:23].tolist() == refs[:3].tolist()
    assert len({*refs.tolist(), *later.tolist()}) == 42
    bench.commit()
    again = bench.restart().resolve([*wide, *alone, *moved])
    assert again.tolist() == [*refs.tolist(), *later[:20].tolist()]
    assert store.top_sources(1) == [("a", 42)]


def test_a_frame_and_a_request_mean_the_same_series(bench: Bench) -> None:
    schema = schema_of(*(f"s{i}" for i in range(10)))
    bench.store.put_schema(1, schema)
    for extra in (HOST, (*HOST, ("rack", "r1"))):
        bench.frame(1, len(extra), T0_MS, [float(i) for i in range(10)], f"{len(extra)}", extra)
        series = [tuple(sorted((*s, *extra))) for s in schema]
        store = bench.store
        assert store.resolve(series).tolist() == store.layout(1, extra).refs.tolist()


value = st.sampled_from(["", "1", "2", "3"])
series_of = st.tuples(st.sampled_from("ab"), value, value, value)
matcher_of = st.tuples(
    st.sampled_from(["instance", "rack", "pod", "n"]),
    st.sampled_from(list(MatchOp)),
    st.sampled_from(["", "a", "b", "1", "2", "1|2", ".*", ".+", "3|"]),
)


@given(
    st.lists(st.lists(series_of, min_size=1, max_size=14), min_size=1, max_size=5),
    st.lists(matcher_of, min_size=1, max_size=3),
)
def test_matchers_see_labels_and_not_where_they_lie(
    batches: list[list[tuple[str, str, str, str]]], matchers: list[tuple[str, MatchOp, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        check(bench.store, batches, tuple(Matcher(*m) for m in matchers))
        bench.store.abandon()


def check(
    store: Store,
    batches: list[list[tuple[str, str, str, str]]],
    matchers: tuple[Matcher, ...],
) -> None:
    known: set[Labels] = set()
    for at, batch in enumerate(batches):
        series = []
        for instance, rack, pod, n in batch:
            labels = {"instance": instance, "rack": rack, "pod": pod, "n": n}
            series.append(metric("m", **{k: v for k, v in labels.items() if v}))
        known.update(series)
        refs = store.resolve(series)
        assert [store.labels(r) for r in refs.tolist()] == series
        store.write(refs, np.full(len(refs), T0_MS + at), np.zeros(len(refs)))
        found = store.select(Selection(matchers, 0, T0_MS * 2)).labels
        assert sorted(found) == sorted(s for s in known if all(fits(m, s) for m in matchers))


def fits(matcher: Matcher, labels: Labels) -> bool:
    has = get_label(labels, matcher.name)
    if matcher.op in (MatchOp.EQ, MatchOp.NE):
        return (has == matcher.value) == (matcher.op is MatchOp.EQ)
    return bool(re.fullmatch(matcher.value, has)) == (matcher.op is MatchOp.RE)
