"""Results as the JSON of Prometheus's HTTP API, fast: how numbers and times are spelled is in
`numbertext`, how a matrix's samples are printed in `rowtexts`."""

from __future__ import annotations

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from vezha.model.labels import Labels
from vezha.query.block import Objects
from vezha.query.explain import explain_tree
from vezha.query.histogram import Histogram
from vezha.query.limits import BATCH_CELLS, METRIC_TEXT_ANSWERS, METRIC_TEXT_SERIES
from vezha.query.numbertext import api_float, float_texts, time_text
from vezha.query.result import Result, ResultKind
from vezha.query.rowtexts import row_texts

CHUNK_BYTES = 262_144
"""About how much `encode_chunks` gives at a time."""

METRICS_KEPT_MIN = 64
"""From so many series on it is worth looking whether their label sets are kept as JSON."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def encode_result(result: Result, stats: str = "", explain: bool = False) -> bytes:
    """The whole answer. *stats*: "" none, "1" totals, "all" with the nodes' own."""
    return b"".join(_pieces(result, stats, explain))


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


def _matrix(result: Result) -> Iterator[bytes]:
    metrics = _METRICS.texts(result.labels)
    if result.hists is not None:
        yield from _with_histograms(result, result.hists, metrics)
        return
    texts = result.texts
    pieces = row_texts(result.times, result.values, result.present) if texts is None else [texts]
    begin = b'{"metric":%b,"values":['
    row = 0
    for rows in pieces:
        for metric, text in zip(metrics[row : row + len(rows)], rows, strict=True):
            if text:
                yield begin % metric
                yield text
                yield b"]}"
                begin = b',{"metric":%b,"values":['
        row += len(rows)


def _with_histograms(result: Result, hists: Objects, metrics: Sequence[bytes]) -> Iterator[bytes]:
    """Rows of which some cells are histograms, one by one; an empty one is left out."""
    stamps = [time_text(ts).encode() for ts in result.times.tolist()]
    floats = itertools.chain(*row_texts(result.times, result.values, result.present))
    comma = b""
    for metric, hist_row, text in zip(metrics, hists, floats, strict=True):
        parts = [b'"values":[%b]' % text] if text else []
        cells = [
            b"[%b,%b]" % (stamp, _histogram(hist))
            for stamp, hist in zip(stamps, hist_row, strict=True)
            if hist is not None
        ]
        if cells:
            parts.append(b'"histograms":[' + b",".join(cells) + b"]")
        if parts:
            yield b'%b{"metric":%b,%b}' % (comma, metric, b",".join(parts))
            comma = b","


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
            cells = [b'[%b,"%b"]' % (stamps[i], texts[i]) for i in floats]
            parts.append(b'"values":[%b]' % b",".join(cells))
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
