"""Two sources as one answer as one source that has everything; without the engine, what is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.model.columns import Matcher, MatchOp, Selection, SeriesData
from vezha.model.labels import Labels, metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.store.joined import JoinedSource
from vezha.store.limits import REMOTE_REST_S
from vezha.store.remote import RemoteUnreachable
from vezha.world import SystemClock, World

NOW_MS = 1_800_000_000_000
BEGAN_MS = NOW_MS - 600_000


@dataclass
class Clock(SystemClock):
    now_s: float = NOW_MS / 1000

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


class Near(MemorySource):
    began: int | None = BEGAN_MS

    def began_ms(self) -> int | None:
        return self.began

    def has_label(self, name: str) -> bool:
        return any(name in dict(labels) for labels in self.series((), 0, NOW_MS))

    def stats(self) -> dict[str, float]:
        return {"series": 1.0}


@dataclass
class Far:
    """An engine that may be away."""

    source: MemorySource = field(default_factory=MemorySource)
    away: bool = False
    asked: int = 0

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise RemoteUnreachable("connection refused")

    def select(self, selection: Selection) -> SeriesData:
        self._answer()
        return self.source.select(selection)

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        self._answer()
        return self.source.series(matchers, start_ms, end_ms, limit)

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        raise AssertionError("not asked: names come from the series")

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        raise AssertionError("not asked: names come from the series")


def _scene(kept_s: int = 86_400) -> tuple[JoinedSource, Near, Far, MemorySource, Clock]:
    near, far, whole, clock = Near(), Far(), MemorySource(), Clock()
    for host in range(3):
        labels = metric("m", instance=f"h{host}")
        for age_s in range(1_800 + host, 0, -7):
            if host == 2 and 300 < age_s < 900:
                continue
            ts_ms = NOW_MS - 1000 * age_s
            for source in (whole, far.source):
                source.append(labels, ts_ms, float(age_s))
            if ts_ms > BEGAN_MS:
                near.append(labels, ts_ms, float(age_s))
    joined = JoinedSource(near, far, kept_s * 1000, World(clock=clock), "http://engine:8428")
    return joined, near, far, whole, clock


@settings(deadline=None, max_examples=60)
@given(
    text=st.sampled_from(
        ["m", "sum(m)", "rate(m[1m])", "max_over_time(m[5m])", "m offset 3m", "timestamp(m)",
         "max_over_time(m[1m])", "count(m) by (instance)", "m @ end()"]
    ),
    from_s=st.integers(0, 1_700), length_s=st.integers(0, 900), step_s=st.sampled_from([5, 13, 60, 600]),
    kept_s=st.sampled_from([86_400, 200]),
)  # fmt: skip
def test_a_query_over_both_is_a_query_over_everything(
    text: str, from_s: int, length_s: int, step_s: int, kept_s: int
) -> None:
    joined, _, _, whole, _ = _scene(kept_s)
    end = NOW_MS - 1000 * from_s
    span = (end - 1000 * length_s, end, 1000 * step_s)
    got, expected = Engine(joined).range(text, *span), Engine(whole).range(text, *span)
    assert got.labels == expected.labels
    np.testing.assert_array_equal(got.present, expected.present)
    np.testing.assert_array_equal(got.filled(), expected.filled())
    assert not got.warnings
    now, then = Engine(joined).instant(text, end), Engine(whole).instant(text, end)
    assert now.labels == then.labels
    np.testing.assert_array_equal(now.filled(), then.filled())


def test_what_is_here_is_answered_without_the_engine() -> None:
    joined, _, far, _, _ = _scene()
    far.away = True
    result = Engine(joined).range("sum(m)", NOW_MS - 200_000, NOW_MS, 10_000)
    assert far.asked == 0
    assert not result.warnings


def test_an_engine_that_is_away_costs_what_it_has_and_is_said() -> None:
    joined, _, far, _, clock = _scene()
    far.away = True
    for _ in range(3):
        result = Engine(joined).range("m", NOW_MS - 1_200_000, NOW_MS, 60_000)
        assert result.present[:, -1].all()
        assert not result.present[:, 0].any()
        (warning,) = result.warnings
        assert (
            "http://engine:8428 (remote.query_url) does not answer: connection refused" in warning
        )
        assert "before 2027-01-15T07:5" in warning
    assert far.asked == 1  # it is left alone for a while
    assert len(joined.series((), 0, NOW_MS)) == 3
    clock.now_s += REMOTE_REST_S
    far.away = False
    assert not Engine(joined).range("m", NOW_MS - 1_200_000, NOW_MS, 60_000).warnings
    assert far.asked == 2


def test_names_of_both() -> None:
    joined, near, far, _, _ = _scene()
    far.source.append(metric("old", instance="h9"), BEGAN_MS - 1_000, 1.0)
    near.append(metric("new", instance="h1"), NOW_MS - 1_000, 1.0)
    assert joined.label_values("__name__", (), 0, NOW_MS) == ["m", "new", "old"]
    assert joined.label_values("__name__", (), BEGAN_MS, NOW_MS) == ["m", "new"]
    assert joined.label_names((), 0, NOW_MS) == ["__name__", "instance"]
    assert joined.series([Matcher("instance", MatchOp.EQ, "h9")], 0, NOW_MS, 1) == [
        metric("old", instance="h9")
    ]
    assert joined.stats() == {"series": 1.0}
    assert joined.has_label("instance")
    assert not joined.has_label("mode")


@pytest.mark.parametrize("began", [None, NOW_MS - 10_000])
def test_a_store_that_has_just_begun_has_nothing_old(began: int | None) -> None:
    joined, near, _, whole, _ = _scene()
    near.clear()
    near.began = began
    span = ("m", NOW_MS - 1_200_000, NOW_MS - 30_000, 60_000)
    np.testing.assert_array_equal(
        Engine(joined).range(*span).filled(), Engine(whole).range(*span).filled()
    )
