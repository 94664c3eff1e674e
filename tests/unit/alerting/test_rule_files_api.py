"""Rule files over HTTP: rehearsed before they are saved, versioned, audited."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import rule_files
from vezha.api.app import make_app
from vezha.api.metrics import ApiMetrics
from vezha.api.querying import Querying
from vezha.api.services import Services
from vezha.ledger import Ledger
from vezha.ledger.tables import audit
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

GOOD = """groups:
  - name: g
    interval: 1s
    rules:
      - alert: Hot
        expr: degrees > 50
"""
URL = "/api/v1/rule-files/mine.yml"


class Web:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        self.rules = folder / "rules"
        self.rules.mkdir()
        self.now_ms = int(self.world.clock.now() * 1000)
        source = MemorySource()
        for second in range(-600, 30):
            hot = 90.0 if -300 <= second < -200 else 20.0
            at_ms = self.now_ms // 1000 * 1000 + second * 1000
            source.append(metric("degrees", instance="oven"), at_ms, hot)
        services = Services(
            self.ledger, self.world, lambda _: None, extra={rule_files.FOLDER: str(self.rules)}
        )
        self.querying = Querying(Engine(source), source, self.world, ApiMetrics())
        services.querying = self.querying
        self.app = make_app(services, rule_files.ROUTES)

    def client(self, role: Role) -> TestClient:
        _, secret = create_token(self.ledger, SYSTEM, f"t-{role.value}", role, self.now_ms)
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


def test_a_file_says_what_it_would_have_done_before_it_is_saved(web: Web) -> None:
    client = web.client(Role.ADMIN)
    dry = client.put(URL, json={"text": GOOD, "last": "10m", "dry_run": True}).json()
    (hot,) = dry["rehearsal"]
    assert (hot["rule"], hot["fired"], hot["hosts"]) == ("Hot", 1, ["oven"])
    assert 95 <= hot["seconds"] <= 105
    assert (dry["saved"], list(web.rules.iterdir())) == (False, [])
    saved = client.put(URL, json={"text": GOOD, "last": "10m", "note": "heat"}).json()
    assert saved["saved"]
    assert (web.rules / "mine.yml").read_text() == GOOD
    shown = client.get(URL).json()
    assert (shown["rules"], shown["hash"], shown["problems"]) == (1, saved["hash"], [])
    (version,) = shown["versions"]
    assert (version["note"], version["rehearsal"][0]["fired"]) == ("heat", 1)
    assert [f["name"] for f in client.get("/api/v1/rule-files").json()["files"]] == ["mine.yml"]


def test_faults_are_told_and_nothing_is_saved(web: Web) -> None:
    client = web.client(Role.ADMIN)
    bad = client.put(URL, json={"text": GOOD.replace("> 50", ">")}).json()
    assert not bad["saved"]
    assert bad["problems"][0].startswith("mine.yml:6: ")
    assert client.put(URL, json={"text": "groups: []"}).json()["problems"]
    assert list(web.rules.iterdir()) == []
    for name in ("..%2fx.yml", "x.txt", ".x.yml", "x.test.yml"):
        answer = client.put(f"/api/v1/rule-files/{name}", json={"text": GOOD, "last": "0s"})
        assert answer.status_code in (400, 404), name
    assert client.put(URL, json={"text": GOOD, "last": "soon"}).status_code == 400
    assert web.client(Role.OPERATOR).put(URL, json={"text": GOOD}).status_code == 403


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(web: Web) -> None:
    client = web.client(Role.ADMIN)
    first = client.put(URL, json={"text": GOOD, "last": "0s"}).json()["hash"]
    (web.rules / "mine.yml").write_text(GOOD + "# by hand\n")
    body = {"text": GOOD.replace("50", "60"), "last": "0s", "before": first}
    assert client.put(URL, json=body).status_code == 409
    seen = client.get(URL).json()["hash"]
    assert client.put(URL, json={**body, "before": seen}).json()["saved"]
    gone = client.delete(f"{URL}?before={seen}")
    assert gone.status_code == 409
    now = client.get(URL).json()["hash"]
    assert client.delete(f"{URL}?before={now}").status_code == 204
    assert client.delete(f"{URL}?before=").status_code == 404
    assert list(web.rules.iterdir()) == []
    shown = client.get(URL).json()
    assert [v["text"] is None for v in shown["versions"]] == [True, False, False]
    with web.ledger.read() as connection:
        done = connection.execute(
            select(audit.c.target).where(audit.c.action == "rule.change", audit.c.outcome == "done")
        ).scalars()
        assert list(done) == ["mine.yml"] * 3
