"""Exemplars that came to us stand in a real Prometheus behind us, at the series that it has."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from vezha.model.exemplar import Exemplar
from vezha.model.labels import labels_of, metric
from vezha.model.metadata import MetricMetadata
from vezha.store.exemplars import Exemplars
from vezha.store.metadata import MetadataBook
from vezha.store.remote import RemoteSender
from vezha.store.remote_described import Described
from vezha.store.remote_queue import Columns, RemoteQueue
from vezha.world import World

pytestmark = [pytest.mark.peer("prometheus"), pytest.mark.acceptance]


@pytest.fixture
def prometheus(
    tmp_path: Path, peer_path: Callable[[str], str], free_port: Callable[[], int]
) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "none.yml").write_text("global: {}\n")
    process = subprocess.Popen(
        [
            peer_path("prometheus"),
            f"--config.file={tmp_path / 'none.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        try:
            if httpx.get(f"http://{address}/-/ready", trust_env=False).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    yield f"http://{address}"
    process.terminate()
    process.wait(20)


def test_exemplars_arrive_after_the_samples_they_belong_to(prometheus: str, tmp_path: Path) -> None:
    world, series = World(), metric("http_seconds_bucket", instance="web-1", le="0.5")
    now_ms = int(world.clock.now() * 1000)
    folder = str(tmp_path / "store")
    queue = RemoteQueue(world.disk, f"{folder}/remote", 1 << 20)
    queue.append(Columns(np.zeros(1, np.int64), np.array([now_ms]), np.ones(1)))
    one = Exemplar(series, labels_of({"trace_id": "abc"}), 0.25, now_ms)
    Exemplars(f"{folder}/exemplars.db", 3600.0).put([one], now_ms)
    MetadataBook(f"{folder}/metadata.db").put([("http_seconds", MetricMetadata("histogram"))])
    described = Described(folder, world)
    sender = RemoteSender(
        f"{prometheus}/api/v1/write", queue, lambda _: series, world, described=described
    )
    with httpx.Client(trust_env=False) as client:
        while sender.send_some(client):
            pass
        sender.send_described(client)
        answer = client.get(
            f"{prometheus}/api/v1/query_exemplars",
            params={"query": "http_seconds_bucket", "start": "0", "end": str(now_ms / 1000 + 60)},
        )
    (found,) = answer.json()["data"]
    assert found["seriesLabels"] == dict(series)
    (exemplar,) = found["exemplars"]
    assert (exemplar["labels"], float(exemplar["value"])) == ({"trace_id": "abc"}, 0.25)
    assert (described.sent_exemplars, described.sent_metadata) == (1, 1)
