"""Whether an answer is worth remembering: moving it on costs something, too.

A new step looks as far back as any other. So of a short span over few series almost all is read again,
and asking what changed since costs more than is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

from vezha.query.limits import AGAIN_MAX, CELL_NS, MOVING_NS, MOVING_ROW_NS, SAMPLE_NS


@dataclass(frozen=True, slots=True)
class Asked:
    """A query over a span that was evaluated as a whole: what it read and gave, how far around a step
    it looks (`reach_ms`), and its span without that."""

    samples: int
    series: int
    steps: int
    step_ms: int
    reach_ms: int

    @property
    def again(self) -> float:
        """Which part of the samples one more step reads."""
        whole_ms = self.reach_ms + (self.steps - 1) * self.step_ms
        return 1.0 if whole_ms <= 0 else min(1.0, (self.reach_ms + self.step_ms) / whole_ms)


def is_worth(asked: Asked) -> bool:
    """Whether the same a step later is cheaper from memory than anew."""
    again = asked.again
    read_ns = SAMPLE_NS * asked.samples * (1 - again) if again <= AGAIN_MAX else 0
    printed_ns = CELL_NS * asked.series * (asked.steps - 1)
    return read_ns + printed_ns > MOVING_NS + MOVING_ROW_NS * asked.series
