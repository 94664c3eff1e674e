"""Who is up, who settles, who is complete."""

import numpy as np

from vezha.gateway.admission import Admission
from vezha.gateway.connection import shift_of
from vezha.gateway.fleet import SERIES, Fleet
from vezha.wire.limits import SILENCE_S


def value(fleet: Fleet, now_s: float, host: str, name: str) -> float | None:
    rows, table = fleet.samples(now_s, 1_000_000)
    found = np.flatnonzero(rows == fleet.rows[host])
    return float(table[found[0], SERIES.index(name)]) if len(found) else None


def test_a_host_that_never_came_is_silent_only_after_the_settle_period() -> None:
    fleet = Fleet(started_s=100.0)
    fleet.row("db-1")
    assert value(fleet, 110.0, "db-1", "up") is None
    assert value(fleet, 116.0, "db-1", "up") == 0.0


def test_up_follows_connection_and_life() -> None:
    fleet = Fleet(started_s=0.0)
    row = fleet.row("db-1")
    for name, given in (("connected", True), ("seen", True), ("heard_s", 5.0)):
        fleet.column(name)[row] = given
    assert value(fleet, 6.0, "db-1", "up") == 1.0
    assert value(fleet, 8.5, "db-1", "up") == 0.0
    fleet.column("absent_until_s")[row] = 30.0
    assert value(fleet, 8.5, "db-1", "vezha_agent_planned_absence") == 1.0
    assert value(fleet, 31.0, "db-1", "vezha_agent_planned_absence") == 0.0


def test_completeness_counts_what_waits_and_what_was_dropped() -> None:
    fleet = Fleet(started_s=0.0)
    row = fleet.row("db-1")
    fleet.column("received")[row] = 90
    assert fleet.completeness()[row] == 1.0
    fleet.column("backlog_frames")[row] = 10
    assert fleet.completeness()[row] == 0.9
    fleet.column("backlog_frames")[row] = 1
    fleet.told_dropped(row, 1000)  # of an earlier time: nobody knows when
    assert fleet.completeness()[row] == 1.0
    fleet.told_dropped(row, 1010)
    assert fleet.completeness()[row] == 0.9
    for _ in range(61):
        fleet.step()
    assert fleet.completeness()[row] == 1.0


def test_many_hosts_grow_the_columns() -> None:
    fleet = Fleet(started_s=0.0)
    for i in range(1000):
        row = fleet.row(f"h{i}")
        fleet.column("received")[row] = i
    assert fleet.column("received")[fleet.row("h700")] == 700
    fleet.forget("h3")
    rows, table = fleet.samples(1000.0, 0)
    assert len(rows) == 999
    assert table.shape == (999, len(SERIES))


def test_one_row_is_told_as_among_all() -> None:
    fleet = Fleet(started_s=0.0)
    for i in range(5):
        row = fleet.row(f"h{i}")
        fleet.column("received")[row] = 10 + i
        fleet.column("backlog_frames")[row] = 5 * i
    rows, table = fleet.samples(100.0, 1_000)
    for row in rows.tolist():
        one, single = fleet.samples(100.0, 1_000, row)
        assert one.tolist() == [row]
        assert np.array_equal(single[0], table[row], equal_nan=True)


def test_admission_spreads_those_it_turns_away() -> None:
    admission = Admission(per_s=10.0, burst=5.0)
    answers = [admission.ask(0.0) for _ in range(25)]
    assert answers[:5] == [0.0] * 5
    assert all(a > 0 for a in answers[5:])
    assert answers[5:] == sorted(answers[5:])
    assert admission.ask(10.0) == 0.0


def test_a_clock_is_corrected_by_whole_seconds_or_not_at_all() -> None:
    assert [shift_of(ms) for ms in (0, 4_900, -5_000, 5_400, -3_600_700)] == [
        0, 0, 0, 5_000, -3_601_000,
    ]  # fmt: skip


def test_who_fell_silent_or_spoke_again_is_told_once() -> None:
    fleet = Fleet(0.0)
    quiet, lively, gone = (fleet.row(host) for host in "abc")
    for row, heard_s in ((quiet, 10.0), (lively, 12.0), (gone, 10.0)):
        fleet.column("connected")[row] = row != gone
        fleet.column("heard_s")[row] = heard_s
    assert fleet.turned(10.0 + SILENCE_S) == []
    assert fleet.turned(10.1 + SILENCE_S) == [quiet]
    assert fleet.turned(10.2 + SILENCE_S) == []
    fleet.column("heard_s")[quiet] = 13.0
    assert fleet.turned(13.0) == [quiet]
