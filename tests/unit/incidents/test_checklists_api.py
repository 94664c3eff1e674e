"""Checklists over HTTP: read, run by two people, refused, audited."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import checklist_runs, checklists, incidents
from vezha.api.app import make_app
from vezha.api.metrics import ApiMetrics
from vezha.api.querying import Querying
from vezha.api.services import Services
from vezha.incidents.checklists.book import ChecklistBook
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, audit, checklist_version
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROUTES = (*checklists.ROUTES, *checklist_runs.ROUTES, *incidents.ROUTES)
OWN = """---
title: Own disk list
applies to: DiskFull
---
- [ ] Free on $host {query bytes}
  `node_filesystem_avail_bytes{instance="$host"}`
- [ ] Still full? {yes/no}
  stop if no: it is over
"""


class Web:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        self.now_ms = int(self.world.clock.now() * 1000)
        samples = MemorySource()
        free = metric("node_filesystem_avail_bytes", instance="db-1", mountpoint="/var")
        samples.append(free, self.now_ms, 4096.0)
        with self.ledger.begin() as connection:
            connection.execute(
                insert(alert_transition).values(
                    rule_key="r", fingerprint="f", group_name="g", alert_name="DiskFull",
                    host="db-1", severity="critical",
                    labels={"alertname": "DiskFull", "instance": "db-1", "mountpoint": "/var"},
                    annotations={}, event="fired", from_state="inactive", to_state="firing",
                    value=1.0, active_ms=self.now_ms, sampled_ms=self.now_ms,
                    evaluated_ms=self.now_ms, written_ms=self.now_ms,
                )
            )  # fmt: skip
        Desk(self.ledger, self.world).step()
        own = folder / "checklists"
        own.mkdir()
        (own / "own-disk.md").write_text(OWN)
        (own / "broken.md").write_text("no head")
        self.nudges: list[str] = []
        services = Services(
            self.ledger, self.world, self.nudges.append,
            extra={checklists.BOOK: ChecklistBook(own)},
        )  # fmt: skip
        self.querying = Querying(Engine(samples), samples, self.world, ApiMetrics())
        services.querying = self.querying
        self.app = make_app(services, ROUTES)

    def client(self, role: Role, name: str = "anna") -> TestClient:
        _, secret = create_token(self.ledger, SYSTEM, name, role, self.now_ms)
        return TestClient(
            self.app, base_url="https://v.test", headers={"Authorization": f"Bearer {secret}"},
            raise_server_exceptions=False,
        )  # fmt: skip


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.querying.close()
    made.ledger.close()


def test_checklists_are_found_by_alert_and_by_incident(web: Web) -> None:
    client = web.client(Role.VIEWER)
    everything = client.get("/api/v1/checklists").json()
    assert len(everything["checklists"]) > 25
    ((_, faults),) = everything["problems"].items()
    assert faults[0].startswith("broken.md:1: a checklist begins with ---")
    by_alert = client.get("/api/v1/checklists?alert=DiskFull").json()["checklists"]
    by_incident = client.get("/api/v1/checklists?incident=1").json()["checklists"]
    assert [c["name"] for c in by_alert] == ["own-disk", "disk-full"]
    assert by_incident == by_alert
    one = client.get("/api/v1/checklists/disk-full").json()
    assert one["steps"][0]["kind"] == "query"
    assert one["text"].startswith("---")
    assert client.get("/api/v1/checklists/none").status_code == 404
    assert client.get("/api/v1/checklists?incident=9").status_code == 404
    lint = client.post("/api/v1/checklist-lint", json={"text": "---\ntitle: a\n---\n- [ ] b\n"})
    assert lint.json() == {"problems": []}


def test_two_people_do_a_run_and_it_fills_itself_in(web: Web) -> None:
    anna = web.client(Role.OPERATOR)
    bohdan = web.client(Role.OPERATOR, "bohdan")
    begun = anna.post("/api/v1/checklist-runs", json={"checklist": "own-disk", "incident": 1})
    run = begun.json()
    assert (run["state"], run["incident"], run["steps_open"]) == ("running", 1, 2)
    free, _ = run["checklist_steps"]
    assert free["text"] == "Free on db-1"
    assert free["query"] == 'node_filesystem_avail_bytes{instance="db-1"}'
    assert free["filled"]["series"] == [
        {"labels": {"instance": "db-1", "mountpoint": "/var"}, "value": 4096.0}
    ]
    url = f"/api/v1/checklist-runs/{run['id']}"
    seen = run["revision"]
    taken = anna.post(f"{url}/answer", json={"step": 1, "revision": seen}).json()
    assert taken["checklist_steps"][0]["answered_by"]
    again = bohdan.post(f"{url}/skip", json={"step": 1, "reason": "x", "revision": seen})
    assert (again.status_code, again.json()["error"]["field"]) == (409, "revision")
    other = bohdan.post(f"{url}/answer", json={"step": 2, "value": True, "revision": seen})
    assert other.json()["waits_for_signature"]
    assert bohdan.post(f"{url}/sign", json={}).json()["state"] == "done"
    assert bohdan.post(f"{url}/clear", json={"step": 1}).status_code == 409
    shown = anna.get(url).json()
    assert [e["kind"] for e in shown["events"]] == [
        "started", "filled", "answered", "answered", "signed", "done",
    ]  # fmt: skip
    listed = anna.get("/api/v1/checklist-runs?incident=1&state=open").json()
    assert listed == {"runs": []}
    (figures,) = anna.get("/api/v1/checklist-figures").json()["checklists"]
    assert (figures["checklist"], figures["done"], len(figures["steps"])) == ("own-disk", 1, 2)
    timeline = anna.get("/api/v1/incidents/1").json()["timeline"]
    assert [e["text"] for e in timeline if e["kind"] == "checklist"] == [
        "Own disk list: started", "Own disk list: done",
    ]  # fmt: skip
    assert web.nudges[:2] == ["checklists:1", "incidents"]
    with web.ledger.read() as connection:
        acts = connection.execute(
            select(audit.c.detail, audit.c.outcome)
            .where(audit.c.action == "checklist.run")
            .order_by(audit.c.id)
        ).all()
    done = [json.loads(row.detail).get("act", "begin") for row in acts if row.outcome == "done"]
    assert done == ["begin", "answer", "answer", "sign"]


def test_a_stop_a_resume_a_fill_and_an_end(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    body = {"checklist": "own-disk", "variables": {"host": "db-9"}}
    run = client.post("/api/v1/checklist-runs", json=body).json()
    assert run["checklist_steps"][0]["filled"]["series"] == []
    url = f"/api/v1/checklist-runs/{run['id']}"
    stopped = client.post(f"{url}/answer", json={"step": 2, "value": "no"}).json()
    assert (stopped["state"], stopped["stopped_because"]) == ("stopped", "it is over")
    assert client.post(f"{url}/fill", json={"step": 1}).status_code == 200
    assert client.post(f"{url}/fill", json={"step": 2}).status_code == 200, "fills nothing"
    assert client.post(f"{url}/resume", json={}).status_code == 400
    assert client.post(f"{url}/resume", json={"reason": "not yet"}).json()["state"] == "running"
    assert client.post(f"{url}/abandon", json={}).json()["state"] == "abandoned"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"checklist": "none"}, 400),
        ("", {"checklist": "disk-full", "incident": 99}, 400),
        ("", {"checklist": "disk-full", "variables": {"host": "x" * 600}}, 400),
        ("/99/answer", {"step": 1}, 404),
        ("/99/fill", {}, 404),
        ("/1/answer", {"step": 0}, 400),
        ("/1/answer", {"step": 77}, 400),
        ("/1/answer", {"step": 2, "value": "perhaps"}, 400),
    ],
)
def test_what_cannot_be_done_is_told(
    web: Web, path: str, body: dict[str, object], status: int
) -> None:
    client = web.client(Role.OPERATOR)
    client.post("/api/v1/checklist-runs", json={"checklist": "own-disk"})
    answer = client.post(f"/api/v1/checklist-runs{path}", json=body)
    assert answer.status_code == status, answer.text


def test_who_only_looks_cannot_answer(web: Web) -> None:
    viewer = web.client(Role.VIEWER)
    assert viewer.post("/api/v1/checklist-runs", json={"checklist": "own-disk"}).status_code == 403
    assert viewer.get("/api/v1/checklist-runs").json() == {"runs": []}


def test_a_checklist_is_written_changed_and_removed(tmp_path: Path) -> None:
    web = Web(tmp_path)
    api, viewer = web.client(Role.OPERATOR), web.client(Role.VIEWER, "petro")
    path = "/api/v1/checklists/night-watch"
    text = "---\ntitle: Night watch\n---\n- [ ] The lights are on\n"
    assert viewer.put(path, json={"text": text}).status_code == 403
    broken = api.put(path, json={"text": "---\ntitle: Night\n---\n- [ ] Warm? {warmth}\n"})
    assert broken.status_code == 200
    assert ":4: " in broken.json()["problems"][0]
    assert api.get(path).status_code == 404
    assert api.put(path, json={"text": text}).json() == {"problems": []}
    kept = api.get(path).json()
    assert (kept["title"], kept["own"], kept["text"]) == ("Night watch", True, text)
    taken = api.put(path, json={"text": text})
    assert (taken.status_code, taken.json()["error"]["field"]) == (409, "name")
    # as long as the one before: the clock of the file system need not have moved
    other = text.replace("Night", "Light")
    assert api.put(path, json={"text": other, "hash": kept["hash"]}).status_code == 200
    assert api.get(path).json()["title"] == "Light watch"
    assert api.put(path, json={"text": text, "hash": kept["hash"]}).status_code == 409
    assert api.put("/api/v1/checklists/no%20name", json={"text": text}).status_code == 400
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 404
    shipped = api.get("/api/v1/checklists").json()["checklists"][0]["name"]
    assert api.delete(f"/api/v1/checklists/{shipped}").status_code == 409
    with web.ledger.read() as connection:
        done = connection.execute(select(audit.c.action, audit.c.target)).all()
    assert [t for a, t in done if a == "checklist.change"].count("night-watch") == 3


def test_runs_and_figures_have_the_ukrainian_words_of_the_text_they_began_with(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    client.post("/api/v1/checklist-runs", json={"checklist": "own-disk"})
    begun = client.post("/api/v1/checklist-runs", json={"checklist": "disk-full"}).json()
    written = client.get("/api/v1/checklists/disk-full").json()
    assert begun["title_uk"] == written["title_uk"] != ""
    runs = client.get("/api/v1/checklist-runs").json()["runs"]
    assert [(r["title"], r["title_uk"]) for r in runs] == [
        (written["title"], written["title_uk"]),
        ("Own disk list", ""),
    ]
    shown = client.get("/api/v1/checklist-figures").json()["checklists"]
    by_name = {one["checklist"]: one for one in shown}
    assert by_name["disk-full"]["title_uk"] == written["title_uk"]
    assert by_name["disk-full"]["steps"][0]["text_uk"] == written["steps"][0]["text_uk"] != ""


def test_a_text_that_is_not_read_any_more_does_not_hide_the_list_of_runs(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    client.post("/api/v1/checklist-runs", json={"checklist": "own-disk"})
    with web.ledger.begin() as connection:
        connection.execute(update(checklist_version).values(text="# of another grammar\n"))
    (run,) = client.get("/api/v1/checklist-runs").json()["runs"]
    assert (run["title"], run["title_uk"]) == ("Own disk list", "")
