"""The desk, the rules and the outbox over HTTP: what is answered, who may, what is audited."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.alerting.book import RuleBook
from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.api import incidents, outbox, receivers, rules
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import audit
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROUTES = (*incidents.ROUTES, *rules.ROUTES, *receivers.ROUTES, *outbox.ROUTES)


class Web:
    """The three modules over a ledger in which one host is silent."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        (folder / "notify.toml").write_text(
            '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK"\n'.replace(
                'url_env = "HOOK"', 'url = "http://127.0.0.1:9/s3cret"'
            )
        )
        samples = MemorySource()
        now_ms = int(self.world.clock.now() * 1000)
        samples.append(metric("up", instance="db-1", job="node"), now_ms, 0.0)
        samples.append(metric("up", instance="db-2", job="node"), now_ms, 1.0)
        Alerting(
            Engine(samples),
            self.ledger,
            lambda *_: None,
            self.world,
            (),
            AlertingSettings(settle_ms=0),
        ).tick()
        Desk(self.ledger, self.world).step()
        self.nudges: list[str] = []
        services = Services(
            self.ledger,
            self.world,
            self.nudges.append,
            extra={rules.BOOK: RuleBook(), receivers.FILE: str(folder / "notify.toml")},
        )
        self.app = make_app(services, ROUTES)
        self.now_ms = now_ms

    def client(self, role: Role) -> TestClient:
        _, secret = create_token(self.ledger, SYSTEM, f"t-{role.value}", role, self.now_ms)
        return TestClient(
            self.app, base_url="https://v.test", headers={"Authorization": f"Bearer {secret}"},
            raise_server_exceptions=False,
        )  # fmt: skip

    def audited(self) -> list[tuple[str, str, str]]:
        with self.ledger.read() as connection:
            rows = connection.execute(select(audit).order_by(audit.c.id)).all()
        return [(r.action, r.target, r.outcome) for r in rows if not r.action.startswith("token.")]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.ledger.close()


def test_an_incident_is_read_taken_and_closed(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    (listed,) = client.get("/api/v1/incidents").json()["incidents"]
    assert (listed["title"], listed["state"], listed["hosts"]) == ("db-1: silent", "open", ["db-1"])
    assert (listed["title_uk"], listed["cause"]) == ("db-1: мовчить", None)
    assert listed["next_uk"].startswith("Перевірте ping")
    assert listed["summary_uk"].startswith("db-1 замовк")
    taken = client.post("/api/v1/incidents/1/acknowledge", json={"note": "on it"}).json()
    assert taken["state"] == "acknowledged"
    assert taken["acknowledged_by"]
    assert [(e["kind"], e["text"]) for e in taken["timeline"]] == [
        ("opened", "HostSilent db-1"),
        ("acknowledged", "on it"),
    ]
    assert "vezha_checklist" in taken["alerts"][0]["annotations"]
    again = client.post("/api/v1/incidents/1/acknowledge", json={})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert client.post("/api/v1/incidents/1/resolve", json={}).json()["state"] == "resolved"
    assert client.get("/api/v1/incidents").json()["incidents"] == []
    assert len(client.get("/api/v1/incidents?state=all").json()["incidents"]) == 1
    assert client.post("/api/v1/incidents/1/reopen", json={}).json()["state"] == "open"
    noted = client.post("/api/v1/incidents/1/note", json={"text": "cable"}).json()
    assert noted["timeline"][-1]["text"] == "cable"
    assert [a for a, _, _ in web.audited()] == [
        "incident.acknowledge", "incident.resolve", "incident.resolve", "incident.note",
    ]  # fmt: skip
    assert web.nudges == ["incidents"] * 4


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/api/v1/incidents/99", None, 404, "There is no incident 99."),
        ("GET", "/api/v1/incidents/x", None, 404, "x"),
        ("GET", "/api/v1/incidents?state=odd", None, 400, "state is open or all."),
        ("POST", "/api/v1/incidents/1/note", {"text": ""}, 400, "text"),
        ("POST", "/api/v1/silences", {"matchers": "a=b"}, 400, "either ends_at or minutes"),
        ("POST", "/api/v1/silences", {"matchers": "nonsense", "minutes": 5}, 400, "not a matcher"),
        ("POST", "/api/v1/silences", {"matchers": 'a=~".*"', "minutes": 5}, 400, "fit every alert"),
        ("POST", "/api/v1/silences", {"matchers": "a=b", "minutes": -5}, 400, "must end after"),
        ("DELETE", "/api/v1/silences/9", None, 404, "no silence 9"),
        ("POST", "/api/v1/receivers/ghost/test", None, 404, "no receiver 'ghost'"),
        ("DELETE", "/api/v1/outbox/9", None, 404, "no message 9"),
    ],
)
def test_what_is_wrong_is_said(
    web: Web, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = web.client(Role.OPERATOR).request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_a_viewer_may_look_and_not_touch(web: Web) -> None:
    client = web.client(Role.VIEWER)
    for path in ("incidents", "silences", "rules", "alerts"):
        assert client.get(f"/api/v1/{path}").status_code == 200, path
    for path in (
        "incidents/1/acknowledge",
        "incidents/1/resolve",
        "silences",
        "receivers/hook/test",
    ):
        assert client.post(f"/api/v1/{path}", json={}).status_code == 403, path


def test_silences_with_windows(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    body = {
        "matchers": [{"name": "site", "value": "kyiv"}],
        "minutes": 60 * 24 * 30,
        "comment": "patching",
        "recurs": {"days": ["sat"], "start": "02:00", "minutes": 90, "time_zone": "Europe/Kyiv"},
    }
    made = client.post("/api/v1/silences", json=body).json()
    assert made["recurs"]["start"] == "02:00"
    assert client.get("/api/v1/silences").json()["silences"] == [made]
    assert client.delete(f"/api/v1/silences/{made['id']}").status_code == 204
    (ended,) = client.get("/api/v1/silences").json()["silences"]
    assert ended["state"] == "expired"
    assert ended["ended_by"]


def test_rules_and_alerts_as_prometheus_answers(web: Web) -> None:
    client = web.client(Role.VIEWER)
    (alert,) = client.get("/api/v1/alerts").json()["data"]["alerts"]
    assert (alert["state"], alert["value"]) == ("firing", "0e+00")
    assert alert["labels"]["alertname"] == "HostSilent"
    assert alert["activeAt"].endswith("Z")
    groups = client.get("/api/v1/rules?rule_name[]=HostSilent").json()["data"]["groups"]
    (rule,) = groups[0]["rules"]
    assert (rule["type"], rule["state"], rule["health"]) == ("alerting", "firing", "ok")
    assert rule["alerts"] == [alert]
    assert groups[0]["file"] == "built-in/host.yml"
    bare = client.get("/api/v1/rules?rule_name[]=HostSilent&exclude_alerts=true").json()
    assert bare["data"]["groups"][0]["rules"][0]["alerts"] == []
    assert client.get("/api/v1/rules?type=record").json()["data"]["groups"] == []


def test_a_test_message_can_be_watched_and_dropped_and_shows_no_secret(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    answer = client.get("/api/v1/receivers")
    assert [r["name"] for r in answer.json()["receivers"]] == ["hook"]
    id_ = client.post("/api/v1/receivers/hook/test").json()["message"]
    (message,) = client.get("/api/v1/outbox?state=waiting").json()["messages"]
    assert (message["id"], message["kind"], message["receiver"]) == (id_, "test", "hook")
    assert client.delete(f"/api/v1/outbox/{id_}").status_code == 204
    assert client.get("/api/v1/outbox").json()["counts"] == {"failed": 1}
    assert client.post(f"/api/v1/outbox/{id_}/retry").status_code == 204
    assert client.get("/api/v1/outbox").json()["counts"] == {"waiting": 1}
    assert "s3cret" not in answer.text + client.get("/api/v1/outbox").text
    assert web.nudges == ["outbox"] * 3


def test_how_long_things_take(web: Web) -> None:
    client = web.client(Role.VIEWER)
    (row,) = client.get("/api/v1/incidents/times?by=severity").json()["times"]
    assert (row["severity"], row["week"], row["incidents"]) == ("critical", "", 1)
    assert row["detection"]["count"] == 1
    assert row["recovery"] == {"count": 0, "median_s": None, "p95_s": None}
    refused = client.get("/api/v1/incidents/times?by=month")
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "by")
