"""A script step of a checklist runs as a change, with its approvals, and shows what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from tests.unit.api.conftest import Tower, prepared_ledger, tower  # noqa: F401
from tests.unit.delivery.conftest import OpenLedger, migrated, open_ledger  # noqa: F401
from tests.unit.delivery.rolling import state_of

from vezha.access import Role
from vezha.access.audit import list_audit
from vezha.api import checklist_runs, checklists
from vezha.api.app import OWN_ROUTES, make_app
from vezha.cli.app import run as vezha
from vezha.delivery.desk import answer_plan
from vezha.delivery.errors import NotAllowed, SpecError
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.checklists.rows import act_in, begin_run, read_run
from vezha.incidents.checklists.run import Asked, RunAct
from vezha.incidents.checklists.script import (
    ScriptAsked,
    ScriptBegun,
    in_lines,
    run_script_step,
    script_results,
)
from vezha.incidents.errors import AnswerError, ChecklistError, WrongState
from vezha.ledger import Ledger
from vezha.ledger.tables import change, running
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import Field

TEXT = """---
title: Greet
---
- [ ] Greet it {script vezha who=$who}
- [ ] With a second person {script vezha/1 who=all, approvals 1}
- [ ] Not there {script nothing, optional}
- [ ] Look {optional}
"""
CUSTOM: dict[str, Any] = {"interpreter": ["/bin/sh"],
          "parameters": [{"name": "who", "type": "text", "pattern": "[a-z]+"}]}  # fmt: skip


@pytest.fixture
def field(open_ledger: OpenLedger) -> Field:  # noqa: F811
    made = Field(open_ledger(), 3)
    made.publish("1", kind="script", **CUSTOM)
    return made


def begun(field: Field, **variables: str) -> int:
    with field.ledger.begin() as connection:
        return begin_run(
            connection, parse_checklist(TEXT, "greet"), "ann", field.now_ms, incident=None,
            variables={"host": "h00001", "who": "world"} | variables,
        )  # fmt: skip


def ran(
    field: Field, run: int, step: int = 1, *, dry_run: bool = False, **asked: Any
) -> ScriptBegun:
    with field.ledger.begin() as connection:
        return run_script_step(
            connection, ScriptAsked(run, step, "ann", **asked), field.signals.up(0), field.now_ms,
            dry_run=dry_run,
        )  # fmt: skip


def results(field: Field, run: int) -> dict[int, dict[str, Any]]:
    with field.ledger.read() as connection:
        return script_results(connection, read_run(connection, run))


def test_it_runs_as_a_change_and_its_output_is_shown(field: Field) -> None:
    run = begun(field)
    shown = ran(field, run, dry_run=True).as_json()
    assert shown["hosts"] == ["h00001"]
    assert "runs with who=world" in shown["text"]
    with field.ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(change)).scalar() == 0
    made = ran(field, run)
    assert made.rollout_id is not None
    with field.ledger.read() as connection:
        row = connection.execute(select(change)).one()
    assert (row.kind, row.owner, row.checklist, row.params) == (
        "script", "ann", "greet", {"who": "world"},
    )  # fmt: skip
    assert row.labels == {"checklist_run": str(run), "checklist_step": "1"}
    assert "step 1 of Greet" in row.why
    with pytest.raises(WrongState, match=f"change {made.change_id} runs it now"):
        ran(field, run)
    assert field.run(
        field.loop(), 60, until=lambda: state_of(field, made.rollout_id or 0) == "done"
    )
    (result,) = results(field, run).values()
    assert (result["state"], result["hosts"][0]["exit_code"]) == ("done", 0)
    assert any("exit code 0" in line for line in in_lines(result))
    # it may be run again, on other hosts, too; and is answered by the change that ran it
    again = ran(field, run, hosts=("h00000", "h00002"), trying=True)
    assert again.document["policy"]["dry_run"] is True
    assert sorted(m[1] for w in again.document["waves"] for m in w["members"]) == [
        "h00000", "h00002",
    ]  # fmt: skip
    assert field.run(
        field.loop(), 90, until=lambda: state_of(field, again.rollout_id or 0) == "done"
    )
    with field.ledger.begin() as connection:
        value = again.change_id
        act_in(connection, run, Asked(RunAct.ANSWER, "bob", field.now_ms, step=1, value=value))
        step = read_run(connection, run).run.step(1)
    assert (step.state, step.value) == ("answered", again.change_id)
    with pytest.raises(WrongState, match="answered already"):
        ran(field, run)
    assert results(field, run)[1]["change"] == again.change_id


def test_a_second_person_says_yes_first(field: Field) -> None:
    run = begun(field)
    made = ran(field, run, 2)
    assert made.rollout_id is not None
    assert "waits until 1 other person says yes" in made.as_json()["text"]
    field.run(field.loop(), 20)
    (result,) = results(field, run).values()
    assert (result["state"], result["hosts"][0]["state"]) == ("held", "waiting")
    assert "0 of 1 person other than ann" in result["reason"]
    with field.ledger.begin() as connection:
        words: dict[str, Any] = {"answer": "approved", "comment": "", "now_ms": field.now_ms}
        with pytest.raises(NotAllowed):
            answer_plan(connection, made.change_id or 0, user="ann", role=Role.ADMIN, **words)
        answer_plan(connection, made.change_id or 0, user="bob", role=Role.OPERATOR, **words)
    assert field.run(
        field.loop(), 60, until=lambda: state_of(field, made.rollout_id or 0) == "done"
    )


def test_a_script_that_fails_may_be_run_again(field: Field) -> None:
    """Unlike a bad version: it may have found something, or was given the wrong parameters."""
    field.publish("2", Behaviour("failed", "exit_code"), kind="script", **CUSTOM)
    run = begun(field)
    made = ran(field, run)
    ended = field.run(
        field.loop(), 90, until=lambda: state_of(field, made.rollout_id or 0) == "reverted"
    )
    assert ended
    (result,) = results(field, run).values()
    assert result["hosts"][0]["state"] == "failed"
    assert "nothing is left to take back" in result["reason"]
    field.behaviours.clear()
    again = ran(field, run)
    assert field.run(
        field.loop(), 90, until=lambda: state_of(field, again.rollout_id or 0) == "done"
    )


def test_what_cannot_be_run_says_why(field: Field) -> None:
    run = begun(field)
    with field.ledger.begin() as connection:
        connection.execute(
            update(running).where(running.c.agent_id == "a2").values(capabilities=["release"])
        )
    with pytest.raises(SpecError, match=r"h00001: it did not opt in: agent.toml there has no"):
        ran(field, run)
    with pytest.raises(SpecError, match="no script nothing"):
        ran(field, run, 3)
    with pytest.raises(AnswerError, match="step 4 runs no script"):
        ran(field, run, 4)
    with pytest.raises(AnswerError, match="no step 9"):
        ran(field, run, 9)
    with pytest.raises(SpecError, match="who"):
        ran(field, begun(field, who="NOT A WORD"), hosts=("h00000",))
    with pytest.raises(AnswerError, match=r"no value is known for \$who"):
        ran(field, begun(field, who=""))
    with pytest.raises(AnswerError, match="about no host"):
        ran(field, begun(field, host=""))
    with field.ledger.begin() as connection:
        act_in(connection, run, Asked(RunAct.ABANDON, "ann", field.now_ms, text="so"))
    with pytest.raises(WrongState, match="abandoned"):
        ran(field, run)


def test_a_name_cannot_reach_other_hosts(field: Field) -> None:
    for name in ("h0000.", ".*", 'x", role="web'):
        with pytest.raises(AnswerError, match="there is no host"):
            ran(field, begun(field), hosts=("h00000", name))
    assert (
        ran(field, begun(field), hosts=("h00000",)).document["waves"][0]["members"][0][1]
        == "h00000"
    )


def test_approvals_are_read_from_the_file() -> None:
    steps = parse_checklist(TEXT, "greet").steps
    assert [s.approvals for s in steps] == [0, 1, 0, 0]
    assert (steps[1].script, steps[1].parameters, steps[2].optional) == (
        "vezha/1", (("who", "all"),), True,
    )  # fmt: skip
    with pytest.raises(ChecklistError, match="not key=value"):
        parse_checklist("---\ntitle: T\n---\n- [ ] x {script a, approvals some}\n", "t")


def test_over_http_and_on_the_command_line(
    tower: Tower,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = tower.services
    services.querying = None
    field = Field(services.ledger, 2)
    field.clock.now_s = tower.clock.now()
    field.publish("1", kind="script", **CUSTOM)
    with services.ledger.begin() as connection:
        connection.exec_driver_sql("update host set last_seen_ms = 4000000000000")
    tower._app = make_app(services, (*OWN_ROUTES, *checklists.ROUTES, *checklist_runs.ROUTES))
    run = begun(field)
    path = f"/api/v1/checklist-runs/{run}"
    api, viewer = tower.client(Role.OPERATOR), tower.client(Role.VIEWER)
    assert viewer.post(f"{path}/script", json={"step": 1}).status_code == 403
    dry = api.post(f"{path}/script", json={"step": 1, "dry_run": True}).json()
    assert (dry["change_id"], dry["hosts"]) == (None, ["h00001"])
    assert api.post(f"{path}/script", json={"step": 3}).status_code == 400
    assert api.post("/api/v1/checklist-runs/99/script", json={"step": 1}).status_code == 404
    made = api.post(f"{path}/script", json={"step": 1}).json()
    assert made["run"]["checklist_steps"][0]["went"]["change"] == made["change_id"]
    assert api.post(f"{path}/script", json={"step": 1}).status_code == 409
    with services.ledger.read() as connection:
        told = [r["action"] for r in list_audit(connection, 20) if r["outcome"] == "done"]
    assert told.count("delivery.start") == 1
    events = viewer.get(path).json()["events"]
    assert [e["kind"] for e in events] == ["started", "ran"]

    state = tmp_path / "own"
    state.mkdir()
    ledger = Ledger.open(str(state / "ledger.db"))
    ledger.migrate()
    field = Field(ledger, 2)
    field.publish("1", kind="script", **CUSTOM)
    with ledger.begin() as connection:
        connection.exec_driver_sql("update host set last_seen_ms = 4000000000000")
    run = begun(field)
    monkeypatch.setenv("VEZHA_STATE", str(state))
    assert vezha(["checklist", "script", str(run), "1"]) == 0
    assert "Nothing was started" in capsys.readouterr().out
    assert vezha(["checklist", "script", str(run), "3"]) == 2
    assert "no script nothing" in capsys.readouterr().err
    assert vezha(["checklist", "script", str(run), "1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["change_id"] == 1
    field.run(field.loop(), 30)
    assert vezha(["checklist", "show", str(run)]) == 0
    assert "h00001: proven, exit code 0" in capsys.readouterr().out
    ledger.close()
