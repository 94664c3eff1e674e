"""Remembered answers against answers found anew, while samples come, late ones too, move into
tiles, are merged and deleted. Whatever happened: both are the same, bit for bit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.store.conftest import T0_MS, Bench, schema_of

from vezha.api.answers import Answers
from vezha.api.packing import Packed
from vezha.api.question import Question, answer
from vezha.model.columns import STALE_NAN, Matcher, MatchOp
from vezha.model.labels import Labels, with_labels
from vezha.query import Engine, remembered
from vezha.query.parser import parse
from vezha.query.remembered import Reach, Remembered, reach_of
from vezha.store import StoreReader

HOSTS = [(("instance", f"h{i}"), ("job", "node")) for i in range(3)]
LOOSE = [with_labels(labels, {"kind": "loose"}) for labels in schema_of("a", "b", "c_total")]
QUERIES = (
    "a",
    "sum by (instance) (a)",
    "sum(rate(c_total[30s])) + count(b)",
    "max_over_time(a[20s] offset 10s)",
    "a - a offset -15s",
    "avg_over_time(sum(b)[60s:10s])",
    "max_over_time(a[45s:10s] offset 20s)",
    "topk(1, a) or b",
    '{instance="h0"}',
    "a > 8",
    f"b @ {T0_MS // 1000 + 20}",
    'count({kind=~".+"})',
    "last_over_time(a[5s] @ end())",
)
MINUTE_MS = 60_000


def never() -> bool:
    return False


class Asking:
    """A reader with memory beside one without."""

    def __init__(self, path: str) -> None:
        self.reader = StoreReader.open(path)
        self.engine = Engine(self.reader)
        self.remembered = Remembered(self.engine, self.reader, 1 << 20)
        self.answers = Answers(self.engine, self.reader, 1 << 20)
        self.at_once = 0

    def ask(self, question: Question) -> bytes:
        known = self.answers.at_once(question)
        if known is not None:
            self.at_once += 1
            return known.data
        known = self.answers.refresh(question)
        if known is not None:
            return known.data
        begun = self.answers.begin(question)
        packed = answer(self.engine, question, never, remembered=self.remembered)
        self.answers.keep(question, packed, begun)
        return packed.data

    def anew(self, question: Question) -> bytes:
        return answer(self.engine, question, never).data

    def check(self, question: Question) -> None:
        assert self.ask(question) == self.anew(question), question


class RememberedMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.value = 0.0
        self.seq = 0
        self.now_ms = T0_MS
        self.asked: list[Question] = []

    @initialize()
    def begin(self) -> None:
        self.bench = Bench(self.folder)
        self.bench.store.put_schema(1, schema_of("a", "b", "c_total"))
        self.bench.commit()
        self.asking = Asking(str(self.folder / "store"))

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.asking.reader.close()
            self.bench.store.abandon()
        shutil.rmtree(self.folder)

    @rule(seconds=st.integers(1, 40), hosts=st.sets(st.integers(0, 2), min_size=1))
    def a_live_fleet(self, seconds: int, hosts: set[int]) -> None:
        for _ in range(seconds):
            self.now_ms += 1_000
            for host in hosts:
                self._frame(host, self.now_ms + host)
        self.bench.clock.time_s = self.now_ms / 1000

    @rule(host=st.integers(0, 2), age=st.integers(1, 400), count=st.integers(1, 5))
    def a_backlog(self, host: int, age: int, count: int) -> None:
        for i in range(count):
            self._frame(host, self.now_ms - 1000 * (age - i) + 7)

    def _frame(self, host: int, ts_ms: int) -> None:
        self.value += 1
        values = [self.value % 17, self.value / 4, self.value]
        self.bench.frame(1, self.seq, ts_ms, values, f"h{host}/1", HOSTS[host])
        self.seq += 1

    @rule(samples=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), min_size=1))
    def others(self, samples: list[tuple[int, int]]) -> None:
        refs = self.bench.store.resolve([LOOSE[s] for s, _ in samples])
        ts = np.array([self.now_ms - 1000 * age for _, age in samples])
        self.value += 1
        self.bench.store.write(refs, ts, np.full(len(samples), self.value))

    @rule(host=st.integers(0, 2), name=st.integers(0, 2))
    def one_goes_stale(self, host: int, name: int) -> None:
        values = [self.value % 17, self.value / 4, self.value]
        values[name] = STALE_NAN
        self.now_ms += 1_000
        self.bench.frame(1, self.seq, self.now_ms + host, values, f"h{host}/1", HOSTS[host])
        self.seq += 1

    @rule()
    def commit(self) -> None:
        self.bench.commit()

    @rule()
    def flush(self) -> None:
        self.bench.store.flush()

    @rule()
    def next_window(self) -> None:
        self.bench.store._window = -1
        self.bench.commit()

    @rule()
    def compact(self) -> None:
        self.bench.store.flush()
        self.bench.clock.time_s += 3_600
        self.bench.store.compact()
        self.bench.clock.time_s = self.now_ms / 1000

    @rule(low=st.integers(0, 300), span=st.integers(0, 60), name=st.sampled_from("ab"))
    def delete(self, low: int, span: int, name: str) -> None:
        start_ms = self.now_ms - 1000 * low
        matchers = [Matcher("__name__", MatchOp.EQ, name)]
        self.bench.store.delete(matchers, start_ms, start_ms + 1000 * span)

    @rule(
        query=st.sampled_from(QUERIES),
        back=st.integers(0, 20),
        span=st.integers(0, 20),
        step=st.sampled_from([1_000, 5_000, 15_000]),
    )
    def ask(self, query: str, back: int, span: int, step: int) -> None:
        end_ms = self.now_ms // step * step - back * step
        question = Question(query, end_ms - span * step, end_ms, step)
        self.asked.append(question)
        self.asking.check(question)
        self.asking.check(question)

    @rule(
        query=st.sampled_from(QUERIES),
        span=st.integers(3, 40),
        step=st.sampled_from([1_000, 5_000]),
        late=st.lists(st.none() | st.integers(1, 90), min_size=3, max_size=6),
    )
    def a_dashboard_refreshes(
        self, query: str, span: int, step: int, late: list[int | None]
    ) -> None:
        for age in late:
            self.a_live_fleet(step // 1000, {0, 1})
            if age is not None:
                self.a_backlog(0, age, 1)
            end_ms = self.now_ms // step * step
            self.asking.check(Question(query, end_ms - span * step, end_ms, step))

    @rule(at=st.integers(0, 9), on=st.integers(0, 3))
    def ask_again_and_further(self, at: int, on: int) -> None:
        if self.asked:
            old = self.asked[-1 - at % len(self.asked)]
            ahead = on * old.step_ms
            again = Question(old.text, old.start_ms + ahead, old.end_ms + ahead, old.step_ms)
            self.asking.check(again)
            self.asking.check(Question(old.text, 0, old.end_ms))


@pytest.fixture(autouse=True)
def all_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """These answers are small; which are worth remembering is another question."""
    monkeypatch.setattr(remembered, "is_worth", lambda asked: True)


TestRemembered = RememberedMachine.TestCase
TestRemembered.settings = settings(
    deadline=None,
    max_examples=30,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def asking(tmp_path: Path) -> tuple[Bench, Asking]:
    bench = Bench(tmp_path)
    bench.store.put_schema(1, schema_of("a", "b", "c_total"))
    for second in range(300):
        extra: Labels = HOSTS[0]
        bench.frame(1, second, T0_MS + second * 1000, [1.0, 2.0, float(second)], "h0/1", extra)
    bench.commit()
    return bench, Asking(str(tmp_path / "store"))


def test_what_is_kept_is_not_evaluated_again(asking: tuple[Bench, Asking]) -> None:
    bench, both = asking
    end_ms = T0_MS + 200_000
    question = Question("sum(rate(c_total[30s]))", end_ms - 100_000, end_ms, 5_000)
    first = both.ask(question)
    assert both.ask(question) is first
    assert both.at_once == 1
    # newer samples leave it as it is, and of a chart that moves on only the new step is found
    bench.frame(1, 300, T0_MS + 300_000, [1.0, 2.0, 300.0], "h0/1", HOSTS[0])
    assert both.ask(question) is first
    reused = both.remembered.steps_reused
    both.check(Question(question.text, question.start_ms + 5_000, end_ms + 5_000, 5_000))
    assert both.remembered.steps_reused == reused + 20
    # a late one takes away the steps that it may be seen by, and no others
    bench.frame(1, 301, T0_MS + 170_500, [1.0, 2.0, 170.0], "h0/1", HOSTS[0])
    reused = both.remembered.steps_reused
    both.check(Question(question.text, question.start_ms + 5_000, end_ms + 5_000, 5_000))
    assert both.remembered.steps_reused == reused + 14
    both.reader.close()
    bench.store.abandon()


def test_what_is_not_worth_it_is_found_anew_until_it_is(
    asking: tuple[Bench, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, both = asking
    worthy = False
    monkeypatch.setattr(remembered, "is_worth", lambda asked: worthy)

    def moved_on(by: int) -> None:
        end_ms = T0_MS + 200_000 + by * 5_000
        both.remembered.range("a", end_ms - 100_000, end_ms, 5_000)

    for by in range(3):
        moved_on(by)
    assert both.remembered.bytes_used == 0
    worthy = True
    for by in range(3, 6):
        moved_on(by)
    assert both.remembered.steps_reused == 20, "found out by the first, kept by the second"
    both.reader.close()
    bench.store.abandon()


def test_an_answer_that_is_too_large_is_not_kept(asking: tuple[Bench, Asking]) -> None:
    bench, both = asking
    small = Answers(both.engine, both.reader, 32_000)
    question = Question("a", T0_MS, T0_MS + 1000, 1000)
    begun = small.begin(question)
    small.keep(question, Packed(b"x" * 4_000), begun)
    assert small.at_once(question) is None
    for i in range(20):
        question = Question("a", T0_MS, T0_MS + 1000 * i, 1000)
        small.keep(question, Packed(b"x"), small.begin(question))
    assert small.at_once(question) is not None
    assert small.bytes_used <= 32_000
    both.reader.close()
    bench.store.abandon()


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("1 + time()", Reach(0, 0)),
        ("up", Reach(300_000, 0)),
        ("rate(x[1m] offset 2m)", Reach(180_000, 0)),
        ("up offset -10m", Reach(0, 600_000)),
        ("max_over_time(rate(x[1m])[1h:5m] offset 1d)", Reach(60_000 + 3_600_000 + 86_400_000, 0)),
        ("up @ 100", None),
        ("max_over_time(up[1h:5m] @ start())", None),
        ("rate(x[step()])", None),
        ("up * step()", None),
        ("info(up)", None),
        ("rate(x[1m] smoothed)", None),
    ],
)
def test_how_far_a_query_looks(text: str, reach: Reach | None) -> None:
    assert reach_of(parse(text, True), 300_000) == reach
