"""What several rules ask of the store in one round is read once.

Rules of one pack look at the same series: a file system's free bytes stand in five of them. Within a
round (one tick, one instant) equal selections give the same `SeriesData`, so that reading, sorting and
labels are paid for once. Rules see what earlier ones of the round recorded: series that rules write are never
shared, nor is a selection without a metric's name, which might hold some.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from vezha.alerting.limits import SHARED_SAMPLES_MAX
from vezha.model.columns import MatchOp, SampleSource, Selection, SeriesData
from vezha.model.labels import METRIC_NAME

_OWN = ("ALERTS", "ALERTS_FOR_STATE")


class SharedReads:
    """A `SampleSource` over another; `begin` starts a round. For one thread at a time."""

    def __init__(self, inner: SampleSource) -> None:
        self._inner = inner
        self._written: frozenset[str] = frozenset(_OWN)
        self._known: dict[Selection, SeriesData] = {}
        self._samples = 0
        self.asked = 0
        self.spared = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def writes(self, names: Collection[str]) -> None:
        """Names of metrics that rules record."""
        self._written = frozenset((*_OWN, *names))
        self.begin()

    def begin(self) -> None:
        """A new round: what was read is forgotten."""
        self._known.clear()
        self._samples = 0

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        self.asked += 1
        if not self._is_shared(selection):
            return self._inner.select(selection)
        # how many more samples a query may load differs, and changes nothing in what it gets
        key = replace(selection, matchers=tuple(selection.matchers), samples_max=0)
        found = self._known.get(key)
        if found is not None and found.ts.size <= selection.samples_max:
            self.spared += 1
            return found
        found = self._inner.select(selection)
        # whoever changed it in place would change it for the next rule, too
        found.ts.flags.writeable = found.values.flags.writeable = False
        if self._samples + found.ts.size <= SHARED_SAMPLES_MAX:
            self._known[key] = found
            self._samples += found.ts.size
        return found

    def _is_shared(self, selection: Selection) -> bool:
        return any(
            m.name == METRIC_NAME
            and m.op is MatchOp.EQ
            and m.value
            and m.value not in self._written
            for m in selection.matchers
        )
