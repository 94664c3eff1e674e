"""Hosts, their states, invitations, and the 24 charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.conftest import TestClient, Tower

from vezha.access import Role
from vezha.access.host import note_seen
from vezha.api.charts import rounded
from vezha.api.enrolments import command_of
from vezha.api.fleet import (
    CRITICAL,
    LOAD_QUERIES,
    NORMAL,
    SILENT,
    SLOW_QUERIES,
    STATUS_QUERIES,
    UNKNOWN,
    WARNING,
    decide_states,
    percent,
)
from vezha.api.host_charts import CHARTS, PRESENCE_EXPR, expression
from vezha.api.services import AgentDoor
from vezha.query.parser import parse

NODE = {"job": "node"}


@pytest.fixture
def operator(tower: Tower) -> TestClient:
    return tower.client(Role.OPERATOR)


@pytest.fixture
def watched(tower: Tower, put: Callable[..., None]) -> Tower:
    """db-1 is well, db-2 has an alert, web-1 fell silent, new-1 never came."""
    for name in ("db-1", "db-2", "web-1", "new-1"):
        tower.enrol(name, site="lviv")
    note_seen(tower.services.ledger, dict.fromkeys(("db-1", "db-2", "web-1"), 1000))
    for name in ("db-1", "db-2", "web-1"):
        put("up", [0.0 if name == "web-1" else 1.0], instance=name, **NODE)
        put("vezha_agent_behind_seconds", [0.25], instance=name, **NODE)
        put("vezha_agent_completeness_ratio", [0.5], instance=name, **NODE)
        for cpu in ("0", "1"):
            put("node_cpu_seconds_total", [i / 2 for i in range(9)], instance=name, cpu=cpu,
                mode="idle", **NODE)  # fmt: skip
        put("node_memory_MemTotal_bytes", [100.0] * 9, instance=name, **NODE)
        put("node_memory_MemAvailable_bytes", [30.0] * 9, instance=name, **NODE)
    put("ALERTS", [1.0], alertname="A", alertstate="firing", severity="warning", instance="db-2")
    put("ALERTS", [1.0], alertname="B", alertstate="pending", severity="critical", instance="db-2")
    put("ALERTS", [1.0], alertname="C", alertstate="firing", severity="critical", instance="web-1")
    return tower


def test_hosts_and_their_states(watched: Tower, operator: TestClient) -> None:
    hosts = {h["name"]: h for h in operator.get("/api/v1/hosts").json()["hosts"]}
    assert {n: h["state"] for n, h in hosts.items()} == {
        "db-1": "normal", "db-2": "warning", "web-1": "silent", "new-1": "unknown",
    }  # fmt: skip
    db = hosts["db-1"]
    assert (db["connected"], db["behind_s"], db["complete_ratio"]) == (True, 0.25, 0.5)
    assert (db["labels"], db["cores"], db["os"]) == ({"site": "lviv"}, 4, "Debian 12")
    assert db["last_seen"] == pytest.approx(watched.services.now_ms() / 1000, abs=5)
    new = hosts["new-1"]
    assert (new["connected"], new["behind_s"], new["last_seen"]) == (False, None, None)


def test_loads_on_the_tile(watched: Tower) -> None:
    assert watched.services.fleet is not None
    snapshot = watched.services.fleet.snapshot()
    tiles = dict(zip(snapshot.names, snapshot.tiles.tolist(), strict=True))
    assert tiles["db-1"] == [NORMAL, 50, 70, 255, 255, 255]
    assert tiles["web-1"] == [SILENT, 255, 255, 255, 255, 255], "its last words are no news"
    assert snapshot.counts() == {
        "normal": 1, "warning": 1, "critical": 0, "silent": 1, "unknown": 1,
    }  # fmt: skip


def test_a_snapshot_is_shared_for_a_second(watched: Tower) -> None:
    fleet = watched.services.fleet
    assert fleet is not None
    first = fleet.snapshot()
    assert fleet.snapshot() is first
    watched.clock.ahead_s += 1.0
    assert fleet.snapshot() is not first


def test_where_nothing_is_heard_of_any_host_the_trouble_is_ours(watched: Tower) -> None:
    watched.clock.ahead_s += 60
    assert watched.services.fleet is not None
    assert set(watched.services.fleet.snapshot().tiles[:, 0].tolist()) == {UNKNOWN}


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, float("nan")]), st.integers(0, 2),
                       st.booleans()), min_size=1, max_size=20)
)  # fmt: skip
def test_only_a_host_that_is_up_shows_its_alerts(
    rows: list[tuple[float, int, bool]],
) -> None:
    up = np.array([r[0] for r in rows])
    worst = np.array([r[1] for r in rows], np.uint8)
    states = decide_states(up, worst, np.array([r[2] for r in rows]))
    for state, (is_up, level, seen) in zip(states.tolist(), rows, strict=True):
        if is_up == 1:
            assert state == level
        elif is_up == 0:
            assert state == SILENT
        else:
            assert state in ((SILENT, UNKNOWN) if seen else (UNKNOWN,))
    assert (NORMAL, WARNING, CRITICAL) == (0, 1, 2)


def test_percent_is_whole_and_255_where_nothing_is_known() -> None:
    given_ = np.array([0.4, 99.6, 250.0, -5.0, np.nan, np.inf, -np.inf])
    assert percent(given_).tolist() == [0, 100, 100, 0, 255, 100, 0]


def test_labels_are_set_and_an_empty_one_removed(watched: Tower, operator: TestClient) -> None:
    changed = operator.patch("/api/v1/hosts/db-1", json={"labels": {"role": "db", "site": ""}})
    assert changed.json()["labels"] == {"role": "db"}
    assert changed.json()["facts"]["os"] == "Debian 12"
    assert watched.nudges == ["hosts"]
    bad = operator.patch("/api/v1/hosts/db-1", json={"labels": {"job": "x"}})
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "labels")


def test_a_host_is_removed_by_an_admin(watched: Tower) -> None:
    admin = watched.client(Role.ADMIN)
    assert admin.delete("/api/v1/hosts/db-1").status_code == 204
    assert admin.get("/api/v1/hosts/db-1").status_code == 404
    assert len(admin.get("/api/v1/hosts").json()["hosts"]) == 3


def test_invitations(tower: Tower, operator: TestClient) -> None:
    tower.services.door = AgentDoor("vezha.example:8471", "ab" * 32, lambda: "cd" * 32)
    made = operator.post("/api/v1/enrolments", json={"labels": {"site": "kyiv"}})
    assert made.status_code == 201
    view = made.json()
    for part in (view["token"], "vezha.example:8471", "ab" * 32, "cd" * 32, "sha256sum"):
        assert part in view["command"]
    listed = operator.get("/api/v1/enrolments")
    assert view["token"] not in listed.text
    assert [(e["id"], e["labels"]) for e in listed.json()["enrolments"]] == [
        (view["id"], {"site": "kyiv"})
    ]
    assert operator.delete(f"/api/v1/enrolments/{view['id']}").status_code == 204
    assert operator.get("/api/v1/enrolments").json() == {"enrolments": []}
    assert operator.delete(f"/api/v1/enrolments/{view['id']}").status_code == 404


def test_the_command_without_an_agents_file_uses_the_installed_one() -> None:
    command = command_of(AgentDoor("h:1", "ff"), "vze_x")
    assert command == "vezha agent install --server h:1 --token vze_x --fingerprint ff"


def test_there_are_24_charts_in_six_groups_of_four() -> None:
    groups: dict[str, int] = {}
    for chart in CHARTS:
        groups[chart.group] = groups.get(chart.group, 0) + 1
    assert list(groups.values()) == [4] * 6
    assert len({c.id for c in CHARTS}) == 24


def test_every_expression_is_promql_also_for_odd_names() -> None:
    texts = [s.expr for c in CHARTS for s in c.series] + [PRESENCE_EXPR]
    for text in texts:
        for name in ("db-1", 'a"b\\c\n', "вежа"):
            parse(expression(text, name, 60.0))
    for text in (*LOAD_QUERIES.values(), *SLOW_QUERIES.values(), *STATUS_QUERIES.values()):
        parse(text)


def test_a_long_step_widens_the_window_of_rates() -> None:
    assert "[5000ms]" in expression("rate(x[$window])", "a", 1.0)
    assert "[60000ms]" in expression("rate(x[$window])", "a", 60.0)


def test_the_charts_are_described(operator: TestClient) -> None:
    charts = operator.get("/api/v1/charts/host").json()["charts"]
    assert charts[0]["id"] == "cpu"
    assert charts[0]["max"] == 100
    assert "$instance" in charts[0]["series"][0]["expr"]


def history(client: TestClient, tower: Tower, **wish: Any) -> dict[tuple[str, str], list[Any]]:
    now = tower.services.now_ms() // 1000
    answer = client.get(
        "/api/v1/hosts/db-1/charts", params={"start": now - 5, "end": now, "step": 1, **wish}
    )
    assert answer.status_code == 200, answer.text
    return {(s["chart"], s["legend"]): s["values"] for s in answer.json()["series"]}


def test_a_hosts_past_in_columns(
    watched: Tower, operator: TestClient, put: Callable[..., None]
) -> None:
    put("node_load1", [1.0] * 12, instance="db-1", **NODE)
    for device in "fedcba":
        put("node_disk_io_time_seconds_total", [0.0] * 12, instance="db-1", device=device, **NODE)
    lines = history(operator, watched)
    assert lines["load", "load"] == [1.0] * 6
    assert len(lines["memory", "used"]) == 6
    assert lines["memory", "used"][-1] == 70
    busy = [legend for chart, legend in lines if chart == "disk_busy"]
    assert busy == ["a", "b", "c", "d"], "four lines at most, always the same"


def test_a_gap_stays_a_gap_though_gauges_are_remembered(
    watched: Tower, operator: TestClient, put: Callable[..., None]
) -> None:
    now_ms = watched.services.now_ms()
    series = (("__name__", "node_load1"), ("instance", "db-1"), ("job", "node"))
    for ago_s in (20, 19, 18, 5, 4, 3, 2, 1, 0):
        watched.samples.append(series, now_ms - ago_s * 1000, 2.0)
    now = now_ms // 1000
    answer = operator.get(
        "/api/v1/hosts/db-1/charts", params={"start": now - 20, "end": now, "step": 1}
    ).json()
    load = next(s["values"] for s in answer["series"] if s["chart"] == "load")
    assert len(load) == answer["count"] == 21
    assert load[-1] == 2.0
    assert None in load[5:14]
    assert load[8:13] == [None] * 5


@pytest.mark.parametrize(
    ("wish", "field"),
    [({"step": 0}, "step"), ({"start": 10, "end": 5}, "end"), ({"start": 0}, "step"),
     ({"step": "x"}, "step"), ({"start": -1}, "start")],
)  # fmt: skip
def test_a_span_that_is_none_is_told_by_field(
    watched: Tower, operator: TestClient, wish: dict[str, Any], field: str
) -> None:
    answer = operator.get("/api/v1/hosts/db-1/charts", params=wish)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


def test_charts_of_an_unknown_host_are_not_found(operator: TestClient) -> None:
    assert operator.get("/api/v1/hosts/absent/charts").status_code == 404


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), max_size=30))
def test_rounding_keeps_four_digits_and_makes_gaps_of_what_is_no_number(
    values: list[float],
) -> None:
    given_ = np.array(values, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        shown = rounded(given_)
    for before, after in zip(given_.tolist(), shown.tolist(), strict=True):
        if not np.isfinite(before):
            assert np.isnan(after)
        elif 1e-30 < abs(before) < 1e30:
            assert after == pytest.approx(before, rel=1e-3)


def test_health_and_own_metrics(tower: Tower, operator: TestClient) -> None:
    assert tower.client().get("/healthz").json()["status"] == "ok"
    operator.get("/api/v1/hosts")
    text = operator.get("/metrics").text
    assert 'vezha_http_requests_total{method="GET",route="/api/v1/hosts",status="200"} 1.0' in text
    tower.services.ledger.engine.dispose()


def test_the_description_names_every_route_with_its_role(tower: Tower) -> None:
    document = tower.client().get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    from vezha.api.app import OWN_ROUTES

    for route in OWN_ROUTES:
        if not route.websocket:
            path = route.path.replace(":path}", "}")
            assert route.method.lower() in document["paths"][path]
    patch = document["paths"]["/api/v1/hosts/{name}"]["patch"]
    assert "role: operator" in patch["description"]
    schema = patch["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert schema.rsplit("/", 1)[1] in document["components"]["schemas"]
    references = set(_references(document))
    assert all(r.rsplit("/", 1)[1] in document["components"]["schemas"] for r in references)


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
