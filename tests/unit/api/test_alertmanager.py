"""`/api/v2` against Alertmanager's shapes: sending, reading, silences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import alertmanager, alertmanager_silences, incidents, receivers
from vezha.api.app import make_app
from vezha.api.rules import rfc3339
from vezha.api.services import Services
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROUTES = (*alertmanager.ROUTES, *alertmanager_silences.ROUTES, *incidents.ROUTES)
ALERT = {
    "labels": {"alertname": "Slow", "instance": "db-1:80", "severity": "critical", "empty": ""},
    "annotations": {"summary": "too slow"},
    "startsAt": "2026-01-02T03:04:05.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://p:9090/graph",
}


class Door:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        file = folder / "notify.toml"
        file.write_text('[receivers.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n')
        self.nudges: list[str] = []
        services = Services(
            self.ledger, self.world, self.nudges.append, extra={receivers.FILE: str(file)}
        )
        self.app = make_app(services, ROUTES)
        self.desk = Desk(self.ledger, self.world)

    def client(self, role: Role = Role.OPERATOR) -> TestClient:
        now_ms = int(self.world.clock.now() * 1000)
        _, secret = create_token(self.ledger, SYSTEM, f"t-{role.value}", role, now_ms)
        return TestClient(
            self.app, base_url="https://v.test", headers={"Authorization": f"Bearer {secret}"},
            raise_server_exceptions=False,
        )  # fmt: skip


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.ledger.close()


def test_an_alert_becomes_an_incident_and_is_read_back(door: Door) -> None:
    client = door.client()
    answer = client.post("/api/v2/alerts", json=[ALERT, ALERT])
    assert (answer.status_code, answer.content) == (200, b"")
    assert door.nudges == ["alerts"]
    door.desk.step()
    (found,) = client.get("/api/v1/incidents").json()["incidents"]
    assert (found["title"], found["severity"]) == ("db-1: Slow", "critical")
    (alert,) = client.get("/api/v2/alerts").json()
    assert alert["labels"] == {
        "alertname": "Slow", "instance": "db-1:80", "severity": "critical",
        "source": "t-operator",
    }  # fmt: skip
    assert alert["startsAt"] == "2026-01-02T03:04:05.123Z"
    assert alert["generatorURL"] == "http://p:9090/graph"
    assert alert["receivers"] == [{"name": "hook"}]
    assert alert["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": []}
    (group,) = client.get("/api/v2/alerts/groups").json()
    assert (group["labels"], group["receiver"]) == ({"incident": "1"}, {"name": "hook"})
    assert group["alerts"] == [alert | {"endsAt": group["alerts"][0]["endsAt"]}]
    over = {**ALERT, "endsAt": "2026-01-02T03:05:00Z"}
    assert client.post("/api/v2/alerts", json=[over]).status_code == 200
    door.desk.step()
    assert client.get("/api/v2/alerts").json() == []
    assert client.get("/api/v1/incidents").json()["incidents"] == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('filter=alertname="Slow"', 1),
        ('filter=alertname="Slow"&filter=severity=warning', 0),
        ('filter=alertname!="Other"', 1),
        ('filter=alertname=~"S.*"', 1),
        ("active=false", 0),
        ("receiver=ho.k", 1),
        ("receiver=nobody", 0),
    ],
)
def test_alerts_are_filtered(door: Door, query: str, found: int) -> None:
    client = door.client()
    client.post("/api/v2/alerts", json=[ALERT])
    assert len(client.get(f"/api/v2/alerts?{query}").json()) == found


def test_what_is_wrong_is_refused_and_the_rest_taken(door: Door) -> None:
    client = door.client()
    answer = client.post("/api/v2/alerts", json=[ALERT, {"labels": {}}])
    assert (answer.status_code, answer.json()) == (400, "an alert needs at least one label")
    assert len(client.get("/api/v2/alerts").json()) == 1
    wrong: list[Any] = [{}, [{}], [{"labels": {"a": 1}}]]
    for body in [*wrong, [{"labels": {"a": "b"}, "endsAt": "soon"}]]:
        answer = client.post("/api/v2/alerts", json=body)
        assert answer.status_code == 400
        assert isinstance(answer.json(), str)
    assert client.get("/api/v2/alerts?filter=%7B%7B").status_code == 400


def test_who_may(door: Door) -> None:
    viewer = door.client(Role.VIEWER)
    refused = viewer.post("/api/v2/alerts", json=[ALERT])
    assert refused.status_code == 403
    assert isinstance(refused.json(), str)
    assert viewer.get("/api/v2/alerts").json() == []
    nobody = TestClient(door.app, base_url="https://v.test")
    for path in ("alerts", "alerts/groups", "silences", "status", "receivers"):
        assert nobody.get(f"/api/v2/{path}").status_code == 401


def silence_of(**changes: Any) -> dict[str, Any]:
    return {
        "matchers": [{"name": "alertname", "value": "Slow", "isRegex": False, "isEqual": True}],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "anna", "comment": "known", **changes,
    }  # fmt: skip


def test_a_silence_is_made_seen_changed_and_ended(door: Door) -> None:
    client = door.client()
    client.post("/api/v2/alerts", json=[ALERT])
    refused = client.post("/api/v2/silences", json=silence_of())
    assert (refused.status_code, refused.json()) == (400, "a silence lasts a year at most.")
    soon = in_an_hour(door)
    made = client.post("/api/v2/silences", json=silence_of(endsAt=soon)).json()["silenceID"]
    (alert,) = client.get("/api/v2/alerts").json()
    assert alert["status"] == {"state": "suppressed", "silencedBy": [made], "inhibitedBy": []}
    assert client.get("/api/v2/alerts?silenced=false").json() == []
    (seen,) = client.get('/api/v2/silences?filter=alertname="Slow"').json()
    assert seen == client.get(f"/api/v2/silence/{made}").json()
    assert (seen["createdBy"], seen["status"]) == ("anna via t-operator", {"state": "active"})
    assert seen["matchers"] == silence_of()["matchers"]
    assert client.get('/api/v2/silences?filter=alertname="Fast"').json() == []
    changed = client.post("/api/v2/silences", json=silence_of(endsAt=soon, id=made))
    other = changed.json()["silenceID"]
    assert other != made
    assert client.get(f"/api/v2/silence/{made}").json()["status"]["state"] == "expired"
    ended = client.delete(f"/api/v2/silence/{other}")
    assert (ended.status_code, ended.content) == (200, b"")
    assert client.get("/api/v2/alerts").json()[0]["status"]["state"] == "active"
    assert client.delete("/api/v2/silence/99").status_code == 404
    assert client.get("/api/v2/silence/x").status_code == 404
    listed = client.get("/api/v1/silences").json()["silences"]
    assert len(listed) == 2


def in_an_hour(door: Door) -> str:
    return rfc3339(int(door.world.clock.now() * 1000) + 3_600_000)


def test_status_and_receivers(door: Door) -> None:
    client = door.client()
    status = client.get("/api/v2/status").json()
    assert set(status) == {"cluster", "versionInfo", "config", "uptime"}
    assert status["cluster"]["status"] == "disabled"
    assert "- name: hook" in status["config"]["original"]
    assert client.get("/api/v2/receivers").json() == [{"name": "hook"}]
