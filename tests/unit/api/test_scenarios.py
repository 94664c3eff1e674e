"""Scenarios over the API: who may, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.conftest import Tower
from tests.unit.scenario.conftest import WALK

from vezha.access import Role
from vezha.api import scenarios
from vezha.api.app import OWN_ROUTES, make_app
from vezha.scenario.book import ScenarioBook

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(tower: Tower, tmp_path: Path) -> Ask:
    """`ask("GET", "/scenarios", body, role=Role.VIEWER)`: status and answer."""
    tower.services.extra[scenarios.BOOK] = ScenarioBook(str(tmp_path / "scenarios"))
    tower._app = make_app(tower.services, (*OWN_ROUTES, *scenarios.ROUTES))
    clients = {role: tower.client(role) for role in Role}

    def call(
        method: str, path: str, body: object = None, role: Role = Role.OPERATOR
    ) -> tuple[int, Any]:
        answer = clients[role].request(method, f"/api/v1{path}", json=body)
        return answer.status_code, answer.json() if answer.content else None

    return call


def test_a_round_of_two_people(ask: Ask, put: Callable[..., None]) -> None:
    assert ask("PUT", "/scenarios/walk", {"text": WALK}) == (200, {"problems": []})
    put("load", [1.0])
    status, begun = ask("POST", "/scenarios/walk/rounds", {})
    assert status == 200
    assert [x["state"] for x in begun["looks"]] == ["expected", "expected", "waiting"]
    assert begun["walk"][2]["look_for"] == "It is locked."
    here = f"/rounds/{begun['id']}"
    assert ask("POST", f"{here}/sign", {})[0] == 409
    assert ask("POST", f"{here}/views/2", {"state": "odd"})[0] == 409
    status, said = ask("POST", f"{here}/views/2", {"state": "odd", "text": "open"}, role=Role.ADMIN)
    assert (status, said["looks"][2]["state"]) == (200, "odd")
    put("up", [0.0], instance="db-1")
    status, again = ask("POST", f"{here}/look")
    assert again["looks"][0]["evidence"] == [{"labels": {"instance": "db-1"}, "value": 0.0}]
    assert again["looks"][2]["said"] == "open"
    status, signed = ask("POST", f"{here}/sign", {"note": "Told the guard"})
    assert (status, signed["state"], signed["odd"]) == (200, "signed", 2)
    assert ask("POST", f"{here}/leave", {})[0] == 409
    assert ask("POST", f"{here}/look")[0] == 409
    assert ask("GET", here, role=Role.VIEWER)[1] == signed
    assert ask("GET", "/rounds/77")[0] == 404
    listed = ask("GET", "/rounds?scenario=walk", role=Role.VIEWER)[1]["rounds"]
    assert [r["id"] for r in listed] == [begun["id"]]


def test_a_viewer_looks_and_changes_nothing(ask: Ask) -> None:
    viewer = {"role": Role.VIEWER}
    status, found = ask("GET", "/scenarios", **viewer)
    assert status == 200
    assert {s["name"] for s in found["scenarios"]} >= {"servers", "web", "hand-over"}
    assert all(s["unused"] for s in found["scenarios"])
    assert ask("GET", "/scenarios/servers/looks", **viewer)[0] == 200
    assert ask("POST", "/scenarios/servers/rounds", {"kind": "run"}, **viewer)[0] == 403
    assert ask("PUT", "/scenarios/walk", {"text": WALK}, **viewer)[0] == 403
    assert ask("DELETE", "/scenarios/servers", **viewer)[0] == 403
    assert ask("GET", "/scenarios/nothing", **viewer)[0] == 404


def test_playing_and_watching_are_uses(ask: Ask) -> None:
    assert ask("POST", "/scenarios/servers/rounds", {"kind": "play"})[1]["state"] == "expected"
    assert ask("POST", "/scenarios/servers/rounds", {"kind": "watch"})[1]["kind"] == "watch"
    assert ask("POST", "/scenarios/servers/rounds", {"kind": "dance"})[0] == 400
    one = ask("GET", "/scenarios/servers")[1]
    assert (one["uses"]["play"], one["uses"]["watch"], one["unused"]) == (1, 1, False)
    assert [r["kind"] for r in one["rounds"]] == ["play"]
    assert one["versions"][0]["version"] == one["version"]


def test_saving(ask: Ask) -> None:
    assert ask("POST", "/scenarios/lint", {"text": "scenario: a"})[1]["problems"]
    assert ask("POST", "/scenarios/lint", {"text": WALK}) == (200, {"problems": []})
    assert (
        "`title` is missing" in ask("PUT", "/scenarios/a", {"text": "scenario: a"})[1]["problems"]
    )
    assert ask("PUT", "/scenarios/other", {"text": WALK})[0] == 400
    assert ask("PUT", "/scenarios/walk", {"text": WALK})[0] == 200
    # Who has not seen the newest version does not overwrite it.
    assert ask("PUT", "/scenarios/walk", {"text": WALK})[0] == 409
    version = ask("GET", "/scenarios/walk")[1]["version"]
    changed = WALK.replace("locked", "shut")
    assert ask("PUT", "/scenarios/walk", {"text": changed, "version": version})[0] == 200
    assert ask("GET", "/scenarios/walk")[1]["text"] == changed
    assert ask("DELETE", "/scenarios/walk")[0] == 204
    assert ask("DELETE", "/scenarios/servers")[0] == 409
