"""What gates say. Pure: a gate as it was set and its evidence in, a judgement out.

Three answers: pass, fail, no evidence. The evidence is a JSON document that `evidence` gathers and
`verdict` rows keep, so that each verdict can be opened and made again with `judge`.

| Kind | Passes when | Fails when |
|---|---|---|
| `proof` | all hosts offered so far are proven or within what is tolerated | more went back |
| `health` | touched hosts are up, complete, and without new alerts | one is not |
| `promql` | each series of touched hosts keeps `expr op threshold` | one does not |
| `budget` | more than `remaining` of the error budget is left | it is not |
| `predictability` | the hosts' load follows its forecast (median ≥ `least`) | it does not |
| `canary` | touched hosts did not get worse against the others by `tolerance` | they did |
| `approval` | `count` people of `role` said yes to this wave | one said no |
| `webhook` | the outside says pass | it says fail |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from vezha.delivery.canary import compare
from vezha.delivery.limits import HOSTS_NAMED_MAX
from vezha.delivery.pace import budget_left
from vezha.delivery.rollout import Phase
from vezha.delivery.spec import Gate

PASS, FAIL, NO_EVIDENCE = "pass", "fail", "no_evidence"
E_STOP = 20.0
"""Evidence at which a share of failures is over what is tolerated: 1/0.05 (Ville's bound)."""
_GRID = 2_000

PHASES: dict[str, tuple[Phase, ...]] = {
    "proof": (Phase.ROLLING, Phase.BAKING),
    "health": (Phase.ROLLING, Phase.BAKING),
    "promql": (Phase.ROLLING, Phase.BAKING),
    "budget": (Phase.OPENING, Phase.BAKING),
    "predictability": (Phase.OPENING, Phase.BAKING),
    "canary": (Phase.BAKING,),
    "approval": (Phase.OPENING,),
    "webhook": (Phase.BAKING,),
}
"""When each kind is asked."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a gate says: the answer, a sentence, what was measured and what is allowed."""

    result: str
    sentence: str
    measured: float | None = None
    allowed: float | None = None


def judge(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    """The judgement of *gate* over *evidence*. The same for the same, always."""
    fault = evidence.get("control_plane")
    if fault:
        return Judgement(NO_EVIDENCE, f"{fault}: this is not the release's fault")
    problem = evidence.get("problem")
    if problem:
        return Judgement(NO_EVIDENCE, f"{gate.title}: {problem}")
    return _KINDS[gate.kind](gate, evidence)


def failures_allowed(gate: Gate, hosts: int, *, first: bool) -> int:
    """How many of *hosts* may go back. Of canaries `failures_max`, and not more.

    Later the count at which the share of failures is, at 5 % over all looks together, no longer
    within `tolerated`: a uniform-mixture e-process for a Bernoulli rate (Ville's inequality).
    """
    if first or hosts == 0:
        return gate.failures_max
    return max(gate.failures_max, _stop_at(hosts, gate.tolerated) - 1)


def _stop_at(n: int, tolerated: float) -> int:
    """The least count of failures among *n* that is evidence against *tolerated*.

    The evidence is the mixture over rates r, uniform from tolerated to 1, of the likelihood ratio
    (r/t)^k ((1-r)/(1-t))^(n-k), taken as a sum over a grid.
    """
    if tolerated <= 0:
        return 1
    if tolerated >= 1:
        return n + 1
    rates = tolerated + (np.arange(_GRID) + 0.5) / _GRID * (1 - tolerated)
    up = np.log(rates / tolerated)
    down = np.log((1 - rates) / (1 - tolerated))
    low, high = 0, n + 1
    while low < high:
        k = (low + high) // 2
        exponent: npt.NDArray[np.float64] = k * up + (n - k) * down
        top = float(exponent.max())
        evidence = top + math.log(float(np.mean(np.exp(exponent - top))))
        if k <= n and evidence < math.log(E_STOP):
            low = k + 1
        else:
            high = k
    return low


def _proof(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    bad, proven, open_ = evidence["bad"], int(evidence["proven"]), int(evidence["open"])
    failures = int(evidence["failures"])
    hosts = proven + failures
    allowed = failures_allowed(gate, hosts, first=bool(evidence["first"]))
    if failures > allowed:
        shown = ", ".join(f"{name} ({reason})" for name, reason in bad[:HOSTS_NAMED_MAX])
        more = failures - min(len(bad), HOSTS_NAMED_MAX)
        rest = f" and {more} more" if more > 0 else ""
        return Judgement(
            FAIL, f"{failures} of {hosts} hosts did not prove it: {shown}{rest}", failures, allowed
        )
    if open_ or not hosts:
        return Judgement(NO_EVIDENCE, f"{open_} hosts have not proven it yet", failures, allowed)
    if not proven:
        return Judgement(NO_EVIDENCE, "no host has proven it", failures, allowed)
    return Judgement(PASS, f"{proven} of {hosts} hosts run it", failures, allowed)


def _health(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    alerts: Sequence[Sequence[Any]] = evidence["alerts"]
    down: Sequence[str] = evidence["down"]
    ratios: Mapping[str, Sequence[float]] = evidence["completeness"]
    if alerts:
        shown = ", ".join(f"{a[0]} on {a[1]}" for a in alerts[:HOSTS_NAMED_MAX])
        return Judgement(FAIL, f"new alerts on hosts that got it: {shown}", len(alerts), 0)
    if down:
        return Judgement(FAIL, f"hosts that got it are down: {_named(down)}", len(down), 0)
    # a host that was incomplete before is not made so by the release
    worse = [
        name for name, (before, after) in ratios.items()
        if after < gate.completeness and after < before - 0.005
    ]  # fmt: skip
    least = min((after for _, after in ratios.values()), default=None)
    if worse:
        return Judgement(
            FAIL, f"samples are missing since on {_named(worse)}", least, gate.completeness
        )
    if not evidence["seen"]:
        return Judgement(NO_EVIDENCE, "there are no samples of the hosts that got it")
    return Judgement(
        PASS, f"{evidence['seen']} hosts are up, complete and without new alerts", least,
        gate.completeness,
    )  # fmt: skip


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _promql(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    threshold = 0.0 if gate.threshold is None else gate.threshold
    series = [(name, value) for name, value in evidence["series"] if value is not None]
    if not series:
        return Judgement(NO_EVIDENCE, "the query gives no series of these hosts", None, threshold)
    holds = _COMPARE[gate.op]
    broken = [(name, value) for name, value in series if not holds(value, threshold)]
    if broken:
        name, value = broken[0]
        where = f" for {name}" if name else ""
        return Judgement(
            FAIL, f"{value:.6g} is not {gate.op} {threshold:g}{where}", value, threshold
        )
    return Judgement(
        PASS, f"{len(series)} series are {gate.op} {threshold:g}", series[0][1], threshold
    )


def _budget(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    good = evidence["good"]
    if good is None:
        return Judgement(NO_EVIDENCE, "nothing is known of the service level", None, gate.remaining)
    left = budget_left(good, evidence["objective"])
    sentence = f"{max(left, 0.0):.0%} of the error budget of {_span(evidence['window_s'])} is left"
    return Judgement(PASS if left > gate.remaining else FAIL, sentence, left, gate.remaining)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _predictability(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    values = [v for v in evidence["values"].values() if v is not None]
    if not values:
        return Judgement(NO_EVIDENCE, "there is no load predictability yet", None, gate.least)
    median = float(np.median(np.asarray(values, np.float64)))
    sentence = f"{gate.resource} load predictability is {median:.2f} (median of {len(values)})"
    return Judgement(PASS if median >= gate.least else FAIL, sentence, median, gate.least)


def _canary(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    arrays = [_array(evidence[name]) for name in CANARY_PARTS]
    if any(array.size == 0 for array in arrays):
        return Judgement(NO_EVIDENCE, "there are no hosts, or no samples, to compare")
    found = compare(*arrays, direction=gate.direction, tolerance=gate.tolerance, alpha=gate.alpha)
    effect = None if math.isnan(found.effect) else found.effect
    return Judgement(found.verdict, found.reason, effect, gate.tolerance)


CANARY_PARTS = ("canary_before", "canary_after", "control_before", "control_after")


def _array(rows: Sequence[Sequence[float | None]]) -> npt.NDArray[np.float64]:
    filled = [[math.nan if v is None else v for v in row] for row in rows]
    if not filled or not filled[0]:
        return np.zeros((0, 0))
    return np.asarray(filled, np.float64)


def _approval(gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    answers: Sequence[Sequence[str]] = evidence["answers"]
    against = [user for user, answer in answers if answer == "rejected"]
    if against:
        return Judgement(FAIL, f"{against[0]} said no", len(answers) - len(against), gate.count)
    people = [user for user, _ in answers]
    sentence = f"{len(people)} of {gate.count} said yes" + (f": {_named(people)}" if people else "")
    result = PASS if len(people) >= gate.count else NO_EVIDENCE
    return Judgement(result, sentence, len(people), gate.count)


def _webhook(_gate: Gate, evidence: Mapping[str, Any]) -> Judgement:
    answer = evidence.get("answer") or {}
    result = answer.get("result")
    said = str(answer.get("sentence") or "")[:200]
    if result not in (PASS, FAIL, NO_EVIDENCE):
        return Judgement(NO_EVIDENCE, "the outside did not say pass, fail or no_evidence")
    return Judgement(str(result), said or f"the outside says {result}")


_KINDS: dict[str, Callable[[Gate, Mapping[str, Any]], Judgement]] = {
    "proof": _proof,
    "health": _health,
    "promql": _promql,
    "budget": _budget,
    "predictability": _predictability,
    "canary": _canary,
    "approval": _approval,
    "webhook": _webhook,
}


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:HOSTS_NAMED_MAX])
    return shown + (
        f" and {len(names) - HOSTS_NAMED_MAX} more" if len(names) > HOSTS_NAMED_MAX else ""
    )


def recompute(
    spec: dict[str, Any], samples: dict[str, Any], result: str, sentence: str
) -> dict[str, Any]:
    """A verdict made again from what was kept, and whether it agrees."""
    again = judge(msgspec.convert(spec, Gate), samples)
    shown = {
        "result": again.result, "sentence": again.sentence, "measured": again.measured,
        "allowed": again.allowed,
    }  # fmt: skip
    agrees = (again.result, again.sentence) == (result, sentence)
    return {"recomputed": shown, "agrees": agrees}
