"""What is to become of a trial. Pure.

The order of the questions is the order of causes: what eats a core starves its own collectors and
its own connection, so the cost comes before what follows from it, and nothing passes, nor is a
collector blamed, before the cost is known. What only the server can give (a connection, an
acknowledgement) is asked last, and not while the server has trouble of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from vezha.agent.launcher.limits import (
    AWAY_MAX_S,
    COST_WAIT_MAX_S,
    CPU_SHARE_MAX,
    CPU_SPAN_S,
    CPU_SUSPECT_S,
    CPU_WANTED_MAX,
    CPU_WANTED_SHARE_MIN,
    MEMORY_BYTES_MAX,
    RETURN_MAX_S,
    SETTLE_MAX_S,
    SETTLE_MIN_S,
    Json,
)

UNASKED, ANSWERS, SLOW, AWAY = "", "answers", "slow", "away"
"""What the server said to the launcher itself; slow: it sends agents away for now, or does not store
what they send (429, 503)."""

Verdict = tuple[str, str, str]
"""("wait" | "pass" | "fail", reason, text)."""
WAIT: Verdict = ("wait", "", "")
PASS: Verdict = ("pass", "", "")


class Seen(NamedTuple):
    """What the launcher saw by itself."""

    alive_s: float
    """How long the trial has been at work."""
    cpu: tuple[float, float] | None = None
    """Shares of a core that it got and that it wanted; None: not known yet, or not told here."""
    memory_bytes: int | None = None
    server: str = UNASKED
    bad_s: float = 0.0
    """When in the trial's life the server last had trouble; 0: it never had."""


def judge(trial: Json, proof: Json | None, seen: Seen) -> Verdict:
    """The verdict on *trial*, with what the agent wrote last as its *proof* (None: nothing fresh)."""
    knows_cost = seen.alive_s >= _known_from_s(seen.cpu)
    wrong = _too_costly(seen, knows_cost) or _wrong(trial, proof, knows_cost)
    if wrong is not None:
        return ("fail", *wrong)
    if seen.alive_s < trial["watch_s"] or not knows_cost:
        return WAIT
    if proof is not None and proof["connected"] and proof["acked"] and not proof["gap"]:
        return PASS
    return _unproven(trial, proof, seen)


def _is_hungry(cpu: tuple[float, float]) -> bool:
    """Whether it would take a whole core if it got it."""
    return cpu[0] > CPU_WANTED_SHARE_MIN and cpu[1] > CPU_WANTED_MAX


def _known_from_s(cpu: tuple[float, float] | None) -> float:
    """From which second of a trial on its cost is known."""
    if cpu is None:
        return COST_WAIT_MAX_S
    return CPU_SUSPECT_S if _is_hungry(cpu) and cpu[0] <= CPU_SHARE_MAX else CPU_SPAN_S


def _too_costly(seen: Seen, knows_cost: bool) -> tuple[str, str] | None:
    if seen.cpu is not None and knows_cost:
        share, wanted = seen.cpu
        if share > CPU_SHARE_MAX:
            return "cpu", f"used {100 * share:.0f} % of a core"
        if _is_hungry(seen.cpu):
            return "cpu", f"wanted {100 * wanted:.0f} % of a core"
    if seen.memory_bytes is not None and seen.memory_bytes > MEMORY_BYTES_MAX:
        return "memory", f"used {seen.memory_bytes >> 20} MiB"
    return None


def _wrong(trial: Json, proof: Json | None, knows_cost: bool) -> tuple[str, str] | None:
    """What the agent says of itself that needs no server."""
    if proof is None:
        return None
    if trial["build"] and proof["build"] != trial["build"]:
        return "wrong_build", "build {} runs".format(proof["build"])
    if proof["config"] != trial["pair"]["config"]:
        return "config", proof.get("trouble") or "another configuration is in use"
    broken = sorted(set(proof["failing"]) - set(trial["failing"]))
    if broken and knows_cost:
        return "collector", "these fail now: " + ", ".join(broken)
    return None


def _unproven(trial: Json, proof: Json | None, seen: Seen) -> Verdict:
    """The watch is over, and the server's part of the proof is missing."""
    late_s = seen.alive_s - trial["watch_s"]
    sent_away = proof is not None and proof.get("sent_away")
    # when the server is back, agents come back each at its own time
    returning = seen.bad_s > 0 and seen.alive_s - seen.bad_s < RETURN_MAX_S
    if seen.server in (AWAY, SLOW) or sent_away or returning:
        if late_s < AWAY_MAX_S:
            return WAIT
        if seen.server == SLOW or sent_away:
            return "fail", "slowed_down", f"the server told agents to wait, for {late_s:.0f} s"
        return "fail", "server_away", f"the server was away, for {late_s:.0f} s"
    if late_s < max(SETTLE_MIN_S, min(SETTLE_MAX_S, trial["watch_s"])):
        return WAIT
    if proof is None:
        return "fail", "no_proof", "the agent says nothing of itself"
    if not proof["connected"]:
        return "fail", "not_connected", "the server answers, but this build is not connected"
    if proof["gap"]:
        return "fail", "gap", "frames of this run are missing at the server"
    return "fail", "no_telemetry", "frames are not acknowledged"
