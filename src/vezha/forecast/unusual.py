"""What was unusual on some hosts in a span of time, ranked; read back from the forecast's own series.

Rules: a load counts from `UNUSUAL_MIN` half-widths off on. What was farthest off comes first; of equals,
what began first. It explains and never decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vezha.forecast.limits import PUBLISH_S, UNUSUAL_LISTED_MAX, UNUSUAL_MIN
from vezha.forecast.resource import BY_NAME
from vezha.forecast.views import amount, told
from vezha.model.labels import Labels, get_label, quote_value
from vezha.query import Engine

STEP_MS = int(PUBLISH_S * 1000)
_WORDS = {
    "en": {
        "cpu": "CPU", "memory": "memory", "network": "network", "disk": "disk",
        "known": "{what} of {host}: {now}, usually {low} to {high}.",
        "bare": "{what} of {host} was far {side} what is usual.",
        "above": "above", "below": "below",
    },
    "uk": {
        "cpu": "процесор", "memory": "пам'ять", "network": "мережа", "disk": "диск",
        "known": "{host}, {what}: {now}, зазвичай від {low} до {high}.",
        "bare": "{host}, {what}: значно {side} за звичайне.",
        "above": "вище", "below": "нижче",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unusual:
    """A load that was off. Times in seconds since the epoch; `score` the farthest, signed, in
    half-widths; `now`, `low`, `high` at that time; `is_over`: it was usual again at the end."""

    host: str
    resource: str
    unit: str
    score: float
    since: float
    peak: float
    is_over: bool
    now: float | None
    low: float | None
    high: float | None
    basis: str

    def why(self, language: str) -> str:
        """In a sentence, `en` or `uk`."""
        words = _WORDS[language]
        what = words[self.resource]
        if self.now is None or self.low is None or self.high is None:
            side = words["above" if self.score > 0 else "below"]
            return words["bare"].format(what=what, host=self.host, side=side)
        return words["known"].format(
            what=what, host=self.host, now=amount(self.now, self.unit),
            low=amount(self.low, self.unit), high=amount(self.high, self.unit),
        )  # fmt: skip


def unusual(
    engine: Engine,
    hosts: Sequence[str],
    start_ms: int,
    end_ms: int,
    cancelled: Callable[[], bool] | None = None,
) -> list[Unusual]:
    """What was off on *hosts* (none: on all) in that span. Raises QueryError."""
    where = f"instance=~{quote_value('|'.join(map(_escaped, hosts)))}" if hosts else 'instance!=""'
    score = f"vezha_load_anomaly_score{{{where}}}"
    expr = f"{score} >= {UNUSUAL_MIN} or {score} <= -{UNUSUAL_MIN}"
    span = (start_ms, max(end_ms, start_ms), STEP_MS)
    found = engine.range(expr, *span, cancelled=cancelled)
    scores = found.filled()
    # one row for a load, whichever side it was off to
    keys = [(get_label(one, "instance"), get_label(one, "resource")) for one in found.labels]
    rows: dict[tuple[str, str], int] = {}
    for i, key in enumerate(keys):
        first = rows.setdefault(key, i)
        if first != i:
            scores[first] = np.where(np.isnan(scores[first]), scores[i], scores[first])
    about = _about(engine, where, span, cancelled) if rows else {}
    out = [_row(key, scores[i], start_ms, about) for key, i in rows.items() if key[1] in BY_NAME]
    out.sort(key=lambda one: (-abs(one.score), one.since, one.host, one.resource))
    return out[:UNUSUAL_LISTED_MAX]


def _row(
    key: tuple[str, str],
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    start_ms: int,
    about: dict[
        tuple[str, str, str], tuple[Labels, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]
    ],
) -> Unusual:
    off = np.flatnonzero(~np.isnan(scores))
    peak = int(off[np.argmax(np.abs(scores[off]))])
    values: dict[str, float | None] = {}
    basis = ""
    for what in ("now", "low", "high"):
        labels, column = about.get((*key, what), ((), np.full(len(scores), np.nan)))
        values[what] = told(column[peak])
        basis = get_label(labels, "basis") or basis
    return Unusual(
        key[0], key[1], BY_NAME[key[1]].unit, float(scores[peak]),
        (start_ms + int(off[0]) * STEP_MS) / 1000, (start_ms + peak * STEP_MS) / 1000,
        bool(np.isnan(scores[-1])), values["now"], values["low"], values["high"], basis,
    )  # fmt: skip


def _about(
    engine: Engine, where: str, span: tuple[int, int, int], cancelled: Callable[[], bool] | None
) -> dict[tuple[str, str, str], tuple[Labels, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]:
    found = engine.range(f"vezha_load_unusual{{{where}}}", *span, cancelled=cancelled)
    out: dict[
        tuple[str, str, str], tuple[Labels, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]
    ] = {}
    for labels, row in zip(found.labels, found.filled(), strict=True):
        key = (
            get_label(labels, "instance"),
            get_label(labels, "resource"),
            get_label(labels, "what"),
        )
        known = out.get(key)
        if known is not None:  # the basis changed meanwhile
            row = np.where(np.isnan(row), known[1], row)
        out[key] = labels, row
    return out


def _escaped(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else f"\\{c}" for c in name)
