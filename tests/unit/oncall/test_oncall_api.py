"""Schedules, policies, teams, contacts, calendars over HTTP and at the command line."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.unit.oncall.conftest import PLAN, House
from typer.testing import CliRunner

from vezha.access import SYSTEM, Role, Subject, SubjectKind
from vezha.access.token import create_token
from vezha.access.user import add_user
from vezha.api import (
    calendars,
    contacts,
    escalation_policies,
    handovers,
    incidents,
    oncall,
    outbox,
    receivers,
    session,
    teams,
)
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.cli import contact as contact_command
from vezha.cli import oncall as oncall_command
from vezha.ledger.tables import audit, calendar_feed, message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROUTES = (
    *oncall.ROUTES, *escalation_policies.ROUTES, *teams.ROUTES, *handovers.ROUTES,
    *calendars.ROUTES, *contacts.ROUTES, *incidents.ROUTES, *receivers.ROUTES, *outbox.ROUTES,
)  # fmt: skip
ONCALL = "/api/v1/oncall"


def client(house: House, role: Role) -> TestClient:
    services = Services(
        house.ledger, house.world, lambda _topic: None, extra={receivers.FILE: str(house.settings)}
    )
    name = f"t{house.world.chance.token(3).hex()}"
    _, secret = create_token(house.ledger, SYSTEM, name, role, house.now_ms())
    headers = {"Authorization": f"Bearer {secret}"}
    return TestClient(make_app(services, ROUTES), base_url="https://v.test", headers=headers)


def test_who_is_on_call(house: House) -> None:
    (one,) = client(house, Role.VIEWER).get(ONCALL).json()["schedules"]
    assert (one["schedule"], one["now"]["person"], one["next"]["person"]) == (
        "db",
        "olena",
        "petro",
    )
    assert (one["reachable"], one["gaps"]) == (True, [])


def test_a_schedule_is_kept_shown_and_forgotten(house: House) -> None:
    admin = client(house, Role.ADMIN)
    body = {
        "time_zone": "Europe/Kyiv",
        "layers": [
            {"name": "day", "people": ["olena"], "rotation": "daily", "start": "2023-11-13T09:00",
             "windows": [{"days": ["mon"], "start": "09:00", "minutes": 60}]},
        ],
    }  # fmt: skip
    made = admin.put(f"{ONCALL}/schedules/web", json=body)
    assert made.status_code == 200, made.text
    assert made.json()["layers"][0]["windows"] == body["layers"][0]["windows"]  # type: ignore[index]
    shifts = admin.get(f"{ONCALL}/schedules/web/shifts").json()["shifts"]
    assert {s["person"] for s in shifts} == {"olena", ""}
    stand_in = admin.post(
        f"{ONCALL}/schedules/web/overrides", json={"person": "petro", "minutes": 60}
    )
    assert stand_in.status_code == 201
    (one,) = admin.get(f"{ONCALL}/schedules/web").json()["overrides"]
    assert one["person"] == "petro"
    assert admin.delete(f"{ONCALL}/overrides/{one['id']}").status_code == 204
    assert admin.delete(f"{ONCALL}/overrides/{one['id']}").status_code == 404
    assert admin.delete(f"{ONCALL}/schedules/web").status_code == 204
    refused = admin.delete(f"{ONCALL}/schedules/db")
    assert (refused.status_code, "Policy db still names" in refused.text) == (400, True)
    with house.ledger.read() as connection:
        actions = list(connection.execute(select(audit.c.action).order_by(audit.c.id)).scalars())
    assert actions[-4:] == ["oncall.change", "oncall.override", "oncall.override", "oncall.change"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("schedules/x", {"layers": [], "time_zone": "Mars"}, 'no time zone "Mars"'),
        ("schedules/x", {"layers": [{"name": "l", "people": [], "start": "2023-11-13T09:00"}]},
         "at least one person"),
        ("schedules/x", {"layers": [{"name": "l", "people": ["ghost"], "start": "2023-11-13T09:00"}]},
         'no person "ghost"'),
        ("schedules/x", {"layers": [{"name": "l", "people": ["boss"], "start": "noon"}]},
         "first hand-over"),
        ("schedules/x", {"layers": [{"name": "l", "people": ["boss"], "start": "2023-11-13T09:00",
                                     "rotation": "0h"}]}, "rotation"),
        ("policies/x", {"steps": []}, "at least one step"),
        ("policies/x", {"steps": [{"targets": ["boss"]}]}, "must be one of person:NAME"),
        ("policies/x", {"steps": [{"targets": ["schedule:y"]}]}, 'no schedule "y"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(house: House, path: str, body: Any, said: str) -> None:
    answer = client(house, Role.ADMIN).put(f"{ONCALL}/{path}", json=body)
    assert answer.status_code in (400, 404), answer.text
    assert said in answer.json()["error"]["message"]


def test_policies_teams_and_an_incidents_escalation(house: House) -> None:
    admin = client(house, Role.ADMIN)
    policy = admin.get(f"{ONCALL}/policies/db").json()
    assert policy["steps"][0] == {"targets": ["schedule:db"], "wait_s": 300}
    policy["repeat"] = 3
    assert admin.put(f"{ONCALL}/policies/db", json=policy).json() == policy
    assert "Team db still has policy db" in admin.delete(f"{ONCALL}/policies/db").text
    assert [t["name"] for t in admin.get("/api/v1/teams").json()["teams"]] == ["db"]
    made = admin.put("/api/v1/teams/web", json={"match": ['role="web"'], "members": ["boss"]})
    assert made.json()["members"] == ["boss"]
    assert admin.delete("/api/v1/teams/web").status_code == 204
    house.tell("fired", "db-1", team="db")
    house.escalator.step()
    seen = admin.get("/api/v1/incidents/1/escalation").json()
    assert (seen["policy"], seen["phase"], seen["step"]) == ("db", "paging", 2)
    assert admin.get("/api/v1/incidents/9/escalation").status_code == 404


def test_hand_over_pages(house: House) -> None:
    viewer = client(house, Role.VIEWER)
    house.tell("fired", "db-1", team="db")
    page = viewer.get(f"{ONCALL}/schedules/db/handover").json()
    assert (page["from_person"], page["to_person"]) == ("olena", "petro")
    assert [i["title"] for i in page["look_at"]] == ["db-1: Disk full"]
    house.clerk.step()
    house.clock.seconds += 7 * 86_400
    house.clerk.step()
    (past,) = viewer.get(f"{ONCALL}/handovers?schedule=db").json()["handovers"]
    assert past["to_person"] == "petro"


def test_calendars_by_a_secret_address(house: House) -> None:
    operator = client(house, Role.OPERATOR)
    made = operator.post(f"{ONCALL}/calendars", json={"schedule": "db"}).json()
    outside = TestClient(operator.app, base_url="https://v.test")
    got = outside.get(made["path"])
    assert got.headers["content-type"] == "text/calendar; charset=utf-8"
    assert "SUMMARY:olena on call: Databases" in got.text
    assert outside.get(made["path"].replace("vzc_", "vzc_x")[:-5] + ".ics").status_code == 404
    (listed,) = operator.get(f"{ONCALL}/calendars").json()["calendars"]
    assert listed["path"] == ""
    assert listed["used_at"]
    assert operator.post(f"{ONCALL}/calendars", json={"person": "olena"}).status_code == 403
    assert operator.delete(f"{ONCALL}/calendars/{listed['id']}").status_code == 204
    assert outside.get(made["path"]).status_code == 404
    own = client(house, Role.ADMIN).post(f"{ONCALL}/calendars", json={"person": "petro"}).json()
    text = outside.get(own["path"]).text
    assert "petro" in text
    assert "olena" not in text
    secret = own["path"].rpartition("/")[2].removesuffix(".ics")
    with house.ledger.read() as connection:
        kept = str(connection.execute(select(calendar_feed)).all())
        kept += str(connection.execute(select(audit)).all())
    assert secret not in kept


def test_contacts_are_ones_own(house: House) -> None:
    admin, viewer = client(house, Role.ADMIN), client(house, Role.VIEWER)
    url = "/api/v1/people/olena"
    assert viewer.get(f"{url}/contacts").status_code == 403
    assert (
        viewer.put(f"{url}/contacts/x", json={"via": "mail", "address": "a@b"}).status_code == 403
    )
    seen = admin.get(f"{url}/contacts").json()
    assert [c["name"] for c in seen["contacts"]] == ["mail"]
    assert seen["accounts"] == ["mail"]
    bad = admin.put(f"{url}/contacts/x", json={"via": "mail", "address": "not an address"})
    assert "is not a mail address" in bad.text
    bad = admin.put(f"{url}/contacts/x", json={"via": "hook", "address": "http://10.0.0.1/"})
    assert "reaches one address only" in bad.text
    assert (
        admin.put(f"{url}/contacts/home", json={"via": "mail", "address": "o@x.org"}).status_code
        == 200
    )
    wanted = {
        "language": "uk", "time_zone": "Europe/Kyiv", "rules": {"critical": ["home"]},
        "quiet": [{"days": ["mon"], "start": "22:00", "minutes": 480}], "quiet_below": "critical",
    }  # fmt: skip
    assert admin.put(f"{url}/preferences", json=wanted).json() == wanted
    assert admin.get(f"{url}/preferences").json() == wanted
    wrong = admin.put(f"{url}/preferences", json={"rules": {"critical": ["fax"]}})
    assert 'no contact "fax"' in wrong.json()["error"]["message"]
    sent = admin.post(f"{url}/contacts/home/test")
    assert sent.status_code == 202
    with house.ledger.read() as connection:
        row = connection.execute(select(message)).one()
    assert (row.receiver, row.payload["language"]) == ("@olena/home", "uk")
    assert admin.delete(f"{url}/contacts/home").status_code == 204
    assert admin.get("/api/v1/people/ghost/contacts").status_code == 404


def test_a_person_is_me(house: House) -> None:
    """A signed-in person reaches their own by `me`; a token has none."""

    class Asking:
        subject = Subject(SubjectKind.USER, "olena", Role.VIEWER)
        path = {"name": "me"}  # noqa: RUF012 - a stand-in

    assert contacts._person(Asking()) == "olena"  # type: ignore[arg-type]


def test_the_command_line(house: House, tmp_path: Path) -> None:
    def run(app: Any, *words: str, code: int = 0, text: str = "") -> str:
        done = CliRunner().invoke(app, [*words, "--state", str(tmp_path)], input=text)
        assert done.exit_code == code, done.output + repr(done.exception)
        return done.output

    command = oncall_command.app
    shown = run(command, "now")
    assert "db" in shown
    assert json.loads(run(command, "now", "--json"))[0]["schedule"] == "db"
    exported = run(command, "export")
    assert "Nothing to change" in run(command, "apply", "-", "--prune", text=exported)
    changed = PLAN.replace("repeat = 1", "repeat = 2")
    assert run(command, "apply", "-", text=changed) == "policy db\n"
    assert "stands in for db" in run(command, "override", "db", "boss", "--for", "2h")
    assert "boss" in run(command, "show", "db")
    assert "has ended" in run(command, "end-override", "1")
    assert "No gaps" in run(command, "gaps")
    assert "Hand-over of db" in run(command, "handover", "db")
    assert "Передача зміни" in run(command, "handover", "db", "--language", "uk")
    assert "BEGIN:VCALENDAR" in run(command, "calendar", "db")
    assert "/api/v1/oncall/calendar/vzc_" in run(
        command, "calendar", "petro", "--person", "--address"
    )
    people = contact_command.app
    assert "try vezha contact test" in run(people, "add", "olena", "home", "mail", "o@x.org")
    assert "critical by home" in run(people, "prefer", "olena", "--critical", "home",
                                     "--quiet", "22:00-07:00")  # fmt: skip
    assert "quiet 22:00-07:00 below critical" in run(people, "list")
    assert "did not take it" in run(people, "test", "olena", "home", code=1)
    assert "not reached by home" in run(people, "remove", "olena", "home")


def signed_in(house: House, name: str) -> TestClient:
    """A browser of somebody who is an operator; tokens are in no team."""
    add_user(house.ledger, SYSTEM, name, Role.OPERATOR, house.now_ms(), password="a long password")
    services = Services(house.ledger, house.world, extra={receivers.FILE: str(house.settings)})
    made = TestClient(make_app(services, (*ROUTES, *session.ROUTES)), base_url="https://v.test")
    answer = made.post("/api/v1/session", json={"name": name, "password": "a long password"})
    assert answer.status_code == 200, answer.text
    return made


def test_an_operator_changes_the_own_teams_things_and_no_others(house: House) -> None:
    admin = client(house, Role.ADMIN)
    iryna = signed_in(house, "iryna")
    assert admin.put("/api/v1/teams/web", json={"members": ["iryna"]}).status_code == 200
    assert iryna.get("/api/v1/session").json()["user"]["teams"] == ["web"]
    layer = {"name": "w", "people": ["olena"], "rotation": "weekly", "start": "2023-11-13T09:00"}
    policy = {"steps": [{"targets": ["schedule:web-main"]}]}
    assert iryna.put(f"{ONCALL}/schedules/web-main", json={"layers": [layer]}).status_code == 200
    assert iryna.put(f"{ONCALL}/policies/web", json=policy).status_code == 200
    for path, body in (
        ("schedules/db", {"layers": [layer]}),
        ("schedules/other", {"layers": [layer]}),
        ("policies/db", policy),
    ):
        refused = iryna.put(f"{ONCALL}/{path}", json=body)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "not_your_teams"
        assert (
            "iryna is in web, and may change what is named web-…"
            in refused.json()["error"]["message"]
        )
        assert iryna.delete(f"{ONCALL}/{path}").status_code == 403
    # receivers likewise, and their routes are an admin's
    hook = {"type": "webhook", "options": {}, "secrets": {"url": "https://hook.example.org/web"}}
    own = iryna.put("/api/v1/receivers/web-hook", json=hook)
    assert own.status_code == 200, own.text
    for name in ("db-hook", "mail"):
        assert iryna.put(f"/api/v1/receivers/{name}", json=hook).status_code == 403
    assert iryna.put("/api/v1/notify-routes", json={"routes": [], "before": ""}).status_code == 403
    policy["steps"][0]["targets"].append("receiver:web-hook")
    assert iryna.put(f"{ONCALL}/policies/web", json=policy).status_code == 200
    assert iryna.delete("/api/v1/receivers/web-hook").status_code == 409, "its policy names it"
    # nor by another name in the body, nor by joining a team
    other = iryna.put(f"{ONCALL}/schedules/web-x", json={"layers": [layer], "name": "db"})
    assert (other.status_code, other.json()["error"]["field"]) == (400, "name")
    join = iryna.put("/api/v1/teams/db", json={"members": ["iryna"]})
    assert (join.status_code, join.json()["error"]["code"]) == (403, "role_too_low")
    assert iryna.delete(f"{ONCALL}/policies/web").status_code == 204
    with house.ledger.read() as connection:
        rows = connection.execute(
            select(audit.c.target, audit.c.outcome).where(
                audit.c.actor == "iryna", audit.c.action == "oncall.change"
            )
        ).all()
    assert "web-main" in {r.target for r in rows if r.outcome != "refused"}
    assert sum(r.outcome == "refused" for r in rows) == 6
    # out of the team, out of its things
    assert admin.put("/api/v1/teams/web", json={"members": []}).status_code == 200
    assert iryna.delete(f"{ONCALL}/schedules/web-main").status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("oncall/schedules/web", {"layers": [], "time_zone": "Mars"}, "time_zone"),
        ("oncall/schedules/web", {"layers": [{"name": "day", "people": [], "start": "2026-11-02T09:00"}]}, "layers[0].people"),
        ("oncall/schedules/web", {"layers": [{"name": "day", "people": ["nobody"], "start": "2026-11-02T09:00"}]}, "layers[0].people"),
        ("oncall/schedules/web", {"layers": [{"name": "day", "people": ["olena"], "start": "now"}]}, "layers[0].start"),
        ("oncall/schedules/web", {"layers": [{"name": "day", "people": ["olena"], "start": "2026-11-02T09:00", "rotation": "often"}]}, "layers[0].rotation"),
        ("oncall/schedules/web", {"layers": [{"name": "day", "people": ["olena"], "start": "2026-11-02T09:00", "windows": [{"days": [], "start": "09:00", "minutes": 60}]}]}, "layers[0].windows"),
        ("oncall/policies/web", {"steps": []}, "steps"),
        ("oncall/policies/web", {"steps": [{"targets": ["person:olena"]}, {"targets": ["olena"]}]}, "steps[1].targets"),
        ("oncall/policies/web", {"steps": [{"targets": ["schedule:none"]}]}, "steps[0].targets"),
        ("oncall/policies/web", {"steps": [{"targets": ["person:olena"], "wait_s": 0}]}, "steps[0].wait_s"),
        ("oncall/policies/web", {"steps": [{"targets": ["person:olena"]}], "severity": "dire"}, "severity"),
        ("teams/web", {"match": ["role="]}, "match"),
        ("teams/web", {"members": ["nobody"]}, "members"),
        ("teams/web", {"policy": "none"}, "policy"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_names_the_field(
    house: House, path: str, body: dict[str, Any], named: str
) -> None:
    answer = client(house, Role.ADMIN).put(f"/api/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["error"].get("field")) == (400, named), answer.text


def test_a_teams_silence_is_made_and_ended_by_its_members(house: House) -> None:
    admin, operator = client(house, Role.ADMIN), client(house, Role.OPERATOR)
    iryna = signed_in(house, "iryna")
    assert admin.put("/api/v1/teams/web", json={"members": ["iryna"]}).status_code == 200
    path = "/api/v1/silences"
    body = {"matchers": 'severity="warning"', "minutes": 10, "team": "web"}
    made = iryna.post(path, json=body)
    assert made.status_code == 200, made.text
    assert made.json()["team"] == "web"
    number = made.json()["id"]
    nobodys = iryna.post(path, json={**body, "team": ""}).json()["id"]
    for other in (operator, iryna):  # a token is in no team, and iryna is not in db
        refused = other.post(path, json={**body, "team": "db"})
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "not_your_teams"
    assert operator.delete(f"{path}/{number}").status_code == 403
    assert operator.delete(f"{path}/{nobodys}").status_code == 204
    unknown = admin.post(path, json={**body, "team": "nowhere"})
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (400, "team")
    assert admin.post(path, json={**body, "team": "db"}).status_code == 200
    assert iryna.delete(f"{path}/{number}").status_code == 204
    with house.ledger.read() as connection:
        outcomes = connection.execute(
            select(audit.c.outcome).where(audit.c.action == "silence.change")
        ).scalars()
        assert list(outcomes).count("refused") == 3
