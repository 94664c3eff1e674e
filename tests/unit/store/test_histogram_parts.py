"""Native histograms lie in the store as their parts; readers put them together from the first query on."""

from __future__ import annotations

import numpy as np
from tests.unit.store.conftest import T0_MS, Bench

from vezha.model.labels import metric
from vezha.model.native import PART_LABEL, NativeSample, parts_of
from vezha.query import Engine
from vezha.store import StoreReader


def put(bench: Bench, name: str, parts: list[tuple[str, float]]) -> None:
    labels = [
        metric(name, instance="a", **({PART_LABEL: part} if part else {})) for part, _ in parts
    ]
    refs = bench.store.resolve(labels)
    values = np.array([value for _, value in parts])
    bench.store.write(refs, np.full(len(refs), T0_MS, np.int64), values)
    bench.commit()


def test_a_reader_finds_parts_that_came_since_it_looked_last(bench: Bench) -> None:
    put(bench, "plain", [("", 1.0)])
    reader = StoreReader.open(str(bench.folder / "store"), bench.settings)
    engine = Engine(reader)
    assert engine.instant("plain", T0_MS).column.tolist() == [1.0]
    sample = NativeSample(
        schema=1, count=3.0, sum=9.0, zero=1.0, threshold=0.01, positive={4: 2.0}, negative={}
    )
    put(bench, "native", list(parts_of(sample)))
    for asking in (engine, Engine(StoreReader.open(str(bench.folder / "store"), bench.settings))):
        found = asking.instant("native", T0_MS)
        assert [dict(labels) for labels in found.labels] == [
            {"__name__": "native", "instance": "a"}
        ]
        assert found.hists is not None
        assert found.hists[0, 0].count == 3.0
    matchers = engine.prepare("native").root.matchers  # type: ignore[attr-defined]
    fresh = Engine(StoreReader.open(str(bench.folder / "store"), bench.settings)).source
    assert fresh.series(matchers, T0_MS - 1_000, T0_MS, 1) == [metric("native", instance="a")]
