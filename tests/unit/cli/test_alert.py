"""`vezha alert`: what a person and a program read of alerts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from vezha.cli.alert import app
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_state, alert_transition
from vezha.world import World


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder in which an alert fired half a second after its sample, and one is pending."""
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    world = World()
    now_ms = int(world.clock.now() * 1000)
    common = {"rule_key": "r", "group_name": "g", "annotations": {"summary": "db-1: full [/]"}}
    full = {**common, "fingerprint": "f1", "alert_name": "DiskFull", "host": "db-1",
            "severity": "critical", "labels": {"instance": "db-1"}}  # fmt: skip
    slow = {**full, "fingerprint": "f2", "alert_name": "Slow", "host": "web-1",
            "severity": "warning", "annotations": {}}  # fmt: skip
    standing = {"value": 1.0, "active_ms": now_ms - 1000, "timer_ms": 0, "changed_ms": now_ms,
                "updated_ms": now_ms, "fires_ms": []}  # fmt: skip
    with ledger.begin() as connection:
        connection.execute(
            insert(alert_state),
            [{**full, **standing, "state": "firing", "fired_ms": now_ms},
             {**slow, **standing, "state": "pending", "fired_ms": None},
             {**slow, **standing, "state": "inactive", "fired_ms": None, "fingerprint": "f3"}],
        )  # fmt: skip
        connection.execute(
            insert(alert_transition).values(
                **full, event="fired", from_state="inactive", to_state="firing", value=1.0,
                active_ms=now_ms, sampled_ms=now_ms - 500, evaluated_ms=now_ms, written_ms=now_ms,
            )
        )  # fmt: skip
    Desk(ledger, world).step()
    ledger.close()
    return tmp_path


def run(state: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(state)])
    assert done.exit_code == 0, done.output
    return done.output


def test_alerts_are_listed_with_their_incident(state: Path) -> None:
    lines = run(state, "list").splitlines()
    assert lines[1].split()[:2] == ["critical", "firing"]
    assert "db-1" in lines[1]
    assert "#1" in lines[1]
    assert "db-1: full [/]" in lines[1]
    assert lines[2].split()[:2] == ["warning", "pending"]
    assert len(lines) == 3
    assert run(state, "list", "--host", "nowhere") == "No alerts.\n"
    (found,) = json.loads(run(state, "list", "--name", "DiskFull", "--json"))
    assert (found["incident"], found["state"], found["labels"]) == (
        1,
        "firing",
        {"instance": "db-1"},
    )


def test_history_says_how_long_it_took(state: Path) -> None:
    (_, line) = run(state, "history").splitlines()
    assert line.split()[-4:] == ["DiskFull", "fired", "0.50", "s"]
    assert run(state, "history", "--last", "0s") == "Nothing happened.\n"
    (turn,) = json.loads(run(state, "history", "--host", "db-1", "--json"))
    assert turn["at_ms"] - turn["sampled_ms"] == 500
    refused = CliRunner().invoke(app, ["history", "--last", "soon", "--state", str(state)])
    assert "--last" in str(refused.exception)
