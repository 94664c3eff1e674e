"""Whether an answer is worth remembering: moving it on costs something, too.

A new step looks as far back as any other. So of a short span of rates almost all is read again, and of
a few series asking what changed since costs more than is saved. Where no range is looked at one step
needs the newest samples alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from vezha.query.ast import MatrixSelector, Node, Subquery
from vezha.query.limits import (
    AGAIN_MAX,
    CELL_NS,
    MOVING_NS,
    MOVING_ROW_NS,
    NEWEST_NS,
    SAMPLE_NS,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query over a span that was evaluated as a whole: what it read and gave, how far around a step
    it looks (`reach_ms`), and whether over ranges; and its span without that."""

    samples: int
    series: int
    steps: int
    step_ms: int
    reach_ms: int
    ranges: bool = True

    @property
    def again(self) -> float:
        """Which part of the samples one more step reads."""
        if not self.ranges:
            return 1 / self.steps
        whole_ms = self.reach_ms + (self.steps - 1) * self.step_ms
        return 1.0 if whole_ms <= 0 else min(1.0, (self.reach_ms + self.step_ms) / whole_ms)


def has_ranges(node: Node) -> bool:
    """Whether a query looks at more than the newest sample of each series."""
    if isinstance(node, MatrixSelector | Subquery):
        return True
    return any(has_ranges(child) for child in node.children())


def is_worth(asked: Asked) -> bool:
    """Whether the same a step later is cheaper from memory than anew."""
    again = asked.again
    read_ns = (SAMPLE_NS if asked.ranges else NEWEST_NS) * asked.samples * (1 - again)
    if asked.ranges and again > AGAIN_MAX:
        read_ns = 0
    printed_ns = CELL_NS * asked.series * (asked.steps - 1)
    return read_ns + printed_ns > MOVING_NS + MOVING_ROW_NS * asked.series
