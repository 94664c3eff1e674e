"""Facts are gathered from rows, pages are kept, and each finished week is told of once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, insert, update
from tests.unit.incidents.test_desk import Clock, tell

from vezha.alerting.ask import Vector
from vezha.alerting.errors import EvaluationError
from vezha.delivery.external import DONE, FAILED, Report
from vezha.delivery.reporting import take_report
from vezha.diary.facts import WeekFacts
from vezha.diary.gather import COMPLETENESS, gather
from vezha.diary.limits import MAKE_AFTER_MS
from vezha.diary.loop import Diarist
from vezha.diary.page import list_pages, read_page
from vezha.diary.render import as_text, page_of
from vezha.diary.week import week_named
from vezha.incidents.cause import judge
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import (
    change,
    checklist_run,
    checklist_version,
    host,
    incident,
    scenario_round,
    scenario_version,
)
from vezha.model.labels import metric
from vezha.world import World

WEEK = week_named("2026-W47")
HOUR = 3_600_000


class Place:
    """A ledger in the middle of a week."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.clock = Clock()
        self.clock.seconds = (WEEK.begin_ms + 30 * HOUR) / 1000
        self.world = World(clock=self.clock)
        self.told: list[str] = []

    @property
    def now_ms(self) -> int:
        return int(self.clock.seconds * 1000)

    def diarist(self, ask: Any = None) -> Diarist:
        def told(_connection: Connection, facts: WeekFacts) -> None:
            self.told.append(facts.week)

        return Diarist(self.ledger, self.world, ask, "UTC", told)

    def facts(self, ask: Any = None, week: Any = WEEK) -> WeekFacts:
        with self.ledger.read() as connection:
            return gather(connection, ask, week, self.now_ms)

    def incident(self, name: str, at_ms: int) -> None:
        with self.ledger.begin() as connection:
            tell(connection, "fired", name, at_ms, severity="critical")
        Desk(self.ledger, self.world).step()

    def deploy(self, key: str, outcome: str, at_ms: int) -> int:
        report = Report(
            "ci", key, f"shop {key}", outcome, at_ms, at_ms + 1000, labels={"team": "web"}
        )
        with self.ledger.begin() as connection:
            return take_report(connection, report, self.now_ms)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.ledger.close()


def test_what_happened_in_the_week_and_only_that(place: Place) -> None:
    place.deploy("before", DONE, WEEK.begin_ms - 9 * HOUR)
    good = place.deploy("good", DONE, WEEK.begin_ms + HOUR)
    bad = place.deploy("bad", FAILED, WEEK.begin_ms + 2 * HOUR)
    place.incident("db-1", WEEK.begin_ms + 3 * HOUR)
    with place.ledger.begin() as connection:
        connection.execute(
            insert(host).values(
                name="db-1", labels={}, facts={}, created_ms=WEEK.begin_ms + 1, last_seen_ms=None
            )
        )
        judge(connection, 1, bad, "caused", "olena", place.now_ms)
    facts = place.facts()
    assert [c.id for c in facts.changes] == [good, bad]
    assert [(i.id, i.caused_by, i.state) for i in facts.incidents] == [(1, bad, "open")]
    assert (facts.hosts, facts.hosts_with_incidents, facts.hosts_new) == (1, 1, ["db-1"])
    assert (facts.delivery.changes, facts.delivery.failed_ratio) == (2, 0.5)
    assert facts.delivery_before.changes == 1
    assert facts.unknown == ["samples"]
    text = as_text(page_of(facts, "en")).replace("\u00a0", " ")
    assert "did not hold; blamed for incident 1" in text
    assert "was caused by change" in text


def test_an_incident_that_ended_after_the_week_was_open_in_it(place: Place) -> None:
    place.incident("db-1", WEEK.end_ms - HOUR)
    with place.ledger.begin() as connection:
        connection.execute(
            update(incident).values(state="resolved", resolved_ms=WEEK.end_ms + HOUR)
        )
    place.clock.seconds = (WEEK.end_ms + 5 * HOUR) / 1000
    [one] = place.facts().incidents
    assert (one.state, one.resolved_ms) == ("open", None)
    assert place.facts(week=week_named("2026-W48")).incidents == []


def test_samples_are_asked_as_of_the_week(place: Place) -> None:
    asked: list[tuple[str, int]] = []

    def ask(expr: str, ts_ms: int) -> Vector:
        asked.append((expr, ts_ms))
        if expr == COMPLETENESS:
            return [metric("", instance="a"), metric("", instance="b")], np.array([1.0, 0.97])
        if "certificate" in expr:
            return [metric("", instance="https://x")], np.array([86_400.0])
        if "predictability" in expr:
            one = metric("", instance="a", resource="cpu")
            return [one, metric("", instance="b", resource="cpu")], np.array([0.9, np.nan])
        return [], np.zeros(0)

    facts = place.facts(ask)
    assert {ts for _, ts in asked} == {place.now_ms}
    assert [(h.name, h.completeness) for h in facts.incomplete] == [("b", 0.97)]
    assert facts.predictability == 0.9
    assert [(d.kind, d.name, d.in_s) for d in facts.due] == [("certificate", "https://x", 86_400.0)]
    assert facts.unknown == []


def test_a_store_that_is_away_is_said_and_not_taken_for_zero(place: Place) -> None:
    def ask(_expr: str, _ts_ms: int) -> Vector:
        raise EvaluationError("away")

    facts = place.facts(ask)
    assert facts.unknown == ["samples"]
    assert facts.completeness is None


def test_the_page_of_this_week_is_kept_fresh(place: Place) -> None:
    diarist = place.diarist()
    assert diarist.step() == ["2026-W47"]
    assert diarist.step() == []
    place.clock.sleep(601)
    assert diarist.step() == ["2026-W47"]
    assert place.told == []


def test_a_finished_week_is_told_of_once_whoever_restarts(place: Place) -> None:
    place.diarist().step()
    place.clock.seconds = (WEEK.end_ms + HOUR) / 1000
    assert "2026-W47" not in place.diarist().step()
    place.clock.seconds = (WEEK.end_ms + MAKE_AFTER_MS) / 1000
    assert "2026-W47" in place.diarist().step()
    for _ in range(3):
        place.diarist().step()
    assert place.told == ["2026-W47"]
    with place.ledger.read() as connection:
        page = read_page(connection, "2026-W47")
        assert page is not None
        assert page.is_over
        assert [(p.week, p.is_over) for p in list_pages(connection)] == [
            ("2026-W48", False), ("2026-W47", True),
        ]  # fmt: skip


def test_a_server_that_was_down_on_monday_finishes_the_page_later(place: Place) -> None:
    place.deploy("x", DONE, WEEK.begin_ms + HOUR)
    place.clock.seconds = (WEEK.end_ms + 2 * 24 * HOUR) / 1000
    place.diarist().step()
    assert place.told == ["2026-W47"]


def test_a_fresh_server_has_no_last_week(place: Place) -> None:
    place.clock.seconds = (WEEK.end_ms + 2 * 24 * HOUR) / 1000
    assert place.diarist().step() == ["2026-W48"]
    assert place.told == []


def test_planned_changes_stand_under_what_comes_next(place: Place) -> None:
    id_ = place.deploy("x", DONE, WEEK.begin_ms + HOUR)
    with place.ledger.begin() as connection:
        connection.execute(
            update(change)
            .where(change.c.id == id_)
            .values(kind="agent", state="planned", began_ms=None, ended_ms=None, outcome="")
        )
    facts = place.facts()
    assert [c.id for c in facts.planned] == [id_]
    assert "“shop x” is planned." in as_text(page_of(facts, "en"))


def test_checklists_and_rounds_of_the_week_are_counted(place: Place) -> None:
    begun, ended = WEEK.begin_ms + HOUR, WEEK.begin_ms + 2 * HOUR
    with place.ledger.begin() as connection:
        connection.execute(
            insert(checklist_version).values(hash="h", name="c", text="", first_ms=begun)
        )
        for state, finished in (("done", ended), ("running", None), ("abandoned", ended)):
            connection.execute(
                insert(checklist_run).values(
                    checklist="c", version="h", title="c", state=state, revision=1, variables={},
                    steps=1, steps_open=0, started_ms=begun, started_by="olena",
                    updated_ms=begun, finished_ms=finished,
                )
            )  # fmt: skip
        connection.execute(
            insert(scenario_version).values(name="db", version="1", document={}, first_ms=0)
        )
        for state, name in (("signed", "web"), ("odd", "web"), ("expected", "web")):
            connection.execute(
                insert(scenario_round).values(
                    name=name, version="1", kind="run", state=state, by="olena", began_ms=begun,
                    ended_ms=ended, ended_by="olena", note="", odd=0,
                )
            )  # fmt: skip
    facts = place.facts()
    assert (facts.checklists_done, facts.checklists_open, facts.rounds_done) == (1, 1, 2)
    assert facts.unused_scenarios == ["db"]
