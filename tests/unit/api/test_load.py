"""Loads over the API and on the command line: a book of two hosts, one that fills, one that is new."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.api.conftest import Tower

from vezha.access import SYSTEM, Role, create_enrolment, enrol_agent
from vezha.api import host_charts, load
from vezha.api.app import OWN_ROUTES, make_app
from vezha.cli import app
from vezha.forecast.book import Book
from vezha.forecast.limits import DAY_STEPS, FILE_STEPS, STEP_S, TICK_S
from vezha.forecast.resource import RESOURCES
from vezha.world import World

Ask = Callable[[str], tuple[int, Any]]
DAYS = 10


def fill_book(folder: Path, now_s: float) -> None:
    """Ten days of `regular`, a day of `young`, the group of both, and two disks."""
    book = Book(World(), str(folder))
    end = int(now_s // STEP_S) - 1
    chance = np.random.default_rng(1)
    steps = np.arange(end - DAYS * DAY_STEPS + 1, end + 1)
    shape = 40 + 25 * np.sin(2 * np.pi * steps / DAY_STEPS)
    keys = [("host", "regular", r.name) for r in RESOURCES]
    keys += [("group", "site=kyiv", "cpu"), ("host", "young", "cpu")]
    rows = book.loads.place(keys)
    for i, step in enumerate(steps.tolist()):
        values = (shape[i] + chance.normal(0, 1, len(keys))).astype(np.float32)
        if i < len(steps) - DAY_STEPS:
            values[-1] = np.nan
        if i == len(steps) - 1:
            values[0] = 99.0
        book.loads.write(step, rows, values)
    past = [key for key in keys if key[1] != "young"]
    before = book.history(past, end - 1)
    from vezha.forecast.model import forecast

    book.issue(past, forecast(before, DAY_STEPS, 100.0), end - 1)
    tick = int(now_s // TICK_S)
    disks = [("regular", "/", "/dev/sda1"), ("regular", "/var", "/dev/sdb1")]
    free = book.files.place((*d, "free") for d in disks)
    size = book.files.place((*d, "size") for d in disks)
    for i in range(FILE_STEPS):
        left = np.array([5e10, 5e9 + (FILE_STEPS - i) * 1e7], np.float32)
        book.files.write(tick - FILE_STEPS + 1 + i, free, left)
        book.files.write(tick - FILE_STEPS + 1 + i, size, np.full(2, 1e11, np.float32))
    book.save()


@pytest.fixture
def ask(tower: Tower, tmp_path: Path) -> Ask:
    """`ask("/load?kind=host")`: status and answer, as a viewer."""
    fill_book(tmp_path / "forecast", tower.services.world.clock.now())
    shelf = load.Shelf(Book(World(), str(tmp_path / "forecast"), readonly=True))
    tower.services.extra[load.SHELF] = shelf
    tower._app = make_app(tower.services, (*OWN_ROUTES, *load.ROUTES))
    client = tower.client(Role.VIEWER)

    def call(path: str) -> tuple[int, Any]:
        answer = client.get(f"/api/v1{path}")
        return answer.status_code, answer.json()

    return call


def test_loads_and_what_is_not_known_of_them(ask: Ask) -> None:
    status, told = ask("/load")
    assert status == 200
    assert told["total"] == 6
    by_name = {(r["name"], r["resource"]): r for r in told["loads"]}
    young = by_name["young", "cpu"]
    assert young["state"] == "not enough history"
    assert young["predictability"] is None
    assert young["now"] is not None
    good = by_name["regular", "memory"]
    assert good["state"] == "ok"
    assert good["basis"] == "backtest"
    assert 0.7 < good["predictability"] <= 1
    assert good["low"] <= good["mean"] <= good["high"]
    assert told["loads"][-1] == young
    assert [r["name"] for r in ask("/load?kind=group")[1]["loads"]] == ["site=kyiv"]
    assert len(ask("/load?name=regular&limit=2")[1]["loads"]) == 2
    assert ask("/load?kind=rack")[0] == 400


def test_the_strange_is_named_and_explained(ask: Ask) -> None:
    told = ask("/load/anomalies")[1]["anomalies"]
    assert (told[0]["load"]["name"], told[0]["load"]["resource"]) == ("regular", "cpu")
    assert told[0]["load"]["anomaly"] > 2
    assert told[0]["why"].startswith("cpu of regular is 99 %, above the ")


def test_a_forecast_has_its_past_and_its_band(ask: Ask) -> None:
    told = ask("/load/forecast?host=regular&resource=memory&horizon=30d")[1]
    assert len(told["mean"]) == len(told["low"]) == len(told["high"]) == 30 * DAY_STEPS
    assert len(told["past"]) == 7 * DAY_STEPS
    assert all(a <= b for a, b in zip(told["low"], told["high"], strict=True))
    young = ask("/load/forecast?host=young")[1]
    assert (young["state"], young["mean"]) == ("not enough history", [])
    assert len(ask("/load/forecast?group=site=kyiv&horizon=1d")[1]["mean"]) == DAY_STEPS
    assert ask("/load/forecast?host=nobody")[0] == 404
    assert ask("/load/forecast?host=a&group=b=c")[0] == 400


def test_what_fills_up_and_when(ask: Ask) -> None:
    told = ask("/load/fills")[1]["fills"]
    assert [f["mountpoint"] for f in told] == ["/var"]
    assert told[0]["seconds"] == pytest.approx(5e9 / 1e7 * TICK_S, rel=0.15)
    assert told[0]["soonest_s"] <= told[0]["seconds"] <= told[0]["latest_s"]
    assert told[0]["within_7d"] > 0.9
    assert ask("/load/fills?host=young")[1]["fills"] == []


def test_calm_windows(ask: Ask, tower: Tower) -> None:
    told = ask("/load/calm?hosts=regular,young&length_s=3600")[1]
    assert told["without_forecast"] == ["young"]
    assert len(told["windows"]) == 3
    for window in told["windows"]:
        hour = window["start"] % 86_400 / 3600
        assert 15 <= hour <= 20  # the trough is at 18
        assert window["end"] - window["start"] == 3600
        assert window["start"] >= tower.services.world.clock.now() - STEP_S
        assert "regular" in window["why"]
    assert ask("/load/calm?length_s=90000")[0] == 400
    assert ask("/load/calm?group=site=mars")[1]["windows"] == []


def test_the_usual_range_of_charts(ask: Ask, tower: Tower) -> None:
    invited = create_enrolment(tower.services.ledger, SYSTEM, tower.services.now_ms())
    enrol_agent(tower.services.ledger, invited.token, "db-1", {}, tower.services.now_ms())
    last = int(tower.services.world.clock.now() // STEP_S) * STEP_S * 1000
    labels = {"instance": "db-1", "job": "node"}
    one = tuple(sorted({"__name__": "node_load1", **labels}.items()))
    counter = tuple(sorted({"__name__": "node_forks_total", **labels}.items()))
    for i in range(5 * DAY_STEPS, -1, -1):
        at = last - i * STEP_S * 1000
        tower.samples.append(one, at, 1.0 if at // 43_200_000 % 2 else 3.0)
        tower.samples.append(counter, at, float(5 * DAY_STEPS - i) * 1800)
    status, told = ask("/load/usual?host=db-1&chart=load")
    assert status == 200
    assert (told["slot_s"], told["slots"]) == (900, 96)
    (series,) = told["series"]
    assert (series["low"][20], series["high"][20]) == (3, 3)
    assert (series["low"][70], series["high"][70]) == (1, 1)
    everything = ask("/load/usual?host=db-1")[1]["series"]
    forks = next(s for s in everything if s["chart"] == "forks")
    assert set(forks["high"]) == {2.0}
    assert ask("/load/usual?host=nobody")[0] == 404
    assert ask("/load/usual?host=db-1&chart=mood")[0] == 400


def test_rates_over_whole_steps_keep_every_chart_answerable() -> None:
    for chart in host_charts.CHARTS:
        for series in chart.series:
            text = host_charts.stepped(series.expr, 'a"b', 900)
            assert "rate(" not in text
            assert "$" not in text


def test_the_same_on_the_command_line(
    tower: Tower, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_book(tmp_path / "forecast", tower.services.world.clock.now())

    def say(*words: str) -> tuple[int, str, str]:
        code = app.run(["load", *words, "--state", str(tmp_path)])
        out, err = capsys.readouterr()
        return code, out if "--json" in words else " ".join(out.split()), " ".join(err.split())

    code, out, _ = say("list", "--json")
    assert code == 0
    assert len(json.loads(out)) == 6
    assert "not enough history" in say("list")[1]
    assert "At most" in say("calm", "regular", "--length", "2h")[1]
    assert json.loads(say("calm", "--json")[1])["without_forecast"] == ["young"]
    assert "/var" in say("fills")[1]
    assert json.loads(say("fills", "--json")[1])[0]["instance"] == "regular"
    assert "cpu of regular is 99 %" in say("anomalies")[1]
    assert "Expected" in say("forecast", "regular", "--days", "1")[1]
    assert json.loads(say("forecast", "site=kyiv", "--json")[1])["kind"] == "group"
    assert "not enough history" in say("forecast", "young")[1]
    code, _, err = say("forecast", "nobody")
    assert code == 2
    assert "Nothing is known of the cpu of host 'nobody'" in err
    code, _, err = say("calm", "--length", "99h")
    assert code == 2
    assert "between 1 and" in err
