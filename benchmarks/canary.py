"""Canary comparison: false stops and missed regressions, beside Kayenta's rule.

    python -m benchmarks.canary [--runs 400] [--write]

Simulated hosts, seeded: each has its own level, noise of 10 % of it, autocorrelated or not; the
gate looks every minute for an hour, as gates do. `--write` puts the tables into
docs/reference/canary.md. Kayenta's rule is our own re-implementation from its description (one
series per group, Mann-Whitney at 98 %, high if the interval of the Hodges-Lehmann shift lies above
a quarter of it and the means' ratio is above the allowed one); it compares after with after.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.delivery.canary import CanaryVerdict, compare, count_failures

Floats = npt.NDArray[np.float64]
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "canary.md"
Z_98 = 2.3263478740408408
BEFORE, AFTER = 120, 60
NOISE = 0.1


def noise(chance: np.random.Generator, hosts: int, samples: int, phi: float) -> Floats:
    """float64[hosts, samples]: AR(1) with deviation 1."""
    steps = chance.normal(0.0, np.sqrt(1.0 - phi * phi), (hosts, samples))
    out = np.empty((hosts, samples))
    out[:, 0] = chance.normal(0.0, 1.0, hosts)
    for i in range(1, samples):
        out[:, i] = phi * out[:, i - 1] + steps[:, i]
    return out


def kayenta(canary: Floats, control: Floats, allowed: float = 1.0) -> bool:
    """Whether the rule calls the canary's series (1-d) high."""
    n, m = len(canary), len(control)
    apart = np.sort((canary[:, None] - control[None, :]).ravel())
    shift = float(np.median(apart))
    rank = int(n * m / 2.0 - Z_98 * np.sqrt(n * m * (n + m + 1) / 12.0))
    low = float(apart[max(rank, 0)])
    base = float(control.mean())
    ratio = float(canary.mean()) / base if base else np.inf
    return low > 0.25 * abs(shift) and ratio >= allowed


@dataclass
class Case:
    """One kind of fleet."""

    told: str
    phi: float = 0.8
    effect: float = 0.0
    canaries: int = 10
    controls: int = 40

    def draw(self, chance: np.random.Generator) -> tuple[Floats, ...]:
        """canary before, after, control before, after."""
        n = self.canaries + self.controls
        level = chance.uniform(50.0, 150.0, (n, 1))
        values = level * (1.0 + NOISE * noise(chance, n, BEFORE + AFTER, self.phi))
        values[: self.canaries, BEFORE:] *= 1.0 + self.effect
        k = self.canaries
        return values[:k, :BEFORE], values[:k, BEFORE:], values[k:, :BEFORE], values[k:, BEFORE:]


Rule = Callable[[tuple[Floats, ...], int], bool]


def ours(tolerance: float) -> Rule:
    """Stops at `fail`."""

    def stop(drawn: tuple[Floats, ...], samples: int) -> bool:
        cb, ca, kb, ka = drawn
        told = compare(cb, ca[:, :samples], kb, ka[:, :samples], tolerance=tolerance)
        return told.verdict == "fail"

    return stop


def theirs(allowed: float) -> Rule:
    """The rule on the groups' mean series, scaled by the level before as a fair start."""

    def stop(drawn: tuple[Floats, ...], samples: int) -> bool:
        cb, ca, kb, ka = drawn
        canary = (ca[:, :samples] / cb.mean(axis=1, keepdims=True)).mean(axis=0)
        # a fresh baseline of the same size, as it demands
        size = len(ca)
        control = (ka[:size, :samples] / kb[:size].mean(axis=1, keepdims=True)).mean(axis=0)
        return kayenta(canary, control, allowed)

    return stop


def share(case: Case, rule: Rule, runs: int, looks: list[int], seed: int) -> float:
    """Part of runs in which the rule stops at any look."""
    chance = np.random.default_rng(seed)
    stops = 0
    for _ in range(runs):
        drawn = case.draw(chance)
        stops += any(rule(drawn, samples) for samples in looks)
    return stops / runs


EVERY_MINUTE = [AFTER]
"""Our rule's evidence only grows, so the last look stops whenever any of the 60 would have."""
PEEKS = list(range(10, AFTER + 1))
RULES: tuple[tuple[str, Rule, list[int]], ...] = (
    ("Vezha, tolerance 0", ours(0.0), EVERY_MINUTE),
    ("Vezha, tolerance 10 % (default)", ours(0.1), EVERY_MINUTE),
    ("Kayenta's rule, one look at 60", theirs(1.0), [AFTER]),
    ("Kayenta's rule, ±10 %, one look", theirs(1.1), [AFTER]),
    ("Kayenta's rule, a look each minute", theirs(1.0), PEEKS),
)
CASES: tuple[Case, ...] = (
    Case("A/A, independent samples", phi=0.0),
    Case("A/A, autocorrelation 0.8"),
    Case("A/A, autocorrelation 0.95", phi=0.95),
    Case("+20 %, autocorrelation 0.8", effect=0.2),
    Case("+20 %, 10 canaries, 10 controls", effect=0.2, controls=10),
    Case("+20 %, 3 canaries", effect=0.2, canaries=3),
)


def sparse(chance: np.random.Generator) -> list[tuple[str, bool, bool]]:
    """Regressions that are plain to see: whether ours and Kayenta's rule find them."""
    out = []
    for told, canaries in (
        ("7 of 10 samples at 100×, 10 canaries", 10),
        ("the same, 3 canaries", 3),
    ):
        n = canaries + 20
        before = chance.uniform(0.9, 1.1, (n, 30))
        after = chance.uniform(0.9, 1.1, (n, 10))
        after[:canaries, 3:] *= 100.0
        found = compare(before[:canaries], after[:canaries], before[canaries:], after[canaries:])
        out.append((told, found.verdict == "fail", kayenta(after[0], after[canaries])))
    before = np.zeros((30, 30))
    after = np.zeros((30, 60))
    after[:10] = (chance.random((10, 60)) < 0.1) * 5.0
    found = compare(before[:10], after[:10], before[10:], after[10:])
    out.append(
        ("errors where there were none, in 10 % of samples", found.verdict == "fail",
         kayenta(after[0], after[10]))
    )  # fmt: skip
    return out


def failing(chance: np.random.Generator, runs: int) -> list[str]:
    """The e-process of failing hosts: false stops at the tolerated rate, and where it stops."""
    stops = 0
    for _ in range(runs):
        total = np.cumsum(chance.random(100) < 0.02)
        stops += any(_stopped(int(k), n + 1) for n, k in enumerate(total) if n % 3 == 0)
    first = {n: next(k for k in range(n) if _stopped(k, n)) for n in (10, 50, 100)}
    told = ", ".join(f"{k} of {n}" for n, k in first.items())
    return [
        f"Failing hosts (tolerated 2 %): stops at {told}; false stops over 100 hosts, looked at "
        f"34 times: {stops / runs:.1%} of {runs} runs."
    ]


_KNOWN: dict[tuple[int, int], bool] = {}


def _stopped(failed: int, total: int) -> bool:
    if (failed, total) not in _KNOWN:
        found: CanaryVerdict = count_failures(failed, total)
        _KNOWN[failed, total] = found.verdict == "fail"
    return _KNOWN[failed, total]


def tables(runs: int) -> str:
    """Everything, as Markdown."""
    names = [name for name, _, _ in RULES]
    lines = ["| Stops, part of runs | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(RULES) + 1) + "|")
    for number, case in enumerate(CASES):
        cells = [f"{share(case, rule, runs, looks, 100 + number):.1%}" for _, rule, looks in RULES]
        lines.append(f"| {case.told} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    chance = np.random.default_rng(7)
    lines += ["", "| Plain regressions | Vezha | Kayenta's rule |", "|---|---|---|"]
    for told, we, they in sparse(chance):
        lines.append(
            f"| {told} | {'found' if we else 'missed'} | {'found' if they else 'missed'} |"
        )
    lines += ["", *failing(chance, runs), "", f"{runs} runs of each, seeded."]
    return "\n".join(lines)


def main() -> None:
    """Print; write on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    given = parser.parse_args()
    text = tables(given.runs)
    print(text)
    if given.write:
        page = PAGE.read_text()
        head, rest = page.split("<!-- measured -->\n")[0], page.split("<!-- /measured -->")[1]
        PAGE.write_text(f"{head}<!-- measured -->\n{text}\n<!-- /measured -->{rest}")


if __name__ == "__main__":
    main()
