"""Random queries over random data, against a real Prometheus from Debian's packages.

That is version 2.42, and ours follows 3.x; so the data and the grammar stay clear of what
changed between them:

- windows are left-open in 3.x and closed in 2.x: no sample and no step of a subquery ever lies
  on the left edge of a window here, because samples are 137 ms off whole seconds and subqueries
  have odd ranges;
- metric names are dropped by every function (the default of both), so our engine is asked to do
  the same;
- sums are compensated in 3.x: values are compared with a tolerance;
- near zero, 3.x limits how far a rate is extrapolated to the left in another order: counters
  stay away from zero, and gauges are not given to rate() and increase();
- 3.x refuses ambiguous matches even where a comparison would filter them away: comparisons
  between vectors are `bool` ones;
- subqueries pinned by `@` inside other subqueries give wrong sums in 2.42: they are left out;
- atan2 keeps the metric name in 2.x: it is left out;
- stddev and stdvar of infinities changed, and the hour of NaN is whatever a processor makes of
  it: values that may not be finite are not given to them.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vezha.model.labels import Labels, get_label, labels_of, metric
from vezha.query import Engine, EngineOptions, QueryError
from vezha.query.memory import MemorySource

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
START_S = 1_700_000_000
SECONDS = 600
PATIENCE_S = 300.0
"""How long the peer may take for anything: the machine may be busy with other tests."""

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.peer("prometheus"),
    pytest.mark.skipif(
        PROMETHEUS is None or PROMTOOL is None,
        reason="needs prometheus and promtool (Debian: apt install prometheus)",
    ),
]

Series = dict[Labels, list[tuple[int, float]]]


def random_data(seed: int) -> Series:
    """Counters with resets, gauges with gaps, odd values, a classic histogram; 5 s apart."""
    chance = random.Random(seed)
    data: Series = {}
    for host in range(4):
        total = 100_000.0
        counter: list[tuple[int, float]] = []
        gauge: list[tuple[int, float]] = []
        odd: list[tuple[int, float]] = []
        for second in range(0, SECONDS, 5):
            ts = (START_S + second) * 1000 + 137
            total = 50_000.0 if chance.random() < 0.02 else total + chance.randrange(50)
            if chance.random() > 0.1:
                counter.append((ts, total))
            if (second // 100 + host) % 4 and chance.random() > 0.2:
                gauge.append((ts, round(chance.uniform(0.5, 100), 3)))
            if host < 2 and chance.random() > 0.5:
                odd.append((ts, chance.choice([math.nan, math.inf, -math.inf, 0.0, 1.5])))
        data[metric("requests_total", host=str(host), zone="ab"[host % 2])] = counter
        data[metric("load", host=str(host), zone="ab"[host % 2])] = gauge
        if odd:
            data[metric("odd", host=str(host))] = odd
    for zone in "ab":
        counts = [0.0, 0.0, 0.0]
        buckets: list[list[tuple[int, float]]] = [[], [], []]
        for second in range(0, SECONDS, 10):
            for at in range(3):
                counts[at] += chance.randrange(5)
                ts = (START_S + second) * 1000 + 137
                buckets[at].append((ts, sum(counts[: at + 1])))
        for bound, samples in zip(("0.1", "1", "+Inf"), buckets, strict=True):
            data[metric("wait_bucket", zone=zone, le=bound)] = samples
    data[metric("zone_weight", zone="a", owner="ops")] = [
        ((START_S + s) * 1000 + 137, 2.0) for s in range(0, SECONDS, 15)
    ]
    return data


def open_metrics(data: Series) -> str:
    lines: list[str] = []
    for name in sorted({get_label(labels, "__name__") for labels in data}):
        lines.append(f"# TYPE {name} unknown")
        for labels, samples in data.items():
            if get_label(labels, "__name__") != name:
                continue
            pairs = ",".join(f'{n}="{v}"' for n, v in labels if n != "__name__")
            for ts, value in samples:
                text = {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, repr(value))
                lines.append(f"{name}{{{pairs}}} {text.replace('nan', 'NaN')} {ts / 1000:.3f}")
    return "\n".join([*lines, "# EOF", ""])


class Peer:
    """A running Prometheus and our engine over the same data."""

    def __init__(self, client: httpx.Client, data: Series) -> None:
        self.client = client
        source = MemorySource()
        for labels, samples in data.items():
            source.extend(labels, samples)
        self.engine = Engine(source, options=EngineOptions(delayed_name_removal=False))

    def theirs(
        self, query: str, start: int, end: int, step: int
    ) -> dict[Labels, dict[float, float]] | None:
        asked = {"query": query, "start": start, "end": end, "step": step}
        answer = self.client.post("/api/v1/query_range", data=asked).json()
        if answer["status"] != "success":
            assert answer["errorType"] in ("execution", "bad_data"), answer
            return None
        return {
            labels_of(series["metric"]): {float(ts): float(value) for ts, value in series["values"]}
            for series in answer["data"]["result"]
        }

    def ours(
        self, query: str, start: int, end: int, step: int
    ) -> dict[Labels, dict[float, float]] | None:
        try:
            result = self.engine.range(query, start * 1000, end * 1000, step * 1000)
        except QueryError:
            return None
        times = (result.times / 1000).tolist()
        return {
            labels: {
                ts: float(result.values[row, at])
                for at, ts in enumerate(times)
                if result.present[row, at]
            }
            for row, labels in enumerate(result.labels)
        }


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    assert PROMETHEUS is not None
    assert PROMTOOL is not None
    folder: Path = tmp_path_factory.mktemp("prometheus")
    data = random_data(20261123)
    text = folder / "data.om"
    text.write_text(open_metrics(data))
    subprocess.run(
        [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "tsdb")],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [
            PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
            "--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:0",
            "--log.format=json", f"--query.timeout={PATIENCE_S:.0f}s",
        ],
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=_address(process, folder / "log"), timeout=PATIENCE_S) as client:
            yield Peer(client, data)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
        log.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it listens; the log tells where. Port 0 is reported as such, so ask the kernel."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2_000:]
        port = _listening_port(process.pid)
        if port:
            url = f"http://127.0.0.1:{port}"
            try:
                if httpx.get(f"{url}/-/ready", timeout=PATIENCE_S).status_code == 200:
                    return url
            except httpx.HTTPError:
                pass
        time.sleep(0.1)
    raise AssertionError(f"prometheus does not answer: {log.read_text()[-2_000:]}")


def _listening_port(pid: int) -> int:
    """The TCP port that process *pid* listens on, from /proc; 0 while there is none."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            return int(fields[1].split(":")[1], 16)
    return 0


# The grammar. Ranges of subqueries are odd, so that no step falls on their left edge.

SELECTORS = st.sampled_from([
    "requests_total", "load", 'load{zone="a"}', 'requests_total{host=~"[12]"}', "zone_weight",
    'load{host!="0"}', "nothing", '{zone="a",host=~".+"}',
])  # fmt: skip
MODIFIERS = st.sampled_from(
    ["", "", "", " offset 30s", " offset -45s", f" @ {START_S + 300}", " @ end()"]
)
RANGES = st.sampled_from(["[1m]", "[45s]", "[2m]", "[5m]", "[7s]"])
COUNTERS = st.sampled_from(
    ["requests_total", 'requests_total{host=~"[12]"}', "zone_weight", "nothing"]
)
OVER = st.sampled_from([
    "delta", "irate", "idelta", "resets", "changes", "deriv", "sum_over_time",
    "avg_over_time", "min_over_time", "max_over_time", "count_over_time", "stddev_over_time",
    "stdvar_over_time", "last_over_time", "present_over_time", "absent_over_time",
])  # fmt: skip
NUMBERS = st.sampled_from(["0", "1", "2.5", "-3", "0.5", "1e3", "time() / 1e9", "pi()"])
ONE = st.sampled_from([
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "-", "absent",
    "deg", "rad", "sin", "cos", "atan", "sinh", "hour", "minute", "day_of_week", "month",
    "timestamp",
])  # fmt: skip
AGGREGATE = st.sampled_from(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"])
BY = st.sampled_from(["", " by (zone)", " without (host)", " by (host, zone)", " by ()"])
ARITHMETIC = st.sampled_from(["+", "-", "*", "/", "%", "^"])
COMPARE = st.sampled_from(["==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "<= bool"])
BOOL = st.sampled_from(["== bool", "> bool", "<= bool", "!= bool"])
MATCHING = st.sampled_from([
    "", " on(host, zone)", " ignoring(le)", " on(zone) group_left", " on(zone) group_left(owner)",
    " on(host) group_right", " on(zone)",
])  # fmt: skip
SETS = st.sampled_from(["and", "or", "unless", "and on(zone)", "unless on(host)", "or on(zone)"])

LEAVES = st.one_of(
    st.builds("{}{}".format, SELECTORS, MODIFIERS),
    st.builds("{}({}{}{})".format, OVER, SELECTORS, RANGES, MODIFIERS),
    st.builds("{}({}{}{})".format, st.sampled_from(["rate", "increase"]), COUNTERS, RANGES, MODIFIERS),
    st.builds("predict_linear({}{}, 60)".format, SELECTORS, RANGES),
    st.builds("quantile_over_time(0.{}, {}{})".format, st.integers(1, 9), SELECTORS, RANGES),
    st.builds("{}_over_time(odd{})".format, st.sampled_from(["sum", "avg", "min", "max", "count"]), RANGES),
    st.just("histogram_quantile(0.9, rate(wait_bucket[1m]))"),
    st.just("histogram_quantile(0.3, sum by (le) (wait_bucket))"),
    st.builds("vector({})".format, NUMBERS),
)  # fmt: skip


def _compose(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}({})".format, ONE, inner),
        st.builds("{}{} ({})".format, AGGREGATE, BY, inner),
        st.builds("quantile{} (0.{}, {})".format, BY, st.integers(1, 9), inner),
        st.builds("count(topk{} ({}, {}))".format, BY, st.integers(0, 3), inner),
        st.builds("({}) {} ({})".format, inner, ARITHMETIC | COMPARE, NUMBERS),
        st.builds("({}) {} ({})".format, NUMBERS, ARITHMETIC, inner),
        st.builds("({}) {}{} ({})".format, inner, ARITHMETIC | BOOL, MATCHING, inner),
        st.builds("({}) {} ({})".format, inner, SETS, inner),
        st.builds("clamp({}, 1, 50)".format, inner),
        st.builds("scalar({}) + {}".format, inner, inner),
        st.builds('label_replace({}, "zone", "$1$1", "host", "(.).*")'.format, inner),
        st.builds('label_join({}, "both", "-", "host", "zone")'.format, inner),
        st.builds("max_over_time(({})[47s:10s])".format, inner),
        st.builds("avg_over_time(({})[93s:10s] offset 20s)".format, inner),
        st.builds("last_over_time(({})[151s:] offset -20s)".format, inner),
        st.builds("rate(requests_total[1m]) * on(host, zone) group_left ({})".format, inner),
    )


QUERIES = st.recursive(LEAVES, _compose, max_leaves=4)


def _close(ours: float, theirs: float, scale: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    if math.isinf(ours) or math.isinf(theirs):
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-9 * scale)


_STEEP = (
    "sin",
    "cos",
    "exp",
    "%",
    "^",
    "ceil",
    "floor",
    "round",
    "==",
    ">",
    "<",
    "!=",
    "sgn",
    "sinh",
)

_ROUNDED = ("predict", "deriv", "std", "avg", "rate", "increase", "quantile", "sum", "log", "exp")
_FINITE_ONLY = ("std", "hour", "minute", "month", "day_")
_NOT_FINITE = ("odd", "/", "%", "^", "ln", "log", "sqrt", "exp", "acos", "sinh", "scalar", "Inf")


@settings(
    deadline=None, max_examples=400, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(query=QUERIES)
def test_same_answers(peer: Peer, query: str) -> None:
    span = (START_S + 120, START_S + 540, 35)
    theirs, ours = peer.theirs(query, *span), peer.ours(query, *span)
    if theirs is None or ours is None:
        assert theirs is None, f"they answer, we refuse: {query}"
        assert ours is None, f"we answer, they refuse: {query}"
        return
    if sum(word in query for word in _STEEP) > 1:
        return  # a difference in the last digit may be blown up beyond any tolerance
    if any(w in query for w in ("==", "!=")) and any(w in query for w in _ROUNDED):
        return  # equality of what is rounded is chance
    if any(w in query for w in _FINITE_ONLY) and any(w in query for w in _NOT_FINITE):
        return
    assert ours.keys() == theirs.keys(), query
    scale = max(
        (abs(v) for s in theirs.values() for v in s.values() if math.isfinite(v)), default=1.0
    )
    for labels, points in theirs.items():
        assert ours[labels].keys() == points.keys(), (query, labels)
        for ts, value in points.items():
            assert _close(ours[labels][ts], value, scale), (
                query,
                labels,
                ts,
                ours[labels][ts],
                value,
            )


def test_the_left_edge_is_where_versions_differ(peer: Peer) -> None:
    """The difference that the grammar avoids, shown: 2.x counts the sample on the left edge."""
    ts = (START_S + 300) * 1000 + 137
    query = "count_over_time(zone_weight[30s])"
    asked = {"query": query, "time": ts / 1000}
    answer = peer.client.post("/api/v1/query", data=asked).json()
    theirs = float(answer["data"]["result"][0]["value"][1])
    ours = float(peer.engine.instant(query, ts).column[0])
    assert (theirs, ours) == (3.0, 2.0)
