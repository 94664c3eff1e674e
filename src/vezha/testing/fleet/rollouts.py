"""The demo's rollouts: one that goes well, one that is held at a gate until somebody decides.

They are real ones: signed, planned, offered, told and judged as on real hosts. What a version does
to a host is made up: the bad one costs processor time and makes requests fail on some of them, so
that gates, incidents and their probable cause have something to say.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.sockets import SocketFleet
from vezha.testing.fleet.story import SPARED

Tell = Callable[[str], None]
Call = Callable[[str, str, object], Awaitable[Any]]
"""Asks the server's API: method, path, body; the answer."""

CALM = "config/agent-settings/7/agent.toml"
HEAVY = "config/agent-settings/8/agent.toml"
CONTENTS = {
    CALM: b"[collectors.sockets]\nenabled = true\n",
    HEAVY: b"[collectors.processes]\ninterval_s = 1\n",
}
"""What is published, by target."""
SHA256 = {target: hashlib.sha256(content).hexdigest() for target, content in CONTENTS.items()}
BEHAVIOURS = {
    SHA256[CALM]: Behaviour(step_s=1.0),
    SHA256[HEAVY]: Behaviour("reverted", "memory", share=0.15, step_s=1.5),
}
HURT_EVERY = 2
"""The bad version hurts each second host beyond the canaries."""
CANARIES = 2
DECIDE_S = 3_600.0
"""So long the rollout waits for somebody's decision; then it is taken back."""
LOOK_EVERY_S = 2.0
SETTLE_S = 25.0
"""Until the server knows what each host can take."""


@dataclass(frozen=True)
class Rollouts:
    """What is drafted and started: the bodies of `POST /api/v1/changes`."""

    role: str = "app"
    site: str = SPARED

    def calm(self) -> dict[str, Any]:
        """A change that goes through."""
        return {
            "kind": "config", "target": CALM, "title": "Count sockets by state",
            "why": "Port exhaustion was seen too late last week", "owner": "taras",
            "checklist": "disk-full", "risk": "low", "selector": 'role="cache"',
            "waves": [{"name": "canary", "count": 1, "bake_s": 5}, {"name": "all", "bake_s": 10}],
            "gates": [{"kind": "proof"}],
            "policy": {"jitter_s": 0, "watch_s": 3, "pace": False},
        }  # fmt: skip

    def heavy(self) -> dict[str, Any]:
        """A change that is held at its second wave."""
        return {
            "kind": "config", "target": HEAVY, "title": "Look at all processes each second",
            "why": "Find out who opens all the files", "owner": "olena",
            "checklist": "disk-full", "risk": "medium", "selector": f'role="{self.role}",site="{self.site}"',
            "waves": [
                {"name": "canary", "count": CANARIES, "bake_s": 10},
                {"name": "half", "percent": 60, "bake_s": 120},
                {"name": "all"},
            ],
            "gates": [
                {"kind": "proof", "failures_max": 2, "tolerated": 0.3},
                {"kind": "promql", "name": "failed-calls", "op": "<", "threshold": 0.02,
                 "window_s": 20, "on_fail": "hold",
                 "expr": 'sum by (instance) (rate(rpc_requests_total{instance=~"$hosts",'
                         'result="error"}[$window])) / sum by (instance) '
                         '(rate(rpc_requests_total{instance=~"$hosts"}[$window]))'},
                {"kind": "promql", "name": "processor", "op": "<", "threshold": 0.95,
                 "window_s": 20, "on_fail": "hold",
                 "expr": '1 - avg by (instance) (rate(node_cpu_seconds_total{'
                         'instance=~"$hosts",mode="idle"}[$window]))'},
            ],
            "policy": {"jitter_s": 0, "watch_s": 3, "pace": False},
        }  # fmt: skip


def wire_to(fleet: SocketFleet) -> None:
    """Let the bad version hurt the hosts on which it runs, and only as long as it runs."""
    begun: list[int] = []

    def ran(row: int, sha256: str) -> None:
        bad = sha256 == SHA256[HEAVY]
        if bad and row not in begun:
            begun.append(row)
        place = begun.index(row) if row in begun else 0
        hurts = bad and place >= CANARIES and (place - CANARIES) % HURT_EVERY == 0
        if row in begun:
            fleet.vitals.error_ratio[row] = 0.09 if hurts else 0.0004
            fleet.vitals.extra_load[row] = 0.35 if hurts else 0.0

    fleet.ran = ran


async def tell_rollouts(tell: Tell, call: Call, pace: float) -> None:
    """Both rollouts, one after the other. What the server refuses ends it, with a line."""
    await asyncio.sleep(SETTLE_S)
    tell("A new setting goes to the caches, first to one, then to all.")
    await _ended(call, await _begin(call, Rollouts().calm()), 120.0)
    tell("Another goes to the application hosts in three waves. Not all of them will like it.")
    rollout = await _begin(call, Rollouts().heavy())
    if await _ended(call, rollout, 240.0) != "held":
        return
    tell("A gate failed: the rollout is held. Open Changes and decide; it waits for you.")
    state = await _ended(call, rollout, DECIDE_S / pace, but="held")
    if state == "held":
        await call("POST", f"/api/v1/rollouts/{rollout}/revert", {"why": "nobody decided in time"})
        tell("Nobody decided. The rollout is taken back.")


async def _begin(call: Call, body: dict[str, Any]) -> int:
    made = await call("POST", "/api/v1/changes", body)
    await call("POST", f"/api/v1/changes/{made['id']}/plan", {})
    started = await call("POST", f"/api/v1/changes/{made['id']}/start", {})
    return int(started["id"])


async def _ended(call: Call, rollout: int, timeout_s: float, but: str = "running") -> str:
    """The rollout's state once it is not *but* any more, or after *timeout_s*."""
    left_s = timeout_s
    while True:
        state = str((await call("GET", f"/api/v1/rollouts/{rollout}", None))["state"])
        if state != but or left_s <= 0:
            return state
        await asyncio.sleep(LOOK_EVERY_S)
        left_s -= LOOK_EVERY_S
