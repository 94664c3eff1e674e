"""Reports, causes, figures and the diary over HTTP: who may, what is refused, what is audited."""

from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.incidents.test_desk import tell

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import causes, diary, reports
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.incidents.blaming import Blamer
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import audit
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SECRETS = reports.HookSecrets("s3cret-of-github", "t0ken-of-gitlab")


class Web:
    """The three modules over a ledger of their own."""

    def __init__(self, folder: Path, secrets: reports.HookSecrets) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        self.nudges: list[str] = []
        self._secrets: dict[Role, str] = {}
        services = Services(
            self.ledger, self.world, self.nudges.append, extra={reports.HOOKS: secrets}
        )
        self.app = make_app(services, (*causes.ROUTES, *reports.ROUTES, *diary.ROUTES))

    def client(self, role: Role | None) -> TestClient:
        if role is None:
            return TestClient(self.app, base_url="http://127.0.0.1")
        name = f"for-{role.value}"
        if role not in self._secrets:
            now_ms = int(self.world.clock.now() * 1000)
            _, self._secrets[role] = create_token(self.ledger, SYSTEM, name, role, now_ms)
        return TestClient(
            self.app,
            base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {self._secrets[role]}"},
        )


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path, SECRETS)
    yield made
    made.ledger.close()


def github_body() -> bytes:
    return json.dumps(
        {
            "deployment": {
                "id": 7, "ref": "v1", "environment": "production",
                "created_at": "2026-11-26T23:00:00Z",
            },
            "repository": {"full_name": "acme/shop"},
        }
    ).encode()  # fmt: skip


def signed(body: bytes, secret: str = SECRETS.github) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Event": "deployment"}


def test_a_report_makes_a_change_and_an_audit_row(web: Web) -> None:
    answer = web.client(Role.OPERATOR).post(
        "/api/v1/changes/report", json={"title": "switch firmware", "hosts": ["sw-1"]}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"change": 1}
    assert web.nudges == ["changes"]
    with web.ledger.read() as connection:
        rows = connection.execute(select(audit).where(audit.c.action == "change.report")).all()
    assert [row.target for row in rows] == ["1"]


def test_who_may(web: Web) -> None:
    viewer, nobody = web.client(Role.VIEWER), web.client(None)
    assert viewer.post("/api/v1/changes/report", json={"title": "x"}).status_code == 403
    assert nobody.post("/api/v1/changes/cdevents", content=b"{}").status_code == 401
    assert nobody.get("/api/v1/diary").status_code == 401
    assert viewer.get("/api/v1/diary").json() == {"weeks": []}
    assert viewer.get("/api/v1/delivery/figures").json()["figures"] == []


def test_github_is_believed_by_its_signature_alone(web: Web) -> None:
    client, body = web.client(None), github_body()
    assert client.post("/api/v1/changes/github", content=body, headers=signed(body)).json() == {
        "change": 1
    }
    wrong = client.post("/api/v1/changes/github", content=body, headers=signed(body, "other"))
    assert wrong.status_code == 404
    assert "s3cret" not in wrong.text
    ping = {**signed(b"{}"), "X-GitHub-Event": "ping"}
    assert client.post("/api/v1/changes/github", content=b"{}", headers=ping).json() == {
        "change": None
    }


def test_without_a_secret_the_doors_are_shut(tmp_path: Path) -> None:
    shut = Web(tmp_path, reports.HookSecrets())
    body = github_body()
    client = shut.client(None)
    github = client.post("/api/v1/changes/github", content=body, headers=signed(body, ""))
    gitlab = client.post("/api/v1/changes/gitlab", content=body, headers={"X-Gitlab-Token": ""})
    assert (github.status_code, gitlab.status_code) == (404, 404)
    shut.ledger.close()


def test_gitlab_and_cdevents(web: Web) -> None:
    body = {
        "status": "success", "deployment_id": 15, "status_changed_at": "2026-11-26 23:05:00 +0200",
        "project": {"path_with_namespace": "acme/shop"},
    }  # fmt: skip
    headers = {"X-Gitlab-Token": SECRETS.gitlab, "X-Gitlab-Event": "Deployment Hook"}
    client = web.client(Role.OPERATOR)
    assert client.post("/api/v1/changes/gitlab", json=body, headers=headers).json() == {"change": 1}
    broken = client.post("/api/v1/changes/cdevents", content=b"[]")
    assert broken.status_code == 400
    assert broken.json()["error"]["message"] == "The body is not a JSON object."


def test_bad_reports_name_the_field(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    for body in ({"title": ""}, {"title": "x", "began_at": "soon"}, {"titel": "x"}):
        answer = client.post("/api/v1/changes/report", json=body)
        assert answer.status_code == 400, body
    assert web.nudges == []


def test_a_cause_is_shown_and_judged(web: Web) -> None:
    client = web.client(Role.OPERATOR)
    client.post("/api/v1/changes/report", json={"title": "shop v3", "hosts": ["db-1"]})
    now_ms = int(web.world.clock.now() * 1000)
    with web.ledger.begin() as connection:
        tell(connection, "fired", "db-1", now_ms)
    Desk(web.ledger, web.world).step()
    Blamer(web.ledger, web.world).step()
    [cause] = client.get("/api/v1/incidents/1/causes").json()["causes"]
    assert cause["change_title"] == "shop v3"
    assert cause["score"] > 0.5
    path = "/api/v1/incidents/1/causes/1?language=uk"
    [judged] = client.put(path, json={"judged": "caused"}).json()["causes"]
    assert (judged["judged"], judged["judged_by"]) == ("caused", "for-operator")
    assert "торкнулася" in judged["why"]
    assert client.put("/api/v1/incidents/1/causes/9", json={"judged": "not"}).status_code == 400
    assert client.put("/api/v1/incidents/9/causes/1", json={"judged": "not"}).status_code == 404
    assert client.put(path, json={"judged": "guilty"}).status_code == 400
    assert web.client(Role.VIEWER).put(path, json={"judged": "not"}).status_code == 403
    [blamed] = client.get("/api/v1/changes/1/incidents").json()["causes"]
    assert blamed["incident"] == 1
    assert client.get("/api/v1/delivery/blame-record").json()["first_caused"] == 1
    [row] = client.get("/api/v1/delivery/figures?by=kind").json()["figures"]
    assert (row["kind"], row["changes"], row["failed_ratio"]) == ("external", 1, 1.0)


def test_the_diary_of_a_week_in_both_languages_and_forms(web: Web) -> None:
    client = web.client(Role.VIEWER)
    page = client.get("/api/v1/diary/2026-w20?language=uk").json()
    assert page["title"] == "Щоденник, тиждень 2026-W20"
    assert page["parts"][0]["name"] == "delivered"
    assert page["parts"][0]["lines"][0]["cites"] == [
        {"id": "week:2026-W20", "path": "/diary/2026-W20"}
    ]
    markdown = client.get("/api/v1/diary/2026-W20/markdown")
    assert markdown.text.startswith("# Diary, week 2026-W20")
    document = client.get("/api/v1/diary/2026-W20/html")
    assert "sandbox" in document.headers["content-security-policy"]
    for bad in ("2026-W99", "x", "2999-W01", "2026-W20?language=fr"):
        assert client.get(f"/api/v1/diary/{bad}").status_code == 400, bad
