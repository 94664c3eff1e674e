"""Putting off, merging, splitting, undoing over HTTP and at the command line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.incidents.test_incident_acts import Room
from typer.testing import CliRunner

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import incidents
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.cli.incident import app
from vezha.ledger.tables import audit
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


class Web(Room):
    """A room with the API in front."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        services = Services(self.ledger, World(clock=self.clock), lambda _topic: None)
        self.app = make_app(services, incidents.ROUTES)

    def client(self, role: Role) -> TestClient:
        _, secret = create_token(self.ledger, SYSTEM, f"t-{role.value}", role, self.now_ms)
        headers = {"Authorization": f"Bearer {secret}"}
        return TestClient(self.app, base_url="https://v.test", headers=headers)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.ledger.close()


def test_acts_over_http(web: Web) -> None:
    web.apart(("a", "A"), ("b", "B"), ("c", "C"))
    client = web.client(Role.OPERATOR)
    url = "/api/v1/incidents"
    put_off = client.post(f"{url}/1/snooze", json={"minutes": 5, "note": "tea"}).json()
    assert put_off["state"] == "snoozed"
    assert put_off["snoozed_until_at"] == web.now_ms / 1000 + 300
    assert client.post(f"{url}/1/wake", json={}).json()["state"] == "open"
    assert client.post(f"{url}/1/mitigate", json={}).json()["mitigated_by"]
    assert client.post(f"{url}/1/unacknowledge", json={}).json()["state"] == "open"
    merged = client.post(f"{url}/1/merge", json={"incidents": [2, 3]}).json()
    assert sorted(a["host"] for a in merged["alerts"]) == ["a", "b", "c"]
    assert client.get(f"{url}/2").json()["merged_into"] == 1
    split = client.post(f"{url}/1/split", json={"hosts": ["c"]}).json()
    assert [a["host"] for a in split["alerts"]] == ["c"]
    assert client.post(f"{url}/1/team", json={"team": "db"}).json()["team"] == "db"
    lines = client.get(f"{url}/1").json()["timeline"]
    line = next(e for e in lines if e["kind"] == "assigned")
    assert line["undoable"]
    undone = client.post(f"{url}/1/undo", json={"line": line["id"]}).json()
    assert undone["team"] == ""
    assert not next(e for e in undone["timeline"] if e["id"] == line["id"])["undoable"]
    text = client.get(f"{url}/1/export?format=markdown")
    assert text.headers["content-type"].startswith("text/markdown")
    assert "merged by" in text.text
    assert client.get(f"{url}/1/export").json()["id"] == 1
    with web.ledger.read() as connection:
        actions = list(connection.execute(select(audit.c.action).order_by(audit.c.id)).scalars())
    assert actions[1:] == [
        "incident.snooze", "incident.snooze", "incident.mitigate", "incident.acknowledge",
        "incident.merge", "incident.split", "incident.assign", "incident.undo",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("9/snooze", {}, 404),
        ("1/snooze", {"minutes": 0.1}, 400),
        ("1/wake", {}, 409),
        ("1/merge", {"incidents": [1]}, 400),
        ("1/merge", {"incidents": []}, 400),
        ("1/split", {"hosts": ["a"]}, 400),
        ("1/undo", {"line": 99}, 404),
    ],
)
def test_what_cannot_be_done_is_said(web: Web, path: str, body: object, status: int) -> None:
    web.alert("fired", "a")
    answer = web.client(Role.OPERATOR).post(f"/api/v1/incidents/{path}", json=body)
    assert answer.status_code == status, answer.text


def test_viewers_change_nothing(web: Web) -> None:
    web.alert("fired", "a")
    client = web.client(Role.VIEWER)
    for act in ("snooze", "wake", "mitigate", "merge", "split", "undo", "team"):
        assert client.post(f"/api/v1/incidents/1/{act}", json={}).status_code == 403, act


def test_the_command_line(web: Web, tmp_path: Path) -> None:
    web.apart(("a", "A"), ("b", "B"))

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--state", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "asks again at" in run("snooze", "1", "--for", "2h")
    assert "is open" in run("wake", "1")
    assert "has the alerts of #2" in run("merge", "1", "2")
    assert "Incident 3 (b: B) is new" in run("split", "1", "--host", "b")
    assert "merged" in run("timeline", "1")
    lines = run("timeline", "1", "--json")
    assert '"undoable": true' in lines
    assert "belongs to db" in run("assign", "1", "db")
    assert "team: db" in run("export", "1")
