"""How long each stage between a fault and its message takes, as histograms that the server exports.

| Stage | From | Until | Counted for |
|---|---|---|---|
| `sent` | a sample's stamp | it arrived here | each frame of an agent |
| `stored` | it arrived | it is on the disk | each frame |
| `fired` | a sample's stamp | the alert is in the ledger | each alert that fires |
| `gathered` | the alert is in the ledger | it is in an incident | each change of an alert |
| `dispatched` | a message is in the outbox | its receiver has it | each message that rings |
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from vezha.model.labels import Labels, metric

SENT, STORED, FIRED, GATHERED, DISPATCHED = "sent", "stored", "fired", "gathered", "dispatched"
NAME = "vezha_detection_stage_seconds"
BOUNDS_S = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.3, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the buckets; the goals of detection (0.2, 0.35, 1.0, 1.3, 3.0 s) are among them."""


class Stages:
    """Histograms by stage. One thread adds to a stage; any may read."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, stage: str, seconds: float) -> None:
        """One took so long; below nothing counts as nothing (clocks differ)."""
        counts = [0] * (len(BOUNDS_S) + 1)
        counts[bisect_left(BOUNDS_S, seconds)] = 1
        self.add(stage, counts, max(0.0, seconds))

    def add(self, stage: str, counts: Sequence[int], total_s: float) -> None:
        """Many at once: how many by bucket (one more than there are bounds), and their sum."""
        known = self._counts.setdefault(stage, [0] * (len(BOUNDS_S) + 1))
        self._counts[stage] = [a + int(b) for a, b in zip(known, counts, strict=True)]
        self._sums[stage] = self._sums.get(stage, 0.0) + total_s

    def series(self, **labels: str) -> list[tuple[Labels, float]]:
        """All of it in Prometheus's form: cumulative buckets, sum, count."""
        out: list[tuple[Labels, float]] = []
        for stage, counts in list(self._counts.items()):
            own = {**labels, "stage": stage}
            total = 0
            for bound, count in zip((*BOUNDS_S, float("inf")), counts, strict=True):
                total += count
                le = "+Inf" if bound == float("inf") else repr(bound)
                out.append((metric(f"{NAME}_bucket", le=le, **own), float(total)))
            out.append((metric(f"{NAME}_count", **own), float(total)))
            out.append((metric(f"{NAME}_sum", **own), self._sums[stage]))
        return out
