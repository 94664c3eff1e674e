"""The pure rule of waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.access import limits
from vezha.access.throttle import Throttle, after_failure, throttle_keys, wait_ms


def fail(times: int, now_ms: int = 0) -> Throttle:
    state = Throttle()
    for _ in range(times):
        state = after_failure(state, now_ms)
    return state


def test_the_first_failures_are_free_then_waits_double() -> None:
    free = limits.THROTTLE_FREE_FAILURES
    assert [wait_ms(fail(n), 0) for n in range(free)] == [0] * free
    assert [wait_ms(fail(free + n), 0) for n in range(4)] == [2_000, 4_000, 8_000, 16_000]


@given(st.lists(st.integers(0, 10**7), max_size=100))
def test_no_attack_makes_anyone_wait_longer_than_the_limit(pauses: list[int]) -> None:
    state, now = Throttle(), 0
    for pause in pauses:
        now += pause
        state = after_failure(state, now)
        assert 0 <= wait_ms(state, now) <= limits.THROTTLE_MAX_S * 1000


def test_failures_of_long_ago_do_not_count() -> None:
    later = int(limits.THROTTLE_FORGET_S * 1000) + 1
    assert after_failure(fail(50), later).failures == 1


def test_a_clock_set_back_by_a_year_locks_nobody_out() -> None:
    year_ms = 365 * 86_400_000
    state = fail(50, now_ms=year_ms)
    assert wait_ms(state, 0) <= limits.THROTTLE_MAX_S * 1000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unix", "unix", True),
    ],
)
def test_one_network_is_one_address(one: str, other: str, same: bool) -> None:
    assert (throttle_keys("a", one)[1] == throttle_keys("a", other)[1]) is same
