"""How long things take: what is counted, by what, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from vezha.cli.incident import app
from vezha.incidents.errors import OperatorError
from vezha.incidents.times import Incident, Spread, read_incidents, summarise, week_of
from vezha.ledger import Ledger
from vezha.ledger.tables import incident
from vezha.world import World

NOW = 1_795_400_000_000  # 2026-11-23, a Monday
WEEK = 7 * 86_400_000


def test_weeks_are_those_of_the_calendar() -> None:
    assert week_of(NOW) == "2026-W48"
    assert week_of(NOW - 3_600_000 * 24) == "2026-W47"
    assert week_of(1_609_459_200_000) == "2020-W53"  # 2021-01-01


def test_each_figure_has_its_own_incidents() -> None:
    rows = summarise(
        [
            Incident("db", "critical", NOW, NOW + 1_000, NOW + 11_000, NOW + 61_000),
            Incident("db", "critical", NOW, NOW + 3_000, None, NOW + 21_000),
            Incident("db", "critical", NOW, NOW - 5_000, None, None),
        ]
    )
    (row,) = rows
    assert (row.week, row.team, row.severity, row.incidents) == ("2026-W48", "db", "critical", 3)
    assert row.detection == Spread(3, 1.0, 2.8)
    assert row.acknowledge == Spread(1, 10.0, 10.0)
    assert row.recovery == Spread(2, 41.0, 59.0)


def test_rows_are_by_what_was_asked_for_the_newest_week_first() -> None:
    incidents = [
        Incident(team, severity, at, at, None, None)
        for team in ("b", "a")
        for severity in ("warning", "critical")
        for at in (NOW - WEEK, NOW)
    ]
    rows = summarise(incidents, ["week", "team"])
    assert [(r.week, r.team, r.severity, r.incidents) for r in rows] == [
        ("2026-W48", "a", "", 2), ("2026-W48", "b", "", 2),
        ("2026-W47", "a", "", 2), ("2026-W47", "b", "", 2),
    ]  # fmt: skip
    assert summarise(incidents, [])[0].acknowledge == Spread(0, None, None)
    with pytest.raises(OperatorError, match='"month" is not known'):
        summarise(incidents, ["month"])


def test_the_command_shows_them(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    now_ms = int(World().clock.now() * 1000)
    row = {
        "state": "resolved", "severity": "warning", "title": "t", "summary": "", "next": "",
        "team": "web", "hosts": [], "alert_names": [], "silent_because": "", "active_ms": 0,
        "updated_ms": 0, "revision": 1, "began_ms": now_ms - 100_000,
    }  # fmt: skip
    with ledger.begin() as connection:
        for seconds in (90, 80):
            resolved = {"detected_ms": now_ms - seconds * 1000, "resolved_ms": now_ms}
            connection.execute(insert(incident).values(**row, **resolved))
    with ledger.read() as connection:
        assert len(read_incidents(connection, now_ms - 85_000)) == 1
    ledger.close()
    shown = CliRunner().invoke(app, ["times", "--state", str(tmp_path), "--by", "team"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.split("\n")[1].split() == [
        "web", "2", "15.0s", "/", "19.5s", "–", "1.7m", "/", "1.7m", "1.7m", "/", "1.7m",
    ]  # fmt: skip
