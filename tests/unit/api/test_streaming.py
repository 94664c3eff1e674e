"""Large answers in pieces: whole and right, freed by who hangs up, bounded by who is slow."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from vezha.api import limits
from vezha.api.metrics import ApiMetrics
from vezha.api.packing import Packed
from vezha.api.querying import Querying
from vezha.api.question import Question, evaluate
from vezha.api.streaming import PiecesResponse
from vezha.api.workers import FromWorker, Workers
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.encode import encode_result
from vezha.query.errors import QueryCancelled
from vezha.server.source import Reading
from vezha.server.worker_process import start_query
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

NOW_MS = 1_700_000_000_000
LARGE = Question("up * 1.000001", NOW_MS - 59_990, NOW_MS, 10)
"""40 series at 6,000 steps: some 6 MB."""


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("streaming") / "store")
    store = Store.open(folder, World(), StoreSettings(retention_s=1e10))
    refs = store.resolve([metric("up", instance=f"h{i}") for i in range(40)])
    for second in range(60):
        store.write(refs, np.full(40, NOW_MS - 1000 * second, np.int64), np.full(40, second * 1.5))
    store.commit(store.seal())
    yield folder
    store.close()


@pytest.fixture
def workers(path: str) -> Iterator[Workers]:
    reading = Reading(path, 50_000_000, 4_000_000_000, 30.0, 300.0, 128 << 20, 0)
    made = Workers(start_query, World(), 1, reading.message())
    yield made
    made.close()


def pieces_of(found: Packed | FromWorker) -> list[bytes]:
    assert isinstance(found, FromWorker)
    pieces = []
    while (piece := found.next()) is not None:
        pieces.append(piece)
    return pieces


def whole(path: str) -> bytes:
    source = StoreReader.open(Path(path).as_posix())
    try:
        return encode_result(evaluate(Engine(source), LARGE, never))
    finally:
        source.close()


def test_a_large_answer_comes_in_pieces_and_is_the_same(path: str, workers: Workers) -> None:
    pieces = pieces_of(workers.ask(LARGE, never))
    assert b"".join(pieces) == whole(path)
    assert len(pieces) > 8
    assert max(map(len, pieces)) < limits.STREAM_FROM_BYTES
    assert len(workers._idle) == 1
    packed = pieces_of(workers.ask(replace(LARGE, coding="gzip"), never))
    assert zlib.decompress(b"".join(packed), wbits=31) == whole(path)
    assert len(packed) > 1
    packed = pieces_of(workers.ask(replace(LARGE, coding="zstd"), never))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(packed)) == whole(path)
    assert len(packed) > 1


def test_who_hangs_up_in_the_middle_frees_the_worker(workers: Workers) -> None:
    found = workers.ask(LARGE, never)
    assert isinstance(found, FromWorker)
    assert found.next()
    assert not workers._idle
    (worker,) = workers._all
    found.close()
    found.close()
    assert found.next() is None
    assert workers._idle == [worker]  # the same one: it stopped
    assert isinstance(workers.ask(Question("count(up)", 0, NOW_MS), never), Packed)


def test_who_asks_meanwhile_waits_for_the_worker(workers: Workers) -> None:
    found = workers.ask(LARGE, never)
    with pytest.raises(QueryCancelled):
        workers.ask(Question("count(up)", 0, NOW_MS), lambda: True)
    answers: list[object] = []
    small = Question("count(up)", 0, NOW_MS)
    waiting = threading.Thread(target=lambda: answers.append(workers.ask(small, never)))
    waiting.start()
    pieces_of(found)
    waiting.join(20)
    assert isinstance(answers[0], Packed)
    assert len(workers._all) == 1


def test_one_that_dies_in_the_middle_is_replaced(workers: Workers) -> None:
    found = workers.ask(LARGE, never)
    assert isinstance(found, FromWorker)
    (worker,) = workers._all
    worker.end()
    with pytest.raises(Exception, match="in the middle"):
        pieces_of(found)
    assert isinstance(workers.ask(Question("count(up)", 0, NOW_MS), never), Packed)


def test_a_query_of_the_api_is_passed_on(path: str, workers: Workers) -> None:
    source = StoreReader.open(path)
    made = Querying(Engine(source), source, World(), ApiMetrics(), workers=workers)
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        response = made.response(await made.answer(LARGE))
        await response({"type": "http", "asgi": {}}, receive, send)

    asyncio.run(ask())
    assert b"".join(m.get("body", b"") for m in sent) == whole(path)
    assert [m.get("more_body") for m in sent[1:]] == [True] * (len(sent) - 2) + [False]
    made.close()
    source.close()


class Endless:
    """Pieces without end; notes whether it was closed."""

    coding = ""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.given = 0

    def next(self) -> bytes | None:
        self.given += 1
        return None if self.closed.is_set() else b"x"

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("how", ["stalls", "hangs up"])
def test_nothing_is_printed_for_who_does_not_take_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_STALL_S", 0.05 if how == "stalls" else 20.0)
    pieces = Endless()

    async def serve() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            if pieces.given >= 5:
                if how == "hangs up":
                    gone.set()
                await asyncio.Event().wait()

        with ThreadPoolExecutor(1) as threads:
            response = PiecesResponse(pieces, threads)
            async with asyncio.timeout(20):
                await response({"type": "http", "asgi": {}}, receive, send)

    asyncio.run(serve())
    assert pieces.closed.is_set()
    assert pieces.given <= 7
