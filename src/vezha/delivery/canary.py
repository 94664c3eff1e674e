"""Canary comparison: did a change make the hosts that got it worse than the hosts that did not?

The HOST is the unit, never the sample: samples of one host resemble each other (autocorrelation),
and a test that counts them as independent finds differences where there are none. Each host gives
one number, its change from before to after in parts of its own level (difference in differences:
what befell all hosts cancels out). Whether the canaries' numbers stand out is asked by permutation:
how would the statistic look if others of the same hosts had been the canaries?

One may look as often as one likes. A look uses the samples up to the last *epoch* (epochs grow by
half, so evidence lags little), the evidence of epoch k is an e-value E_k (its mean is at most 1
where nothing is wrong), and the e-process is M = Σ w_k E_k with Σ w_k ≤ 1. As E[M] ≤ 1 whatever
the dependence in time, Markov's inequality gives P(M ever ≥ 1/alpha) ≤ alpha: no assumption on
autocorrelation, none on distributions. The bounds are the effects that M does not exclude.

Sources: Vovk and Wang, "E-values: calibration, combination and applications" (Annals of
Statistics 49, 2021: weighted sums of dependent e-values); Ramdas, Grünwald, Vovk and Shafer,
"Game-theoretic statistics and safe anytime-valid inference" (Statistical Science 38, 2023).

What is assumed: without the change, canaries' and controls' changes over time are alike. A canary
group that lies in another site with another day breaks that; choose controls as the canaries.

Pure. Needs numpy.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vezha.delivery import canary_limits as limits

Floats = npt.NDArray[np.float64]
Direction = Literal["up", "down", "both"]
"""Which way is bad: `up` for latency and processor time, `down` for throughput."""


@dataclass(frozen=True, slots=True)
class CanaryVerdict:
    """What a comparison says, and the figures that it was made of.

    `effect` is how much the canaries changed beyond the controls, as a part of the hosts' level
    (0.2: up by a fifth), NaN where it cannot be told; `low` and `high` bound it (each side is wrong
    with probability alpha at most, over all looks together; infinite where the evidence does not
    bound it). `e_value` is the evidence for a regression: `fail` at 1/alpha. `n_canary` and
    `n_control` are the hosts that had data. `reason` is one sentence.
    """

    verdict: Literal["pass", "fail", "no_evidence"]
    effect: float
    low: float
    high: float
    e_value: float
    n_canary: int
    n_control: int
    reason: str


def compare(
    canary_before: Floats,
    canary_after: Floats,
    control_before: Floats,
    control_after: Floats,
    *,
    direction: Direction = "up",
    tolerance: float = 0.1,
    alpha: float = 0.05,
    looks_first: int = limits.FIRST_EPOCH_SAMPLES,
) -> CanaryVerdict:
    """Compare canaries with controls, before with after.

    Arrays are float64 [hosts, samples], NaN where a host has none; samples are equally spaced, the
    oldest first, and `after` grows from look to look: give all of it each time. A host that has
    less than half of its samples is left out. *tolerance* is the largest regression (part of the
    level) that is accepted: `fail` says that it is exceeded, `pass` that it is not, each with error
    at most *alpha* over all looks; else `no_evidence`. Both groups stay the same over the looks.

    Raises ValueError for shapes and parameters that make no sense.
    """
    _check(canary_before, canary_after, control_before, control_after, direction, tolerance, alpha)
    before = np.concatenate([canary_before, control_before])
    after = np.concatenate([canary_after, control_after])
    is_canary = np.arange(len(before)) < len(canary_before)
    level = _host_means(before)
    epochs = _epochs(after.shape[1], looks_first)
    looks = []
    counted = np.zeros(len(before), np.bool_)
    for k, samples in enumerate(epochs):
        change = _changes(level, _host_means(after[:, :samples]))
        counted = np.isfinite(change)
        looks.append(_Look.of(change[counted], is_canary[counted], limits.weight(k)))
    n_canary = int(counted[is_canary].sum())
    n_control = int(counted[~is_canary].sum())

    def silent(reason: str) -> CanaryVerdict:
        return CanaryVerdict(
            "no_evidence", math.nan, -math.inf, math.inf, 1.0, n_canary, n_control, reason
        )

    if not epochs:
        return silent(
            f"{after.shape[1]} samples since the change; the first look needs {looks_first}."
        )
    if n_canary < 1 or n_control < 1:
        return silent(f"{n_canary} canaries and {n_control} controls have data before and after.")
    return _judge(looks, direction, tolerance, alpha, n_canary, n_control)


def _judge(
    looks: list[_Look],
    direction: Direction,
    tolerance: float,
    alpha: float,
    n_canary: int,
    n_control: int,
) -> CanaryVerdict:
    evidence = _Evidence(looks)
    if direction == "both":
        alpha /= 2.0
    bar = 1.0 / alpha
    low, high = evidence.low(bar), evidence.high(bar)
    e_up, e_down = evidence.above(tolerance), evidence.below(-tolerance)
    e_value = {"up": e_up, "down": e_down, "both": max(e_up, e_down)}[direction]
    effect = looks[-1].effect
    shown = f"{effect:+.1%} against the controls ({_span(low, high)})"
    within = (direction == "down" or high <= tolerance) and (direction == "up" or low >= -tolerance)
    if e_value >= bar:
        verdict, reason = "fail", f"The canaries changed by {shown}: more than {tolerance:.0%}."
    elif within:
        verdict, reason = "pass", f"The canaries changed by {shown}: no more than {tolerance:.0%}."
    elif evidence.ceiling < bar:
        verdict = "no_evidence"
        reason = (
            f"{n_canary} canaries against {n_control} controls are too few to tell at "
            f"{alpha:.0%} error, whatever they show."
        )
    else:
        verdict = "no_evidence"
        reason = f"The canaries changed by {shown}: {tolerance:.0%} is neither shown nor excluded."
    return CanaryVerdict(
        verdict,  # type: ignore[arg-type]
        effect, low, high, e_value, n_canary, n_control, reason,
    )  # fmt: skip


def _span(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "unbounded"
    if math.isinf(low) or math.isinf(high):
        return f"at most {high:+.1%}" if math.isinf(low) else f"at least {low:+.1%}"
    return f"between {low:+.1%} and {high:+.1%}"


@dataclass(frozen=True, slots=True)
class _Look:
    """One epoch: what permutations of the canaries' places would have shown.

    `sums`, `squares`, `overlap`: float64 [permutations + 1], the actual assignment first: the sum
    over those who would be canaries of the changes, and how many of them really are.
    """

    weight: float
    changes: Floats
    sums: Floats
    overlap: Floats
    n_canary: int
    effect: float

    @staticmethod
    def of(changes: Floats, is_canary: npt.NDArray[np.bool_], weight: float) -> _Look:
        n, n_canary = len(changes), int(is_canary.sum())
        if n_canary == 0 or n_canary == n:
            none = np.zeros(1)
            return _Look(weight, changes, none, none, 0, math.nan)
        # canaries come first, so a permutation is the places of those who would be canaries
        places = _assignments(n, n_canary)
        sums = changes[places].sum(axis=1)
        overlap = (places < n_canary).sum(axis=1).astype(np.float64)
        effect = float(changes[:n_canary].mean() - changes[n_canary:].mean())
        return _Look(weight, changes, sums, overlap, n_canary, effect)

    def evidence(self, shift: float, sign: float) -> float:
        """E-value against "the effect is at most *shift*" (sign +1) or "at least" (sign -1)."""
        n, m = len(self.changes), self.n_canary
        if m == 0:
            return 1.0
        # Under the hypothesis each canary's change is its own plus `shift`: take it off again.
        total = float(self.changes.sum()) - m * shift
        own = self.changes.copy()
        own[:m] -= shift
        sums = self.sums - shift * self.overlap
        spread = float(((own - total / n) ** 2).sum())
        mean_apart = sums / m - (total - sums) / (n - m)
        between = mean_apart**2 * (m * (n - m) / n)
        scale = float(np.abs(own).max()) ** 2 * n
        within = np.maximum(spread - between, 0.0) / max(n - 2, 1)
        floor = 1e-12 * max(scale, 1e-300)
        t = sign * mean_apart / np.sqrt((within + floor) * (1.0 / m + 1.0 / (n - m)))
        t = np.clip(t, -limits.T_MAX, limits.T_MAX)
        made = 0.0
        for strength in limits.STRENGTHS:
            bets = np.exp(strength * (t - t[0]))
            made += 1.0 / float(bets.mean())
        return made / len(limits.STRENGTHS)

    @property
    def ceiling(self) -> float:
        """The most evidence that the permutations can give."""
        return float(len(self.sums)) if self.n_canary else 1.0


class _Evidence:
    """The e-process over looks, and its inversion."""

    def __init__(self, looks: list[_Look]) -> None:
        self._looks = looks
        self.ceiling = sum(look.weight * look.ceiling for look in looks)

    def above(self, shift: float) -> float:
        """Evidence that the effect is more than *shift*."""
        return sum(k.weight * k.evidence(shift, 1.0) for k in self._looks)

    def below(self, shift: float) -> float:
        """Evidence that the effect is less than *shift*."""
        return sum(k.weight * k.evidence(shift, -1.0) for k in self._looks)

    def low(self, bar: float) -> float:
        """The largest effect that is excluded from below, -inf where none is."""
        return self._bound(bar, -1.0)

    def high(self, bar: float) -> float:
        """The smallest effect that is excluded from above, inf where none is."""
        return self._bound(bar, 1.0)

    def _bound(self, bar: float, side: float) -> float:
        """Where evidence against "the effect lies beyond" reaches *bar*, going out from the effect."""
        if self.ceiling < bar:
            return side * math.inf
        prove = self.below if side > 0 else self.above
        middle = self._looks[-1].effect
        step = max(abs(middle), 1e-3)
        near, far = middle, middle + side * step
        for _ in range(limits.BOUND_DOUBLINGS):
            if prove(far) >= bar:
                break
            step *= 2.0
            near, far = far, middle + side * step
        else:
            return side * math.inf
        for _ in range(limits.BOUND_HALVINGS):
            half = 0.5 * (near + far)
            if prove(half) >= bar:
                far = half
            else:
                near = half
        return far


@functools.lru_cache(maxsize=64)
def _assignments(n: int, n_canary: int) -> npt.NDArray[np.int64]:
    """int64 [permutations, n_canary]: places of would-be canaries, the actual ones first.

    All of them where they are few; else drawn from a fixed seed, so that a verdict can be computed
    again. With the actual one among them the e-value is exact either way.
    """
    if math.comb(n, n_canary) <= limits.PERMUTATIONS_MAX:
        # in the order of combinations the first is 0 … n_canary-1: the actual one
        return np.array(list(itertools.combinations(range(n), n_canary)), np.int64)
    chance = np.random.default_rng(limits.PERMUTATION_SEED)
    drawn = np.argpartition(chance.random((limits.PERMUTATIONS_MAX - 1, n)), n_canary - 1, axis=1)
    return np.concatenate([np.arange(n_canary)[None, :], drawn[:, :n_canary]])


def _epochs(samples: int, first: int) -> list[int]:
    """Numbers of samples at which evidence is taken: each half as many again as the one before."""
    out: list[int] = []
    at = float(first)
    while int(at) <= samples and len(out) < limits.EPOCHS_MAX:
        out.append(int(at))
        at = max(at * limits.EPOCH_GROWTH, at + 1.0)
    return out


def _host_means(samples: Floats) -> Floats:
    """float64[hosts]: means over samples; NaN where less than half of them are there."""
    there = np.isfinite(samples)
    count = there.sum(axis=1)
    total = np.where(there, samples, 0.0).sum(axis=1)
    enough = (count > 0) & (count >= limits.SAMPLES_PART_MIN * samples.shape[1])
    means: Floats = np.where(enough, total / np.maximum(count, 1), np.nan)
    return means


def _changes(before: Floats, after: Floats) -> Floats:
    """float64[hosts]: after less before in parts of the host's own level.

    A part of the common level is added below, so that a host near zero does not outweigh all; where
    everything was zero before, the change is in units of what came.
    """
    size = np.abs(before)
    common = float(np.nanmedian(size)) if np.isfinite(size).any() else 0.0
    if common == 0.0:
        common = float(np.nanmean(size)) if np.isfinite(size).any() else 0.0
    base = size + limits.LEVEL_FLOOR_PART * common
    base = np.where(base > 0, base, 1.0)
    changes: Floats = (after - before) / base
    return changes


def _check(
    canary_before: Floats,
    canary_after: Floats,
    control_before: Floats,
    control_after: Floats,
    direction: str,
    tolerance: float,
    alpha: float,
) -> None:
    for name, array in (
        ("canary_before", canary_before), ("canary_after", canary_after),
        ("control_before", control_before), ("control_after", control_after),
    ):  # fmt: skip
        if array.ndim != 2:
            raise ValueError(f"{name} must be [hosts, samples], not of {array.ndim} dimensions")
    for one, other in ((canary_before, canary_after), (control_before, control_after)):
        if len(one) != len(other):
            raise ValueError("before and after must have the same hosts, in the same order")
    if canary_before.shape[1] != control_before.shape[1]:
        raise ValueError("canaries and controls must have the same times before")
    if canary_after.shape[1] != control_after.shape[1]:
        raise ValueError("canaries and controls must have the same times after")
    if direction not in ("up", "down", "both"):
        raise ValueError(f"direction must be up, down or both, not {direction!r}")
    if not 0 <= tolerance < math.inf:
        raise ValueError("tolerance must be zero or more")
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")


def count_failures(
    failed: int,
    total: int,
    *,
    tolerated: float = 0.02,
    unacceptable: float = 0.5,
    alpha: float = 0.05,
) -> CanaryVerdict:
    """Whether *failed* of *total* canaries are too many; may be asked after each canary.

    `fail` once the share of failing hosts exceeds *tolerated*, `pass` once it is shown to lie
    below *unacceptable*, each with error at most *alpha* over all looks. The e-process is the
    likelihood ratio of a mixture of shares beyond the bound to the bound itself (Bernoulli; Ville's
    inequality). `effect` is the observed share. Raises ValueError for counts that make no sense.
    """
    if not 0 <= failed <= total:
        raise ValueError(f"{failed} of {total} hosts cannot have failed")
    if not 0 < tolerated < unacceptable < 1:
        raise ValueError("0 < tolerated < unacceptable < 1 must hold")
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    worse = _bernoulli(failed, total, tolerated, np.linspace(tolerated, 1.0, 513))
    better = _bernoulli(failed, total, unacceptable, np.linspace(0.0, unacceptable, 513))
    grid = np.linspace(0.002, 0.998, 499)
    over = [_bernoulli(failed, total, p, np.linspace(p, 1.0, 129)) for p in grid.tolist()]
    under = [_bernoulli(failed, total, p, np.linspace(0.0, p, 129)) for p in grid.tolist()]
    bar = 1.0 / alpha
    low = float(np.max(grid, where=np.array(over) >= bar, initial=0.0))
    high = float(np.min(grid, where=np.array(under) >= bar, initial=1.0))
    effect = failed / total if total else math.nan
    told = f"{failed} of {total} canaries failed"
    if worse >= bar:
        verdict, reason = "fail", f"{told}: more than {tolerated:.0%} of hosts would."
    elif better >= bar:
        verdict, reason = "pass", f"{told}: fewer than {unacceptable:.0%} of hosts would."
    else:
        verdict, reason = "no_evidence", f"{told}: too few to tell."
    return CanaryVerdict(
        verdict,  # type: ignore[arg-type]
        effect, low, high, worse, total, 0, reason,
    )  # fmt: skip


def _bernoulli(failed: int, total: int, bound: float, edges: Floats) -> float:
    """The mixture's likelihood ratio; *edges* cut the shares beyond *bound* into equal parts."""
    shares = 0.5 * (edges[1:] + edges[:-1])
    ratio = failed * np.log(shares / bound)
    ratio = ratio + (total - failed) * np.log((1.0 - shares) / (1.0 - bound))
    return float(np.exp(np.minimum(ratio, limits.LOG_E_MAX)).mean())
