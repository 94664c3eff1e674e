"""Reports become rows that only move on; what follows from them as figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from vezha.delivery.errors import OperatorError
from vezha.delivery.external import DONE, FAILED, ROLLED_BACK, RUNNING, Report
from vezha.delivery.figures import Delivered, read_delivered, summarise
from vezha.delivery.reporting import take_report
from vezha.ledger import Ledger
from vezha.ledger.tables import change, change_event

HOUR = 3_600_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


def said(outcome: str, key: str = "1", at: int = HOUR, **given: Any) -> Report:
    ended = None if outcome == RUNNING else given.pop("ended", at + 60_000)
    over = {"labels": {"service": "shop"}, "title": f"shop {key}", **given}
    return Report(source="ci", key=key, outcome=outcome, began_ms=at, ended_ms=ended, **over)


def row(ledger: Ledger, id_: int) -> Any:
    with ledger.read() as connection:
        return connection.execute(select(change).where(change.c.id == id_)).one()


def tell(ledger: Ledger, report: Report, now_ms: int = 2 * HOUR) -> int:
    with ledger.begin() as connection:
        return take_report(connection, report, now_ms)


def test_running_then_done_is_one_change(ledger: Ledger) -> None:
    first = tell(ledger, said(RUNNING))
    assert row(ledger, first).state == "reported"
    assert tell(ledger, said(DONE, hosts=("web-1",))) == first
    assert tell(ledger, said(DONE, hosts=("web-1",))) == first
    found = row(ledger, first)
    assert (found.state, found.outcome, found.hosts, found.revision) == (
        "done", "success", ["web-1"], 2,
    )  # fmt: skip
    with ledger.read() as connection:
        texts = connection.execute(select(change_event.c.text)).scalars().all()
    assert texts == ["running", "done"]


def test_a_word_that_comes_late_moves_nothing_back(ledger: Ledger) -> None:
    id_ = tell(ledger, said(FAILED))
    tell(ledger, said(RUNNING))
    tell(ledger, said(DONE))
    assert row(ledger, id_).outcome == "failure"


def test_a_way_back_marks_what_it_takes_back(ledger: Ledger) -> None:
    other = tell(ledger, said(DONE, "0", labels={"service": "mail"}))
    bad = tell(ledger, said(DONE, "1"))
    back = tell(ledger, said(ROLLED_BACK, "2", at=3 * HOUR))
    assert row(ledger, back).mends == bad
    assert row(ledger, back).outcome == "success"
    assert row(ledger, bad).outcome == "reverted"
    assert row(ledger, other).outcome == "success"


def test_one_told_as_done_may_turn_out_rolled_back(ledger: Ledger) -> None:
    id_ = tell(ledger, said(DONE))
    tell(ledger, said(ROLLED_BACK, ended=5 * HOUR))
    assert (row(ledger, id_).outcome, row(ledger, id_).ended_ms) == ("reverted", 5 * HOUR)


def test_long_names_fit_and_stay_apart(ledger: Ledger) -> None:
    long = "k" * 400
    assert tell(ledger, said(DONE, long + "a")) != tell(ledger, said(DONE, long + "b"))


@given(st.lists(st.sampled_from([RUNNING, DONE, FAILED, ROLLED_BACK]), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_whatever_the_order_there_is_one_row_and_an_end_stays(
    ledger: Ledger, words: list[str]
) -> None:
    key = f"{words!r}"
    ended = False
    for word in words:
        id_ = tell(ledger, said(word, key))
        found = row(ledger, id_)
        ended = ended or word != RUNNING
        assert (found.state == "done") == ended
        assert (found.outcome != "") == ended
    bad = [w for w in words if w in (FAILED, ROLLED_BACK)]
    if bad:
        assert row(ledger, id_).outcome != "success" or row(ledger, id_).mends is not None


# Figures --------------------------------------------------------------------------------------------


def one(id_: int, outcome: str = "success", **given: Any) -> Delivered:
    base: dict[str, Any] = {
        "kind": "external", "team": "web", "ready_ms": 0, "began_ms": HOUR, "ended_ms": 2 * HOUR,
    }  # fmt: skip
    return Delivered(id=id_, outcome=outcome, **{**base, **given})


def test_the_five_figures() -> None:
    [whole] = summarise(
        [
            one(1),
            one(2, ended_ms=4 * HOUR),
            one(3, "failure"),
            one(4, mends=3, ended_ms=5 * HOUR),
            one(5, caused=True, recovered_ms=3 * HOUR),
        ],
        (),
        days=10,
    )
    assert whole.changes == 5
    assert whole.per_day == 0.5
    assert whole.lead_time_s == 4 * 3600
    assert whole.failed_ratio == 0.4
    assert whole.failed_recovery_s == 3 * 3600.0  # 4 h until mended, 2 h until the incident ended
    assert whole.rework_ratio == 0.2


def test_what_has_not_recovered_is_left_out_and_not_zero() -> None:
    [whole] = summarise([one(1, "failure")], (), 7)
    assert whole.failed_recovery_s is None
    assert whole.lead_time_s is None


def test_by_team_and_week() -> None:
    rows = summarise(
        [one(1), one(2, team="db")], ("week", "team"), 7, {1: "2026-W46", 2: "2026-W47"}
    )
    assert [(r.week, r.team, r.changes) for r in rows] == [
        ("2026-W47", "db", 1), ("2026-W46", "web", 1),
    ]  # fmt: skip
    with pytest.raises(OperatorError, match="by_night"):
        summarise([], ("by_night",), 7)


def test_figures_are_read_from_the_rows_of_the_span(ledger: Ledger) -> None:
    tell(ledger, said(DONE, "1", at=HOUR, committed_ms=0, labels={"team": "web"}))
    tell(ledger, said(RUNNING, "2"))
    tell(ledger, said(DONE, "3", at=30 * HOUR))
    with ledger.read() as connection:
        found = read_delivered(connection, 0, 10 * HOUR, {1: None})
    assert [(d.team, d.ready_ms, d.caused, d.failed) for d in found] == [("web", 0, True, True)]
