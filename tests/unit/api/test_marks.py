"""What charts carry: changes that came to a host, changes made elsewhere, restarts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.conftest import Tower, prepared_ledger, tower  # noqa: F401

from vezha.access import Role
from vezha.api import changes, marks, reports
from vezha.api.app import OWN_ROUTES, make_app
from vezha.delivery.marks import concerns
from vezha.testing.fleet.field import Field

names = st.sampled_from(["a", "b", "c"])
labels = st.dictionaries(st.sampled_from(["site", "role"]), names)


@pytest.fixture
def field(tower: Tower) -> Field:  # noqa: F811
    made = Field(tower.services.ledger, 3)
    made.clock.now_s = tower.clock.now()
    with tower.services.ledger.begin() as connection:
        connection.exec_driver_sql(f"update host set last_seen_ms = {made.now_ms}")
    tower._app = make_app(
        tower.services, (*OWN_ROUTES, *changes.ROUTES, *marks.ROUTES, *reports.ROUTES)
    )
    return made


def test_a_change_marks_its_hosts_and_the_fleet(tower: Tower, field: Field) -> None:  # noqa: F811
    api = tower.client(Role.OPERATOR)
    querying, tower.services.querying = tower.services.querying, None
    made = api.post(
        "/api/v1/changes",
        json={"kind": "agent", "target": field.publish("2.0"), "why": "w", "owner": "o",
              "title": "the second", "checklist": "c", "gates": [{"kind": "proof"}],
              "waves": [{"name": "all", "bake_s": 5}],
              "policy": {"max_in_flight": 5, "max_unavailable": 0.9}},
    ).json()  # fmt: skip
    api.post(f"/api/v1/changes/{made['id']}/plan", json={})
    assert api.post(f"/api/v1/changes/{made['id']}/start", json={}).status_code == 200
    began_s = field.clock.now_s
    field.run(field.loop(), 60)
    host = api.get(f"/api/v1/changes/{made['id']}").json()["hosts"][0]
    span = {"start": began_s - 60, "end": field.clock.now_s + 60}
    (own,) = api.get("/api/v1/marks", params={**span, "host": host}).json()["marks"]
    assert (own["kind"], own["title"], own["change"]) == ("change", "the second", made["id"])
    assert began_s <= own["at"] <= field.clock.now_s
    fleet = {m["what"] for m in api.get("/api/v1/marks", params=span).json()["marks"]}
    assert {"started", "wave", "done"} <= fleet
    earlier = {"start": began_s - 600, "end": began_s - 60}
    assert api.get("/api/v1/marks", params=earlier).json()["marks"] == []
    assert api.get("/api/v1/marks", params={"start": 9, "end": 3}).status_code == 400
    tower.services.querying = querying


def test_what_was_changed_elsewhere_is_on_the_charts_that_it_concerns(
    tower: Tower,  # noqa: F811
    field: Field,
) -> None:
    api = tower.client(Role.OPERATOR)
    tower.enrol("db-1", site="kyiv")
    tower.enrol("db-2", site="lviv")
    now_s = tower.clock.now()
    report = {"began_at": now_s - 50, "ended_at": now_s - 40}
    for body in (
        {"title": "to one", "hosts": ["db-1"]},
        {"title": "to a site", "labels": {"site": "lviv"}},
        {"title": "to all"},
    ):
        answer = api.post("/api/v1/changes/report", json={**body, **report, "key": body["title"]})
        assert answer.status_code == 200, answer.text

    def seen(**query: object) -> set[str]:
        answer = api.get("/api/v1/marks", params={"start": now_s - 60, "end": now_s, **query})
        assert all(m["until"] > m["at"] for m in answer.json()["marks"])
        return {m["title"] for m in answer.json()["marks"]}

    assert seen(host="db-1") == {"to one", "to all"}
    assert seen(host="db-2") == {"to a site", "to all"}
    assert seen() == {"to one", "to a site", "to all"}


def test_a_restart_is_one_mark(
    tower: Tower,  # noqa: F811
    field: Field,
    put: Callable[..., None],
) -> None:
    now_s = tower.clock.now()
    boot = now_s - 30
    # the clock was set meanwhile: the kernel's word moves by a second
    put("node_boot_time_seconds", [now_s - 9000] * 30 + [boot] * 10 + [boot + 1] * 10,
        instance="db-1", job="node")  # fmt: skip
    put("process_start_time_seconds", [now_s - 20] * 15, instance="db-1", job="node")
    put("vezha_agent_info", [1.0] * 15, instance="db-1", job="node")
    put("process_start_time_seconds", [now_s - 10] * 5, instance="db-1", job="other")
    span = {"start": now_s - 60, "end": now_s, "host": "db-1"}
    found = tower.client(Role.VIEWER).get("/api/v1/marks", params=span).json()["marks"]
    assert [(m["kind"], m["what"]) for m in found] == [("restart", "host"), ("restart", "agent")]
    assert found[0]["at"] == pytest.approx(boot, abs=0.01)


@given(st.lists(names, max_size=2), labels, names, labels)
def test_a_change_that_names_hosts_concerns_those_alone(
    hosts: list[str], said: dict[str, str], name: str, has: dict[str, str]
) -> None:
    if hosts:
        assert concerns(hosts, said, name, has) == (name in hosts)
    else:
        differs = any(key in has and has[key] != value for key, value in said.items())
        assert concerns(hosts, said, name, has) != differs
