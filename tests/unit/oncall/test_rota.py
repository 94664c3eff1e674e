"""Rotations: whoever asks when, there is exactly one answer, and hand-overs stand by the wall clock."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.incidents.oncall.errors import OnCallError
from vezha.incidents.oncall.rota import (
    HOUR_MS,
    Layer,
    Override,
    Schedule,
    Span,
    Window,
    gaps,
    instant,
    local_time,
    next_on_call,
    on_call,
    open_until,
    shifts,
)

KYIV = ZoneInfo("Europe/Kyiv")
DAY_MS = 24 * HOUR_MS
ZONES = [
    "UTC", "Europe/Kyiv", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
    "America/St_Johns", "Africa/Casablanca",
]  # fmt: skip


def at(text: str, zone: ZoneInfo = KYIV) -> int:
    return instant(datetime.fromisoformat(text), zone)


def weekly(*people: str, start: str = "2026-03-02T09:00", hours: int = 168) -> Layer:
    return Layer("week", people, hours, datetime.fromisoformat(start))


def schedule(*layers: Layer, zone: str = "Europe/Kyiv") -> Schedule:
    return Schedule("db", zone, layers)


def told(spans: Sequence[Span], zone: ZoneInfo = KYIV) -> list[tuple[str, str]]:
    return [(local_time(s.starts_ms, zone).isoformat(timespec="minutes"), s.person) for s in spans]


def test_weeks_hand_over_at_nine_though_clocks_change() -> None:
    """2026-03-29 03:00 clocks go forward in Kyiv: that week is an hour shorter."""
    one = schedule(weekly("olena", "petro"))
    spans = shifts(one, [], at("2026-03-02T09:00"), at("2026-04-13T09:00"))
    assert told(spans) == [
        ("2026-03-02T09:00", "olena"), ("2026-03-09T09:00", "petro"),
        ("2026-03-16T09:00", "olena"), ("2026-03-23T09:00", "petro"),
        ("2026-03-30T09:00", "olena"), ("2026-04-06T09:00", "petro"),
    ]  # fmt: skip
    lengths = [(s.ends_ms - s.starts_ms) // HOUR_MS for s in spans]
    assert lengths == [168, 168, 168, 167, 168, 168]


def test_turns_of_hours_keep_their_place_on_the_clock() -> None:
    one = schedule(weekly("a", "b", start="2026-10-24T08:00", hours=12))
    spans = shifts(one, [], at("2026-10-24T08:00"), at("2026-10-26T08:00"))
    assert told(spans) == [
        ("2026-10-24T08:00", "a"), ("2026-10-24T20:00", "b"),
        ("2026-10-25T08:00", "a"), ("2026-10-25T20:00", "b"),
    ]  # fmt: skip
    assert [(s.ends_ms - s.starts_ms) // HOUR_MS for s in spans] == [12, 13, 12, 12]


def test_a_hand_over_within_the_missing_hour_is_made_all_the_same() -> None:
    one = schedule(weekly("a", "b", start="2026-03-28T03:30", hours=24))
    spans = shifts(one, [], at("2026-03-28T03:30"), at("2026-03-31T03:30"))
    assert told(spans) == [
        ("2026-03-28T03:30", "a"), ("2026-03-29T04:30", "b"), ("2026-03-30T03:30", "a"),
    ]  # fmt: skip


def test_before_the_first_hand_over_nobody_is_on_call() -> None:
    one = schedule(weekly("olena"))
    (gap,) = gaps(one, [], at("2026-03-01T09:00"), at("2026-03-05T09:00"))
    assert gap.ends_ms == at("2026-03-02T09:00")


def test_later_layers_and_overrides_stand_over_earlier_ones() -> None:
    night = Layer(
        "night", ("ivan",), 24, datetime(2026, 3, 2, 9, 0),
        (Window((0, 1, 2, 3, 4), 22 * 60, 8 * 60),),
    )  # fmt: skip
    one = schedule(weekly("olena", "petro"), night)
    overrides = [
        Override(1, "petro", at("2026-03-03T21:00"), at("2026-03-03T23:00")),
        Override(2, "boss", at("2026-03-03T22:00"), at("2026-03-03T22:30")),
    ]
    spans = shifts(one, overrides, at("2026-03-03T12:00"), at("2026-03-04T12:00"))
    assert told(spans) == [
        ("2026-03-03T12:00", "olena"), ("2026-03-03T21:00", "petro"), ("2026-03-03T22:00", "boss"),
        ("2026-03-03T22:30", "petro"), ("2026-03-03T23:00", "ivan"), ("2026-03-04T06:00", "olena"),
    ]  # fmt: skip
    assert spans[1].source == "override 1"


def test_now_and_next() -> None:
    one = schedule(weekly("olena", "petro"))
    now_ms = at("2026-03-04T12:00")
    now = on_call(one, [], now_ms)
    assert (now.person, now.starts_ms, now.ends_ms) == (
        "olena", at("2026-03-02T09:00"), at("2026-03-09T09:00"),
    )  # fmt: skip
    after = next_on_call(one, [], now_ms, 30 * DAY_MS)
    assert after is not None
    assert (after.person, after.starts_ms) == ("petro", at("2026-03-09T09:00"))
    alone = schedule(weekly("olena"))
    assert next_on_call(alone, [], now_ms, 30 * DAY_MS) is None
    assert on_call(schedule(), [], now_ms).person == ""


def test_a_range_has_a_bound() -> None:
    with pytest.raises(OnCallError, match="at most"):
        shifts(schedule(weekly("a")), [], 0, 500 * DAY_MS)
    assert shifts(schedule(weekly("a")), [], 5, 5) == []


def test_windows_are_open_until() -> None:
    nights = (Window((6,), 22 * 60, 9 * 60),)
    assert open_until(nights, KYIV, at("2026-03-01T23:00")) == at("2026-03-02T07:00")
    assert open_until(nights, KYIV, at("2026-03-02T07:00")) is None
    assert open_until(nights, KYIV, at("2026-03-02T23:00")) is None
    assert open_until((), KYIV, 0) is None


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    people = tuple(draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4)))
    start = datetime(2026, 1, 1) + timedelta(minutes=draw(st.integers(0, 120 * 1440)))
    windows = draw(
        st.lists(
            st.builds(
                Window,
                st.lists(st.integers(0, 6), min_size=1, max_size=3).map(tuple),
                st.integers(0, 1439),
                st.integers(1, 3000),
            ),
            max_size=2,
        )
    )
    hours = draw(st.sampled_from([1, 5, 12, 24, 72, 168]))
    return Layer(draw(st.text("xyz", min_size=1)), people, hours, start, tuple(windows))


START_MS = round(datetime(2026, 2, 1, tzinfo=timezone.utc).timestamp() * 1000)
instants = st.integers(START_MS, START_MS + 300 * DAY_MS)
overrides = st.lists(
    st.builds(
        lambda id_, who, begins, length: Override(id_, who, begins, begins + length),
        st.integers(1, 99), st.sampled_from("pqr"), instants, st.integers(1, 10 * DAY_MS),
    ),
    max_size=3,
    unique_by=lambda o: o.id,
)  # fmt: skip


@given(
    st.lists(layers(), max_size=3), st.sampled_from(ZONES), overrides, instants,
    st.integers(1, 20 * DAY_MS), st.lists(st.floats(0, 1), max_size=5),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_shifts_cover_all_time_once_and_agree_with_any_part_of_it(
    some: list[Layer],
    zone: str,
    standing_in: list[Override],
    from_ms: int,
    length: int,
    where: list[float],
) -> None:
    one = Schedule("s", zone, tuple(some))
    to_ms = from_ms + length
    spans = shifts(one, standing_in, from_ms, to_ms)
    assert spans[0].starts_ms == from_ms
    assert spans[-1].ends_ms == to_ms
    for left, right in itertools.pairwise(spans):
        assert left.ends_ms == right.starts_ms
        assert (left.person, left.source) != (right.person, right.source)
    for part in where:
        moment = min(to_ms - 1, from_ms + int(part * length))
        (now,) = shifts(one, standing_in, moment, moment + 1)
        (whole,) = [s for s in spans if s.starts_ms <= moment < s.ends_ms]
        assert (now.person, now.source) == (whole.person, whole.source)
        own = [o for o in standing_in if o.starts_ms <= moment < o.ends_ms]
        if own:
            assert now.person == max(own, key=lambda o: o.id).person


@given(
    st.integers(1, 4), st.sampled_from([24, 48, 168]), st.sampled_from(ZONES),
    st.integers(0, 1439), instants,
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_every_hand_over_is_at_the_same_time_of_day(
    people: int, hours: int, zone: str, minute: int, from_ms: int
) -> None:
    """But where clocks jump over it; and nobody has two turns in a row, nor is anybody left out."""
    start = datetime(2026, 1, 5) + timedelta(minutes=minute)
    names = tuple("abcd"[:people])
    one = Schedule("s", zone, (Layer("l", names, hours, start),))
    spans = shifts(one, [], from_ms, from_ms + 60 * DAY_MS)
    info = ZoneInfo(zone)
    for left, right in itertools.pairwise(spans):
        local = local_time(right.starts_ms, info)
        there = instant(
            datetime(local.year, local.month, local.day) + timedelta(minutes=minute), info
        )
        assert there == right.starts_ms
        assert names[(names.index(left.person) + 1) % people] == right.person
