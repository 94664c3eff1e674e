"""OpenMetrics' `_created` series: when the counters of the same name and labels began, in seconds."""

from __future__ import annotations

import math

from vezha.model.labels import METRIC_NAME, Labels, get_label

_CREATED = "_created"
_COUNTED = ("_total", "_bucket", "_count", "_sum")
Family = tuple[str, Labels]


class CreatedSeries:
    """Which of one target's series tell of which others when they began."""

    def __init__(self) -> None:
        self._created: dict[int, Family] = {}
        self._counted: dict[Family, dict[int, None]] = {}

    def learn(self, number: int, labels: Labels) -> None:
        """A series that was not known yet."""
        name = get_label(labels, METRIC_NAME)
        others = tuple(pair for pair in labels if pair[0] not in (METRIC_NAME, "le"))
        if name.endswith(_CREATED):
            self._created[number] = (name.removesuffix(_CREATED), others)
            return
        for suffix in _COUNTED:
            if name.endswith(suffix):
                family = (name.removesuffix(suffix), others)
                self._counted.setdefault(family, {})[number] = None

    def starts(
        self, numbers: list[int], values: list[float], ts_ms: int
    ) -> list[tuple[int, int, int]]:
        """What the samples of one body say: (series, when it began, *ts_ms*), see `SampleBatch`."""
        if not self._created:
            return []
        return [
            (counted, round(value * 1000), ts_ms)
            for number, value in zip(numbers, values, strict=True)
            if (family := self._created.get(number)) is not None and math.isfinite(value)
            for counted in self._counted.get(family, ())
        ]
