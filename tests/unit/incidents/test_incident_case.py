"""One incident: its states, what is said of it, where alerts belong, what is silent."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.incidents.case import Case
from vezha.incidents.errors import SilenceError, WrongState
from vezha.incidents.grouping import Arriving, Candidate, Grouping
from vezha.incidents.limits import HOST_WINDOW_MS, KIND_WINDOW_MS, RELAPSE_WINDOW_MS
from vezha.incidents.silence import (
    LabelMatcher,
    Silence,
    checked_matchers,
    make_recurrence,
    parse_matchers,
)
from vezha.incidents.state import TABLE, Act, State, step
from vezha.incidents.words import Member, Place, Said, count_hosts, words_of
from vezha.model.severity import Severity


def member(
    name: str = "DiskFull",
    host: str = "db-1",
    severity: Severity = Severity.WARNING,
    at_ms: int = 0,
    **annotations: str,
) -> Member:
    labels = {"alertname": name, "instance": host}
    return Member(
        f"{name}/{host}", name, host, severity, "firing", labels, annotations, at_ms, at_ms
    )


def case() -> Case:
    return Case(1, State.OPEN, Severity.WARNING, "", 0, 0, 0)


def test_every_act_of_alerts_has_a_row_where_it_can_happen() -> None:
    for state in State:
        # grouping never gives an alert to an incident that is part of another
        assert (step(state, Act.FIRED) is None) == (state is State.MERGED)
        assert step(state, Act.NOTE) is not None
    assert step(State.RESOLVED, Act.ALL_OVER) is None
    assert len({(r.state, r.act) for r in TABLE}) == len(TABLE)


def test_the_last_alert_to_recover_resolves() -> None:
    one = case()
    one.fire(member(host="a"), 0)
    one.fire(member(host="b"), 1000)
    one.over("DiskFull/a", 2000, False)
    assert one.state is State.OPEN
    one.over("DiskFull/b", 3000, False)
    assert (one.state, one.resolved_ms, one.resolved_by) == (State.RESOLVED, 3000, "vezha")
    assert [e.kind for e in one.entries] == ["opened", "joined", "recovered", "resolved"]


def test_when_the_worst_is_over_it_eases() -> None:
    one = case()
    one.fire(member(), 0)
    one.fire(member("Down", severity=Severity.CRITICAL), 1000)
    one.over("Down/db-1", 2000, False)
    assert (one.state, one.severity) == (State.OPEN, Severity.WARNING)
    assert [e.kind for e in one.entries] == ["opened", "worse", "eased"]
    one.fire(member("Down", severity=Severity.CRITICAL), 3000)
    assert one.entries[-1].kind == "worse"


def test_a_thousand_joining_are_one_line() -> None:
    one = case()
    for i in range(1000):
        one.fire(member(host=f"h{i}"), i)
    assert [(e.kind, e.data["count"]) for e in one.entries] == [("opened", 1), ("joined", 999)]
    assert one.entries[1].text.endswith("and 996 more")
    assert len(one.entries[1].data["alerts"]) == 20


def test_worse_takes_the_acknowledgement_back() -> None:
    one = case()
    one.fire(member(), 0)
    one.act(Act.ACKNOWLEDGE, "alice", "mine", 1000)
    assert (one.state, one.acknowledged_by) == (State.ACKNOWLEDGED, "alice")
    one.fire(member("ServiceDown", severity=Severity.CRITICAL), 2000)
    assert (one.state, one.acknowledged_by, one.severity) == (State.OPEN, None, Severity.CRITICAL)
    assert [e.kind for e in one.entries] == ["opened", "acknowledged", "worse"]


def test_what_cannot_be_done_is_said() -> None:
    one = case()
    one.fire(member(), 0)
    one.act(Act.RESOLVE, "bob", "", 1000)
    with pytest.raises(WrongState, match="incident 1 is resolved already"):
        one.act(Act.ACKNOWLEDGE, "alice", "", 2000)


def test_lost_is_not_over() -> None:
    one = case()
    one.fire(member(), 0)
    one.lose("DiskFull/db-1", 1000)
    assert one.state is State.OPEN
    assert one.members["DiskFull/db-1"].state == "unknown"


def test_silent_only_where_every_open_alert_is() -> None:
    one = case()
    one.fire(member(host="a"), 0)
    one.fire(member(host="b"), 0)
    one.judge(lambda m: SILENCE if m.host == "a" else Said(), lambda _: None, 0)
    assert one.silent_because == ""
    one.judge(lambda _: SILENCE, lambda _: None, 0)
    assert one.silent_because == "silence 1 by alice"
    assert one.words["uk"]["silent_because"] == "тиша 1, alice"
    one.judge(lambda _: Said(), lambda _: None, 0)
    assert [e.kind for e in one.entries] == ["opened", "joined", "silenced", "unsilenced"]


SILENCE = Said("silence 1 by alice", "тиша 1, alice")
PLACE = Place(
    {
        **{f"k-{i}": {"site": "kyiv", "os": "linux"} for i in range(1200)},
        "l-0": {"site": "lviv", "os": "linux"},
    },
    frozenset({("os", "linux")}),
)


@pytest.mark.parametrize(
    ("members", "english", "ukrainian"),
    [
        ([member()], "db-1: Disk full", "db-1: Disk full"),
        ([member(vezha_title="disk full", vezha_title_uk="диск повний")], "db-1: disk full", "db-1: диск повний"),
        ([member(host="a"), member(host="b")], "a, b: Disk full", "a, b: Disk full"),
        (
            [member("HostSilent", f"k-{i}", vezha_title="silent", vezha_title_uk="мовчить") for i in range(1200)],
            "1,200 hosts (site kyiv): silent",
            "1\u00a0200 серверів (site kyiv): мовчить",
        ),
        (
            [member("HostSilent", h, vezha_title="silent") for h in ("k-1", "k-2", "k-3", "l-0")],
            "4 hosts: silent",
            "4 сервери: silent",
        ),
        ([member(host="", vezha_title="queue stuck")], "queue stuck", "queue stuck"),
        ([member(), member("B", at_ms=1), member("C", at_ms=1)], "db-1: Disk full and 2 more", "db-1: Disk full і ще 2"),
        (
            [member("Slow"), member("Down", severity=Severity.CRITICAL)],
            "db-1: Down and 1 more",
            "db-1: Down і ще 1",
        ),
    ],
)  # fmt: skip
def test_titles(members: list[Member], english: str, ukrainian: str) -> None:
    assert words_of(members, "en", PLACE).title == english
    assert words_of(members, "uk", PLACE).title == ukrainian


def test_a_silent_host_speaks_for_the_rest_of_its_alerts() -> None:
    crowd = [member(f"Other{i}", severity=Severity.CRITICAL) for i in range(5)]
    root = member(
        "HostSilent",
        severity=Severity.CRITICAL,
        at_ms=9,
        vezha_explains="host",
        vezha_title="silent",
    )
    assert words_of([*crowd, root], "en", Place()).title == "db-1: silent and 5 more"


def test_a_host_is_not_said_to_be_like_itself() -> None:
    mild = member(host="db-1", summary="db-1 is full.")
    bad = member(host="db-2", severity=Severity.CRITICAL, at_ms=5, summary="db-2 is full.")
    said = words_of([mild, bad], "en", Place()).summary
    assert said == "db-2 is full. The same on db-1."


@pytest.mark.parametrize(
    ("n", "wanted"), [(1, "1 сервер"), (2, "2 сервери"), (5, "5 серверів"), (11, "11 серверів"), (21, "21 сервер"), (112, "112 серверів")]
)  # fmt: skip
def test_ukrainian_counts(n: int, wanted: str) -> None:
    assert count_hosts(n, "uk") == wanted


def arriving(name: str, host: str, at_ms: int, team: str = "") -> Arriving:
    return Arriving(f"{name}/{host}", name, host, team, at_ms)


def grouping(**change: object) -> Grouping:
    candidate = Candidate(7, True, "", 0, None, members={"A/a"}, hosts={"a"}, alert_names={"A"})
    for name, value in change.items():
        setattr(candidate, name, value)
    return Grouping([candidate])


@pytest.mark.parametrize(
    ("alert", "change", "wanted"),
    [
        (arriving("A", "a", 10**9), {}, 7),
        (arriving("B", "a", HOST_WINDOW_MS), {}, 7),
        (arriving("B", "a", HOST_WINDOW_MS + 1), {}, None),
        (arriving("A", "b", KIND_WINDOW_MS), {}, 7),
        (arriving("A", "b", KIND_WINDOW_MS + 1), {}, None),
        (arriving("A", "b", 0, "db"), {}, None),
        (arriving("B", "b", 0), {}, None),
        (arriving("B", "", 0), {}, None),
        (arriving("A", "a", RELAPSE_WINDOW_MS), {"open": False, "resolved_ms": 0}, 7),
        (arriving("A", "a", RELAPSE_WINDOW_MS + 1), {"open": False, "resolved_ms": 0}, None),
        (arriving("B", "a", 1), {"open": False, "resolved_ms": 0}, None),
    ],
)
def test_where_alerts_belong(
    alert: Arriving, change: dict[str, object], wanted: int | None
) -> None:
    assert grouping(**change).place(alert) == wanted


def test_the_older_open_incident_is_the_root() -> None:
    both = [Candidate(i, True, "", 0, None, hosts={"a"}) for i in (9, 4)]
    assert Grouping(both).place(arriving("B", "a", 0)) == 4


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xyz"), st.integers(0, 10**6))))
@settings(deadline=None)
def test_an_alert_is_found_where_it_was_put(alerts: list[tuple[str, str, int]]) -> None:
    """Whatever order alerts come in: the same alert always goes to the same open incident."""
    groups = Grouping()
    placed: dict[str, int] = {}
    for name, host, at_ms in sorted(alerts, key=lambda a: a[2]):
        alert = arriving(name, host, at_ms)
        id_ = groups.place(alert)
        if id_ is None:
            id_ = len(groups.by_id) + 1
            groups.add(Candidate(id_, True, "", at_ms, None))
        groups.join(id_, alert)
        assert placed.setdefault(alert.fingerprint, id_) == id_


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('instance="db-1"', [("instance", "=", "db-1")]),
        ("instance=db-1", [("instance", "=", "db-1")]),
        ('{a="b", c=~"x|y"}', [("a", "=", "b"), ("c", "=~", "x|y")]),
        ('a="x,y",b!="z"', [("a", "=", "x,y"), ("b", "!=", "z")]),
        ("a!~b.*, c=d", [("a", "!~", "b.*"), ("c", "=", "d")]),
    ],
)
def test_matchers_as_written(text: str, wanted: list[tuple[str, str, str]]) -> None:
    assert list(parse_matchers(text)) == [LabelMatcher(*w) for w in wanted]


@pytest.mark.parametrize(
    "text", ["", "instance", "a=~(", 'a=~".*"', "1a=b", "a!=b", "a=~(x+)+y", "=b", "a=b,,"]
)
def test_matchers_that_are_refused(text: str) -> None:
    with pytest.raises(SilenceError):
        parse_matchers(text)


def test_a_silence_must_ask_for_something() -> None:
    with pytest.raises(SilenceError, match="fit every alert"):
        checked_matchers([LabelMatcher("a", "!=", "b")])


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        ("2026-11-21T01:59:00+02:00", False),
        ("2026-11-21T02:00:00+02:00", True),
        ("2026-11-21T03:59:59+02:00", True),
        ("2026-11-21T04:00:00+02:00", False),
        ("2026-11-22T02:30:00+02:00", False),
        ("2026-07-25T02:30:00+03:00", True),
    ],
)
def test_a_weekly_window_in_its_own_zone(at: str, holds: bool) -> None:
    window = make_recurrence(["sat"], "02:00", 120, "Europe/Kyiv")
    assert window.holds(ms(at)) is holds


def test_a_window_over_midnight_belongs_to_the_day_it_began() -> None:
    window = make_recurrence(["sun"], "23:00", 180, "UTC")
    assert window.holds(ms("2026-11-23T01:30:00+00:00"))
    assert not window.holds(ms("2026-11-22T01:30:00+00:00"))
    assert ZoneInfo(window.time_zone)


@pytest.mark.parametrize(
    "wrong",
    [
        (["someday"], "02:00", 60, "UTC"),
        (["sat"], "25:00", 60, "UTC"),
        (["sat"], "2", 60, "UTC"),
        (["sat"], "02:00", 0, "UTC"),
        (["sat"], "02:00", 60, "Mars/Olympus"),
        ([], "02:00", 60, "UTC"),
    ],
)
def test_windows_that_are_refused(wrong: tuple[list[str], str, int, str]) -> None:
    with pytest.raises(SilenceError):
        make_recurrence(*wrong)


def test_a_silence_holds_within_its_span_only() -> None:
    one = Silence(1, parse_matchers("a=b"), 100, 200, "alice", "disks", 100)
    assert [one.state(t) for t in (99, 100, 199, 200)] == ["pending", "active", "active", "expired"]
    assert (one.reason.en, one.reason.uk) == (
        "silence 1 by alice: disks",
        "тиша 1, alice: disks",
    )


def test_a_summary_without_a_full_stop_gets_one_before_what_follows() -> None:
    def said(text: str, *names: str) -> str:
        members = [member(n, summary=text) for n in names]
        return words_of(members, "en", Place()).summary

    assert said("db is full", "A") == "db is full"
    assert said("db is full", "A", "B") == "db is full. Also: B."
    assert said("Is db full?", "A", "B") == "Is db full? Also: B."
