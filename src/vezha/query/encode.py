"""Results as the JSON of Prometheus's HTTP API, fast.

Numbers are strings, shortest round trip, in Go's spelling: plain from 1e-6 up to 1e21, beyond
that with an exponent of at least two digits; `NaN`, `+Inf`, `-Inf`. Times are seconds, with
three decimals where they are not whole. A row of a matrix is printed by orjson at once, split,
and joined with time prefixes that are made once for all rows.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from vezha.model.columns import Times, Values
from vezha.model.labels import Labels
from vezha.query.block import Mask
from vezha.query.explain import explain_tree
from vezha.query.histogram import Histogram
from vezha.query.limits import (
    METRIC_TEXT_ANSWERS,
    METRIC_TEXT_SERIES,
    STAMPED_GRIDS,
    STAMPED_STEPS_MAX,
)
from vezha.query.result import Result, ResultKind
from vezha.query.text import go_float

CHUNK_BYTES = 262_144
"""About how much `encode_chunks` gives at a time."""

BATCH_CELLS = 8_192
"""Values printed at once: enough to be fast, few enough to stream."""
METRICS_KEPT_MIN = 64
"""From so many series on it is worth looking whether their label sets are kept as JSON."""

_PLAIN_MIN, _PLAIN_MAX = 1e-6, 1e21
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_SURROGATES = re.compile("[\ud800-\udfff]")


def api_float(value: float) -> str:
    """One number as the API prints it."""
    size = abs(value)
    if size == 0 or _PLAIN_MIN <= size < _PLAIN_MAX:
        return go_float(value, "f")
    return go_float(value)  # beyond those it has an exponent, or is not finite


def float_texts(values: Values) -> list[bytes]:
    """float64[n] as the API prints them."""
    if values.size == 0:
        return []
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        odd = ~(((size >= _PLAIN_MIN) & (size < 1e15)) | (size == 0))
    if odd.any():
        texts = float_texts(np.where(odd, 0.0, values))
        for at in np.flatnonzero(odd).tolist():
            texts[at] = api_float(float(values[at])).encode()
        return texts
    raw = orjson.dumps(np.ascontiguousarray(values), option=_NUMPY)[1:-1] + b","
    raw = raw.replace(b".0,", b",")
    texts = raw.split(b",")
    texts.pop()
    if b"e" in raw:
        for at, text in enumerate(texts):
            if b"e" in text:
                texts[at] = api_float(float(text)).encode()
    return texts


def time_text(ts_ms: int) -> str:
    """Milliseconds as the API prints seconds."""
    sign = "-" if ts_ms < 0 else ""
    whole, part = divmod(abs(ts_ms), 1000)
    return f"{sign}{whole}.{part:03d}" if part else f"{sign}{whole}"


def encode_result(result: Result, stats: str = "", explain: bool = False) -> bytes:
    """The whole answer. *stats*: "" none, "1" totals, "all" with the nodes' own."""
    return b"".join(encode_chunks(result, stats, explain))


def encode_chunks(result: Result, stats: str = "", explain: bool = False) -> Iterator[bytes]:
    """The whole answer in pieces of about CHUNK_BYTES, for streaming."""
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(result, stats, explain):
        pieces.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


def _pieces(result: Result, stats: str, explain: bool) -> Iterator[bytes]:
    kind = result.kind
    yield b'{"status":"success","data":{"resultType":"' + kind.value.encode() + b'","result":'
    if kind is ResultKind.STRING:
        yield b"[%b,%b]" % (time_text(int(result.times[0])).encode(), _json(result.text))
    elif kind is ResultKind.SCALAR:
        value = api_float(result.scalar)
        yield f'[{time_text(int(result.times[0]))},"{value}"]'.encode()
    else:
        yield b"["
        if kind is ResultKind.VECTOR:
            yield from _vector(result)
        elif result.raw is not None:
            yield from _raw(result)
        else:
            yield from _matrix(result)
        yield b"]"
    if stats:
        yield b',"stats":' + orjson.dumps(stats_of(result, stats == "all"))
    if explain:
        yield b',"explain":' + orjson.dumps(explain_tree(result))
    yield b"}"
    if result.warnings:
        yield b',"warnings":' + _json(result.warnings)
    if result.infos:
        yield b',"infos":' + _json(result.infos)
    yield b"}"


def _json(value: Any) -> bytes:
    """JSON; text that is not UTF-8 gets replacement characters, as in Prometheus."""
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        if isinstance(value, str):
            return orjson.dumps(_SURROGATES.sub("\ufffd", value))
        if isinstance(value, dict):
            clean = {
                _SURROGATES.sub("\ufffd", k): _SURROGATES.sub("\ufffd", v) for k, v in value.items()
            }
            return orjson.dumps(clean)
        return orjson.dumps([_SURROGATES.sub("\ufffd", item) for item in value])


def _metric(labels: Labels) -> bytes:
    return _json(dict(labels))


class MetricTexts:
    """Label sets as JSON, of the latest answers: charts and tables ask for the same again."""

    def __init__(self, answers_max: int, series_max: int) -> None:
        """At most *answers_max* lists with *series_max* label sets in all."""
        self._answers_max = answers_max
        self._series_max = series_max
        self._kept: OrderedDict[tuple[int, Labels], tuple[list[Labels], list[bytes]]] = (
            OrderedDict()
        )
        self._series = 0
        self._lock = threading.Lock()

    def texts(self, labels: list[Labels]) -> list[bytes]:
        """Each label set as a JSON object; not to be changed."""
        if len(labels) < METRICS_KEPT_MIN:
            return [_metric(one) for one in labels]
        key = (len(labels), labels[0])
        with self._lock:
            kept = self._kept.get(key)
            # of label sets that are the same objects comparing is a walk, no more
            if kept is not None and kept[0] == labels:
                self._kept.move_to_end(key)
                return kept[1]
        texts = [_metric(one) for one in labels]
        if len(labels) <= self._series_max:
            with self._lock:
                self._forget(key)
                self._kept[key] = (list(labels), texts)
                self._series += len(labels)
                while len(self._kept) > self._answers_max or self._series > self._series_max:
                    self._forget(next(iter(self._kept)))
        return texts

    def _forget(self, key: tuple[int, Labels]) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._series -= len(old[0])


_METRICS = MetricTexts(METRIC_TEXT_ANSWERS, METRIC_TEXT_SERIES)


def _vector(result: Result) -> Iterator[bytes]:
    stamp = time_text(int(result.times[0])).encode()
    texts = float_texts(result.values[:, 0])
    metrics = _METRICS.texts(result.labels)
    if result.hists is None:
        between = b',"value":[%b,"' % stamp
        for first in range(0, len(texts), BATCH_CELLS):
            part = slice(first, first + BATCH_CELLS)
            flat = [b""] * (4 * len(texts[part]))
            flat[0::4] = [b'"]},{"metric":'] * len(texts[part])
            flat[1::4] = metrics[part]
            flat[2::4] = [between] * len(texts[part])
            flat[3::4] = texts[part]
            yield b"".join(flat)[0 if first else 4 :]
        if texts:
            yield b'"]}'
        return
    comma = b""
    for row, metric in enumerate(metrics):
        hist = result.hists[row, 0]
        if hist is not None:
            body = b'"histogram":[%b,%b]' % (stamp, _histogram(hist))
        else:
            body = b'"value":[%b,"%b"]' % (stamp, texts[row])
        yield b'%b{"metric":%b,%b}' % (comma, metric, body)
        comma = b","


def _stamps(times: Times) -> tuple[list[bytes], list[bytes]]:
    """Times as they are printed, and with what comes before and after them in a row."""
    stamps = [time_text(ts).encode() for ts in times.tolist()]
    return stamps, [b'"],[%b,"' % stamp for stamp in stamps]


@lru_cache(STAMPED_GRIDS)
def _kept_stamps(times: bytes) -> tuple[list[bytes], list[bytes]]:
    """The same of int64 as bytes: all charts of a page ask for the same steps. Not to be changed."""
    return _stamps(np.frombuffer(times, np.int64))


def _matrix(result: Result) -> Iterator[bytes]:
    few = len(result.times) <= STAMPED_STEPS_MAX
    stamps, prefixes = _kept_stamps(result.times.tobytes()) if few else _stamps(result.times)
    whole = np.logical_and.reduce(result.present, axis=1)
    if result.hists is not None:
        whole[:] = False
    metrics = _METRICS.texts(result.labels)
    comma = b""
    batch = max(1, BATCH_CELLS // max(1, len(stamps)))
    for lo, hi in _runs(whole, batch):
        if whole[lo]:
            rows = _whole_rows(prefixes, metrics[lo:hi], result.values[lo:hi])
        else:
            rows = _row(result, lo, stamps, prefixes, metrics[lo])
        if rows:
            yield comma + rows
            comma = b","


def _runs(whole: Mask, longest: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows: whole ones together, others alone."""
    flags: list[bool] = whole.tolist()
    lo = 0
    while lo < len(flags):
        hi = lo + 1
        while flags[lo] and hi < len(flags) and flags[hi] and hi - lo < longest:
            hi += 1
        yield lo, hi
        lo = hi


def _whole_rows(prefixes: Sequence[bytes], metrics: Sequence[bytes], values: Values) -> bytes:
    """Rows that have a float at every step, printed, split and joined all at once."""
    if not prefixes:
        return b""
    first = prefixes[0][3:]
    before = list(prefixes) * len(metrics)
    before[0 :: len(prefixes)] = [
        b'"]]},{"metric":%b,"values":[%b' % (metric, first) for metric in metrics
    ]
    flat = [b""] * (2 * len(before))
    flat[0::2] = before
    flat[1::2] = float_texts(values.ravel())
    return b"".join(flat)[5:] + b'"]]}'


def _row(
    result: Result, row: int, stamps: Sequence[bytes], prefixes: Sequence[bytes], metric: bytes
) -> bytes:
    """A row with gaps or histograms; nothing where it is empty."""
    parts: list[bytes] = []
    at = np.flatnonzero(result.present[row])
    if at.size:
        texts = float_texts(result.values[row, at])
        parts.append(_joined([prefixes[i] for i in at.tolist()], texts))
    if result.hists is not None:
        cells = [
            b"[%b,%b]" % (stamps[step], _histogram(hist))
            for step, hist in enumerate(result.hists[row])
            if hist is not None
        ]
        if cells:
            parts.append(b'"histograms":[' + b",".join(cells) + b"]")
    return b'{"metric":%b,%b}' % (metric, b",".join(parts)) if parts else b""


def _joined(prefixes: Sequence[bytes], texts: Sequence[bytes]) -> bytes:
    flat: list[bytes] = [b""] * (2 * len(texts))
    flat[0::2] = prefixes
    flat[1::2] = texts
    return b'"values":[' + b"".join(flat)[3:] + b'"]]'


def _raw(result: Result) -> Iterator[bytes]:
    raw = result.raw
    assert raw is not None
    comma = b""
    for row, labels in enumerate(result.labels):
        lo, hi = int(raw.offsets[row]), int(raw.offsets[row + 1])
        stamps = [time_text(ts).encode() for ts in raw.ts[lo:hi].tolist()]
        hists: list[Any] = [None] * (hi - lo)
        if raw.hists is not None:
            hists = raw.hists[lo:hi].tolist()
        texts = float_texts(raw.values[lo:hi])
        parts: list[bytes] = []
        floats = [i for i in range(hi - lo) if hists[i] is None]
        if floats:
            prefixes = [b'"],[%b,"' % stamps[i] for i in floats]
            parts.append(_joined(prefixes, [texts[i] for i in floats]))
        natives = [
            b"[%b,%b]" % (stamps[i], _histogram(hists[i]))
            for i in range(hi - lo)
            if hists[i] is not None
        ]
        if natives:
            parts.append(b'"histograms":[' + b",".join(natives) + b"]")
        yield b'%b{"metric":%b,%b}' % (comma, _metric(labels), b",".join(parts))
        comma = b","


def _histogram(histogram: Histogram) -> bytes:
    """count, sum and buckets [edges, lower, upper, count]; edges: 0 (], 1 [), 2 (), 3 []."""
    body: dict[str, Any] = {"count": api_float(histogram.count), "sum": api_float(histogram.sum)}
    buckets = [
        [
            {(False, True): 0, (True, False): 1, (False, False): 2, (True, True): 3}[
                (bucket.lower_in, bucket.upper_in)
            ],
            api_float(bucket.lower),
            api_float(bucket.upper),
            api_float(bucket.count),
        ]
        for bucket in histogram.buckets()
    ]
    if buckets:
        body["buckets"] = buckets
    return orjson.dumps(body)


def stats_of(result: Result, nodes: bool = False) -> dict[str, Any]:
    """The `stats` object: Prometheus's names for what we share, and ours beside them."""
    stats = result.stats
    out: dict[str, Any] = {
        "timings": {
            "evalTotalTime": round(stats.total_seconds, 6),
            "resultSortTime": 0.0,
            "queryPreparationTime": round(stats.parse_seconds, 6),
            "innerEvalTime": round(stats.total_seconds - stats.select_seconds, 6),
            "selectTime": round(stats.select_seconds, 6),
            "execQueueTime": 0.0,
            "execTotalTime": round(stats.total_seconds + stats.parse_seconds, 6),
        },
        "samples": {
            "totalQueryableSamples": stats.samples,
            "peakSamples": stats.samples,
            "peakBytes": stats.bytes,
        },
    }
    if nodes:
        out["nodes"] = explain_tree(result)
    return out
