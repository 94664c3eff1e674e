"""How a simulated host takes change, and whether the demo's changes are ones that the desk takes."""

from __future__ import annotations

from typing import Any

import pytest

from vezha.delivery.spec import read_gates, read_waves
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.inventory import machines
from vezha.testing.fleet.rollouts import BEHAVIOURS, CALM, HEAVY, SHA256, Rollouts
from vezha.testing.fleet.taking import HostTakes
from vezha.wire import message as m

BAD = "b" * 64
GOOD = "a" * 64


def desired(sha256: str, generation: int) -> m.Desired:
    return m.Desired(
        [
            {"kind": "config", "generation": generation, "target": "config/x/1/agent.toml",
             "sha256": sha256, "length": 3}
        ]
    )  # fmt: skip


def live_through(host: HostTakes, seconds: int, now_s: float) -> list[Any]:
    """What the host sends in that time, each message heard by the server at once."""
    told: list[Any] = []
    for i in range(seconds):
        sent: list[bytes] = []
        host.step(now_s + i, sent.append)
        for packed in sent:
            message = m.unpack(packed)
            told.append(message)
            if isinstance(message, m.Progress):
                host.hear(m.ProgressAck(message.number), now_s + i)
    return told


@pytest.fixture
def host() -> HostTakes:
    behaviours = {BAD: Behaviour("reverted", "memory", step_s=1.0), GOOD: Behaviour(step_s=1.0)}
    return HostTakes(0, machines(20)[0], behaviours, seed=1)


def test_a_good_version_is_proven_and_told_of(host: HostTakes) -> None:
    host.hear(desired(GOOD, 5), 100.0)
    assert not host.is_idle
    told = live_through(host, 10, 100.0)
    steps = [one.step for one in told if isinstance(one, m.Progress)]
    assert steps == ["downloaded", "staged", "started", "proven"]
    states = [one for one in told if isinstance(one, m.State)]
    assert [one.config["sha256"] for one in states] == [GOOD]
    assert states[0].config["generation"] == 5
    assert "config" in states[0].capabilities
    assert host.is_idle


def test_a_bad_version_is_taken_back_by_the_host(host: HostTakes) -> None:
    host.hear(desired(BAD, 5), 100.0)
    told = live_through(host, 10, 100.0)
    steps = [one.step for one in told if isinstance(one, m.Progress)]
    assert steps == ["downloaded", "staged", "started", "reverted", "quarantined"]
    assert [one.config["sha256"] for one in told if isinstance(one, m.State)] == [BAD, ""]
    assert told[-1].quarantined == [BAD]


def test_what_was_not_heard_is_told_again_after_a_cut(host: HostTakes) -> None:
    host.hear(desired(GOOD, 5), 100.0)
    for i in range(10):
        host.step(100.0 + i, None)
    assert not host.is_idle
    host.agent.reconnect()
    steps = [one.step for one in live_through(host, 2, 110.0) if isinstance(one, m.Progress)]
    assert steps[-1] == "proven"
    assert host.is_idle


@pytest.mark.parametrize("body", [Rollouts().calm(), Rollouts().heavy()])
def test_the_demos_changes_can_be_written_down(body: dict[str, Any]) -> None:
    waves = read_waves(body["waves"])
    assert read_gates(body["gates"], waves)
    assert {SHA256[CALM], SHA256[HEAVY]} == set(BEHAVIOURS)
