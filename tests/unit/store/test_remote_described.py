"""Exemplars and metadata go to a remote engine: once, or again and again, and over a restart."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.unit.store.conftest import T0_MS, HandClock

from vezha.legacy.remote_write import RemoteWrite, unpack_array
from vezha.legacy.series import SeriesTable
from vezha.model.exemplar import Exemplar
from vezha.model.labels import labels_of, metric
from vezha.model.metadata import MetricMetadata
from vezha.store.exemplars import Exemplars
from vezha.store.metadata import MetadataBook
from vezha.store.remote import RemoteSender
from vezha.store.remote_described import Described
from vezha.store.remote_queue import RemoteQueue
from vezha.world import World

ABOUT = {
    "http_seconds": MetricMetadata("histogram", "How long answers take.", "seconds"),
    "в": MetricMetadata("unknown", "", ""),
}


def example(number: int, ts_ms: int) -> Exemplar:
    return Exemplar(metric("http_seconds", le="0.5"), labels_of({"trace_id": f"{number:x}"}), 0.25 * number, ts_ms)  # fmt: skip


class Place:
    """A store's folder with exemplars and metadata, and an engine that notes what it gets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.world = World(clock=self.clock)
        self.world.disk.make_folder(f"{folder}/remote")
        self.exemplars = Exemplars(f"{folder}/exemplars.db", 86_400.0)
        self.metadata = MetadataBook(f"{folder}/metadata.db")
        self.status = 204
        self.bodies: list[bytes] = []
        self.described = Described(str(folder), self.world)

    def put(self, *exemplars: Exemplar) -> None:
        assert self.exemplars.put(exemplars, int(self.clock.time_s * 1000)) == len(exemplars)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.status < 300:
            self.bodies.append(request.content)
        return httpx.Response(self.status)

    def send(self) -> tuple[list[Exemplar], list[tuple[str, MetricMetadata]]]:
        """What the engine takes of one turn, as our own door reads it."""
        queue = RemoteQueue(self.world.disk, f"{self.folder}/queue", 1 << 20)
        sender = RemoteSender(
            "http://engine/write", queue, lambda _: (), self.world, described=self.described
        )
        with httpx.Client(transport=httpx.MockTransport(self._answer)) as client:
            sender.send_described(client)
        bodies, self.bodies = self.bodies, []
        batches = [read(body) for body in bodies]
        return [e for b in batches for e in b[0]], [m for b in batches for m in b[1]]


def read(body: bytes) -> tuple[list[Exemplar], list[tuple[str, MetricMetadata]]]:
    batch = RemoteWrite(SeriesTable()).decode(unpack_array(body, "snappy"))
    return batch.exemplars, batch.metadata


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_exemplar_goes_once_also_one_that_is_late(place: Place) -> None:
    assert place.send() == ([], [])
    first, second = example(1, T0_MS + 10_000), example(2, T0_MS + 20_000)
    place.clock.time_s += 30.0
    place.put(first, second)
    assert place.send()[0] == [first, second]
    late = example(3, T0_MS + 15_000)
    place.put(late)
    assert place.send()[0] == [late]
    assert place.send()[0] == []
    assert place.described.sent_exemplars == 3


def test_after_a_restart_only_the_window_is_sent_again(place: Place) -> None:
    old, new = example(1, T0_MS + 1_000), example(2, T0_MS + 600_000)
    place.clock.time_s += 601.0
    place.described = Described(str(place.folder), place.world)
    place.put(new)
    place.send()
    place.put(old)
    place.described = Described(str(place.folder), place.world)
    assert place.send()[0] == [new]  # at least once; the old one came ten minutes late


def test_a_time_ahead_hides_nothing(place: Place) -> None:
    place.put(example(1, T0_MS + 590_000))
    place.send()
    here = example(2, T0_MS + 1_000)
    place.put(here)
    assert place.send()[0] == [here]


def test_metadata_go_again_and_again_the_newest_of_each(place: Place) -> None:
    assert place.send()[1] == []  # the first to come need not wait for the next round
    place.metadata.put([("http_seconds", MetricMetadata("gauge", "old", ""))])
    place.metadata.put(ABOUT.items())
    assert dict(place.send()[1]) == ABOUT
    assert place.send()[1] == []
    place.clock.time_s += 301.0
    assert dict(place.send()[1]) == ABOUT


def test_an_engine_that_is_away_gets_them_later_one_that_refuses_does_not(place: Place) -> None:
    one = example(1, T0_MS)
    place.put(one)
    place.metadata.put(ABOUT.items())
    place.status = 503
    assert place.send() == ([], [])
    place.status = 204
    assert place.send()[0] == [one]
    place.put(example(2, T0_MS + 1))
    place.status = 400
    assert place.send()[0] == []
    place.status = 204
    assert place.send()[0] == []


def test_a_damaged_file_costs_nothing_else(place: Place) -> None:
    place.metadata.put(ABOUT.items())
    place.exemplars.close()
    (place.folder / "exemplars.db").write_bytes(b"no database" * 1000)
    assert dict(place.send()[1]) == ABOUT
