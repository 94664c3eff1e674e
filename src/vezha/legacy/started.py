"""Counters that say when they began: a zero at that moment, so that the first increase counts.

A counter's first sample is whatever it has counted until then, and what it counted before that is in
no `increase()`: a pod that served 40 requests and was gone after two scrapes served, it seems, none.
Remote write 2.0, OTLP, OpenMetrics and the protobuf exposition tell when a counter began. With the
setting `ingest.zero_at_start` a sample of zero is stored at that time, if it lies behind the newest
sample that is known of the series (Prometheus: `created-timestamp-zero-ingestion`). Native histograms
get none.
"""

from __future__ import annotations

from dataclasses import replace

from vezha.legacy.batch import SampleBatch, batch_of, joined
from vezha.legacy.limits import STARTED_BACK_MS_MAX
from vezha.legacy.series import SeriesTable


class StartedCounters:
    """Remembers of each series when it began and its newest sample as told with that."""

    def __init__(self, table: SeriesTable, on: bool = True) -> None:
        self._table = table
        self._generation = table.generation
        self._known: dict[int, tuple[int, int]] = {}
        self.on = on
        self.zeros = 0

    def forget(self, batch: SampleBatch) -> None:
        """What *batch* said is not stored after all: it will be said again."""
        for number, _, _ in batch.starts:
            self._known.pop(number, None)

    def completed(self, batch: SampleBatch) -> SampleBatch:
        """*batch* with the zeros that are due before its samples; the same one if none are."""
        if not self.on or not batch.starts:
            return batch
        if self._generation != self._table.generation:
            self._known.clear()
            self._generation = self._table.generation
        due: list[tuple[int, int]] = []
        for number, start_ms, ts_ms in batch.starts:
            known = self._known.get(number)
            if known is None:
                # since this process began nothing came of it; what lies far back was counted then
                fresh = ts_ms - start_ms <= STARTED_BACK_MS_MAX
            else:
                fresh = start_ms > known[0] and start_ms > known[1]
            if fresh and 0 < start_ms < ts_ms:
                due.append((number, start_ms))
            newest = ts_ms if known is None else max(ts_ms, known[1])
            self._known[number] = (start_ms if known is None else max(start_ms, known[0]), newest)
        batch = replace(
            batch, left_out={k: n for k, n in batch.left_out.items() if k != "start_timestamps"}
        )
        if not due:
            return batch
        self.zeros += len(due)
        zeros = batch_of([n for n, _ in due], [ms for _, ms in due], [0.0] * len(due))
        return joined([zeros, batch])
