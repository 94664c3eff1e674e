"""The store side by side with Prometheus and VictoriaMetrics, on the same data, in one run.

    python benchmarks/store.py [--hosts 1000] [--seconds 120] [--only ingest,size,kill,query,start]

Everything listens on 127.0.0.1; what is measured runs on one core, what feeds it on the other. CPU
is the kernel's account of the process, all threads, merges included. Ratios are the result; the
absolute figures move with the machine. A peer that is not installed is left out, visibly.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
from benchmarks.peers import (
    Peer,
    cpu_seconds,
    folder_bytes,
    free_port,
    pin,
    prometheus,
    rss_mb,
    victoria_metrics,
)
from benchmarks.store_data import PER_HOST, generated, host_schema, recorded

from vezha.gateway.intake import values_of
from vezha.legacy.remote_write import RemoteWrite, unpack_array
from vezha.legacy.series import SeriesTable
from vezha.model.labels import Labels, labels_of, metric
from vezha.query import Engine
from vezha.store import Store, StoreSettings
from vezha.store.remote_encode import label_bytes, write_request
from vezha.wire.frame import pack_frame, read_head
from vezha.wire.schema import pack_schema
from vezha.world import World

SERVER_CORE, FEEDER_CORE = 0, 1
Answers = dict[str, dict[str, dict[str, float]]]
"""Milliseconds (and series) by query and who was asked."""
RUNS = 11


@dataclass
class Table:
    """Rows that are printed, and kept for the baseline file."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def show(self) -> None:
        widths = [
            max(len(str(r[i])) for r in [self.columns, *self.rows])
            for i in range(len(self.columns))
        ]
        print(f"\n{self.title}")
        for row in [self.columns, ["-" * w for w in widths], *self.rows]:
            print("  " + "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)))
        sys.stdout.flush()


@dataclass(frozen=True)
class Scene:
    """What all parts share."""

    hosts: int
    seconds: int
    start_ms: int
    folder: Path

    def extra(self, host: int) -> Labels:
        return labels_of({"instance": f"host-{host:04d}", "job": "bench", "rack": f"r{host % 10}"})

    def series(self) -> list[Labels]:
        """All series, host by host."""
        schema = host_schema()
        return [labels_of((*s, *self.extra(h))) for h in range(self.hosts) for s in schema]

    def values(self) -> Iterator[tuple[int, np.ndarray[Any, np.dtype[np.float64]]]]:
        for second, values in enumerate(generated(self.hosts, self.seconds, 7)):
            yield self.start_ms + 1000 * second, values


def open_store(folder: Path, window_s: float = 120.0) -> Store:
    """A store as the server opens it."""
    return Store.open(str(folder), World(), StoreSettings(window_s=window_s))


# ingest --------------------------------------------------------------------------------------------


def ingest_native(scene: Scene, folder: Path) -> dict[str, float]:
    """Frames as agents send them, decoded, stored, committed each 0.15 s' worth; one core."""
    pin(SERVER_CORE)
    schema = host_schema()
    schema_id, _ = pack_schema(schema)
    ticks = []
    for at, (ts_ms, values) in enumerate(scene.values()):
        ticks.append(
            (
                ts_ms,
                [pack_frame(at, schema_id, ts_ms, values[h].tolist()) for h in range(scene.hosts)],
            )
        )
    store = open_store(folder)
    store.put_schema(schema_id, schema)
    layouts = [store.layout(schema_id, scene.extra(h)) for h in range(scene.hosts)]
    origins = [store.origin(f"agent-{h}/s") for h in range(scene.hosts)]
    base_mb = rss_mb(os.getpid())
    frame_bytes = sum(len(f) for _, frames in ticks for f in frames)
    began, cpu = time.perf_counter(), time.process_time()
    per_commit = max(1, scene.hosts * 15 // 100)
    count = 0
    for _, frames in ticks:
        for host, record in enumerate(frames):
            head = read_head(record)
            values = values_of(head, record)
            store.write_frame(layouts[host], origins[host], head.seq, head.ts_ms, record, values)
            count += 1
            if count % per_commit == 0:
                store.commit(store.seal())
    store.commit(store.seal())
    took, used = time.perf_counter() - began, time.process_time() - cpu
    peak_mb = rss_mb(os.getpid())
    store.flush()
    flushed = time.process_time() - cpu
    store.close()
    samples = count * PER_HOST
    return {
        "samples": samples,
        "wall_s": took,
        "cpu_s": used,
        "cpu_with_flush_s": flushed,
        "frame_bytes": frame_bytes,
        "rss_mb": peak_mb - frame_bytes / 1e6,
        "base_mb": base_mb - frame_bytes / 1e6,
    }


def requests_of(scene: Scene) -> list[bytes]:
    """Remote-write bodies: each second of 100 hosts, one sample a series, as scrapes give them."""
    encoded = [label_bytes(labels) for labels in scene.series()]
    bodies = []
    hosts_per_request = min(100, scene.hosts)
    width = hosts_per_request * PER_HOST
    for ts_ms, values in scene.values():
        flat = values.ravel()
        for first in range(0, len(flat), width):
            refs = np.arange(first, min(first + width, len(flat)), dtype=np.int64)
            body, _ = write_request(
                refs, np.full(len(refs), ts_ms, np.int64), flat[refs], encoded.__getitem__
            )
            bodies.append(bytes(cramjam.snappy.compress_raw(body)))
    return bodies


def ingest_remote_write(scene: Scene, folder: Path, bodies: list[bytes]) -> dict[str, float]:
    """The same data by remote write 1.0: unpacked, decoded, stored, committed; one core."""
    pin(SERVER_CORE)
    store = open_store(folder)
    table = SeriesTable()
    writer = RemoteWrite(table)
    refs = np.empty(0, np.int64)
    cpu = time.process_time()
    samples = 0
    for at, body in enumerate(bodies):
        batch = writer.decode(unpack_array(body, "snappy"))
        if len(table) > len(refs):
            new = [table.labels(n) for n in range(len(refs), len(table))]
            refs = np.concatenate([refs, store.resolve(new)])
        store.write(refs[batch.numbers], batch.ts_ms, batch.values)
        samples += len(batch)
        if at % 2:
            store.commit(store.seal())
    store.commit(store.seal())
    used = time.process_time() - cpu
    store.flush()
    flushed = time.process_time() - cpu
    store.close()
    return {"samples": samples, "cpu_s": used, "cpu_with_flush_s": flushed}


def in_process(target: Callable[..., dict[str, float]], *args: Any) -> dict[str, float]:
    """Run *target* in a fresh process; what it returns."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(target, args)


def feed_peer(peer: Peer, bodies: list[bytes], samples: int) -> dict[str, float]:
    """The same bodies into a peer; its CPU, and its memory at the end."""
    before = cpu_seconds(peer.pid)
    began = time.perf_counter()
    for body in bodies:
        peer.write(body)
    took = time.perf_counter() - began
    time.sleep(2.0)  # merges in the background are part of the work
    return {
        "samples": samples,
        "wall_s": took,
        "cpu_s": cpu_seconds(peer.pid) - before,
        "rss_mb": rss_mb(peer.pid),
    }


def peers_in(folder: Path) -> list[Peer]:
    """The peers that are installed."""
    found = [victoria_metrics(folder / "victoria"), prometheus(folder / "prometheus")]
    for name, peer in zip(("VictoriaMetrics", "Prometheus"), found, strict=True):
        if peer is None:
            print(f"  {name} is not installed and left out")
    return [peer for peer in found if peer is not None]


def million(count: float) -> str:
    return f"{count / 1e6:.2f} M"


def part_ingest(scene: Scene) -> tuple[dict[str, Any], list[Peer]]:
    """Ingest, and the peers left running with the data."""
    table = Table(
        f"Ingest: {scene.hosts} hosts x {PER_HOST} series x {scene.seconds} s "
        f"({million(scene.hosts * PER_HOST * scene.seconds)} samples)",
        [
            "who",
            "way in",
            "samples per CPU-s",
            "CPU-s per M",
            "memory MB",
            "against VictoriaMetrics",
        ],
    )
    native = in_process(ingest_native, scene, scene.folder / "native")
    bodies = requests_of(scene)
    written = in_process(ingest_remote_write, scene, scene.folder / "written", bodies)
    pin(FEEDER_CORE)
    peers = peers_in(scene.folder)
    measured: dict[str, dict[str, float]] = {}
    for peer in peers:
        peer.start(SERVER_CORE)
        measured[peer.name] = feed_peer(peer, bodies, int(written["samples"]))
    yardstick = measured.get("VictoriaMetrics")

    def row(who: str, way: str, got: dict[str, float], cpu: str = "cpu_with_flush_s") -> None:
        used = got.get(cpu, got["cpu_s"])
        per_cpu = got["samples"] / used
        ratio = "-"
        if yardstick:
            ratio = f"{per_cpu / (yardstick['samples'] / yardstick['cpu_s']):.1f} x"
        memory = f"{got['rss_mb']:.0f}" if "rss_mb" in got else "-"
        table.rows.append(
            [who, way, million(per_cpu), f"{used / got['samples'] * 1e6:.3f}", memory, ratio]
        )

    row("Vezha", "frames of 1 s, durable, with flush", native)
    row("Vezha", "remote write 1.0, durable, with flush", written)
    for peer in peers:
        row(peer.name, "remote write 1.0", measured[peer.name])
    table.show()
    return {"native": native, "remote_write": written, **measured}, peers


# size ----------------------------------------------------------------------------------------------


def tile_bytes(folder: Path) -> int:
    """Bytes of samples and index on disk."""
    return folder_bytes(folder / "days") + sum(f.stat().st_size for f in folder.glob("catalog.db*"))


def write_recorded(scene: Scene, folder: Path) -> dict[str, float]:
    """The recorded data, as frames of one host, into a store of its own."""
    data = recorded()
    assert data is not None
    store = open_store(folder, window_s=600.0)
    schema_id, _ = pack_schema(data.series)
    store.put_schema(schema_id, data.series)
    layout = store.layout(schema_id, scene.extra(0))
    origin = store.origin("a/s")
    for at in range(len(data.ts_ms)):
        values = data.values[at]
        ts_ms = scene.start_ms + 1000 * at
        raw = pack_frame(at, schema_id, ts_ms, values.tolist())
        store.write_frame(layout, origin, at, ts_ms, raw, values)
        if at % 100 == 99:
            store.commit(store.seal())
    store.commit(store.seal())
    store.flush()
    store.close()
    return {"samples": float(data.values.size)}


def recorded_bodies(scene: Scene) -> list[bytes]:
    data = recorded()
    assert data is not None
    encoded = [label_bytes(labels_of((*s, *scene.extra(0)))) for s in data.series]
    refs = np.arange(len(encoded), dtype=np.int64)
    return [
        bytes(
            cramjam.snappy.compress_raw(
                write_request(
                    refs,
                    np.full(len(refs), scene.start_ms + 1000 * at, np.int64),
                    data.values[at],
                    encoded.__getitem__,
                )[0]
            )
        )
        for at in range(len(data.ts_ms))
    ]


def settled_bytes(peer: Peer) -> int:
    """A peer's bytes once it merged what it has, the write-ahead log not counted."""
    if peer.name == "Prometheus":
        answer = peer.client.post(f"{peer.url}/api/v1/admin/tsdb/snapshot").json()
        return folder_bytes(peer.folder / "snapshots" / answer["data"]["name"])
    peer.client.get(f"{peer.url}/internal/force_flush")
    peer.client.get(f"{peer.url}/internal/force_merge")
    time.sleep(3.0)
    return folder_bytes(peer.folder)


def part_size(scene: Scene, peers: list[Peer]) -> dict[str, Any]:
    """Bytes per sample on disk, generated and recorded."""
    table = Table(
        "Bytes per sample on disk, index included",
        ["who", "generated", "recorded, one host"],
    )
    samples = scene.hosts * PER_HOST * scene.seconds
    ours = tile_bytes(scene.folder / "native") / samples
    out: dict[str, Any] = {"Vezha": [ours]}
    data = recorded()
    cells = {"Vezha": [f"{ours:.2f}", "no recording"]}
    if data is not None:
        got = in_process(write_recorded, scene, scene.folder / "recorded")
        real = tile_bytes(scene.folder / "recorded") / got["samples"]
        out["Vezha"].append(real)
        cells["Vezha"][1] = f"{real:.2f}"
    for peer in peers:
        size = settled_bytes(peer) / samples
        out[peer.name] = [size]
        cells[peer.name] = [f"{size:.2f}", "no recording"]
        if data is not None:
            fresh = {"Prometheus": prometheus, "VictoriaMetrics": victoria_metrics}[peer.name](
                scene.folder / f"recorded-{peer.name}"
            )
            assert fresh is not None
            fresh.start()
            for body in recorded_bodies(scene):
                fresh.write(body)
            real = settled_bytes(fresh) / data.values.size
            fresh.stop()
            out[peer.name].append(real)
            cells[peer.name][1] = f"{real:.2f}"
    table.rows = [[who, *row] for who, row in cells.items()]
    table.show()
    return out


# kill -9 -------------------------------------------------------------------------------------------


def write_until_killed(folder: str, path: str, base_ms: int) -> None:
    """Writes and commits; notes each acknowledged second in *path*."""
    store = open_store(Path(folder), window_s=5.0)
    series = [metric("bench_kill", n=str(i)) for i in range(1000)]
    refs = store.resolve(series)
    with Path(path).open("w") as acked:
        for second in range(100_000):
            ts_ms = base_ms + 10 * second
            store.write(refs, np.full(1000, ts_ms, np.int64), np.full(1000, float(second)))
            store.commit(store.seal())
            acked.write(f"{second}\n")
            acked.flush()


def kill_ours(scene: Scene, run: int) -> tuple[int, int]:
    """Acknowledged and lost samples of ours in one kill."""
    folder, note = scene.folder / f"kill-{run}", scene.folder / f"kill-{run}.txt"
    base_ms = int(time.time() * 1000) - 3_600_000
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=write_until_killed, args=(str(folder), str(note), base_ms))
    writer.start()
    until = time.monotonic() + 60.0
    while time.monotonic() < until and not (note.exists() and note.stat().st_size):
        time.sleep(0.1)  # it begins late on a busy machine
    time.sleep(3.0 + run)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    acked = len(note.read_text().splitlines())
    store = open_store(folder)
    result = Engine(store).instant("sum(count_over_time(bench_kill[2h]))", base_ms + 3_600_000)
    there = int(result.values[0][0])
    store.close()
    return acked * 1000, max(0, acked * 1000 - there)


def kill_peer(peer: Peer, seconds: float) -> tuple[int, int]:
    """The same of a peer."""
    peer.start()
    encoded = [label_bytes(metric("bench_kill", n=str(i))) for i in range(1000)]
    refs = np.arange(1000, dtype=np.int64)
    base_ms = int(time.time() * 1000) - 600_000
    until = time.monotonic() + seconds
    acked = 0
    while time.monotonic() < until:
        ts_ms = base_ms + 1000 * acked
        body, _ = write_request(
            refs, np.full(1000, ts_ms, np.int64), np.full(1000, 1.0), encoded.__getitem__
        )
        peer.write(bytes(cramjam.snappy.compress_raw(body)))
        acked += 1
        time.sleep(0.02)
    peer.stop(kill=True)
    peer.start()
    time.sleep(1.0)
    answer = peer.client.get(
        f"{peer.url}/api/v1/query",
        params={
            "query": "sum(count_over_time(bench_kill[1d]))",
            "time": base_ms / 1000 + acked + 60,
        },
    ).json()["data"]["result"]
    there = int(float(answer[0]["value"][1])) if answer else 0
    peer.stop()
    return acked * 1000, max(0, acked * 1000 - there)


def part_kill(scene: Scene) -> dict[str, Any]:
    """Acknowledged data lost by kill -9."""
    table = Table("kill -9 while writing", ["who", "kills", "acknowledged", "lost"])
    runs = [kill_ours(scene, run) for run in range(3)]
    out = {"Vezha": runs}
    for make, name in ((victoria_metrics, "victoria"), (prometheus, "prometheus")):
        peer = make(scene.folder / f"kill-{name}")
        if peer is not None:
            out[peer.name] = [kill_peer(peer, 4.0)]
    for who, got in out.items():
        table.rows.append(
            [who, str(len(got)), million(sum(a for a, _ in got)), str(sum(lost for _, lost in got))]
        )
    table.show()
    return out


# queries -------------------------------------------------------------------------------------------


@dataclass
class Ours:
    """A real server on our data, asked over HTTP like the peers."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client


def start_ours(state: Path) -> Ours:
    """`vezha up` without an agent, and a token to ask with."""
    port, channel = free_port(), free_port()
    vezha = [sys.executable, "-m", "vezha"]
    process = subprocess.Popen(
        [
            *vezha, "up", "--no-agent", "--state", str(state),
            "--set", f"web.listen=127.0.0.1:{port}",
            "--set", f"channel.listen=127.0.0.1:{channel}",
            "--set", "rules.builtin=false",
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.05)
    made = subprocess.run(
        [*vezha, "token", "create", f"bench-{port}", "--role", "viewer", "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    token = json.loads(made.stdout)["token"]
    headers = {"Authorization": f"Bearer {token}"}
    return Ours(url, process, httpx.Client(headers=headers, timeout=120, trust_env=False))


def queries(scene: Scene) -> list[tuple[str, str, int, int]]:
    """Name, PromQL, span in seconds (0: instant), step."""
    span = scene.seconds
    return [
        ("q1 one raw series", 'bench_noisy_0{instance="host-0001",device="d0"}', span, 1),
        ("q2 average of all hosts, 15 s", 'avg(bench_noisy_1{device="d1"})', span, 15),
        (
            "q3 rate summed by label, 15 s",
            'sum by (rack) (rate(bench_counter_0_total{cpu="0"}[1m]))',
            span,
            15,
        ),
        ("q4 top 10 now", 'topk(10, bench_noisy_2{device="d2"})', 0, 1),
        ("q5 100 series of one host", '{instance="host-0002",job="bench"}', span, 1),
        ("24 h x all hosts, 5 min", "avg by (rack) (bench_day)", 86_400, 300),
        ("30 d, 1 h", "max by (rack) (max_over_time(bench_month[1h]))", 30 * 86_400, 3_600),
        ("high churn, 15 s", "sum(bench_churn)", span, 15),
    ]


def history(scene: Scene) -> Iterator[tuple[list[Labels], int, Any]]:
    """Series, time and values of older data, in the order of time: 30 days at 5 minutes, a day at
    15 s, and churning series (each lives 10 s)."""
    random = np.random.default_rng(3)
    month = [
        metric("bench_month", instance=f"host-{h:04d}", rack=f"r{h % 10}")
        for h in range(scene.hosts)
    ]
    day = [
        metric("bench_day", instance=f"host-{h:04d}", rack=f"r{h % 10}") for h in range(scene.hosts)
    ]
    end_ms = scene.start_ms
    for ts_ms in range(end_ms - 30 * 86_400_000, end_ms - 86_400_000, 300_000):
        yield month, ts_ms, np.round(random.random(scene.hosts) * 100, 2)
    for ts_ms in range(end_ms - 86_400_000, end_ms, 15_000):
        yield day, ts_ms, np.round(random.random(scene.hosts) * 100, 2)
        if (ts_ms - end_ms) % 300_000 == 0:
            yield month, ts_ms, np.round(random.random(scene.hosts) * 100, 2)


def churn(scene: Scene) -> Iterator[tuple[list[Labels], int, Any]]:
    """200 series at a time, another 200 every 10 s."""
    for second in range(scene.seconds):
        names = [metric("bench_churn", pod=f"p{second // 10}-{i}") for i in range(200)]
        yield names, scene.start_ms + 1000 * second, np.full(200, float(second))


def fill_history(scene: Scene, folder: Path) -> dict[str, float]:
    """The history into the native store."""
    store = open_store(folder)
    cpu = time.process_time()
    samples = 0
    gathered: list[tuple[Any, Any, Any]] = []

    def put() -> None:
        if gathered:
            store.write(*(np.concatenate([g[i] for g in gathered]) for i in range(3)))
            store.commit(store.seal())
            gathered.clear()

    refs_of: dict[int, Any] = {}
    for part in (history(scene), churn(scene)):
        for series, ts_ms, values in part:
            key = id(series) if part is not None and len(series) == scene.hosts else -1
            refs = refs_of.get(key)
            if refs is None:
                refs = store.resolve(series)
                if key >= 0:
                    refs_of[key] = refs
            gathered.append((refs, np.full(len(refs), ts_ms, np.int64), values))
            samples += len(refs)
            if len(gathered) == 200:
                put()
        put()
        refs_of.clear()
    store.flush()
    store.compact()  # what the background does within hours; peers are asked to merge too
    store.close()
    return {"samples": samples, "cpu_s": time.process_time() - cpu}


def feed_history(scene: Scene, peer: Peer, part: Iterator[tuple[list[Labels], int, Any]]) -> None:
    """The history into a peer, some times per request."""
    encoded: dict[Labels, bytes] = {}
    known: dict[int, list[bytes]] = {}
    gathered: list[tuple[list[bytes], int, Any]] = []

    def send() -> None:
        rows: list[bytes] = []
        refs, stamps, values = [], [], []
        numbers: dict[bytes, int] = {}
        for labels, ts_ms, column in gathered:
            for raw in labels:
                if raw not in numbers:
                    numbers[raw] = len(rows)
                    rows.append(raw)
            refs.append(np.array([numbers[raw] for raw in labels], np.int64))
            stamps.append(np.full(len(labels), ts_ms, np.int64))
            values.append(column)
        if refs:
            body, _ = write_request(
                np.concatenate(refs),
                np.concatenate(stamps),
                np.concatenate(values),
                rows.__getitem__,
            )
            peer.write(bytes(cramjam.snappy.compress_raw(body)))
        gathered.clear()

    for series, ts_ms, column in part:
        labels = known.get(id(series)) if len(series) == scene.hosts else None
        if labels is None:
            labels = [encoded.setdefault(s, label_bytes(s)) for s in series]
            if len(series) == scene.hosts:
                known[id(series)] = labels
        gathered.append((labels, ts_ms, column))
        if len(gathered) == 40:
            send()
    send()


def ask(
    client: httpx.Client, url: str, scene: Scene, query: str, span: int, step: int
) -> tuple[float, int]:
    """Milliseconds until the whole answer is here, and how many series it has."""
    end = scene.start_ms / 1000 + scene.seconds - 1
    start = end - span + 1
    if span >= 6 * 3600:  # on whole steps, as Grafana and our pages ask for long spans
        end -= end % step
        start = end - span
    began = time.perf_counter()
    if span:
        range_ = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        answer = client.get(f"{url}/api/v1/query_range", params=range_)
    else:
        answer = client.get(f"{url}/api/v1/query", params={"query": query, "time": str(end)})
    took = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"{url}: {answer.text[:300]}")
    return took, len(answer.json()["data"]["result"])


def part_query(scene: Scene, peers: list[Peer]) -> dict[str, Any]:
    """Median latencies over HTTP, with JSON."""
    state = scene.folder / "state"
    state.mkdir(exist_ok=True)
    (scene.folder / "native").rename(state / "store")
    in_process(fill_history, scene, state / "store")
    for peer in peers:
        # Prometheus takes only what is newer than its head: it gets the history in a fresh one
        if peer.name == "Prometheus":
            peer.stop()
            fresh = prometheus(scene.folder / "prometheus-query")
            assert fresh is not None
            peer.argv, peer.url, peer.folder = fresh.argv, fresh.url, fresh.folder
            peer.start(SERVER_CORE)
            feed_history(scene, peer, history(scene))
            for body in requests_of(scene):
                peer.write(body)
        else:
            feed_history(scene, peer, history(scene))
        feed_history(scene, peer, churn(scene))
        if peer.name == "VictoriaMetrics":
            peer.client.get(f"{peer.url}/internal/force_flush")
            peer.client.get(f"{peer.url}/internal/force_merge")
            time.sleep(3.0)
    pin(SERVER_CORE)
    ours = start_ours(state)
    pin(FEEDER_CORE)
    names = ["Vezha", *(p.name for p in peers)]
    asked = [(ours.client, ours.url), *((p.client, p.url) for p in peers)]
    cached: Answers = {}
    try:
        out = ask_all(scene, dict(zip(names, asked, strict=True)))
        for peer in peers:
            if peer.name == "VictoriaMetrics":
                cached = ask_cached(scene, peer)
    finally:
        ours.process.terminate()
        ours.process.wait(30)
    title = f"Queries over HTTP with JSON, ms: median of {RUNS} after the first (first; series)"
    table = Table(
        title, ["query", *names, *(f"{who}, answers cached" for who in names[1:2] if cached)]
    )
    for name, cells in out.items():
        found = [*cells.values(), *cached.get(name, {}).values()]
        shown = [f"{c['median']:.1f} ({c['first']:.0f}; {c['series']:.0f})" for c in found]
        table.rows.append([name, *shown])
    table.show()
    return {"queries": out, "cached": cached}


def ask_all(scene: Scene, asked: dict[str, tuple[httpx.Client, str]]) -> Answers:
    """Each query, of everybody in turn, so that what else the machine does hits all alike."""
    out: Answers = {}
    for name, query, span, step in queries(scene):
        times: dict[str, list[float]] = {who: [] for who in asked}
        series = dict.fromkeys(asked, 0)
        for _ in range(RUNS + 1):
            for who, (client, url) in asked.items():
                took, series[who] = ask(client, url, scene, query, span, step)
                times[who].append(took)
        out[name] = {
            who: {
                "first": took[0],
                "median": statistics.median(took[1:]),
                "best": min(took[1:]),
                "series": float(series[who]),
            }
            for who, took in times.items()
        }
    return out


def ask_cached(scene: Scene, peer: Peer) -> Answers:
    """The same of VictoriaMetrics as it comes: with its cache of answers, which no other has."""
    peer.stop()
    peer.argv = [word for word in peer.argv if word != "-search.disableCache"]
    peer.start(SERVER_CORE)
    return ask_all(scene, {peer.name: (peer.client, peer.url)})


# start ---------------------------------------------------------------------------------------------

_FIRST_ANSWER = """
import sys, time
began = time.perf_counter()
from vezha.query import Engine
from vezha.store import Store, StoreSettings
from vezha.world import World
imported = time.perf_counter()
store = Store.open(sys.argv[1], World(), StoreSettings())
engine = Engine(store)
result = engine.instant("count(bench_month)", int(sys.argv[2]))
print(imported - began, time.perf_counter() - imported, float(result.values[0][0]))
store.close()
"""


def part_start(scene: Scene, peers: list[Peer]) -> dict[str, Any]:
    """From nothing to the first answer, with 30 days of data."""
    table = Table("Start with 30 days of data: seconds to the first answer", ["who", "seconds"])
    asked = str(scene.start_ms - 86_400_000)
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_ANSWER, str(scene.folder / "state" / "store"), asked],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    imported, answered, _ = (float(x) for x in done.stdout.split())
    table.rows.append(["Vezha (open and answer)", f"{answered:.2f}"])
    table.rows.append(["Vezha (with Python's imports)", f"{imported + answered:.2f}"])
    out: dict[str, Any] = {"Vezha": [answered, imported + answered]}
    for peer in peers:
        peer.stop()
        took = peer.start()
        out[peer.name] = took
        table.rows.append([f"{peer.name} (ready)", f"{took:.2f}"])
    table.show()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--only", default="ingest,size,kill,query,start")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    given = parser.parse_args()
    parts = set(given.only.split(","))
    print(f"load before: {os.getloadavg()[0]:.1f}")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as folder:
        # a whole minute, some time ago, so that all of it is the past for everybody
        start_ms = int(time.time() // 60 - given.seconds // 60 - 5) * 60_000
        scene = Scene(given.hosts, given.seconds, start_ms, Path(folder))
        peers: list[Peer] = []
        try:
            if parts & {"ingest", "size", "query", "start"}:
                figures["ingest"], peers = part_ingest(scene)
            if "size" in parts:
                figures["size"] = part_size(scene, peers)
            if "kill" in parts:
                figures["kill"] = part_kill(scene)
            if parts & {"query", "start"}:
                figures["query"] = part_query(scene, peers)
            if "start" in parts:
                figures["start"] = part_start(scene, peers)
        finally:
            for peer in peers:
                peer.stop()
    print(f"\nload after: {os.getloadavg()[0]:.1f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
