"""Stages of detection as histograms in Prometheus's form."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from vezha.model.stages import BOUNDS_S, Stages

Seconds = st.floats(-1.0, 100.0)


def shown(stages: Stages) -> dict[str, float]:
    """Values by what tells a series from the others: the bucket, `sum`, `count`."""
    out = {}
    for labels, value in stages.series(job="vezha"):
        of = dict(labels)
        assert (of["job"], of["stage"]) == ("vezha", "sent")
        out[of.get("le") or of["__name__"].rpartition("_")[2]] = value
    return out


@given(st.lists(Seconds, min_size=1, max_size=40))
def test_buckets_are_cumulative_and_hold_all(took: list[float]) -> None:
    stages = Stages()
    for seconds in took:
        stages.observe("sent", seconds)
    found = shown(stages)
    for bound in BOUNDS_S:
        assert found[repr(bound)] == sum(s <= bound for s in took)
    assert found["+Inf"] == found["count"] == len(took)
    assert math.isclose(found["sum"], sum(max(0.0, s) for s in took), abs_tol=1e-9)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    one, many = Stages(), Stages()
    for seconds in (0.01, 0.3, 90.0):
        one.observe("sent", seconds)
    counts = [0] * (len(BOUNDS_S) + 1)
    counts[1] = counts[6] = counts[-1] = 1
    many.add("sent", counts, 90.31)
    assert shown(one) == shown(many)


def test_nothing_is_told_of_a_stage_that_was_not_reached() -> None:
    assert Stages().series() == []
