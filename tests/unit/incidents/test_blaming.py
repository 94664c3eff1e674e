"""Blame over a real ledger: kept up to date, told once, and people have the last word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, select, update
from tests.unit.incidents.test_desk import Clock, tell

from vezha.api.incidents import open_incidents
from vezha.delivery.external import DONE, RUNNING, Report
from vezha.delivery.reporting import take_report
from vezha.incidents.blaming import Blamer
from vezha.incidents.cause import blamed_for, caused_by_people, causes_of, judge, record_of
from vezha.incidents.errors import NoSuchIncident, OperatorError
from vezha.incidents.loop import Desk
from vezha.incidents.views import get_timeline
from vezha.ledger import Ledger
from vezha.ledger.tables import host, incident
from vezha.model.labels import Labels, metric
from vezha.world import World


class Place:
    """A ledger with ten hosts, a desk and a blamer."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.clock = Clock()
        self.world = World(clock=self.clock)
        self.desk = Desk(self.ledger, self.world)
        self.blamer = Blamer(self.ledger, self.world)
        with self.ledger.begin() as connection:
            for number in range(10):
                connection.execute(
                    insert(host).values(
                        name=f"web-{number}", labels={"service": "shop"}, facts={},
                        created_ms=0, last_seen_ms=None,
                    )
                )  # fmt: skip

    @property
    def now_ms(self) -> int:
        return int(self.clock.seconds * 1000)

    def deploy(self, *hosts: str, ago_s: int = 60, outcome: str = DONE, key: str = "d") -> int:
        began = self.now_ms - ago_s * 1000
        ended = None if outcome == RUNNING else began + 1000
        report = Report("ci", key, f"shop {key}", outcome, began, ended, hosts=hosts)
        with self.ledger.begin() as connection:
            return take_report(connection, report, self.now_ms)

    def fire(self, *hosts: str) -> None:
        with self.ledger.begin() as connection:
            for name in hosts:
                tell(connection, "fired", name, self.now_ms)
        self.desk.step()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.ledger.close()


def test_the_deploy_on_the_sick_hosts_is_named_on_the_timeline_once(place: Place) -> None:
    change = place.deploy("web-1", "web-2")
    place.deploy(ago_s=7000, key="old")
    place.fire("web-1", "web-2")
    assert place.blamer.step() == 1
    assert place.blamer.step() == 0
    place.clock.sleep(120)
    place.blamer.step()
    with place.ledger.read() as connection:
        [first, *_] = causes_of(connection, 1)
        suspects = [e for e in get_timeline(connection, 1) if e.kind == "suspect"]
        assert [c.incident for c in blamed_for(connection, change)] == [1]
    assert first.change == change
    assert first.score > 0.5
    assert "2 of the 2 hosts" in first.why("en")
    assert len(suspects) == 1
    assert f"change {change} (shop d)" in suspects[0].text


def test_people_have_the_last_word(place: Place) -> None:
    change = place.deploy("web-1")
    other = place.deploy("web-7", key="e")
    place.fire("web-1")
    place.blamer.step()
    with place.ledger.begin() as connection:
        judge(connection, 1, change, "not", "olena", place.now_ms)
        judge(connection, 1, other, "caused", "olena", place.now_ms)
    place.clock.sleep(90)
    place.blamer.step()
    with place.ledger.read() as connection:
        causes = causes_of(connection, 1)
        assert [(c.change, c.judged, c.judged_by) for c in causes] == [
            (other, "caused", "olena"), (change, "not", "olena"),
        ]  # fmt: skip
        assert caused_by_people(connection) == {other: None}
        record = record_of(connection)
        assert (record.judged, record.caused, record.first_judged, record.first_caused) == (
            2, 1, 1, 0,
        )  # fmt: skip
    with place.ledger.begin() as connection:
        connection.execute(update(incident).values(state="resolved", resolved_ms=7))
        assert caused_by_people(connection) == {other: 7}
        judge(connection, 1, other, "", "olena", place.now_ms)
        assert caused_by_people(connection) == {}


def test_lists_name_the_change_that_explains_most_unless_people_say_no(place: Place) -> None:
    sick = [f"web-{i}" for i in range(3)]
    change = place.deploy(*sick)
    place.fire(*sick)
    place.blamer.step()
    (shown,) = open_incidents(place.ledger)
    assert shown["cause"]["change"] == change
    assert shown["cause"]["title"] == "shop d"
    assert shown["cause"]["began_at"] < shown["began_at"]
    with place.ledger.begin() as connection:
        judge(connection, shown["id"], change, "not", "olena", place.now_ms)
    assert open_incidents(place.ledger)[0]["cause"] is None


def test_bad_judgements_are_refused(place: Place) -> None:
    change = place.deploy("web-1")
    place.fire("web-1")
    with place.ledger.begin() as connection:
        with pytest.raises(OperatorError, match="no change 99"):
            judge(connection, 1, 99, "caused", "x", 0)
        with pytest.raises(OperatorError, match="judgement"):
            judge(connection, 1, change, "guilty", "x", 0)
        with pytest.raises(NoSuchIncident):
            judge(connection, 9, change, "caused", "x", 0)
        with pytest.raises(NoSuchIncident):
            causes_of(connection, 9)


def test_where_the_store_does_not_answer_time_and_place_decide(place: Place) -> None:
    asked: list[str] = []

    def broken(expr: str, *_: int) -> tuple[list[Labels], np.ndarray]:
        asked.append(expr)
        raise RuntimeError("away")

    place.deploy("web-1")
    place.fire("web-1")
    assert Blamer(place.ledger, place.world, broken).step() == 1
    assert asked


def test_a_jump_in_load_is_told_as_a_reason(place: Place) -> None:
    def ask(expr: str, start: int, end: int, step: int) -> tuple[list[Labels], np.ndarray]:
        steps = np.arange(start, end + 1, step)
        values = np.where(steps >= place.now_ms - 300_000, 0.9, 0.2)[None, :]
        return [metric("x", instance="web-1")], values + 0.001 * np.arange(len(steps)) % 3

    place.deploy("web-1", ago_s=300)
    place.fire("web-1")
    Blamer(place.ledger, place.world, ask).step()
    with place.ledger.read() as connection:
        [cause] = causes_of(connection, 1)
    assert "jumped when it came" in cause.why("en")


def test_an_old_incident_is_left_alone(place: Place) -> None:
    place.deploy("web-1")
    place.fire("web-1")
    with place.ledger.begin() as connection:
        connection.execute(
            update(incident).values(state="resolved", resolved_ms=place.now_ms - 7_200_000)
        )
    assert place.blamer.step() == 0
    with place.ledger.read() as connection:
        assert connection.execute(select(incident.c.id)).scalars().all() == [1]
        assert causes_of(connection, 1) == []


def test_the_store_is_asked_for_few_changes_and_seldom(place: Place) -> None:
    asked: list[str] = []

    def ask(expr: str, *_: int) -> tuple[list[Labels], np.ndarray]:
        asked.append(expr)
        return [], np.zeros((0, 1))

    for number in range(30):
        place.deploy("web-1", ago_s=60 + number, key=f"k{number}")
    blamer = Blamer(place.ledger, place.world, ask)
    place.fire("web-1")
    blamer.step()
    first = len(asked)
    assert 0 < first <= 5 * 4
    for name in ("web-2", "web-3", "web-4"):
        place.clock.sleep(5)
        place.deploy("web-9", key=name)
        blamer.step()
    assert len(asked) == first
    place.clock.sleep(61)
    blamer.step()
    assert len(asked) > first
