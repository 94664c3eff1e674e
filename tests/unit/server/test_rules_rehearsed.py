"""A change of rules says in its plan what it would have done, or it cannot be started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.unit.api.conftest import Tower, prepared_ledger, tower  # noqa: F401
from tests.unit.server.test_rule_files import BAD, GOOD, Place, packed

from vezha.access import Role
from vezha.api import changes, rules_rehearsal
from vezha.api.app import OWN_ROUTES, make_app
from vezha.delivery.plan import digest, rehearsal_lacking
from vezha.ledger.tables import change

LIST = b"---\ntitle: Ours\nversion: 1\napplies to: Hot\n---\n- [ ] Look. {yes/no}\n"
HOT = (
    b"groups:\n- name: own\n  rules:\n  - alert: Hot\n    expr: heat > 5\n"
    b"    labels: {severity: critical}\n"
)
DRAFT = {"kind": "rules", "why": "less noise", "owner": "ann", "checklist": "rules",
         "gates": [{"kind": "proof"}], "waves": [{"name": "all", "bake_s": 1}]}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, tower: Tower) -> Place:  # noqa: F811
    made = Place(tmp_path / "state", tower.services.ledger)
    tower.services.extra[rules_rehearsal.RELEASES] = str(made.state.releases)
    tower._app = make_app(tower.services, (*OWN_ROUTES, *changes.ROUTES))
    now_ms = tower.services.now_ms()
    for i in range(600):
        at_ms = now_ms - (600 - i) * 1000
        tower.samples.append((("__name__", "up"), ("instance", "db-1")), at_ms, 1.0)
        hot = 9.0 if 100 <= i < 160 or 300 <= i < 330 else 1.0
        tower.samples.append((("__name__", "heat"), ("instance", "db-1")), at_ms, hot)
    return made


def planned(tower: Tower, target: str, **body: Any) -> tuple[int, dict[str, Any]]:  # noqa: F811
    api = tower.client(Role.OPERATOR)
    made = api.post("/api/v1/changes", json={**DRAFT, "target": target, **body})
    assert made.status_code == 200, made.text
    id_ = int(made.json()["id"])
    answer = api.post(f"/api/v1/changes/{id_}/plan", json={})
    assert answer.status_code == 200, answer.text
    return id_, answer.json()


def start(tower: Tower, id_: int) -> Any:  # noqa: F811
    return tower.client(Role.OPERATOR).post(f"/api/v1/changes/{id_}/start", json={})


HOUR = {"policy": {"rehearse_s": 3600}}


def test_the_plan_says_what_the_rules_would_have_done(tower: Tower, place: Place) -> None:  # noqa: F811
    one = place.publish("rules/own/1/own.zip", packed({"own.yml": HOT, "ours.md": LIST}))
    id_, plan = planned(tower, one.target, **HOUR)
    (alert,) = plan["document"]["rehearsal"]["alerts"]
    assert (alert["rule"], alert["fired"], alert["hosts"], alert["before"]) == (
        "Hot", 2, ["db-1"], None,
    )  # fmt: skip
    assert 80 <= alert["seconds"] <= 110
    assert "Hot (critical): would have fired twice on db-1" in plan["text"]
    assert "there are samples of 17% of it" in plan["text"]
    assert plan["sha256"] == digest(plan["document"])
    assert tower.client(Role.VIEWER).get(f"/api/v1/changes/{id_}").json()["lacks"] == []
    assert start(tower, id_).status_code == 200

    # the next version is compared with the one in force
    with tower.services.ledger.begin() as connection:
        connection.execute(
            update(change).where(change.c.id == id_)
            .values(state="done", outcome="success", ended_ms=1)
        )  # fmt: skip
        connection.exec_driver_sql("update rollout set state = 'done'")
    calmer = (
        HOT.replace(b"expr: heat > 5", b"expr: heat > 50") + b"  - alert: New\n    expr: up > 1\n"
    )
    two = place.publish("rules/own/2/own.yml", calmer)
    _, plan = planned(tower, two.target, **HOUR)
    assert "Hot (critical): would not have fired (now in force: 2 times)" in plan["text"]
    assert "New (warning): would not have fired (new)" in plan["text"]
    three = place.publish("rules/own/3/own.yml", GOOD)
    _, plan = planned(tower, three.target, **HOUR)
    assert "Hot: goes; it fired 2 times" in plan["text"]


def test_what_is_not_said_cannot_be_started(tower: Tower, place: Place) -> None:  # noqa: F811
    one = place.publish("rules/own/1/own.yml", HOT)
    tower.services.extra.pop(rules_rehearsal.RELEASES)
    id_, plan = planned(tower, one.target)
    assert "no store to ask" in plan["text"]
    refused = start(tower, id_)
    assert refused.status_code == 409
    assert "does not say what the rules would have done" in refused.json()["error"]["message"]
    assert f"vezha change plan {id_} --keep" in refused.json()["error"]["message"]
    (lack,) = tower.client(Role.VIEWER).get(f"/api/v1/changes/{id_}").json()["lacks"]
    assert "no store to ask" in lack
    # somebody may decide to do without, which the plan says
    without, plan = planned(tower, one.target, policy={"rehearse_s": 0})
    assert "rehearsal: none (policy.rehearse_s is 0)" in plan["text"]
    assert start(tower, without).status_code == 200


def test_faults_are_found_before_the_start(tower: Tower, place: Place) -> None:  # noqa: F811
    files = {"own.yml": BAD, "ours.md": b"no head"}
    one = place.publish("rules/own/1/own.zip", packed(files))
    id_, plan = planned(tower, one.target)
    assert {p.split(":")[0].split(",")[0] for p in plan["document"]["rehearsal"]["problems"]} >= {
        "own.yml"
    }
    refused = start(tower, id_)
    assert refused.status_code == 409
    assert "faults" in refused.json()["error"]["message"]
    gone = place.publish("rules/own/2/own.txt", HOT)
    id_, plan = planned(tower, gone.target)
    assert "neither a rule file" in plan["text"]
    assert start(tower, id_).status_code == 409


def test_other_kinds_say_nothing_of_rules() -> None:
    document = {"kind": "config", "policy": {"rehearse_s": 60}, "change_id": 1}
    assert rehearsal_lacking(document) == ""
    rules = {**document, "kind": "rules"}
    assert "does not say" in rehearsal_lacking(rules)
    assert "it took too long" in rehearsal_lacking(
        {**rules, "rehearsal": {"problem": "it took too long"}}
    )
