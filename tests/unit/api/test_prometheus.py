"""The Prometheus query API, as Grafana asks it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.conftest import TestClient, Tower

from vezha.access import Role
from vezha.api.described import EXEMPLARS, METADATA
from vezha.api.errors import ApiError
from vezha.api.metrics import ApiMetrics
from vezha.api.prometheus import RETENTION
from vezha.api.prometheus_times import decode_label_name, parse_duration_ms, parse_time_ms
from vezha.api.querying import Querying
from vezha.model.exemplar import Exemplar
from vezha.model.labels import metric
from vezha.model.metadata import MetricMetadata
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.store import Cardinality, SourceSeries
from vezha.store.exemplars import Exemplars
from vezha.store.metadata import MetadataBook
from vezha.world import World


@pytest.fixture
def grafana(tower: Tower, put: Callable[..., None]) -> TestClient:
    for instance in ("db-1", "db-2", "web-1"):
        put("node_load1", [1.0, 2.0, 3.0], instance=instance, job="node")
        put("up", [1.0] * 3, instance=instance, job="node")
    put("odd.name", [float("nan"), float("inf")], instance="db-1")
    return tower.client(Role.VIEWER)


def data(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    return body["data"]


def test_grafanas_health_check(grafana: TestClient) -> None:
    answer = grafana.post("/api/v1/query", data={"query": "1+1", "time": "4"})
    assert data(answer) == {"resultType": "scalar", "result": [4, "2"]}
    info = data(grafana.get("/api/v1/status/buildinfo"))
    assert info["version"].split(".")[0] == "3"


def test_what_has_the_most_series(grafana: TestClient, tower: Tower) -> None:
    # samples in memory are not counted
    assert grafana.get("/api/v1/status/tsdb").status_code == 404
    source = tower.services.querying.source if tower.services.querying else None
    found = Cardinality(7, [SourceSeries("a", "j", 5, "user", 4)], [("req", 5)], [("user", 4)])
    source.cardinality = lambda count: found  # type: ignore[union-attr]
    told = data(grafana.get("/api/v1/status/tsdb", params={"limit": "3"}))
    assert told["headStats"] == {"numSeries": 7}
    assert told["seriesCountByMetricName"] == [{"name": "req", "value": 5}]
    assert told["seriesCountBySource"][0]["label"] == "user"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_queries_by_get_and_by_form(grafana: TestClient, method: str) -> None:
    wish = {"query": "sum(node_load1)", "start": "0", "end": "10", "step": "5"}

    def ask(path: str) -> Any:
        if method == "GET":
            return grafana.get(path, params=wish)
        return grafana.post(path, data=wish)

    assert data(ask("/api/v1/query"))["result"][0]["value"][1] == "9"
    assert data(ask("/api/v1/query_range"))["resultType"] == "matrix"


def test_a_range_has_the_asked_steps_and_strings_for_values(
    tower: Tower, grafana: TestClient
) -> None:
    now = tower.services.now_ms() / 1000
    answer = grafana.post(
        "/api/v1/query_range",
        data={"query": 'node_load1{instance="db-1"}', "start": now - 2, "end": now, "step": "1s"},
    )
    (series,) = data(answer)["result"]
    assert series["metric"] == {"__name__": "node_load1", "instance": "db-1", "job": "node"}
    assert [v for _, v in series["values"]][-1] in ("2", "3")


def test_times_may_be_rfc_3339(grafana: TestClient) -> None:
    answer = grafana.get("/api/v1/query", params={"query": "1", "time": "2026-11-23T05:00:00.5Z"})
    assert data(answer)["result"][0] == 1795410000.5


def test_what_is_no_number_is_a_string_too(grafana: TestClient) -> None:
    answer = grafana.get("/api/v1/query", params={"query": '{"odd.name"}'})
    assert data(answer)["result"][0]["value"][1] in ("NaN", "+Inf")


@pytest.mark.parametrize(
    ("path", "wish", "status", "kind", "said"),
    [
        ("query", {"query": "sum("}, 400, "bad_data", 'invalid parameter "query"'),
        ("query", {}, 400, "bad_data", 'invalid parameter "query"'),
        ("query", {"query": "1", "time": "noon"}, 400, "bad_data", 'invalid parameter "time"'),
        ("query", {"query": "1", "timeout": "-1s"}, 400, "bad_data", 'invalid parameter "timeout'),
        ("query", {"query": "1", "limit": "x"}, 400, "bad_data", "limit"),
        ("query_range", {"query": "1"}, 400, "bad_data", 'invalid parameter "start"'),
        ("query_range", {"query": "1", "start": "2", "end": "1", "step": "1"}, 400, "bad_data",
         "end timestamp must not be before start time"),
        ("query_range", {"query": "1", "start": "1", "end": "2", "step": "0"}, 400, "bad_data",
         "zero or negative"),
        ("query_range", {"query": "1", "start": "0", "end": "12000", "step": "1"}, 400, "bad_data",
         "exceeded maximum resolution of 11,000 points"),
        ("query_range", {"query": "up[5m]", "start": "0", "end": "1", "step": "1"}, 422,
         "execution", "range query"),
        ("series", {}, 400, "bad_data", "no match[] parameter provided"),
        ("series", {"match[]": "sum(up)"}, 400, "bad_data", 'invalid parameter "match[]"'),
        ("labels", {"match[]": "{"}, 400, "bad_data", 'invalid parameter "match[]"'),
    ],
)  # fmt: skip
def test_errors_are_worded_as_prometheus_does(
    grafana: TestClient, path: str, wish: dict[str, str], status: int, kind: str, said: str
) -> None:
    answer = grafana.post(f"/api/v1/{path}", data=wish)
    body = answer.json()
    assert (answer.status_code, body["status"], body["errorType"]) == (status, "error", kind)
    assert said in body["error"]


def test_who_may_not_is_told_in_the_same_shape(tower: Tower) -> None:
    answer = tower.client().get("/api/v1/query", params={"query": "1"})
    assert (answer.status_code, answer.json()["errorType"]) == (401, "unauthorized")


def test_series_labels_and_values(grafana: TestClient) -> None:
    match = [("match[]", 'up{instance=~"db-.*"}'), ("match[]", 'up{instance="web-1"}')]
    series = data(grafana.get("/api/v1/series", params=match))
    assert [s["instance"] for s in series] == ["db-1", "db-2", "web-1"]
    assert data(grafana.post("/api/v1/labels")) == ["__name__", "instance", "job"]
    names = data(grafana.get("/api/v1/label/__name__/values"))
    assert names == ["node_load1", "odd.name", "up"]
    values = grafana.get("/api/v1/label/instance/values", params={"match[]": "up", "limit": 2})
    assert data(values) == ["db-1", "db-2"]
    assert values.json()["warnings"] == ["results truncated due to limit"]
    assert data(grafana.get("/api/v1/label/nothing/values")) == []
    past = {"start": "0", "end": "10"}
    assert data(grafana.get("/api/v1/label/instance/values", params=past)) == []


def test_a_limit_cuts_the_series_and_warns(grafana: TestClient) -> None:
    body = grafana.get("/api/v1/query", params={"query": "up", "limit": "2"}).json()
    assert len(body["data"]["result"]) == 2
    assert body["warnings"] == ["results truncated due to limit"]
    body = grafana.get("/api/v1/query", params={"query": "up", "limit": "3"}).json()
    assert "warnings" not in body


def test_stats_and_explain_tell_the_cost(grafana: TestClient) -> None:
    answer = grafana.get("/api/v1/query", params={"query": "sum(up)", "stats": "all"})
    assert data(answer)["stats"]["samples"]["totalQueryableSamples"] >= 3
    answer = grafana.get("/api/v1/query", params={"query": "sum(up)", "explain": "1"})
    assert data(answer)["explain"][0]["expr"] == "sum(up)"
    plain = data(grafana.get("/api/v1/query", params={"query": "sum(up)"}))
    assert set(plain) == {"resultType", "result"}


def test_lookback_can_be_shorter(tower: Tower, grafana: TestClient) -> None:
    later = tower.services.now_ms() / 1000 + 60
    wish = {"query": "up", "time": str(later)}
    assert len(data(grafana.get("/api/v1/query", params=wish))["result"]) == 3
    short = {**wish, "lookback_delta": "30s"}
    assert data(grafana.get("/api/v1/query", params=short))["result"] == []


def test_metadata_and_exemplars(grafana: TestClient) -> None:
    told = data(grafana.get("/api/v1/metadata", params={"metric": "up"}))
    assert told == {"up": [{"type": "unknown", "help": "", "unit": ""}]}
    assert len(data(grafana.get("/api/v1/metadata", params={"limit": 2}))) == 2
    assert data(grafana.post("/api/v1/query_exemplars", data={"query": "up"})) == []


def test_large_answers_are_compressed_where_that_is_wanted(
    grafana: TestClient, put: Callable[..., None]
) -> None:
    for i in range(200):
        put("many", [1.0], instance=f"host-{i}")
    at = time.time()

    def ask(accepted: str) -> Any:
        return grafana.get(
            "/api/v1/query",
            params={"query": "many", "time": at},
            headers={"Accept-Encoding": accepted},
        )

    plain = ask("identity")
    assert "content-encoding" not in plain.headers
    assert len(data(plain)["result"]) == 200
    for accepted, coding in (
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=0.5, ZSTD;q=0", "gzip"),
        ("br, gzip;q=0", None),
    ):
        packed = ask(accepted)
        assert packed.headers.get("content-encoding") == coding
        assert packed.headers["vary"] == "Accept-Encoding"
        assert packed.content == plain.content


class SlowSource(MemorySource):
    """Takes its time and notices how many ask at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.asked = 0

    def select(self, selection: Any) -> Any:
        self.asked += 1
        assert self.gate.wait(10)
        return super().select(selection)


def slow_querying(source: SlowSource, **limits: Any) -> Querying:
    return Querying(Engine(source), source, World(), ApiMetrics(), **limits)


def test_a_heavy_query_does_not_hold_up_the_event_loop() -> None:
    source = SlowSource()
    querying = slow_querying(source)

    async def scenario() -> float:
        async def heavy() -> Any:
            return await querying.run(
                lambda stop: querying.engine.instant("up", 0, cancelled=stop), "up"
            )

        running = asyncio.create_task(heavy())
        began = time.perf_counter()
        for _ in range(20):
            await asyncio.sleep(0.001)
        waited = time.perf_counter() - began
        assert not running.done()
        source.gate.set()
        await running
        return waited

    assert asyncio.run(scenario()) < 5
    querying.close()


def test_too_many_waiting_queries_are_refused_at_once() -> None:
    source = SlowSource()
    querying = slow_querying(source, threads=1, waiting_max=1)

    async def scenario() -> list[Any]:
        async def one() -> Any:
            return await querying.run(
                lambda stop: querying.engine.instant("up", 0, cancelled=stop), "up"
            )

        tasks = [asyncio.create_task(one()) for _ in range(4)]
        await asyncio.sleep(0.05)
        source.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(scenario())
    refused = [o for o in outcomes if isinstance(o, ApiError)]
    assert [(o.status, o.code) for o in refused] == [(503, "busy")] * 2
    assert source.asked == 2
    querying.close()


def test_a_query_over_its_time_is_answered_with_503_and_stops() -> None:
    source = SlowSource()
    querying = slow_querying(source)
    seen: list[bool] = []

    def work(stop: Callable[[], bool]) -> None:
        source.gate.wait(10)
        seen.append(stop())

    async def scenario() -> None:
        await querying.run(work, "slow", timeout_s=0.05, told_s=3.0)

    with pytest.raises(ApiError, match=r"longer than 3 s \(query.timeout_s") as caught:
        asyncio.run(scenario())
    assert (caught.value.status, caught.value.error_type) == (503, "timeout")
    source.gate.set()
    querying.close()
    assert seen == [True]


def test_a_query_whose_client_hung_up_is_cancelled() -> None:
    source = SlowSource()
    querying = slow_querying(source)
    seen: list[bool] = []

    def work(stop: Callable[[], bool]) -> None:
        source.gate.wait(10)
        seen.append(stop())

    async def gone() -> None:
        await asyncio.sleep(0.02)

    async def scenario() -> None:
        await querying.run(work, "up", gone=gone)

    with pytest.raises(ApiError, match="hung up"):
        asyncio.run(scenario())
    source.gate.set()
    querying.close()
    assert seen == [True]


@pytest.mark.parametrize(
    ("text", "ms"),
    [("15", 15_000), ("0.25", 250), ("1h30m", 5_400_000), ("1y", 31_536_000_000), ("5ms", 5),
     ("1d12h", 129_600_000), ("1e1", 10_000)],
)  # fmt: skip
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text, "step") == ms


@pytest.mark.parametrize("text", ["", "h", "1x", "m5", "NaN", "Inf", "1e999", "-", "1s1h"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ApiError, match='invalid parameter "step"'):
        parse_duration_ms(text, "step")


@given(st.text(max_size=30))
def test_only_an_api_error_escapes_the_parsers(text: str) -> None:
    for parse in (parse_time_ms, parse_duration_ms):
        try:
            assert isinstance(parse(text, "x"), int)
        except ApiError as error:
            assert error.status == 400


@pytest.mark.parametrize(
    ("text", "name"),
    [("instance", "instance"), ("U__odd_2e_name", "odd.name"), ("U__a__b", "a_b"),
     ("U___1f4a9_", "\U0001f4a9"), ("U__a_ffffff_", "a_ffffff_"), ("__name__", "__name__")],
)  # fmt: skip
def test_escaped_label_names(text: str, name: str) -> None:
    assert decode_label_name(text) == name


def test_what_metrics_are(grafana: TestClient, tower: Tower, tmp_path: Path) -> None:
    guessed = data(grafana.get("/api/v1/metadata"))
    assert guessed["up"] == [{"type": "unknown", "help": "", "unit": ""}]
    book = MetadataBook(str(tmp_path / "metadata.db"))
    about = [MetricMetadata("gauge", "Text."), MetricMetadata("counter", "Other.", "s")]
    book.put([("node_load1", about[0]), ("node_load1", about[1]), ("gone_total", about[1])])
    tower.services.extra[METADATA] = book
    told = data(grafana.get("/api/v1/metadata"))
    assert list(told) == ["gone_total", "node_load1", "odd.name", "up"]
    assert [row["type"] for row in told["node_load1"]] == ["gauge", "counter"]
    wish = {"metric": "node_load1", "limit_per_metric": "1", "limit": "-1"}
    assert data(grafana.get("/api/v1/metadata", params=wish)) == {
        "node_load1": [{"type": "gauge", "help": "Text.", "unit": ""}]
    }
    assert data(grafana.get("/api/v1/metadata", params={"metric": "none"})) == {}
    assert len(data(grafana.get("/api/v1/metadata", params={"limit": "2"}))) == 2
    book.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_exemplars_of_a_query(
    grafana: TestClient, tower: Tower, tmp_path: Path, method: str
) -> None:
    now_ms = tower.services.now_ms()
    stored = Exemplars(str(tmp_path / "exemplars.db"), 86_400.0)
    series = metric("req_bucket", le="1", job="shop")
    one = Exemplar(series, (("trace_id", "abc"),), 0.25, now_ms - 1_500)
    stored.put([one, Exemplar(metric("other"), (), 1.0, now_ms)], now_ms)

    def ask(**wish: str) -> Any:
        if method == "GET":
            return grafana.get("/api/v1/query_exemplars", params=wish)
        return grafana.post("/api/v1/query_exemplars", data=wish)

    text = 'histogram_quantile(0.9, sum by (le) (rate(req_bucket{job="shop"}[5m]))) > 1'
    assert data(ask(query=text)) == []
    tower.services.extra[EXEMPLARS] = stored
    (found,) = data(ask(query=text, start=str(now_ms / 1000 - 60), end=str(now_ms / 1000)))
    assert found["seriesLabels"] == dict(series)
    assert found["exemplars"] == [
        {"labels": {"trace_id": "abc"}, "value": "0.25", "timestamp": (now_ms - 1_500) / 1000}
    ]
    assert data(ask(query=text, end=str(now_ms / 1000 - 60))) == []
    assert data(ask(query="1 + 1")) == []
    assert ask(query="sum(").status_code == 400
    assert ask(query="up", start="5", end="4").status_code == 400
    stored.close()


def test_how_long_samples_are_kept(grafana: TestClient, tower: Tower) -> None:
    tower.services.extra[RETENTION] = [{"policy": "general", "samplesSeconds": 86400.0}]
    told = data(grafana.get("/api/v1/status/runtimeinfo"))
    assert told["storageRetention"] == "86400s"
    assert told["retention"][0]["policy"] == "general"
