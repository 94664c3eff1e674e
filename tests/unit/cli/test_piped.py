"""What programs read of tables, and which address of the server is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from vezha.cli import check, incident, scenario
from vezha.ledger import Ledger, tables
from vezha.server.state import StateFolder

LONG = "web-[1]: " + "a rather long story of what is wrong, " * 6


@pytest.fixture
def state(tmp_path: Path) -> Path:
    ledger = Ledger.open(f"sqlite:///{StateFolder.at(tmp_path).ledger_file}")
    ledger.migrate()
    with ledger.begin() as connection:
        row: dict[str, object] = {
            c.name: 0 for c in tables.incident.c if not c.nullable and c.server_default is None
        }
        row |= {
            "state": "open", "severity": "critical", "title": LONG, "summary": "", "next": "",
            "team": "", "hosts": [], "alert_names": [], "silent_because": "",
        }  # fmt: skip
        del row["id"]
        connection.execute(insert(tables.incident).values(row))
    ledger.close()
    return tmp_path


def test_an_incident_is_one_line_in_a_pipe(state: Path) -> None:
    done = CliRunner().invoke(incident.app, ["list", "--state", str(state)])
    assert done.exit_code == 0, done.output
    head, row = done.output.splitlines()
    assert head.split() == ["#", "Severity", "State", "Since", "What"]
    assert row.rstrip().endswith(LONG.rstrip()), "brackets in names are no markup"


def test_a_scenario_is_one_line_in_a_pipe(state: Path) -> None:
    done = CliRunner().invoke(scenario.app, ["list", "--state", str(state)])
    assert done.exit_code == 0, done.output
    rows = done.output.splitlines()[1:]
    assert rows
    assert all(row.split()[-1] == "unused" for row in rows)


def test_a_heartbeat_is_called_where_the_server_is(state: Path) -> None:
    words = ["token", "nightly", "--state", str(state)]
    assert (
        "http://127.0.0.1:8470/api/v1/heartbeats/nightly"
        in CliRunner().invoke(check.app, words).output
    )
    StateFolder.at(state).address_file.write_text("http://127.0.0.1:9999\n")
    assert (
        "http://127.0.0.1:9999/api/v1/heartbeats/nightly"
        in CliRunner().invoke(check.app, words).output
    )
    (state / "settings.toml").write_text('[web]\npublic_url = "https://v.example.org/"\n')
    assert (
        "https://v.example.org/api/v1/heartbeats/nightly"
        in CliRunner().invoke(check.app, words).output
    )
