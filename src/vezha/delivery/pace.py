"""The pace: how long a wave is watched, by how reliable its hosts are now. Pure.

Two figures steer: what is left of the error budget of the target group, and how well its load
follows its forecast (`vezha_load_predictability`). The worse of the two decides. Both rich: a wave
is watched for its least time only. Both middling: for its usual time. Worse: longer, up to four
times. Budget spent or load off its model: the next wave waits, and a sentence says why.
"""

from __future__ import annotations

from dataclasses import dataclass

BUDGET_RICH = 0.5
"""From this share of the budget on it is rich."""
PREDICTABLE = 0.8
UNPREDICTABLE = 0.3
"""Load predictability from which load is on its model, and up to which it is off it."""
SLOWEST = 4.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times its usual time a wave is watched (None: the next one waits), and why."""

    factor: float | None
    sentence: str
    quality: float | None = None


def budget_left(good: float, objective: float) -> float:
    """The share of the error budget that is left when *good* of the time was good; may be < 0."""
    return 1.0 - (1.0 - good) / (1.0 - objective)


def pace(left: float | None, predictability: float | None, least: float) -> Pace:
    """The pace for what is *left* of the budget (share, None: not known) and the load's
    *predictability* (0 to 1); *least* is the wave's least time as a part of its usual one."""
    parts: list[tuple[float, str]] = []
    if left is not None:
        shown = f"{max(left, 0.0):.0%} of the error budget is left"
        parts.append((min(1.0, left / BUDGET_RICH), shown))
    if predictability is not None:
        span = PREDICTABLE - UNPREDICTABLE
        shown = f"load predictability is {predictability:.2f}"
        parts.append((min(1.0, (predictability - UNPREDICTABLE) / span), shown))
    if not parts:
        return Pace(1.0, "nothing is known of budget and load: the usual pace")
    quality, why = min(parts)
    if quality <= 0:
        return Pace(None, f"{why}: no more change until that is better", quality)
    if quality >= 0.5:
        factor = 1.0 + (least - 1.0) * (quality - 0.5) / 0.5
        word = "fast" if quality >= 1.0 else "at an easy pace"
    else:
        factor = 1.0 + (SLOWEST - 1.0) * (0.5 - quality) / 0.5
        word = "slowly"
    return Pace(factor, f"{why}: {word} ({factor:.2g} of the usual time)", quality)
