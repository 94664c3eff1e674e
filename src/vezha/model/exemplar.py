"""Exemplars: single observations that a series refers to, a trace mostly."""

from __future__ import annotations

from dataclasses import dataclass

from vezha.model.labels import Labels

EXEMPLAR_LABEL_CHARS_MAX = 128
"""Characters of an exemplar's labels, names and values together (OpenMetrics 1.0)."""


@dataclass(frozen=True)
class Exemplar:
    """`labels` are the exemplar's own, such as `trace_id`. `timed`: whether whoever sent it gave
    the time, else it is the sample's."""

    series: Labels
    labels: Labels
    value: float
    ts_ms: int
    timed: bool = True

    def fits(self) -> bool:
        """Whether its labels are within the limit."""
        return sum(len(n) + len(v) for n, v in self.labels) <= EXEMPLAR_LABEL_CHARS_MAX
