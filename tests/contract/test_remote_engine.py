"""The contract of `SampleSource` again, over a real VictoriaMetrics: written by our sender out of
our queue, read through the HTTP API. What such engines do not promise is left out by name: stale
markers and NaN payloads do not come back, and 1.79 cannot ask for UTF-8 label names."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.contract import test_sample_source as contract
from tests.contract.test_sample_source import (  # noqa: F401  collected here with our fixture
    Make,
    Sample,
    test_nothing,
    test_samples_out_of_order_come_sorted,
    test_series_are_bounded_by_time_and_limit,
    test_start_is_exclusive_and_end_inclusive,
    test_too_many_samples_are_refused,
)

from vezha.model.columns import Matcher, MatchOp, SampleSource, Selection
from vezha.model.labels import Labels, metric
from vezha.store.remote import RemoteSender, RemoteSource, RemoteUnreachable
from vezha.store.remote_queue import Columns, RemoteQueue
from vezha.world import SystemDisk, World

pytestmark = [pytest.mark.peer("victoria-metrics"), pytest.mark.acceptance]


class Victoria:
    """A VictoriaMetrics of our own on loopback."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                program,
                f"-storageDataPath={folder / 'data'}",
                f"-httpListenAddr=127.0.0.1:{port}",
                "-retentionPeriod=100y",
                "-memory.allowedBytes=64MB",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                if httpx.get(f"{self.url}/health", trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("VictoriaMetrics did not start")

    def fill(self, samples: list[Sample], folder: Path) -> None:
        """Through our own queue and sender."""
        series = list(dict.fromkeys(labels for labels, _, _ in samples))
        numbers = {labels: i for i, labels in enumerate(series)}
        queue = RemoteQueue(SystemDisk(), str(folder / "queue"), 1 << 30)
        if samples:
            queue.append(
                Columns(
                    np.array([numbers[labels] for labels, _, _ in samples], np.int64),
                    np.array([ts for _, ts, _ in samples], np.int64),
                    np.array([v for _, _, v in samples], np.float64),
                )
            )
        sender = RemoteSender(f"{self.url}/api/v1/write", queue, lambda ref: series[ref], World())
        with httpx.Client(trust_env=False) as client:
            while sender.send_some(client):
                pass
            client.get(f"{self.url}/internal/force_flush")
        assert sender.sent_samples == len(samples)
        assert queue.waiting_bytes == 0
        queue.close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def make(
    tmp_path: Path, peer_path: Callable[[str], str], free_port: Callable[[], int]
) -> Iterator[Make]:
    started: list[Victoria | RemoteSource] = []

    def build(samples: list[Sample]) -> SampleSource:
        engine = Victoria(peer_path("victoria-metrics"), tmp_path, free_port())
        started.append(engine)
        engine.fill(samples, tmp_path)
        source = RemoteSource(engine.url)
        started.append(source)
        return source

    yield build
    for one in reversed(started):
        if isinstance(one, Victoria):
            one.stop()
        else:
            one.close()


def test_matchers(make: Make) -> None:
    fleet: list[Labels] = contract.FLEET[:7]
    source = make([(labels, contract.T0, float(i)) for i, labels in enumerate(fleet)])
    eq = contract.eq
    for matchers, expected in (
        ([eq("__name__", "cpu")], [0, 1, 2, 3]),
        ([eq("__name__", "cpu"), Matcher("instance", MatchOp.NE, "db-1")], [2, 3]),
        ([eq("job", ""), eq("__name__", "mem")], [5]),
        ([Matcher("instance", MatchOp.RE, "db-.*")], [0, 1, 2]),
        ([Matcher("instance", MatchOp.RE, "db-1|web-1")], [0, 1, 3, 4]),
        ([Matcher("instance", MatchOp.NRE, "db.*|")], [3, 4, 5]),
        ([Matcher("instance", MatchOp.RE, "(?i)DB-[12]"), eq("mode", "idle")], [0, 2]),
        ([], list(range(7))),
    ):
        wanted = sorted(fleet[i] for i in expected)
        assert list(contract.select(source, *matchers)) == wanted
        assert source.series(matchers, contract.T0, contract.T0) == wanted
    assert source.label_names([], contract.T0, contract.T0) == [
        "__name__",
        "instance",
        "job",
        "mode",
    ]
    assert source.label_values("mode", [eq("instance", "db-1")], contract.T0, contract.T0) == [
        "idle",
        "user",
    ]


def test_an_engine_that_is_away_is_said_and_loses_nothing(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RemoteUnreachable):
        RemoteSource(url).select(Selection((contract.eq("a", "b"),), 0, 1))
    queue = RemoteQueue(SystemDisk(), str(tmp_path / "queue"), 1 << 30)
    queue.append(Columns(np.zeros(1, np.int64), np.full(1, contract.T0), np.ones(1)))
    sender = RemoteSender(f"{url}/api/v1/write", queue, lambda _: metric("a"), World())
    with httpx.Client(trust_env=False) as client, pytest.raises(RemoteUnreachable):
        sender.send_some(client)
    queue.close()
    again = RemoteQueue(SystemDisk(), str(tmp_path / "queue"), 1 << 30)
    assert again.read(10) is not None
