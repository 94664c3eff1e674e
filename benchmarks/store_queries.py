"""The dashboard queries of the store's benchmark, over HTTP with JSON, of everybody in turn.

Three times: *anew*, nobody with a cache of answers; *refreshed*, all as they are installed, where
each asking is a step later than the one before, as a dashboard asks; and *repeated*, the same once
more, as its next viewer asks.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
from benchmarks.peers import Peer, cpu_seconds, free_port, pin, prometheus
from benchmarks.store_scene import (
    FEEDER_CORE,
    SERVER_CORE,
    Scene,
    Table,
    in_process,
    open_store,
    requests_of,
)

from vezha.model.labels import Labels, metric
from vezha.store.remote_encode import label_bytes, write_request

Answers = dict[str, dict[str, dict[str, float]]]
"""Milliseconds (and series) by query and who was asked."""
RUNS = 11
START_S_MAX = 180.0
"""On a busy machine a server that is kept to one core comes late."""
SETTLE_S_MAX = 30.0
BUSY_S = 0.15
"""Processor time in a second from which on a server is not idle."""
CALM_S = 3
ANEW, REFRESHED, REPEATED = "anew", "refreshed", "repeated"


@dataclass
class Ours:
    """A real server on our data, asked over HTTP like the peers."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client
    answered: float
    """When it did so first (perf_counter)."""


def start_ours(state: Path, *settings: str) -> Ours:
    """`vezha up` without an agent, and a token to ask with."""
    port, channel = free_port(), free_port()
    vezha = [sys.executable, "-m", "vezha"]
    process = subprocess.Popen(
        [
            *vezha, "up", "--no-agent", "--state", str(state),
            "--set", f"web.listen=127.0.0.1:{port}",
            "--set", f"channel.listen=127.0.0.1:{channel}",
            "--set", "rules.builtin=false",
            *(word for one in settings for word in ("--set", one)),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        answered = time.perf_counter()
        made = subprocess.run(
            [*vezha, "token", "create", f"bench-{port}", "--role", "viewer", "--state", str(state), "--json"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    except BaseException:  # also when the time is up
        stop_ours(process)
        raise
    token = json.loads(made.stdout)["token"]
    headers = {"Authorization": f"Bearer {token}"}
    client = httpx.Client(headers=headers, timeout=120, trust_env=False)
    return Ours(url, process, client, answered)


def _wait_for(url: str) -> None:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not start")


def stop_ours(process: subprocess.Popen[bytes]) -> None:
    """End a server of ours, whatever it takes."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def settle(pid: int) -> None:
    """Wait until what a server does after its start is done, at most `SETTLE_S_MAX`."""
    until = time.monotonic() + SETTLE_S_MAX
    calm = 0
    while time.monotonic() < until and calm < CALM_S:
        before = sum(map(cpu_seconds, _below(pid)))
        time.sleep(1.0)
        used = sum(map(cpu_seconds, _below(pid))) - before
        calm = calm + 1 if used < BUSY_S else 0


def _below(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


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
    client: httpx.Client, url: str, scene: Scene, query: str, span: int, step: int, back: int = 0
) -> tuple[float, int]:
    """Milliseconds until the whole answer is here, and how many series it has. *back* is how
    many steps before the end of the data."""
    end = scene.start_ms / 1000 + scene.seconds - 1 - back * step
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


def prepare(scene: Scene, peers: list[Peer]) -> None:
    """The history into everybody."""
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


def measure(scene: Scene, peers: list[Peer], state: Path, found: dict[str, Answers]) -> None:
    """All three ways; printed, and in *found*, as soon as each is there."""
    for way, title in (
        (ANEW, "Queries over HTTP with JSON, no cache of answers anywhere"),
        (REFRESHED, "The same as installed, each asked a step later than before"),
        (REPEATED, "The same as installed, the same asked again"),
    ):
        for peer in peers:
            if peer.name == "VictoriaMetrics" and way == REFRESHED:
                peer.stop()
                peer.argv = [word for word in peer.argv if word != "-search.disableCache"]
                peer.start(SERVER_CORE)
        pin(SERVER_CORE)
        ours = start_ours(state, *(["query.answers_bytes_max=0"] if way == ANEW else []))
        pin(FEEDER_CORE)
        settle(ours.process.pid)
        asked = {"Vezha": (ours.client, ours.url)}
        asked.update({p.name: (p.client, p.url) for p in peers})
        try:
            found[way] = _ask_all(scene, asked, moving=way == REFRESHED)
        finally:
            stop_ours(ours.process)
        table = Table(f"{title}, ms: median / best of {RUNS} (first; series)", ["query", *asked])
        for name, cells in found[way].items():
            shown = [
                f"{c['median']:.1f} / {c['best']:.1f} ({c['first']:.0f}; {c['series']:.0f})"
                for c in cells.values()
            ]
            table.rows.append([name, *shown])
        table.show()


def _ask_all(scene: Scene, asked: dict[str, tuple[httpx.Client, str]], moving: bool) -> Answers:
    """Each query, of everybody in turn, so that what else the machine does hits all alike."""
    out: Answers = {}
    for name, query, span, step in queries(scene):
        times: dict[str, list[float]] = {who: [] for who in asked}
        series = dict.fromkeys(asked, 0)
        for run in range(RUNS + 1):
            back = RUNS - run if moving else 0
            for who, (client, url) in asked.items():
                took, series[who] = ask(client, url, scene, query, span, step, back)
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


__all__ = ["ANEW", "REFRESHED", "RUNS", "measure", "prepare", "queries", "start_ours", "stop_ours"]
