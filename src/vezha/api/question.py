"""What a client of the query API wants, as plain data: answered here or in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from vezha.api.packing import Packed, pack
from vezha.model.columns import Matcher, SampleSource
from vezha.model.labels import Labels
from vezha.query import Engine, Result, ResultKind
from vezha.query.encode import encode_result
from vezha.query.limits import QueryLimits
from vezha.query.native_source import with_histograms
from vezha.query.remembered import Remembered

TRUNCATED = "results truncated due to limit"


@dataclass(frozen=True, slots=True)
class Question:
    """A query at one time (`step_ms` 0, the time is `end_ms`) or over a span."""

    text: str
    start_ms: int
    end_ms: int
    step_ms: int = 0
    lookback_ms: int = 0
    limit: int = 0
    stats: str = ""
    explain: bool = False
    coding: str = ""

    @property
    def shape(self) -> tuple[str, int, int]:
        """What decides its cost, whenever it is asked."""
        steps = (self.end_ms - self.start_ms) // self.step_ms if self.step_ms else 0
        return (self.text, self.step_ms, steps)

    @property
    def is_plain(self) -> bool:
        """Whether an earlier answer may do: nobody asks how it was found, or otherwise."""
        return not (self.stats or self.explain or self.lookback_ms)


@dataclass(frozen=True, slots=True)
class Listing:
    """`what` is series, labels or values (of the label `name`)."""

    what: str
    selectors: tuple[tuple[Matcher, ...], ...]
    start_ms: int
    end_ms: int
    name: str = ""
    limit: int = 0
    coding: str = ""


def answer(
    engine: Engine,
    question: Question,
    cancelled: Callable[[], bool],
    limits: QueryLimits | None = None,
    remembered: Remembered | None = None,
) -> Packed:
    """The whole answer as JSON, see `evaluate`."""
    result = evaluate(engine, question, cancelled, limits, remembered)
    return pack(encode_result(result, question.stats, question.explain), question.coding)


def evaluate(
    engine: Engine,
    question: Question,
    cancelled: Callable[[], bool],
    limits: QueryLimits | None = None,
    remembered: Remembered | None = None,
) -> Result:
    """What a query gives; steps that are *remembered* are not evaluated again. Raises
    `QueryError`."""
    if question.lookback_ms:
        options = replace(engine.options, lookback_ms=question.lookback_ms)
        engine = Engine(engine.source, engine.limits, options)
    asked = question
    if asked.step_ms and remembered is not None and asked.is_plain:
        result = remembered.range(
            asked.text, asked.start_ms, asked.end_ms, asked.step_ms,
            cancelled=cancelled, limits=limits,
        )  # fmt: skip
    elif asked.step_ms:
        result = engine.range(
            asked.text, asked.start_ms, asked.end_ms, asked.step_ms,
            cancelled=cancelled, explain=asked.explain, limits=limits,
        )  # fmt: skip
    else:
        result = engine.instant(
            asked.text, asked.end_ms, cancelled=cancelled, explain=asked.explain, limits=limits
        )
    if asked.limit:
        truncate(result, asked.limit)
    return result


def truncate(result: Result, limit: int) -> None:
    """Keep the first *limit* series and warn."""
    if result.kind not in (ResultKind.VECTOR, ResultKind.MATRIX) or len(result.labels) <= limit:
        return
    result.labels = result.labels[:limit]
    result.values, result.present = result.values[:limit], result.present[:limit]
    if result.hists is not None:
        result.hists = result.hists[:limit]
    if result.texts is not None:
        result.texts = result.texts[:limit]
    result.warnings = [*result.warnings, TRUNCATED]


def listed(source: SampleSource, listing: Listing) -> Packed:
    """Names, values or label sets as JSON."""
    found = _found(source, listing)
    shown: dict[str, Any] = {"status": "success", "data": found}
    if listing.limit and len(found) > listing.limit:
        shown["data"] = found[: listing.limit]
        shown["warnings"] = [TRUNCATED]
    return pack(orjson.dumps(shown), listing.coding)


def _found(source: SampleSource, listing: Listing) -> list[Any]:
    source = with_histograms(source)
    start_ms, end_ms = listing.start_ms, listing.end_ms
    if listing.what == "series":
        sets: dict[Labels, None] = {}
        for matchers in listing.selectors:
            sets.update(dict.fromkeys(source.series(matchers, start_ms, end_ms, 0)))
        return [dict(labels) for labels in sorted(sets)]
    texts: set[str] = set()
    for matchers in listing.selectors:
        if listing.what == "labels":
            texts.update(source.label_names(matchers, start_ms, end_ms))
        else:
            texts.update(source.label_values(listing.name, matchers, start_ms, end_ms))
    return sorted(texts)
