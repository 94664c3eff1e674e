"""Rounds: walked by people, and played by the server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.scenario.conftest import WALK

from vezha.alerting.ask import Vector
from vezha.alerting.errors import EvaluationError
from vezha.ledger import Ledger
from vezha.model.labels import metric
from vezha.scenario import limits
from vezha.scenario.book import ScenarioBook
from vezha.scenario.errors import NoSuchRound, WrongRound
from vezha.scenario.file import Scenario
from vezha.scenario.look import EXPECTED, ODD, UNKNOWN, WAITING, look_all
from vezha.scenario.loop import Player
from vezha.scenario.round import (
    ITSELF,
    RUN,
    WATCH,
    begin_round,
    judge,
    keep_play,
    leave,
    read_round,
    read_rounds,
    read_uses,
    read_versions,
    say,
    sign,
    unused,
)
from vezha.world import SystemClock, World

NOW = 1_790_000_000_000


class Clock(SystemClock):
    """Stands until the test moves it."""

    def __init__(self) -> None:
        self.at_s = NOW / 1000

    def now(self) -> float:
        return self.at_s


class Samples:
    """Answers by expression; what is not there gives nothing."""

    def __init__(self, **answers: float) -> None:
        self.answers: dict[str, float | Exception] = {"load > 0": 1.5, **answers}

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        value = self.answers.get(expr)
        if isinstance(value, Exception):
            raise value
        if value is None:
            return [], np.empty(0)
        return [metric("up", instance="db-1")], np.array([value])


def test_conditions_are_judged(walk: Scenario) -> None:
    samples = Samples()
    assert [x.state for x in look_all(walk, samples, NOW)] == [EXPECTED, EXPECTED, WAITING]
    samples.answers = {"up == 0": 0.0}
    odd, none, _ = look_all(walk, samples, NOW)
    assert (odd.state, odd.evidence) == (
        ODD, ({"labels": {"instance": "db-1"}, "value": 0.0},)
    )  # fmt: skip
    assert (none.state, none.said) == (ODD, "nothing found")
    samples.answers = {"up == 0": float("nan"), "load > 0": EvaluationError("too much")}
    assert [x.state for x in look_all(walk, samples, NOW)] == [EXPECTED, UNKNOWN, WAITING]


def test_a_round_is_signed_when_all_was_looked_at(ledger: Ledger, walk: Scenario) -> None:
    with ledger.begin() as c:
        number = begin_round(c, walk, RUN, "olena", NOW)
        judge(c, number, dict(enumerate(look_all(walk, Samples(), NOW))), NOW)
        with pytest.raises(WrongRound, match="1 of 3"):
            sign(c, number, "olena", "", NOW)
        with pytest.raises(WrongRound, match="what is odd"):
            say(c, number, 2, ODD, "taras", " ", NOW)
        say(c, number, 2, ODD, "taras", "It stands open", NOW + 1)
        say(c, number, 2, WAITING, "taras", "", NOW + 2)
        say(c, number, 2, ODD, "olena", "It stands open", NOW + 3)
        # What a person said is not overruled by the server.
        say(c, number, 0, ODD, "olena", "db-7 is missing", NOW + 3)
        judge(c, number, dict(enumerate(look_all(walk, Samples(), NOW))), NOW + 4)
        sign(c, number, "olena", "Told the guard", NOW + 5)
        with pytest.raises(WrongRound, match="signed"):
            sign(c, number, "taras", "", NOW + 6)
        with pytest.raises(WrongRound, match="is over"):
            say(c, number, 0, EXPECTED, "taras", "", NOW + 6)
        row, then, looks = read_round(c, number)
    assert (row.state, row.ended_by, row.odd, row.note) == ("signed", "olena", 2, "Told the guard")
    assert then.document() == walk.document()
    assert [(x.state, x.by) for x in looks] == [
        (ODD, "olena"), (EXPECTED, ITSELF), (ODD, "olena")
    ]  # fmt: skip


def test_what_is_not_there(ledger: Ledger, walk: Scenario) -> None:
    with ledger.begin() as c:
        number = begin_round(c, walk, RUN, "olena", NOW)
        with pytest.raises(NoSuchRound):
            say(c, number, 9, EXPECTED, "olena", "", NOW)
        with pytest.raises(NoSuchRound):
            read_round(c, number + 1)
        leave(c, number, "olena", "Called away", NOW)
        with pytest.raises(WrongRound):
            leave(c, number, "olena", "", NOW)


def test_open_rounds_are_bounded(ledger: Ledger, walk: Scenario) -> None:
    with ledger.begin() as c:
        for _ in range(limits.OPEN_ROUNDS_MAX):
            begin_round(c, walk, RUN, "olena", NOW)
        with pytest.raises(WrongRound, match="sign or leave"):
            begin_round(c, walk, RUN, "olena", NOW)
        begin_round(c, walk, WATCH, "wall", NOW)


def test_a_play_that_is_odd_waits_until_the_next_is_well(ledger: Ledger, walk: Scenario) -> None:
    with ledger.begin() as c:
        bad = look_all(walk, Samples(**{"up == 0": 0.0}), NOW)
        first = keep_play(c, walk, bad, NOW, slot=1)
        assert first is not None
        assert keep_play(c, walk, bad, NOW, slot=1) is None
        assert read_rounds(c)[0].state == "odd"
        second = keep_play(c, walk, look_all(walk, Samples(), NOW), NOW, slot=2)
        assert [(r.id, r.state) for r in read_rounds(c)] == [(second, "expected"), (first, "left")]
        third = keep_play(c, walk, bad, NOW, slot=3)
        assert third is not None
        sign(c, third, "olena", "db-1 is being replaced", NOW)
        keep_play(c, walk, bad, NOW, slot=4)
        assert read_rounds(c, walk.name)[1].state == "signed"


def test_uses_are_counted_and_the_unused_listed(ledger: Ledger, walk: Scenario) -> None:
    with ledger.begin() as c:
        begin_round(c, walk, RUN, "olena", NOW)
        begin_round(c, walk, WATCH, "wall", NOW + 5)
        use = read_uses(c, NOW + 10)["walk"]
        assert (use.run, use.watch, use.play, use.last_ms) == (1, 1, 0, NOW + 5)
        assert unused(c, ["walk", "other"], NOW + 10) == ["other"]
        assert unused(c, ["walk"], NOW + 6 + limits.UNUSED_MS) == ["walk"]
        assert len(read_rounds(c)) == 1
        assert [v for v, _ in read_versions(c, "walk")] == [walk.version]


def test_the_server_plays_what_is_due_once(ledger: Ledger, tmp_path: Path) -> None:
    clock = Clock()
    book = ScenarioBook(str(tmp_path / "own"), builtin=False)
    book.save(WALK)
    players = [Player(book, ledger, Samples(), World(clock=clock)) for _ in range(2)]
    assert [p.step() for p in players] == [1, 0]
    assert players[0].step() == 0
    clock.at_s += 60
    assert [p.step() for p in reversed(players)] == [1, 0]
    with ledger.read() as c:
        rounds = read_rounds(c)
    assert [(r.state, r.by) for r in rounds] == [("expected", ITSELF)] * 2
