"""Heavy queries in processes of their own: handed over, cancelled, killed, replaced."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vezha.api import limits
from vezha.api.errors import ApiError
from vezha.api.lanes import Cost
from vezha.api.metrics import ApiMetrics
from vezha.api.packing import Packed
from vezha.api.querying import Querying
from vezha.api.question import Listing, Question
from vezha.api.worker import step_back
from vezha.api.workers import FromWorker, Start, WorkerProcess, Workers
from vezha.model.labels import metric
from vezha.query import Engine, QueryLimits
from vezha.query.errors import EvaluationError, QueryCancelled
from vezha.query.remembered import Remembered
from vezha.server.source import Reading
from vezha.server.worker_process import start_query
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

NOW_MS = 1_700_000_000_000
HANGS = """
import sys, time
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[-1]))
connection.recv(), connection.recv()
{}
"""


def program(what: str) -> Start:
    """Starts a worker that takes one question, and then does *what*."""

    def start(theirs: socket.socket) -> WorkerProcess:
        number = theirs.fileno()
        argv = [sys.executable, "-c", HANGS.format(what), str(number)]
        process: subprocess.Popen[bytes] = subprocess.Popen(argv, pass_fds=[number])
        return process

    return start


def never() -> bool:
    return False


def rows_of(packed: object) -> Any:
    assert isinstance(packed, Packed)
    return json.loads(packed.data)["data"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("workers") / "store")
    store = Store.open(folder, World(), StoreSettings(retention_s=1e10))
    refs = store.resolve([metric("up", instance=f"h{i}") for i in range(40)])
    for second in range(60):
        ts = np.full(40, NOW_MS - 1000 * second, np.int64)
        store.write(refs, ts, np.full(40, float(second)))
    store.commit(store.seal())
    yield folder
    store.close()


@pytest.fixture
def pool() -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def make(start: Start, hello: object = None) -> Workers:
        made.append(Workers(start, World(), 1, hello))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


def hello(path: str) -> dict[str, Any]:
    return Reading(path, 50_000_000, 4_000_000_000, 30.0, 300.0, 128 << 20, 32 << 20).message()


def test_a_worker_answers_as_this_process_would_and_is_used_again(
    path: str, pool: Callable[..., Workers]
) -> None:
    workers = pool(start_query, hello(path))
    sums = rows_of(workers.ask(Question("sum(up)", 0, NOW_MS), never))
    assert sums["result"] == [{"metric": {}, "value": [NOW_MS / 1000, "0"]}]
    asked = Question("count(up)", NOW_MS - 5000, NOW_MS, 1000, explain=True)
    assert [v for _, v in rows_of(workers.ask(asked, never))["result"][0]["values"]] == ["40"] * 6
    values = workers.ask(Listing("values", ((),), 0, NOW_MS, "__name__"), never)
    assert rows_of(values) == ["up"]
    with pytest.raises(EvaluationError, match="many-to-many"):
        workers.ask(Question("up * on() up", 0, NOW_MS), never)
    assert rows_of(workers.ask(Question("count(up)", 0, NOW_MS), never))["result"]
    assert len(workers._all) == 1


def test_a_withdrawn_question_ends_soon_and_the_worker_goes_on(
    path: str, pool: Callable[..., Workers]
) -> None:
    workers = pool(start_query, hello(path))
    workers.ask(Question("1", 0, NOW_MS), never)
    # so many steps of a subquery that only cancelling ends it soon
    text = " + ".join(["sum(max_over_time(up[1h:1s]))"] * 200)
    with pytest.raises(QueryCancelled):
        workers.ask(Question(text, NOW_MS - 10_000_000, NOW_MS, 1000), lambda: True)
    assert len(workers._idle) in (0, 1)
    assert rows_of(workers.ask(Question("count(up)", 0, NOW_MS), never))["result"]


def test_one_that_hangs_is_killed(
    pool: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_GRACE_S", 0.1)
    workers = pool(program("time.sleep(600)"))
    with pytest.raises(QueryCancelled):
        workers.ask(Question("1", 0, 0), lambda: True)
    assert workers._all == set()


def test_one_that_dies_is_an_error_of_the_query(pool: Callable[..., Workers]) -> None:
    workers = pool(program("sys.exit(1)"))
    with pytest.raises(EvaluationError, match="memory"):
        workers.ask(Question("1", 0, 0), never)
    assert workers._all == set()


def test_closing_ends_what_is_asked(pool: Callable[..., Workers]) -> None:
    workers = pool(program("time.sleep(600)"))
    errors: list[Exception] = []

    def ask() -> None:
        try:
            workers.ask(Question("1", 0, 0), never)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not workers._all:
        time.sleep(0.01)
    workers.close()
    thread.join(20)
    assert len(errors) == 1
    with pytest.raises(QueryCancelled):
        workers.ask(Question("1", 0, 0), never)


class Noted(Workers):
    """Counts what is handed over."""

    asked = 0

    def ask(self, wish: Question | Listing, cancelled: Callable[[], bool]) -> Packed | FromWorker:
        self.asked += 1
        return super().ask(wish, cancelled)


@pytest.fixture
def querying(path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Querying, Noted]]:
    monkeypatch.setattr(limits, "LIGHT_SAMPLES_MAX", 500)
    source = StoreReader.open(path)
    workers = Noted(start_query, World(), 1, hello(path))
    made = Querying(Engine(source), source, World(), ApiMetrics(), workers=workers)
    yield made, workers
    made.close()
    source.close()


def test_light_queries_stay_and_heavy_ones_are_handed_over(
    querying: tuple[Querying, Noted],
) -> None:
    made, workers = querying

    async def ask() -> None:
        small = await made.answer(Question("count(up)", 0, NOW_MS))
        assert rows_of(small)["result"][0]["value"][1] == "40"
        assert workers.asked == 0
        for turn in (1, 2):
            wide = await made.answer(Question("sum(sum_over_time(up[1m]))", 0, NOW_MS + turn))
            assert rows_of(wide)["result"][0]["value"][1] == str(40 * sum(range(60)))
            assert workers.asked == turn
        assert made._costs.of(Question("sum(sum_over_time(up[1m]))", 0, 0).shape) is Cost.LARGE

    asyncio.run(ask())


def test_quick_queries_need_no_thread_the_second_time(
    querying: tuple[Querying, Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, workers = querying
    monkeypatch.setattr(limits, "QUICK_SECONDS_MAX", 60.0)
    threads: list[str] = []
    select = made.engine.source.select

    def noted(selection: Any) -> Any:
        threads.append(threading.current_thread().name)
        return select(selection)

    monkeypatch.setattr(made.engine.source, "select", noted)

    async def ask(text: str) -> Any:
        return rows_of(await made.answer(Question(text, 0, NOW_MS)))["result"]

    async def all_of_it() -> None:
        first, again = await ask("count(up)"), await ask("count(up)")
        assert first == again
        assert threads[0].startswith("query")
        assert threads[1:] == [threading.main_thread().name]
        # one that turns out to be slower goes back to the threads
        monkeypatch.setattr(limits, "QUICK_SECONDS_MAX", -1.0)
        assert await ask("count(up)") == first
        assert await ask("count(up)") == first
        assert threads[2] == threading.main_thread().name
        assert threads[3].startswith("query")
        assert workers.asked == 0

    asyncio.run(all_of_it())


def test_a_quick_answer_is_kept_for_who_asks_the_same_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "QUICK_SECONDS_MAX", 60.0)
    source = StoreReader.open(path)
    engine = Engine(source)
    remembered = Remembered(engine, source, 1 << 20)
    workers = Noted(start_query, World(), 1, hello(path))
    made = Querying(engine, source, World(), ApiMetrics(), workers=workers, remembered=remembered)
    marked: list[Question] = []
    begin = made._answers.begin  # type: ignore[union-attr]

    def noted(question: Question) -> Any:
        marked.append(question)
        return begin(question)

    made._answers.begin = noted  # type: ignore[union-attr, method-assign]
    made._costs.note(Question("count(up)", 0, NOW_MS).shape, Cost.QUICK)

    async def ask(at_ms: int) -> Packed | Any:
        return await made.answer(Question("count(up)", 0, at_ms))

    async def all_of_it() -> None:
        for second in range(3):  # a dashboard that moves on never asks the same
            await ask(NOW_MS + second * 1_000)
        assert not marked
        first = await ask(NOW_MS)
        assert marked == [Question("count(up)", 0, NOW_MS)]
        assert await ask(NOW_MS) is first

    asyncio.run(all_of_it())
    made.close()
    source.close()


def test_a_quick_query_that_became_heavy_is_handed_over(
    querying: tuple[Querying, Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, workers = querying
    text = "sum(sum_over_time(up[1m]))"
    shape = Question(text, 0, NOW_MS).shape
    made._costs.note(shape, Cost.QUICK)
    monkeypatch.setattr(made, "_quick_limits", QueryLimits(samples_max=10))

    async def ask() -> None:
        wide = await made.answer(Question(text, 0, NOW_MS))
        assert rows_of(wide)["result"][0]["value"][1] == str(40 * sum(range(60)))

    asyncio.run(ask())
    assert workers.asked == 1
    assert made._costs.of(shape) is Cost.LARGE


def test_a_quick_query_that_reads_more_is_tried_by_the_loop_once(
    querying: tuple[Querying, Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, workers = querying
    monkeypatch.setattr(limits, "QUICK_SECONDS_MAX", 60.0)
    monkeypatch.setattr(made, "_quick_limits", QueryLimits(samples_max=10))
    threads: list[str] = []
    select = made.engine.source.select

    def noted(selection: Any) -> Any:
        threads.append(threading.current_thread().name.split("_")[0])
        return select(selection)

    monkeypatch.setattr(made.engine.source, "select", noted)

    async def ask() -> None:
        for turn in range(4):
            await made.answer(Question("count(up)", 0, NOW_MS - turn))

    asyncio.run(ask())
    loop = threading.main_thread().name.split("_")[0]
    assert threads == ["query", loop, "query", "query", "query"]
    assert workers.asked == 0


def test_what_was_slow_once_is_tried_again(
    querying: tuple[Querying, Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, workers = querying
    monkeypatch.setattr(limits, "LIGHT_SECONDS_MAX", 60.0)
    question = Question("count(up)", 0, NOW_MS)
    monkeypatch.setattr(made, "_light_limits", QueryLimits(seconds_max=-1.0))

    async def ask() -> None:
        assert rows_of(await made.answer(question))["result"][0]["value"][1] == "40"
        assert workers.asked == 1
        monkeypatch.setattr(made, "_light_limits", QueryLimits())
        assert rows_of(await made.answer(question))["result"][0]["value"][1] == "40"
        assert workers.asked == 1  # the worker was fast enough

    asyncio.run(ask())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities by thread")
def test_what_takes_long_steps_back_and_the_next_does_not() -> None:
    seen: list[int] = []
    go = threading.Event()

    def work() -> None:
        go.wait(20)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, 0)
    slow = threading.Thread(target=work)
    slow.start()
    step_back(slow)
    go.set()
    slow.join(20)
    quick = threading.Thread(target=work)
    quick.start()
    quick.join(20)
    assert seen == [max(before, limits.WORKER_NICENESS), before]


def test_errors_of_a_handed_query_are_those_of_the_api(querying: tuple[Querying, Noted]) -> None:
    made, workers = querying

    async def ask(text: str) -> ApiError:
        with pytest.raises(ApiError) as raised:
            await made.answer(Question(text, 0, NOW_MS))
        return raised.value

    error = asyncio.run(ask("sum_over_time(up[1m]) * on() sum_over_time(up[1m])"))
    assert (error.status, workers.asked) == (422, 1)
    assert asyncio.run(ask("sum(")).status == 400
    assert workers.asked == 1


def test_who_hangs_up_frees_the_worker(querying: tuple[Querying, Noted]) -> None:
    made, _ = querying

    async def hang_up() -> None:
        await asyncio.sleep(0.05)

    async def ask() -> None:
        text = " + ".join(["sum(max_over_time(up[1h:1s]))"] * 200)
        with pytest.raises(ApiError) as raised:
            await made.answer(Question(text, NOW_MS - 10_000_000, NOW_MS, 1000), gone=hang_up)
        assert raised.value.status == 499
        again = await made.answer(Question("sum(sum_over_time(up[1m]))", 0, NOW_MS))
        assert rows_of(again)["result"]

    asyncio.run(ask())
