"""The store side by side with Prometheus and VictoriaMetrics, on the same data, in one run.

    python -m benchmarks.store [--only ingest,query,start,kill,size,memory] [--minutes M] [--baseline]

Everything listens on 127.0.0.1; what is measured runs on one core, what feeds it on the other. CPU
is the kernel's account of the process, all threads, merges included. Ratios are the result; the
absolute figures move with the machine. A peer that is not installed is left out, visibly; a part
that fails says so, and the others go on. Within 9.5 minutes not every part has its turn: the whole
needs 15 to 20, which `--baseline` takes by itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
from benchmarks.peers import (
    Peer,
    cpu_seconds,
    folder_bytes,
    pin,
    prometheus,
    rss_mb,
    unpin,
    victoria_metrics,
)
from benchmarks.remote_write import Bodies, Engine, vezha
from benchmarks.store_data import PER_HOST, host_schema, recorded
from benchmarks.store_goals import goals
from benchmarks.store_queries import measure, prepare, start_ours, stop_ours
from benchmarks.store_scene import (
    FEEDER_CORE,
    SERVER_CORE,
    Scene,
    Table,
    in_process,
    open_store,
    requests_of,
)

from vezha.gateway.intake import values_of
from vezha.legacy.remote_write import RemoteWrite, unpack_array
from vezha.legacy.series import SeriesTable
from vezha.model.labels import labels_of, metric
from vezha.query import Engine as QueryEngine
from vezha.store.remote_encode import label_bytes, write_request
from vezha.wire.frame import HEAD_BYTES, pack_frame, read_head
from vezha.wire.schema import pack_schema

PARTS = ("ingest", "query", "start", "kill", "size", "memory")
BASELINE = Path(__file__).parent / "data" / "store.json"


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
    count, committing = 0, 0.0
    for _, frames in ticks:
        for host, record in enumerate(frames):
            head = read_head(record)
            values = values_of(head, record)
            store.write_frame(layouts[host], origins[host], head.seq, head.ts_ms, record, values)
            count += 1
            if count % per_commit == 0:
                before = time.thread_time()
                store.commit(store.seal())
                committing += time.thread_time() - before
    store.commit(store.seal())
    took, used = time.perf_counter() - began, time.process_time() - cpu
    peak_mb = rss_mb(os.getpid())
    store.flush()
    flushed = time.process_time() - cpu
    store.close()
    began_s = time.process_time()
    for _, frames in ticks[:10]:
        for record in frames:
            zlib.decompress(memoryview(record)[HEAD_BYTES:-4])
    inflating = (time.process_time() - began_s) * len(ticks) / len(ticks[:10])
    samples = count * PER_HOST
    return {
        "samples": samples,
        "wall_s": took,
        "cpu_s": used,
        "cpu_with_flush_s": flushed,
        "inflate_s": inflating,
        "commit_s": committing,
        "frame_bytes": frame_bytes,
        "rss_mb": peak_mb - frame_bytes / 1e6,
        "base_mb": base_mb - frame_bytes / 1e6,
    }


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


def part_ingest(scene: Scene, peers: list[Peer]) -> dict[str, Any]:
    """Ingest; *peers* are left running with the data."""
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
    peers += peers_in(scene.folder)
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
    return {"native": native, "remote_write": written, **measured}


# size ----------------------------------------------------------------------------------------------


def tile_bytes(folder: Path) -> int:
    """Bytes of samples and index on disk."""
    names = [*folder.glob("catalog.db*"), *folder.glob("names.log")]
    return folder_bytes(folder / "days") + sum(f.stat().st_size for f in names)


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


def generated_size(scene: Scene, peers: list[Peer]) -> dict[str, list[float]]:
    """Bytes per sample of the generated data, which is all that there is so far."""
    samples = scene.hosts * PER_HOST * scene.seconds
    sizes = {"Vezha": [tile_bytes(scene.folder / "native") / samples]}
    return sizes | {peer.name: [settled_bytes(peer) / samples] for peer in peers}


def recorded_size(scene: Scene, sizes: dict[str, list[float]]) -> None:
    """The same of the recorded data, added to *sizes*, in peers of their own."""
    data = recorded()
    if data is None:
        return
    got = in_process(write_recorded, scene, scene.folder / "recorded")
    sizes["Vezha"].append(tile_bytes(scene.folder / "recorded") / got["samples"])
    for make in (victoria_metrics, prometheus):
        peer = make(scene.folder / f"recorded-{make.__name__}")
        if peer is None:
            continue
        try:
            peer.start()
            for body in recorded_bodies(scene):
                peer.write(body)
            sizes[peer.name].append(settled_bytes(peer) / data.values.size)
        finally:
            peer.stop(kill=True)


def show_sizes(sizes: dict[str, list[float]]) -> None:
    """The table of sizes."""
    table = Table(
        "Bytes per sample on disk, index included", ["who", "generated", "recorded, one host"]
    )
    for who, found in sizes.items():
        table.rows.append([who, f"{found[0]:.2f}", f"{found[1]:.2f}" if found[1:] else "-"])
    table.show()


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
    try:
        until = time.monotonic() + 60.0
        while time.monotonic() < until and not (note.exists() and note.stat().st_size):
            time.sleep(0.1)  # it begins late on a busy machine
        time.sleep(3.0 + run)
    finally:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    acked = len(note.read_text().splitlines())
    store = open_store(folder)
    result = QueryEngine(store).instant("sum(count_over_time(bench_kill[2h]))", base_ms + 3_600_000)
    there = int(result.values[0][0])
    store.close()
    return acked * 1000, max(0, acked * 1000 - there)


def kill_peer(peer: Peer, seconds: float) -> tuple[int, int]:
    """The same of a peer."""
    try:
        return _kill_peer(peer, seconds)
    finally:
        peer.stop(kill=True)


def _kill_peer(peer: Peer, seconds: float) -> tuple[int, int]:
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


# start ---------------------------------------------------------------------------------------------

_FIRST_ANSWER = """
import sys, time
sys.modules["rich"] = None  # as the server's processes have it
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
    began = time.perf_counter()
    ours = start_ours(scene.folder / "state")
    whole = ours.answered - began
    stop_ours(ours.process)
    table.rows.append(["Vezha (`vezha up`, all its processes, over HTTP)", f"{whole:.2f}"])
    out: dict[str, Any] = {"Vezha": [answered, imported + answered, whole]}
    for peer in peers:
        peer.stop()
        took = peer.start()
        out[peer.name] = took
        table.rows.append([f"{peer.name} (ready)", f"{took:.2f}"])
    table.show()
    return out


# memory --------------------------------------------------------------------------------------------


def part_memory(scene: Scene, seconds: int) -> dict[str, Any]:
    """100,000 series once a second by remote write, into all at the same time."""
    unpin()
    bodies = Bodies(1000, 30)
    seen: dict[str, list[float]] = {}
    parts: dict[str, dict[str, float]] = {}
    late = 0.0
    folder = scene.folder / "memory"
    folder.mkdir()
    started = []
    with ThreadPoolExecutor(10) as senders:
        try:
            started.append(vezha(folder / "vezha", None))
            for peer in peers_in(folder):
                peer.start()
                started.append(Engine(peer.name, peer.url, peer.pid, peer.client))
            began = time.perf_counter()
            for second in range(seconds):
                made = bodies.of(second, int(time.time() * 1000))
                list(senders.map(lambda p: p[0].write(p[1]), itertools.product(started, made)))
                if second >= seconds // 2 and second % 2 == 0:
                    for engine in started:
                        parts[engine.name] = engine.memory_mb()
                        seen.setdefault(engine.name, []).append(sum(parts[engine.name].values()))
                late = max(late, time.perf_counter() - began - second - 1)
                time.sleep(max(0.0, began + second + 1 - time.perf_counter()))
        finally:
            for engine in started:
                engine.stop()
    title = f"Memory, 100,000 series once a second for {seconds} s, MB; at most {late:.1f} s late"
    table = Table(title, ["who", "median", "most", "parts at the end"])
    for who, sums in seen.items():
        shown = ", ".join(f"{name} {size:.0f}" for name, size in sorted(parts[who].items()))
        table.rows.append([who, f"{statistics.median(sums):.0f}", f"{max(sums):.0f}", shown])
    table.show()
    return {who: statistics.median(sums) for who, sums in seen.items()} | {"late_s": late}


# all together --------------------------------------------------------------------------------------


class OutOfTime(Exception):
    """The time for the whole run is over."""


def _time_is_up(_signal: int, _frame: object) -> None:
    raise OutOfTime


def _attempt(name: str, part: Callable[[], Any], figures: dict[str, Any]) -> bool:
    """A part that fails says so, and leaves the others their turn."""
    try:
        found = part()
        if found is not None:
            figures[name] = found
    except OutOfTime:
        raise
    except Exception as error:
        traceback.print_exc()
        print(f"\n{name}: failed: {type(error).__name__}: {error}", flush=True)
        return False
    return True


def run(scene: Scene, parts: set[str], memory_s: int, figures: dict[str, Any]) -> None:
    """Every part that is wanted, in the order in which they build on each other."""
    peers: list[Peer] = []
    # dictionaries that fill up as parts come to their ends, so that what is there stays there
    sizes: dict[str, list[float]] = {}
    try:
        if parts & {"ingest", "size", "query", "start"}:
            unfinished = not _attempt("ingest", lambda: part_ingest(scene, peers), figures)
            if "size" in parts and not unfinished:
                _attempt("size", lambda: sizes.update(generated_size(scene, peers)), figures)
                figures["size"] = sizes
            if parts & {"query", "start"} and not unfinished:
                ready = _attempt("history", lambda: prepare(scene, peers), figures)
                if "query" in parts and ready:
                    answers = figures["query"] = {}
                    state = scene.folder / "state"
                    _attempt("queries", lambda: measure(scene, peers, state, answers), figures)
                if "start" in parts and ready:
                    _attempt("start", lambda: part_start(scene, peers), figures)
        for peer in peers:
            peer.stop()
        if "kill" in parts:
            _attempt("kill", lambda: part_kill(scene), figures)
        if "size" in parts and sizes:
            _attempt("recorded", lambda: recorded_size(scene, sizes), figures)
            show_sizes(sizes)
        if "memory" in parts:
            _attempt("memory", lambda: part_memory(scene, memory_s), figures)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for peer in peers:
            peer.stop(kill=True)


def main() -> None:
    """Run, print each part, then the goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--memory-seconds", type=int, default=130)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument(
        "--minutes", type=float,
        help="stop by then, whatever is left (default: 9.5, with --baseline 40)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures there too")
    parser.add_argument("--baseline", action="store_true", help=f"write them to {BASELINE}")
    given = parser.parse_args()
    parts = set(given.only.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    minutes = given.minutes or (40.0 if given.baseline else 9.5)
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.signal(signal.SIGTERM, _time_is_up)  # so that no server is left behind
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    load = os.getloadavg()
    print(f"load before: {load[0]:.1f}; at most {minutes:g} minutes", flush=True)
    figures: dict[str, Any] = {"hosts": given.hosts, "seconds": given.seconds, "load": [load[0]]}
    with tempfile.TemporaryDirectory(prefix="vezha-bench-", ignore_cleanup_errors=True) as folder:
        # a whole minute, some time ago, so that all of it is the past for everybody
        start_ms = int(time.time() // 60 - given.seconds // 60 - 5) * 60_000
        scene = Scene(given.hosts, given.seconds, start_ms, Path(folder))
        try:
            run(scene, parts, given.memory_seconds, figures)
        except OutOfTime:
            print(f"\n{minutes:g} minutes are over: what is left was not run", flush=True)
    load = os.getloadavg()
    figures["load"].append(load[0])
    print(f"\nload after: {load[0]:.1f}")
    table = goals(figures, parts)
    table.show()
    figures["goals"] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    for path in [given.json] * (given.json is not None) + [BASELINE] * given.baseline:
        path.write_text(json.dumps(figures, indent=1) + "\n")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
