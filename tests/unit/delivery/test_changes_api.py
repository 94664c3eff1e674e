"""Changes over HTTP: who may, what is refused and how, and a whole way from draft to done."""

from __future__ import annotations

import pytest
from tests.unit.api.conftest import Tower, prepared_ledger, tower  # noqa: F401

from vezha.access import Role
from vezha.access.audit import list_audit
from vezha.api import changes, freezes, releases
from vezha.api.app import OWN_ROUTES, make_app
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import Field

DRAFT = {
    "kind": "agent", "why": "it is better", "owner": "ann", "checklist": "roll-out",
    "gates": [{"kind": "proof"}],
    "waves": [{"name": "canary", "count": 1, "bake_s": 5}, {"name": "all", "bake_s": 5}],
    "policy": {"max_in_flight": 5, "max_unavailable": 0.5},
}  # fmt: skip


@pytest.fixture
def field(tower: Tower) -> Field:  # noqa: F811
    services = tower.services
    services.querying = None  # hosts are up by the ledger's word
    made = Field(services.ledger, 3)
    made.clock.now_s = tower.clock.now()
    with services.ledger.begin() as connection:
        connection.exec_driver_sql(f"update host set last_seen_ms = {made.now_ms}")
    routes = (*OWN_ROUTES, *changes.ROUTES, *freezes.ROUTES, *releases.ROUTES)
    tower._app = make_app(services, routes)
    return made


def test_from_draft_to_done(tower: Tower, field: Field) -> None:  # noqa: F811
    target = field.publish("2.0")
    api = tower.client(Role.OPERATOR)
    made = api.post("/api/v1/changes", json={**DRAFT, "target": target})
    assert made.status_code == 200, made.text
    id_ = made.json()["id"]
    assert made.json()["lacks"] == []
    dry = api.post(f"/api/v1/changes/{id_}/plan", json={"dry_run": True}).json()
    assert dry["kept"] is False
    assert "wave 1 canary" in dry["text"]
    assert api.get(f"/api/v1/changes/{id_}/plan").status_code == 404
    planned = api.post(f"/api/v1/changes/{id_}/plan", json={})
    assert planned.status_code == 200, planned.text
    plan = planned.json()
    assert [len(w["members"]) for w in plan["document"]["waves"]] == [1, 2]
    begun = api.post(f"/api/v1/changes/{id_}/start", json={})
    assert begun.status_code == 200, begun.text
    rollout = begun.json()["id"]
    assert "changes" in tower.nudges
    field.run(field.loop(), 120)
    done = api.get(f"/api/v1/rollouts/{rollout}").json()
    assert done["state"] == "done"
    assert done["counts"] == {"proven": 3}
    assert [w["counts"] for w in done["waves"]] == [{"proven": 1}, {"proven": 2}]
    (proof, *_) = [x for x in done["verdicts"] if x["gate"] == "proof"]
    again = api.get(f"/api/v1/verdicts/{proof['id']}?recompute=true").json()
    assert again["agrees"] is True
    host = api.get(f"/api/v1/rollouts/{rollout}/attempts").json()["attempts"][0]["host"]
    one = api.get(f"/api/v1/rollouts/{rollout}/attempts/{host}").json()
    assert [s["to_state"] for s in one["history"]][-1] == "proven"
    assert api.get(f"/api/v1/hosts/{host}/attempts").json()["attempts"][0]["change_id"] == id_
    detail = api.get(f"/api/v1/changes/{id_}").json()
    assert detail["outcome"] == "success"
    kinds = [e["kind"] for e in detail["timeline"]]
    assert kinds[:3] == ["drafted", "planned", "started"]
    assert kinds[-1] == "done"
    with tower.services.ledger.read() as connection:
        actions = [r["action"] for r in list_audit(connection, 20)]
    assert {"delivery.draft", "delivery.start"} <= set(actions)


def test_what_is_refused_says_how_to_mend_it(tower: Tower, field: Field) -> None:  # noqa: F811
    target = field.publish("2.0")
    api, viewer = tower.client(Role.OPERATOR), tower.client(Role.VIEWER)
    assert viewer.post("/api/v1/changes", json={**DRAFT, "target": target}).status_code == 403
    wrong = api.post("/api/v1/changes", json={**DRAFT, "target": "agent/x/1/none"})
    assert wrong.status_code in (400, 422)
    assert "vezha release list" in wrong.text
    bad_gate = {
        **DRAFT,
        "target": target,
        "gates": [{"kind": "promql", "expr": "up +", "threshold": 1}],
    }
    assert "not PromQL" in api.post("/api/v1/changes", json=bad_gate).text
    bare = {"kind": "agent", "target": target, "gates": [{"kind": "proof", "shadow": True}]}
    id_ = api.post("/api/v1/changes", json=bare).json()["id"]
    api.post(f"/api/v1/changes/{id_}/plan", json={})
    refused = api.post(f"/api/v1/changes/{id_}/start", json={})
    assert refused.status_code == 409
    for word in ("useful", "gate guards", "owns", "checklist"):
        assert word in refused.text
    assert api.post("/api/v1/rollouts/77/pause", json={}).status_code == 404
    assert api.get("/api/v1/changes?state=odd").status_code in (400, 422)


def test_freezes_quarantine_and_the_glass(tower: Tower, field: Field) -> None:  # noqa: F811
    api, admin = tower.client(Role.OPERATOR), tower.client(Role.ADMIN)
    body = {"kind": "maintenance", "name": "night", "selector": 'role="web"', "minutes": 600_00,
            "time_zone": "Europe/Kyiv",
            "recurs": {"days": ["sun"], "start": "02:00", "minutes": 120}}  # fmt: skip
    window = api.post("/api/v1/freezes", json=body)
    assert window.status_code == 200, window.text
    assert window.json()["recurs"]["days"] == ["sun"]
    assert "time zone" in api.post("/api/v1/freezes", json={**body, "time_zone": "Mars"}).text
    assert len(api.get("/api/v1/freezes").json()["windows"]) == 1
    assert api.delete(f"/api/v1/freezes/{window.json()['id']}").status_code == 204
    assert api.delete(f"/api/v1/freezes/{window.json()['id']}").status_code == 404

    target = field.publish("2.0", Behaviour("reverted", "crashed"))
    id_ = api.post("/api/v1/changes", json={**DRAFT, "target": target}).json()["id"]
    api.post(f"/api/v1/changes/{id_}/plan", json={})
    rollout = api.post(f"/api/v1/changes/{id_}/start", json={}).json()["id"]
    glass = f"/api/v1/rollouts/{rollout}/break-glass"
    assert api.post(glass, json={"why": "fire"}).status_code == 403
    assert admin.post(glass, json={"why": "fire"}).json()["break_glass_why"] == "fire"
    field.run(field.loop(), 60)
    assert api.get(f"/api/v1/rollouts/{rollout}").json()["state"] == "reverted"
    (found, *_) = [q for q in api.get("/api/v1/quarantine").json()["quarantine"] if q["everywhere"]]
    assert found["target"] == target
    assert [r["quarantined"] for r in api.get("/api/v1/releases").json()["releases"]] == [
        True,
        False,
    ]
    lift = f"/api/v1/quarantine/{found['sha256']}/lift"
    assert api.post(lift, json={"why": "no"}).status_code == 403
    assert admin.post(lift, json={"why": "it was the disk"}).status_code == 204
    assert api.get("/api/v1/quarantine").json()["quarantine"] == []


def test_a_window_is_written_anew_while_it_runs_or_is_to_come(tower: Tower, field: Field) -> None:  # noqa: F811
    api = tower.client(Role.OPERATOR)
    body = {"kind": "freeze", "name": "feast", "selector": 'role="web"', "minutes": 60}
    made = api.post("/api/v1/freezes", json=body).json()
    path = f"/api/v1/freezes/{made['id']}"
    anew = api.put(path, json={**body, "selector": "", "minutes": 120, "overrun": "hold"}).json()
    assert (anew["selector"], anew["overrun"], anew["author"]) == ("{}", "hold", made["author"])
    assert anew["ends_at"] - made["ends_at"] > 3000
    assert api.get("/api/v1/freezes").json()["windows"] == [anew]
    assert tower.client(Role.VIEWER).put(path, json=body).status_code == 403
    api.delete(path)
    assert api.put(path, json=body).status_code == 404


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kind": "feast"}, "kind"),
        ({"selector": "role="}, "selector"),
        ({"minutes": -1}, "ends_at"),
        ({"time_zone": "Mars"}, "time_zone"),
        ({"recurs": {"days": ["feast"], "start": "02:00", "minutes": 60}}, "recurs"),
        ({"recurs": {"days": "mon"}}, "recurs.days"),
    ],
)
def test_a_window_that_cannot_be_names_the_field(
    tower: Tower,  # noqa: F811
    field: Field,
    given: dict[str, object],
    named: str,
) -> None:
    body = {"kind": "freeze", "minutes": 60, **given}
    answer = tower.client(Role.OPERATOR).post("/api/v1/freezes", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, named)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"target": "agent/none"}, "target"),
        ({"risk": "none"}, "risk"),
        ({"selector": "role="}, "selector"),
        ({"params": {"a": 1}}, "params"),
        ({"policy": {"jitter_s": -1}}, "policy.jitter_s"),
        ({"waves": [{"name": "a"}, {"name": "b", "percent": 10}, {"name": "c", "percent": 5}]},
         "waves[2].percent"),
        ({"waves": [{"name": "Big Wave"}]}, "waves[0].name"),
        ({"waves": [{"name": "a", "selector": "role="}]}, "waves[0].selector"),
        ({"waves": [{"name": "a", "hosts": ["x"], "count": 1}]}, "waves[0]"),
        ({"gates": [{"kind": "proof"}, {"kind": "promql", "threshold": 1}]}, "gates[1].expr"),
        ({"gates": [{"kind": "promql", "expr": "up"}]}, "gates[0].threshold"),
        ({"gates": [{"kind": "promql", "expr": "up(", "threshold": 1}]}, "gates[0].expr"),
        ({"gates": [{"kind": "webhook", "url": "ftp://x"}]}, "gates[0].url"),
    ],
)  # fmt: skip
def test_a_draft_that_cannot_be_names_the_field(
    tower: Tower,  # noqa: F811
    field: Field,
    given: dict[str, object],
    named: str,
) -> None:
    body = {**DRAFT, "target": field.publish("2.0"), **given}
    answer = tower.client(Role.OPERATOR).post("/api/v1/changes", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, named)


def test_a_gate_is_rehearsed_over_the_past(tower: Tower, field: Field) -> None:  # noqa: F811
    from vezha.api.querying import Querying
    from vezha.query import Engine

    services = tower.services
    engine = Engine(tower.samples)
    services.querying = Querying(engine, tower.samples, services.world, services.metrics)
    now_ms = services.now_ms()
    for i in range(60):
        series = (("__name__", "errors"), ("instance", "h00001"))
        tower.samples.append(series, now_ms - (60 - i) * 1000, 1.0 if i < 40 else 9.0)
    api = tower.client(Role.VIEWER)
    answer = api.post("/api/v1/gates/rehearse", json={
        "gate": {"kind": "promql", "expr": "errors", "threshold": 5},
        "start_at": now_ms / 1000 - 50, "end_at": now_ms / 1000, "step_s": 5,
    })  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert [s["result"] for s in answer.json()["spans"]] == ["pass", "fail"]
    # a gate as a change has it, over that change's hosts
    gates = [{"kind": "proof"}, {"kind": "promql", "name": "noise", "expr": "errors",
                                 "threshold": 100}]  # fmt: skip
    body = {**DRAFT, "target": field.publish("2.0"), "gates": gates, "selector": 'zone="z1"'}
    id_ = tower.client(Role.OPERATOR).post("/api/v1/changes", json=body).json()["id"]
    past = {"start_at": now_ms / 1000 - 50, "end_at": now_ms / 1000, "step_s": 5, "change": id_}
    answer = api.post("/api/v1/gates/rehearse", json={**past, "gate": {"name": "noise"}})
    assert [s["result"] for s in answer.json()["spans"]] == ["pass"]
    refused = api.post("/api/v1/gates/rehearse", json={**past, "gate": {"name": "odd"}})
    assert "it has: proof, noise" in refused.text
    services.querying.close()
