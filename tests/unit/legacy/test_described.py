"""Exemplars and metadata: taken from batches, limited, there after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vezha.legacy.batch import Rows
from vezha.legacy.described import Described
from vezha.model.columns import Matcher, MatchOp
from vezha.model.exemplar import Exemplar
from vezha.model.labels import Labels, metric
from vezha.model.metadata import MetricMetadata, family_of
from vezha.store import exemplars as exemplars_room
from vezha.store import metadata as metadata_room
from vezha.store.beside import complaint_of
from vezha.world import World

A, B = metric("req_bucket", le="1", job="shop"), metric("req_bucket", le="2", job="web")
TRACE: Labels = (("trace_id", "abc"),)
NAME = (Matcher("__name__", MatchOp.EQ, "req_bucket"),)
SHOP = (Matcher("job", MatchOp.EQ, "shop"),)


def _put(described: Described, *found: Exemplar) -> int:
    rows = Rows()
    rows.exemplars += found
    return asyncio.run(described.keep(rows.batch()))


def _opened(tmp_path: Path) -> tuple[Described, int]:
    world = World()
    return Described(str(tmp_path / "store"), 86_400.0, world), int(world.clock.now() * 1000)


def test_exemplars_are_found_by_series_and_time_also_after_a_restart(tmp_path: Path) -> None:
    described, now = _opened(tmp_path)
    early, late = Exemplar(A, TRACE, 0.5, now - 5_000), Exemplar(A, (), 0.75, now - 1_000)
    other = Exemplar(B, TRACE, 1.5, now - 2_000)
    assert _put(described, late, early, other) == 3
    assert _put(described, early) == 1  # again
    for _ in range(2):
        stored = described.exemplars
        assert stored.select([NAME], 0, now, 100) == [(A, [early, late]), (B, [other])]
        assert stored.select([SHOP, NAME], now - 5_000, now - 5_000, 100) == [(A, [early])]
        assert stored.select([SHOP], 0, now, 1) == [(A, [early])]
        assert stored.stats() == {
            "exemplars": 3, "exemplar_series": 2, "refused_exemplars": 0,
        }  # fmt: skip
        described.close()
        described, _ = _opened(tmp_path)
    described.close()


def test_what_an_exporter_goes_on_showing_is_one_exemplar(tmp_path: Path) -> None:
    described, now = _opened(tmp_path)
    for i, value in enumerate((0.5, 0.5, 0.5, 0.6, 0.5)):
        _put(described, Exemplar(A, TRACE, value, now - 9_000 + i, timed=False))
    (found,) = described.exemplars.select([NAME], 0, now, 100)
    assert [one.ts_ms - now for one in found[1]] == [-9_000, -8_997, -8_996]
    described.close()


def test_limits_of_exemplars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplars_room, "EXEMPLARS_MAX", 10)
    monkeypatch.setattr(exemplars_room, "EXEMPLARS_SPARE", 5)
    monkeypatch.setattr(exemplars_room, "EXEMPLAR_SERIES_MAX", 3)
    described, now = _opened(tmp_path)
    long = (("trace_id", "x" * 121),)
    refused = [
        Exemplar(A, TRACE, 1.0, now - 2 * 86_400_000),
        Exemplar(A, TRACE, 1.0, now + 86_400_000),
        Exemplar(A, long, 1.0, now),
    ]
    assert _put(described, *refused) == 0
    assert described.exemplars.stats()["refused_exemplars"] == 3
    _put(described, Exemplar(B, TRACE, 1.0, now - 100_000))
    _put(described, *(Exemplar(A, TRACE, float(i), now - 50_000 + i) for i in range(15)))
    (only,) = described.exemplars.select([NAME], 0, now, 100)
    assert only[0] == A
    assert [one.value for one in only[1]] == [float(i) for i in range(4, 15)]
    series = [metric(f"m{i}") for i in range(5)]
    assert _put(described, *(Exemplar(labels, TRACE, 1.0, now) for labels in series)) == 2
    described.close()


def test_metadata_are_learned_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_room, "METADATA_METRICS_MAX", 2)
    monkeypatch.setattr(metadata_room, "METADATA_PER_METRIC_MAX", 2)
    described, _ = _opened(tmp_path)
    rows = Rows()
    about = [MetricMetadata("counter", f"Text {i}." + "x" * 2_000, "s") for i in range(3)]
    rows.metadata += [("a_total", about[0]), ("a_total", about[0]), ("a_total", about[1])]
    rows.metadata += [("a_total", about[2]), ("b", MetricMetadata("gauge")), ("c", about[0])]
    asyncio.run(described.keep(rows.batch()))
    for _ in range(2):
        book = described.metadata
        assert [one.help[:7] for one in book.of("a_total")] == ["Text 1.", "Text 2."]
        assert all(len(one.help) == 1_024 for one in book.of("a_total"))
        assert sorted(book.all()) == ["a_total", "b"]
        assert book.is_new("a_total", about[0])
        assert not book.is_new("a_total", about[2])
        described.close()
        described, _ = _opened(tmp_path)
    described.close()


def test_samples_go_on_where_the_files_cannot_be_written(tmp_path: Path) -> None:
    described, now = _opened(tmp_path)
    described.close()
    assert _put(described, Exemplar(A, TRACE, 1.0, now)) == 0
    assert described.stats()["described_failures"] == 1


def test_families() -> None:
    assert family_of("a_bucket", "histogram") == "a"
    assert family_of("a_count", "gauge") == "a_count"


@pytest.mark.parametrize("at", [0, 4_096])
def test_files_that_are_damaged_are_set_aside_and_begun_anew(tmp_path: Path, at: int) -> None:
    described, now = _opened(tmp_path)
    _put(described, *(Exemplar(metric("m", n=str(n)), TRACE, 0.5, now) for n in range(300)))
    described.metadata.put([("req_bucket", MetricMetadata("histogram", "Requests.", ""))])
    described.exemplars.close()
    described.metadata.close()
    for name in ("exemplars.db", "metadata.db"):
        path = tmp_path / "store" / name
        data = bytearray(path.read_bytes())
        data[at : at + 512] = bytes(range(256)) * 2
        path.write_bytes(data)
        assert complaint_of(str(path))
    again, now = _opened(tmp_path)
    assert _put(again, Exemplar(A, TRACE, 0.5, now)) == 1
    assert len(list((tmp_path / "store").glob("*.db.damaged"))) >= 1
