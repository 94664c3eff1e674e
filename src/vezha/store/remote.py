"""A remote engine: any server that takes remote write and answers the Prometheus HTTP API.

`RemoteSender` empties a `RemoteQueue` into it; `RemoteSource` reads back, as a `SampleSource` like
any other. Two things are the engine's, not ours: stale markers do not come back (such engines keep
them to themselves), and VictoriaMetrics rounds values to about 1e-12.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import cramjam
import httpx
import numpy as np
import orjson
import structlog

from vezha.model.columns import (
    STALE_NAN,
    Matcher,
    MatchOp,
    Selection,
    SeriesData,
    Times,
    TooManySamples,
    Values,
)
from vezha.model.labels import METRIC_NAME, Labels, labels_of, quote_value
from vezha.store.errors import StoreError
from vezha.store.limits import REMOTE_CONNECT_S
from vezha.store.remote_described import Described
from vezha.store.remote_encode import label_bytes, write_request
from vezha.store.remote_queue import RemoteQueue
from vezha.world import World

log = structlog.get_logger("vezha.remote")

SEND_SAMPLES_MAX = 200_000
"""Samples in one request."""
SEND_GATHER_S = 10.0
"""How long samples gather: ten a series at one second make the engine's work a third."""
SEND_TIMEOUT_S = 30.0
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 30.0
LABELS_CACHED_MAX = 2_000_000
"""Series whose encoded labels a sender keeps."""


class RemoteUnreachable(StoreError):
    """The remote engine does not answer, or answers with an error."""


class RemoteSender:
    """One thread that sends what is in the queue, in order, until it is taken."""

    def __init__(
        self,
        url: str,
        queue: RemoteQueue,
        labels: Callable[[int], Labels],
        world: World,
        *,
        headers: dict[str, str] | None = None,
        gather_s: float = SEND_GATHER_S,
        described: Described | None = None,
    ) -> None:
        """*url* is the engine's remote-write address; *labels* gives a series' label set;
        *described*, where it is given, what goes there besides samples."""
        self._url = url
        self._queue = queue
        self._labels = labels
        self._world = world
        self._headers = headers or {}
        self._gather_s = gather_s
        self._described = described
        self._encoded: dict[int, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote", daemon=True)
        self.sent_samples = 0
        self.refused_samples = 0
        self.failures = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present request; what is left stays in the queue."""
        self._stop.set()
        self._thread.join(SEND_TIMEOUT_S)

    def _run(self) -> None:
        wait_s = 0.0
        with httpx.Client(timeout=SEND_TIMEOUT_S, trust_env=False) as client:
            while not self._stop.wait(wait_s):
                try:
                    wait_s = 0.0
                    if not self.send_some(client):
                        self.send_described(client)
                        wait_s = self._gather_s
                except RemoteUnreachable as error:
                    self.failures += 1
                    grown = BACKOFF_MIN_S * 2.0 ** min(self.failures, 10)
                    wait_s = self._world.chance.uniform(0.0, min(BACKOFF_MAX_S, grown))
                    log.warning("remote_unreachable", why=str(error), retry_s=round(wait_s, 1))
                except OSError as error:
                    log.error("remote_queue_unreadable", why=str(error))
                    wait_s = BACKOFF_MAX_S

    def send_some(self, client: httpx.Client) -> bool:
        """Send one request; False if there was nothing. Raises RemoteUnreachable, OSError."""
        found = self._queue.read(SEND_SAMPLES_MAX)
        if found is None:
            return False
        columns, position = found
        body, left_out = write_request(
            columns.refs, columns.ts_ms, columns.values, self._encoded_labels
        )
        self.refused_samples += left_out
        if self._taken(client, body):
            self.sent_samples += len(columns) - left_out
        else:
            self.refused_samples += len(columns) - left_out
        self.failures = 0
        self._queue.done(position)
        return True

    def send_described(self, client: httpx.Client) -> None:
        """Send exemplars and metadata that are due, whose series the engine has by now. What it
        refuses it is not asked again; where it fails, samples shall not wait. Raises OSError."""
        if self._described is None:
            return
        try:
            for body in self._described.requests():
                self._taken(client, body)
        except RemoteUnreachable as error:
            log.warning("remote_undescribed", why=str(error))

    def _taken(self, client: httpx.Client, body: bytes) -> bool:
        """Whether the engine took a request; False where it never will.
        Raises RemoteUnreachable."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
            **self._headers,
        }
        try:
            answer = client.post(
                self._url, content=bytes(cramjam.snappy.compress_raw(body)), headers=headers
            )
        except httpx.HTTPError as error:
            raise RemoteUnreachable(f"{type(error).__name__}: {error}") from None
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise RemoteUnreachable(f"HTTP {answer.status_code}")
        if answer.status_code >= 300:
            # the engine will never take these: go on without them, and say so
            log.error("remote_refused", status=answer.status_code, text=answer.text[:300])
            return False
        return True

    def _encoded_labels(self, ref: int) -> bytes:
        found = self._encoded.get(ref)
        if found is None:
            if len(self._encoded) >= LABELS_CACHED_MAX:
                self._encoded.clear()
            found = self._encoded[ref] = label_bytes(self._labels(ref))
        return found


def selector(matchers: Sequence[Matcher]) -> str:
    """Matchers as PromQL writes them. PromQL wants one that does not match the empty value."""
    parts = [
        f"{_name(matcher.name)}{matcher.op.value}{quote_value(matcher.value)}"
        for matcher in matchers
    ]
    if not any(m.op is MatchOp.EQ and m.value for m in matchers):
        parts.append(f'{METRIC_NAME}!=""')
    return "{" + ",".join(parts) + "}"


def _name(name: str) -> str:
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain else quote_value(name)


def _pairs(pairs: list[Any]) -> tuple[Times, Values]:
    ts_ms = np.rint(np.array([p[0] for p in pairs], np.float64) * 1000).astype(np.int64)
    return ts_ms, np.array([p[1] for p in pairs]).astype(np.float64)


def _check_size(samples: int, selection: Selection) -> None:
    if samples > selection.samples_max:
        raise TooManySamples(f"over {selection.samples_max} samples")


def _series_data(rows: dict[Labels, tuple[Times, Values]]) -> SeriesData:
    if not rows:
        return SeriesData.empty()
    labels = sorted(rows)
    lengths = [len(rows[series][0]) for series in labels]
    return SeriesData(
        labels,
        np.concatenate([rows[series][0] for series in labels]),
        np.concatenate([rows[series][1] for series in labels]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


class RemoteSource:
    """Reads a remote engine's samples through its HTTP API."""

    def __init__(
        self, url: str, headers: dict[str, str] | None = None, timeout_s: float = 30.0
    ) -> None:
        """*url* is the address before `/api/v1/…`."""
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=REMOTE_CONNECT_S),
            trust_env=False,
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`. Raises RemoteUnreachable.

        What an instant selector sees at its steps is asked for as that, at the times of the steps;
        anything else as raw samples.
        """
        seen = selection.lookback_ms > 0 and selection.function != "timestamp"
        if seen and (selection.step_ms or selection.newest_only):
            return self._seen(selection)
        span_ms = max(1, selection.end_ms - selection.start_ms)
        query = f"{selector(selection.matchers)}[{span_ms}ms]"
        data = self._ask(
            "/api/v1/query", {"query": query, "time": f"{selection.end_ms / 1000:.3f}"}
        )
        rows: dict[Labels, tuple[Times, Values]] = {}
        total = 0
        for found in data["result"]:
            ts_ms, values = _pairs(found.get("values") or [])
            # engines differ in whether the window's start belongs to it; ours does not
            inside = (ts_ms > selection.start_ms) & (ts_ms <= selection.end_ms)
            total += int(np.count_nonzero(inside))
            _check_size(total, selection)
            if inside.any():
                rows[labels_of(found["metric"])] = (ts_ms[inside], values[inside])
        return _series_data(rows)

    def _seen(self, selection: Selection) -> SeriesData:
        """What a selector sees at each step, and a stale marker where it no longer sees any."""
        step = selection.step_ms if not selection.newest_only else 0
        query = f"last_over_time({selector(selection.matchers)}[{selection.lookback_ms}ms])"
        end = selection.end_ms
        count = (end - selection.start_ms - selection.lookback_ms) // step if step else 0
        first = end - count * step
        if step:
            asked = {"query": query, "start": f"{first / 1000:.3f}", "end": f"{end / 1000:.3f}",
                     "step": f"{step / 1000:.3f}", "nocache": "1"}  # fmt: skip
            data = self._ask("/api/v1/query_range", asked)
        else:
            data = self._ask("/api/v1/query", {"query": query, "time": f"{end / 1000:.3f}"})
        rows: dict[Labels, tuple[Times, Values]] = {}
        total = 0
        for found in data["result"]:
            ts_ms, values = _pairs(found["values"] if step else [found["value"]])
            total += len(ts_ms)
            _check_size(total, selection)
            if step:
                ended = ts_ms[:-1][np.diff(ts_ms) > step] + step
                if int(ts_ms[-1]) < end:
                    ended = np.append(ended, ts_ms[-1] + step)
                ts_ms = np.concatenate([ts_ms, ended])
                order = np.argsort(ts_ms)
                values = np.append(values, np.full(len(ended), STALE_NAN))
                ts_ms, values = ts_ms[order], values[order]
            rows[labels_of(found["metric"])] = (ts_ms, values)
        return _series_data(rows)

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        # `/api/v1/series` is exact to the day or block only; a query is exact to the millisecond
        query = f"last_over_time({selector(matchers)}[{end_ms - start_ms + 1}ms])"
        data = self._ask("/api/v1/query", {"query": query, "time": f"{end_ms / 1000:.3f}"})
        series = sorted({labels_of(found["metric"]) for found in data["result"]})
        return series[:limit] if limit else series

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        found = self.series(matchers, start_ms, end_ms)
        return sorted({name for labels in found for name, _ in labels})

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        found = {dict(labels).get(name, "") for labels in self.series(matchers, start_ms, end_ms)}
        return sorted(found - {""})

    def _ask(self, path: str, form: dict[str, str]) -> Any:
        try:
            answer = self._client.post(path, data=form)
            body = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise RemoteUnreachable(f"{path}: {type(error).__name__}: {error}") from None
        if answer.status_code != 200 or body.get("status") != "success":
            why = str(body.get("error"))[:300]
            raise RemoteUnreachable(f"{path}: HTTP {answer.status_code}: {why}")
        return body["data"]
