"""One host's lines, second by second: which they are, and their values now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vezha.api import host_charts
from vezha.api.host_charts import CHARTS, LEGENDS_PER_SERIES_MAX, PRESENCE_EXPR, ChartSeries
from vezha.model.columns import Values
from vezha.model.labels import Labels
from vezha.query.engine import Engine, Prepared

REPLAN_TICKS = 10
"""How often it is looked whether a disk or a file system came or went."""


@dataclass(slots=True)
class _Line:
    """An expression and the legends that it fills, from `first` on in the frame."""

    chart: str
    series: ChartSeries
    query: Prepared
    legends: list[str]
    labels: list[Labels]
    first: int = 0


@dataclass(slots=True)
class HostStream:
    """Evaluates a host's 24 charts at one moment. Blocks; used by one thread at a time."""

    engine: Engine
    host: str
    revision: int = 0
    _lines: list[_Line] = field(default_factory=list)
    _size: int = 0
    _ticks: int = 0

    def values(self, time_ms: int) -> Values:
        """float64[n]: every line's value at that time, NaN where there is none.

        All are NaN where the host has sent nothing for a few seconds. `revision` grows when
        the lines change; ask for `series()` then.
        """
        if self._ticks % REPLAN_TICKS == 0:
            self._plan(time_ms)
        self._ticks += 1
        values = np.full(self._size, np.nan)
        here = self.engine.instant(self._text(PRESENCE_EXPR), time_ms)
        if not here.labels:
            return values
        for line in self._lines:
            places = {legend: line.first + i for i, legend in enumerate(line.legends)}
            for labels, value in self.engine.instant(line.query, time_ms).items():
                at = places.get(host_charts.legend_of(line.series, labels))
                if at is not None:
                    values[at] = value
        return values

    def series(self) -> list[dict[str, Any]]:
        """The lines in the order of `values`."""
        return [
            {"chart": line.chart, "legend": legend, "labels": dict(labels)}
            for line in self._lines
            for legend, labels in zip(line.legends, line.labels, strict=True)
        ]

    def _text(self, template: str) -> str:
        return host_charts.expression(template, self.host)

    def _plan(self, time_ms: int) -> None:
        lines: list[_Line] = []
        size = 0
        for chart in CHARTS:
            for series in chart.series:
                query = self.engine.prepare(self._text(series.expr))
                legends = [series.legend]
                labels: list[Labels] = [()]
                if "{{" in series.legend:
                    found = sorted(
                        (host_charts.legend_of(series, one), one)
                        for one, _ in self.engine.instant(query, time_ms).items()
                    )[:LEGENDS_PER_SERIES_MAX]
                    legends = [legend for legend, _ in found]
                    labels = [_shown(one) for _, one in found]
                lines.append(_Line(chart.id, series, query, legends, labels, size))
                size += len(legends)
        if [one.legends for one in lines] != [one.legends for one in self._lines]:
            self.revision += 1
            self._lines, self._size = lines, size


def _shown(labels: Labels) -> Labels:
    return tuple((n, v) for n, v in labels if n not in ("instance", "job", "__name__"))
