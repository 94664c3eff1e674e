"""The loop over a real store: it learns a fleet's past, says series, and knows them after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vezha.forecast.book import Book
from vezha.forecast.history import Ring
from vezha.forecast.limits import DAY_STEPS, STEP_S, TICK_S
from vezha.forecast.loop import Forecaster
from vezha.model.labels import Labels, get_label, labels_of
from vezha.query import Engine, QueryLimits
from vezha.store import Store
from vezha.testing.fleet.inventory import machines
from vezha.testing.fleet.past import write_past
from vezha.world import SystemClock, World

NOW_S = 1_764_000_000.0 + 40.0
HOSTS = machines(20, 1)[:6]
Said = dict[str, dict[Labels, float]]


class Clock(SystemClock):
    """The time that the test says."""

    def __init__(self, now_s: float) -> None:
        self.at_s = now_s

    def now(self) -> float:
        return self.at_s


class Heard:
    """What was written."""

    def __init__(self) -> None:
        self.said: Said = {}

    def __call__(self, series: list[Labels], _ts_ms: int, values: npt.NDArray[np.float64]) -> None:
        for labels, value in zip(series, values.tolist(), strict=True):
            self.said.setdefault(get_label(labels, "__name__"), {})[labels] = value


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    world = World(clock=Clock(NOW_S))
    made = Store.open(str(tmp_path_factory.mktemp("past") / "store"), world)
    write_past(made, HOSTS, NOW_S, 9, 1)
    info = [
        labels_of({"__name__": "vezha_host_info", "instance": m.name, "job": "node", **m.labels})
        for m in HOSTS
    ]
    made.write(made.resolve(info), np.full(6, int(NOW_S * 1000) - 2000, np.int64), np.ones(6))
    made.flush()
    return made


def forecaster(store: Store, folder: Path, clock: Clock, heard: Heard) -> Forecaster:
    return Forecaster(Engine(store), World(clock=clock), str(folder), heard)


def settle(one: Forecaster) -> int:
    for turn in range(400):
        if one.step() > 0:
            return turn
    raise AssertionError("it never rests")


def test_a_fleet_with_a_past_has_forecasts_at_once(store: Store, tmp_path: Path) -> None:
    clock, heard = Clock(NOW_S), Heard()
    one = forecaster(store, tmp_path, clock, heard)
    settle(one)
    worth = heard.said["vezha_load_predictability"]
    hosts = {get_label(labels, "instance") for labels in worth} - {""}
    assert hosts == {m.name for m in HOSTS}
    assert {get_label(labels, "resource") for labels in worth} == {
        "cpu",
        "memory",
        "network",
        "disk",
    }
    assert "role=web" in {get_label(labels, "group") for labels in worth}
    assert all(0 <= value <= 1 for value in worth.values())
    told = heard.said["vezha_load_forecast"]
    assert len(told) == 3 * len(worth)
    for labels, mean in told.items():
        if get_label(labels, "bound") == "mean":
            pairs = dict(labels)
            low = told[labels_of({**pairs, "bound": "low"})]
            high = told[labels_of({**pairs, "bound": "high"})]
            assert low <= mean <= high
    full = heard.said["vezha_disk_full_forecast_seconds"]
    assert len(full) == 2 * len(HOSTS)
    assert len(heard.said["vezha_disk_full_probability"]) == 6 * len(HOSTS)
    # a restart knows what was said and says no more than that
    before = one.book.said(one.book.known(), one.book.issued + 10, 1)
    again = forecaster(store, tmp_path, Clock(NOW_S + 5), Heard())
    assert settle(again) <= 3
    after = again.book.said(again.book.known(), again.book.issued + 10, 1)
    assert np.array_equal(before[0], after[0])


def test_what_was_forecast_is_never_revised_and_is_what_scores(
    store: Store, tmp_path: Path
) -> None:
    heard, clock = Heard(), Clock(NOW_S)
    one = forecaster(store, tmp_path, clock, heard)
    settle(one)
    book = one.book
    key = ("host", HOSTS[0].name, "memory")
    first = book.loads.newest
    promised = book.said([key], first + DAY_STEPS, DAY_STEPS)[0].copy()
    assert np.isfinite(promised).all()
    # eight hours pass in which the load is what was forecast, for one host, and far off for another
    other = ("host", HOSTS[1].name, "memory")
    rows = book.loads.place([key, other])
    for i in range(32):
        values = np.array([promised[0, i], 99.0], np.float32)
        book.loads.write(first + 1 + i, rows, values)
    book.issue([key, other], book.forecast([key, other], DAY_STEPS), first + 32)
    assert np.array_equal(book.said([key], first + DAY_STEPS, DAY_STEPS)[0], promised)
    standing = book.standing([key, other], first + 32)
    assert standing.forecasts.all()
    assert standing.scores.steps.tolist() == [32, 32]
    assert standing.scores.mae[0] == 0
    assert standing.scores.predictability[0] > 0.95
    assert standing.scores.predictability[1] < 0.2


def test_a_clock_that_was_years_ahead_does_no_lasting_harm(store: Store, tmp_path: Path) -> None:
    heard = Heard()
    ahead = forecaster(store, tmp_path, Clock(NOW_S + 3e8), heard)
    settle(ahead)
    assert not heard.said
    settle(forecaster(store, tmp_path, Clock(NOW_S), heard))
    assert heard.said["vezha_load_predictability"]


def test_a_fresh_install_says_nothing(tmp_path: Path) -> None:
    world = World(clock=Clock(NOW_S))
    store = Store.open(str(tmp_path / "store"), world)
    try:
        write_past(store, HOSTS[:1], NOW_S, 1, 1)
        heard = Heard()
        one = forecaster(store, tmp_path / "forecast", Clock(NOW_S), heard)
        settle(one)
        assert one.book.known()
        assert not any(name.startswith("vezha_load") for name in heard.said)
    finally:
        store.close()


def test_questions_that_are_too_much_are_halved(store: Store, tmp_path: Path) -> None:
    tight = Engine(store, QueryLimits(samples_max=6_000))
    one = Forecaster(tight, World(clock=Clock(NOW_S)), str(tmp_path), Heard())
    settle(one)
    assert len(one.book.figures) >= 4 * len(HOSTS)


def test_rings_keep_the_newest_and_survive(tmp_path: Path) -> None:
    world = World()
    ring = Ring(world, str(tmp_path), "one", 8)
    rows = ring.place([("a",), ("b",)])
    for step in range(20):
        ring.write(step, rows, np.array([step, -step], np.float32))
    ring.write(22, rows[:1], np.array([22], np.float32))
    ring.save()
    seen = Ring(world, str(tmp_path), "one", 8, readonly=True)
    assert seen.rows == {("a",): 0, ("b",): 1}
    window = seen.window(22, 10, rows)
    assert np.isnan(window[:, :2]).all()
    assert window[0, 2:7].tolist() == [15, 16, 17, 18, 19]
    assert np.isnan(window[:, 7:9]).all()
    assert window[0, 9] == 22
    assert np.isnan(window[1, 9])
    ring.write(3, rows, np.zeros(2, np.float32))  # too old to be kept
    assert not (ring.window(22, 8, rows) == 0).any()
    ring.drop([("a",)])
    assert ring.place([("c",)]).tolist() == [0]
    assert np.isnan(ring.window(22, 8, np.array([0]))).all()
    ring.place([(str(i),) for i in range(200)])
    assert ring.window(19, 1, rows[1:])[0, 0] == -19
    (tmp_path / "one.json").write_text("{broken")
    fresh = Ring(world, str(tmp_path), "one", 8)
    assert fresh.newest == -1
    assert np.isnan(fresh.window(5, 3, fresh.place([("a",)]))).all()


def test_readers_see_what_is_new(tmp_path: Path) -> None:
    book = Book(World(), str(tmp_path))
    reader = Book(World(), str(tmp_path), readonly=True)
    assert reader.known() == []
    step = int(NOW_S // STEP_S)
    book.loads.write(step, book.loads.place([("host", "a", "cpu")]), np.array([5], np.float32))
    book.save()
    reader.refresh()
    assert reader.history([("host", "a", "cpu"), ("host", "b", "cpu")], step, 1)[0, 0] == 5


def test_where_nothing_is_known_it_may_rest_and_does_not_learn_the_same_again(
    tmp_path: Path,
) -> None:
    clock, heard = Clock(NOW_S), Heard()
    empty = Store.open(str(tmp_path / "store"), World(clock=clock))
    one = forecaster(empty, tmp_path / "forecast", clock, heard)
    assert settle(one) > 10
    assert 0.0 < one.rest_s() <= TICK_S
    clock.at_s += one.rest_s()
    again = forecaster(empty, tmp_path / "forecast", clock, heard)
    assert settle(again) < 5
    assert again.rest_s() == TICK_S
    empty.close()


def test_who_knows_a_load_has_something_to_say_each_minute(store: Store, tmp_path: Path) -> None:
    one = forecaster(store, tmp_path, Clock(NOW_S), Heard())
    settle(one)
    assert one.rest_s() == 0.0
