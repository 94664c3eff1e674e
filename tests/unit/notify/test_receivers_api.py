"""Receivers and routes over HTTP and at the command line: who may, what is told, what never is."""

from __future__ import annotations

import json
import warnings

import pytest
from sqlalchemy import select
from tests.unit.notify.conftest import Office
from typer.testing import CliRunner

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import outbox, receivers
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.cli.notify import app as command
from vezha.ledger.tables import audit
from vezha.ledger.tables import receiver as receiver_table

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROUTES = (*receivers.ROUTES, *outbox.ROUTES)
HERE = "/api/v1/receivers"
PATHS = "/api/v1/notify-routes"
WORD = "hunter2-is-secret"
MAIL = {"host": "mail.example.org", "user": "vezha", "from": "v@example.org", "to": ["a@b.org"]}
BODY = {"type": "smtp", "options": MAIL, "secrets": {"password": WORD}}


@pytest.fixture
def nudges() -> list[str]:
    return []


def client(office: Office, role: Role, nudges: list[str] | None = None) -> TestClient:
    told = nudges if nudges is not None else []
    extra = {receivers.FILE: str(office.settings)}
    services = Services(office.ledger, office.world, told.append, extra=extra)
    name = f"t{office.world.chance.token(3).hex()}"
    _, secret = create_token(office.ledger, SYSTEM, name, role, office.now_ms())
    headers = {"Authorization": f"Bearer {secret}"}
    return TestClient(make_app(services, ROUTES), base_url="https://v.test", headers=headers)


def test_a_receiver_is_saved_shown_tried_and_removed(office: Office, nudges: list[str]) -> None:
    admin = client(office, Role.ADMIN, nudges)
    made = admin.put(f"{HERE}/mail", json=BODY)
    assert made.status_code == 200, made.text
    view = made.json()
    assert (view["secrets"], view["options"]["host"]) == (["password"], "mail.example.org")
    assert nudges == ["outbox"]
    (one,) = admin.get(HERE).json()["receivers"]
    assert (one["name"], one["saved"], one["problem"], one["addressable"]) == (
        "mail",
        True,
        "",
        True,
    )
    assert admin.get(HERE).json()["implied"] is True
    assert admin.post(f"{HERE}/mail/test").status_code == 202
    again = admin.get(f"{HERE}/mail").json()
    assert again == view
    assert admin.delete(f"{HERE}/mail?before=old").status_code == 409
    assert admin.delete(f"{HERE}/mail?before={view['revision']}").status_code == 204
    assert admin.get(HERE).json()["receivers"] == []
    assert admin.get(f"{HERE}/mail").status_code == 404


def test_no_secret_comes_back(office: Office) -> None:
    admin = client(office, Role.ADMIN)
    said = [
        admin.put(f"{HERE}/mail", json=BODY).text,
        admin.get(HERE).text,
        admin.get(f"{HERE}/mail").text,
    ]
    bad = {
        **BODY,
        "options": {**MAIL, "port": 0},
        "before": admin.get(f"{HERE}/mail").json()["revision"],
    }
    said.append(admin.put(f"{HERE}/mail", json=bad).text)
    hook = {"type": "webhook", "secrets": {"url": f"gopher://{WORD}"}}
    said.append(admin.put(f"{HERE}/hook", json=hook).text)
    said.append(
        admin.put(
            f"{HERE}/any", json={"type": "apprise", "secrets": {"url": f"nonsense://{WORD}"}}
        ).text
    )
    with office.ledger.read() as connection:
        said += [str(row) for row in connection.execute(select(audit))]
        said += [str(row) for row in connection.execute(select(receiver_table))]
    assert not [text for text in said if WORD in text]
    with office.ledger.read() as connection:
        rows = connection.execute(select(audit).where(audit.c.action == "receiver.change")).all()
    assert json.loads(rows[0].detail) == {
        "type": "smtp", "options": ["from", "host", "to", "user"], "secrets": ["password"],
    }  # fmt: skip


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_an_admin_changes_them(office: Office, role: Role) -> None:
    other = client(office, role)
    assert other.get(HERE).status_code == 200
    assert other.get("/api/v1/receiver-types").status_code == 200
    assert other.get(f"{HERE}/mail").status_code == 403
    assert other.put(f"{HERE}/mail", json=BODY).status_code == 403
    assert other.delete(f"{HERE}/mail").status_code == 403
    assert other.put(PATHS, json={"routes": [], "before": ""}).status_code == 403


def test_what_is_wrong_is_named(office: Office) -> None:
    office.settings.write_text('[receivers.hook]\ntype = "webhook"\nurl = "https://example.org"\n')
    admin = client(office, Role.ADMIN)
    wrong = admin.put(f"{HERE}/mail", json={**BODY, "options": {**MAIL, "to": []}})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "to")
    taken = admin.put(f"{HERE}/hook", json={"type": "webhook", "secrets": {"url": "https://x.org"}})
    assert taken.status_code == 409
    assert "notify.toml" in taken.json()["error"]["message"]
    assert admin.get(f"{HERE}/hook").status_code == 404


def test_routes_are_put_in_place_whole(office: Office, nudges: list[str]) -> None:
    admin = client(office, Role.ADMIN, nudges)
    admin.put(f"{HERE}/mail", json=BODY)
    before = admin.get(PATHS).json()["revision"]
    wanted = [
        {"receivers": ["mail"], "match": ['team="db"'], "severity": "critical", "go_on": True},
        {"receivers": ["mail"], "match": [], "severity": "warning", "go_on": False},
    ]
    put = admin.put(PATHS, json={"routes": wanted, "before": before})
    assert (put.status_code, put.json()["routes"]) == (200, wanted)
    shown = admin.get(HERE).json()
    assert [(r["severity"], r["saved"]) for r in shown["routes"]] == [
        ("critical", True),
        ("warning", True),
    ]
    assert shown["implied"] is False
    assert admin.put(PATHS, json={"routes": [], "before": before}).status_code == 409
    now = put.json()["revision"]
    bad = admin.put(PATHS, json={"routes": [{"receivers": ["who"]}], "before": now})
    assert bad.json()["error"]["field"] == "routes[0].receivers"
    removed = admin.delete(f"{HERE}/mail?before={admin.get(f'{HERE}/mail').json()['revision']}")
    assert removed.status_code == 409
    assert "route 1" in removed.json()["error"]["message"]


def test_types_say_what_a_form_asks(office: Office) -> None:
    found = client(office, Role.VIEWER).get("/api/v1/receiver-types").json()
    types = {t["type"]: {o["name"]: o for o in t["options"]} for t in found["types"]}
    assert sorted(types) == ["apprise", "smtp", "telegram", "webhook", "webpush"]
    assert types["smtp"]["password"]["kind"] == "secret"
    assert types["webpush"]["key"]["made"] is True
    assert "quiet" in [o["name"] for o in found["common"]]


def run(office: Office, *words: str, given: str = "", code: int = 0) -> str:
    done = CliRunner().invoke(command, [*words, "--state", str(office.folder)], input=given)
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_line_saves_and_removes(office: Office) -> None:
    words = ["host=mail.example.org", "user=vezha", "from=v@example.org", "to=a@b.org,c@d.org"]
    run(office, "set", "mail", "smtp", *words, "--secret", "password", given=f"{WORD}\n")
    run(office, "set", "mail", "smtp", "rate=5")
    key = (office.folder / "notify.key").read_bytes()
    assert "with a new key: 1." in run(office, "rekey")
    assert (office.folder / "notify.key").read_bytes() != key
    run(office, "route", "mail", "--severity", "critical", "--match", "team=db")
    shown = run(office, "list")
    assert "mail  smtp  saved" in shown
    assert 'route 1 (saved): team="db" from critical → mail' in shown
    run(office, "route", "--remove", "1")
    run(office, "remove", "mail")
    assert "Nobody is told" in run(office, "list")
    with office.ledger.read() as connection:
        rows = connection.execute(select(audit.c.detail)).all()
    assert not [row for row in rows if WORD in str(row)]


def test_a_secret_on_the_command_line_is_refused(office: Office) -> None:
    done = CliRunner().invoke(
        command, ["set", "m", "smtp", f"password={WORD}", "--state", str(office.folder)]
    )
    assert "--secret password" in str(done.exception)
