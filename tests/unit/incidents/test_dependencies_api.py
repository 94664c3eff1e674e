"""Dependencies over HTTP: kept, refused, suggested, accepted, audited; the desk obeys at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import dependencies, incidents
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, audit, host
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

HOUR = 3_600_000


class Web:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        self.now_ms = int(self.world.clock.now() * 1000)
        self.file = folder / "dependencies.toml"
        self.file.write_text("[[dependency]]\nchild = 'site=\"kyiv\"'\nparents = ['gw-kyiv']\n")
        services = Services(
            self.ledger, self.world, lambda _: None, extra={dependencies.FILE: str(self.file)}
        )
        self.app = make_app(services, (*dependencies.ROUTES, *incidents.ROUTES))

    def client(self, role: Role = Role.OPERATOR) -> TestClient:
        _, secret = create_token(self.ledger, SYSTEM, f"t-{role.value}", role, self.now_ms)
        return TestClient(
            self.app, base_url="https://v.test", headers={"Authorization": f"Bearer {secret}"},
            raise_server_exceptions=False,
        )  # fmt: skip

    def fire(self, name: str, at_ms: int, event: str = "fired") -> None:
        with self.ledger.begin() as connection:
            connection.execute(
                insert(alert_transition).values(
                    rule_key="r", fingerprint=f"f-{name}", group_name="g",
                    alert_name="HostSilent", host=name, severity="critical",
                    labels={"alertname": "HostSilent", "instance": name},
                    annotations={"vezha_explains": "host", "vezha_title": "silent"}, event=event,
                    from_state="inactive", to_state="firing", value=1.0, active_ms=at_ms,
                    sampled_ms=at_ms, evaluated_ms=at_ms, written_ms=at_ms,
                )
            )  # fmt: skip


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.ledger.close()


def test_dependencies_of_all_sources_are_listed_kept_and_removed(web: Web) -> None:
    client = web.client()
    with web.ledger.begin() as connection:
        connection.execute(
            insert(host).values(name="vm", labels={"depends_on": "hv"}, facts={}, created_ms=0)
        )
    made = client.post(
        "/api/v1/dependencies", json={"child": "web", "parents": ["gw-1", "gw-2"], "why": "routes"}
    ).json()
    listed = client.get("/api/v1/dependencies").json()
    assert [(d["source"], d["child"], d["parents"]) for d in listed["dependencies"]] == [
        ("person", "web", ["gw-1", "gw-2"]),
        ("file", 'site="kyiv"', ["gw-kyiv"]),
        ("label", "vm", ["hv"]),
    ]
    assert (listed["problem"], listed["inhibitions"]) == ("", [])
    assert client.delete(f"/api/v1/dependencies/{made['id']}").status_code == 204
    assert client.delete(f"/api/v1/dependencies/{made['id']}").status_code == 404
    assert len(client.get("/api/v1/dependencies").json()["dependencies"]) == 2
    web.file.write_text("nonsense")
    assert client.get("/api/v1/dependencies").json()["problem"].startswith("dependencies.toml: ")
    with web.ledger.read() as connection:
        done = connection.execute(
            select(audit.c.action).where(audit.c.outcome == "done").order_by(audit.c.id)
        ).scalars()
        assert [a for a in done if a.startswith("dependency")] == ["dependency.change"] * 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"child": "a", "parents": ["a"]}, "A cannot depend on itself."),
        ({"child": "a{", "parents": ["b"]}, "is not a matcher"),
        ({"child": "a", "parents": []}, "parents"),
        ({"child": "c", "parents": ["b"]}, "already"),
        ({"child": "b", "parents": ["c"]}, "would then depend on itself"),
    ],
)
def test_what_cannot_be_is_refused(web: Web, body: dict[str, object], said: str) -> None:
    client = web.client()
    client.post("/api/v1/dependencies", json={"child": "c", "parents": ["b"]})
    answer = client.post("/api/v1/dependencies", json=body)
    assert answer.status_code == 400
    assert said in answer.text
    assert web.client(Role.VIEWER).post("/api/v1/dependencies", json=body).status_code == 403


def test_a_suggestion_is_accepted_with_its_evidence_or_dismissed_for_good(web: Web) -> None:
    client = web.client()
    for outage in range(4):
        at_ms = web.now_ms - (outage + 1) * 50 * HOUR
        web.fire("gw", at_ms)
        web.fire("k-1", at_ms + 2_000)
        web.fire("k-2", at_ms + 3_000)
        web.fire(f"k-{1 + outage % 2}", at_ms + 9 * HOUR)
    found = client.get("/api/v1/dependency-suggestions").json()
    assert {(s["child"], s["parent"]) for s in found["suggestions"]} == {
        ("k-1", "gw"),
        ("k-2", "gw"),
    }
    assert found["suggestions"][0]["median_lead_s"] in (2.0, 3.0)
    yes = client.post(
        "/api/v1/dependency-suggestions", json={"child": "k-1", "parent": "gw", "accept": True}
    ).json()
    assert (yes["source"], yes["evidence"]["together"]) == ("learned", 4)
    assert "of 4 outages of gw" in yes["why"]
    no = {"child": "k-2", "parent": "gw", "accept": False}
    assert client.post("/api/v1/dependency-suggestions", json=no).status_code == 200
    assert client.get("/api/v1/dependency-suggestions").json()["suggestions"] == []
    assert client.post("/api/v1/dependency-suggestions", json=no).status_code == 404
    kept = client.get("/api/v1/dependencies").json()["dependencies"]
    assert [d["child"] for d in kept if d["source"] == "learned"] == ["k-1"]


def test_the_desk_obeys_a_new_dependency_at_once_and_lets_go_of_it(web: Web) -> None:
    desk = Desk(web.ledger, web.world, str(web.file))
    client = web.client()
    web.fire("k-1", web.now_ms - 20 * 60_000)
    desk.step()
    web.fire("gw", web.now_ms)
    desk.step()
    assert len(client.get("/api/v1/incidents").json()["incidents"]) == 2
    made = client.post("/api/v1/dependencies", json={"child": "k-1", "parents": ["gw"]}).json()
    assert desk.step() == 1
    silent = {
        i["id"]: i["silent_because"] for i in client.get("/api/v1/incidents").json()["incidents"]
    }
    assert silent == {1: "gw fails: silent", 2: ""}
    client.delete(f"/api/v1/dependencies/{made['id']}")
    assert desk.step() == 1
    assert desk.step() == 0
    timeline = client.get("/api/v1/incidents/1").json()["timeline"]
    assert [e["kind"] for e in timeline] == ["opened", "silenced", "eased"]
