"""`vezha change`, `rollout`, `freeze`: a change from draft to start on the command line."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from typer.main import get_command

from vezha.cli.app import run
from vezha.cli.change import parse_gate, parse_wave
from vezha.delivery.errors import SpecError
from vezha.ledger import Ledger
from vezha.testing.fleet.field import Field


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_from_draft_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEZHA_STATE", str(tmp_path))
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    field = Field(ledger, 3)
    target = field.publish("2.0")
    with ledger.begin() as connection:
        connection.exec_driver_sql("update host set last_seen_ms = 4000000000000")

    out = said(capsys, "change", "draft", target, "--gate", "proof", "--wave", "canary=1@5s")
    assert "cannot be started yet: nobody owns it" in out
    assert run(["change", "start", "1"]) == 2  # no plan yet
    assert "vezha change plan 1" in capsys.readouterr().err
    assert "Nothing was kept" in said(capsys, "change", "plan", "1")
    assert "wave 1 canary" in said(capsys, "change", "plan", "1", "--keep")
    assert run(["change", "start", "1"]) == 1
    assert "It cannot be started" in capsys.readouterr().out

    words = ("--why", "it is better", "--owner", "ann", "--checklist", "roll-out")
    out = said(capsys, "change", "draft", target, *words, "--gate", "proof", "--wave",
               "canary=1@5s", "--wave", "all@5s", "--json")  # fmt: skip
    assert json.loads(out) == {"id": 2, "lacks": []}
    said(capsys, "change", "plan", "2", "--keep")
    assert "Nothing was started" in said(capsys, "change", "start", "2")
    assert "Rollout 1 has begun" in said(capsys, "change", "start", "2", "--yes")
    assert "1 canary" in said(capsys, "rollout", "show", "1")
    assert run(["rollout", "wait", "1", "--timeout", "0"]) == 3
    field.run(field.loop(), 60)
    assert run(["rollout", "wait", "1"]) == 0
    assert "proven" in said(capsys, "rollout", "hosts", "1")
    assert "started → proven" in said(capsys, "rollout", "hosts", "1", "h00001")
    assert "would go back" in said(capsys, "rollout", "revert", "1")
    assert "taken back" in said(capsys, "rollout", "revert", "1", "--yes", "-m", "changed my mind")
    assert json.loads(said(capsys, "change", "list", "--json"))[0]["outcome"] == "success"
    assert "agrees" in said(capsys, "change", "verdict", "2", "--recompute", "--json")
    assert "is reported" in said(capsys, "change", "report", "deployed shop 4", "--host", "h00001")

    assert "Nothing was done" in said(capsys, "freeze", "add", "--for", "2h")
    said(capsys, "freeze", "add", "--for", "2h", "--name", "sale", "--yes")
    assert "sale" in said(capsys, "freeze", "list")
    said(capsys, "freeze", "end", "1")
    assert "No windows" in said(capsys, "freeze", "list")
    ledger.close()


def test_waves_and_gates_are_read_and_refused() -> None:
    assert parse_wave("canary=1@10m") == {"name": "canary", "count": 1, "bake_s": 600.0}
    assert parse_wave("tenth=10%") == {"name": "tenth", "percent": 10.0}
    assert parse_wave('db={role="db"}@1h') == {
        "name": "db", "selector": '{role="db"}', "bake_s": 3600.0,
    }  # fmt: skip
    assert parse_wave("first=a,b")["hosts"] == ["a", "b"]
    assert parse_gate("errors: rate(e[5m]) <= 0.5") == {
        "kind": "promql", "name": "errors", "expr": "rate(e[5m])", "op": "<=", "threshold": 0.5,
    }  # fmt: skip
    with pytest.raises(SpecError, match="write a kind"):
        parse_gate("whatever")
    with pytest.raises(SpecError, match="not a number"):
        parse_wave("x=1x%")


def test_every_command_of_delivery_speaks_json() -> None:
    """`--json` everywhere; `release root` prints JSON anyway."""
    lacking = []
    for noun in ("change", "rollout", "freeze", "release", "diary", "cause", "checklist"):
        command = get_command(importlib.import_module(f"vezha.cli.{noun}").app)
        for verb, one in getattr(command, "commands", {noun: command}).items():
            options = {o for p in one.params for o in p.opts}
            if "--json" not in options and (noun, verb) != ("release", "root"):
                lacking.append(f"{noun} {verb}")
    assert lacking == []
