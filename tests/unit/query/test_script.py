"""The script runner: what it reads, what it reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vezha.cli.promql import app
from vezha.query.script.exceptions import Exceptions
from vezha.query.script.language import Clear, Eval, Load, parse_script
from vezha.query.script.page import replaced, results_table
from vezha.query.script.runner import run_script
from vezha.query.script.series_text import ScriptError, parse_points

SCRIPT = """
# a comment
load 1m
  up{job="a"} 1 0x2 1+1x2
  up{job="b"} _ stale 5

eval instant at 1m up
  up{job="a"} 0

eval range from 0 to 2m step 1m sum(up)
  {} 1 0 5

eval instant at 0 1 + 1
  2

clear
"""


def test_commands() -> None:
    load, instant, ranged, scalar, clear = parse_script(SCRIPT)
    assert isinstance(load, Load)
    assert load.series[0].points == [1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]
    assert isinstance(instant, Eval)
    assert instant.instant
    assert isinstance(ranged, Eval)
    assert (ranged.start_ms, ranged.end_ms, ranged.step_ms) == (0, 120_000, 60_000)
    assert isinstance(scalar, Eval)
    assert scalar.expected.scalar == 2.0
    assert isinstance(clear, Clear)


def test_start_timestamps() -> None:
    (load,) = parse_script(
        'load 5m\n  up{job="a"}@st -1m _x2 -5s-10sx2 +1ms 0\n  up{job="a"} 0+1x4\n  x@st _\n  x 1'
    )
    assert isinstance(load, Load)
    assert [len(series.points) for series in load.series] == [5, 1]
    assert list(load.starts.values()) == [
        [-60_000, None, None, -5_000, -15_000, -25_000, 1, 0],
        [None],
    ]


@pytest.mark.parametrize("starts", ["x", "-1m-1m", "1y2", "-1mx", "{{}}"])
def test_start_timestamps_that_cannot_be_read(starts: str) -> None:
    with pytest.raises(ScriptError, match="line 1"):
        parse_script(f"load 1m\n  up@st {starts}\n  up 1")


def test_start_timestamps_of_no_series() -> None:
    with pytest.raises(ScriptError, match="of no series"):
        parse_script("load 1m\n  down@st -1m\n  up 1")


def test_points() -> None:
    assert parse_points("1+2x2 -1e3 .5 Inf") == [1.0, 3.0, 5.0, -1000.0, 0.5, float("inf")]
    assert parse_points("_x2") == [None, None]
    (histogram,) = parse_points("{{schema:1 count:3 sum:2 buckets:[1 2] offset:-1}}")
    assert histogram.positive == {-1: 1.0, 0: 2.0}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    ["load", "frobnicate", "load 1m\n  up 1x", "eval instant at x up", "load 1m\n  up{a=~'b'} 1",
     "load 1m\n  up {{count}}", "eval range from 0 to 1m step 0 up", "load 1m\n  up {{what:1}}"],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_its_line(text: str) -> None:
    with pytest.raises(ScriptError, match="line 1"):
        parse_script(text)


def test_differences_are_reported() -> None:
    report = run_script("s", SCRIPT.replace("{} 1 0 5", "{} 1 0 6"))
    assert (report.evals, report.passed) == (3, 2)
    (mismatch,) = report.mismatches
    assert (mismatch.line, mismatch.expected, mismatch.got) == (
        10,
        "{} 1@0 0@60 6@120",
        "{} 1@0 0@60 5@120",
    )


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ("eval instant at 0 sum(\n  expect fail", True),
        ("eval instant at 0 1\n  expect fail", False),
        ("eval_fail instant at 0 rate(up)", True),
        ("eval instant at 0 rate(up)\n  expect fail msg: something else", False),
        ("eval instant at 0 rate(up)\n  expect fail regex: expected type .* vector", True),
        ("eval instant at 0 quantile(2, vector(1))\n  expect warn\n  {} +Inf", True),
        ("eval instant at 0 quantile(2, vector(1))\n  expect no_warn\n  {} +Inf", False),
        ("eval instant at 0 vector(1)\n  expect info\n  {} 1", False),
        ('eval instant at 0 "a"\n  expect string `a`', True),
        ('eval instant at 0 "a"\n  expect string `b`', False),
        ("eval instant at 0 vector(1)", False),
        ("eval instant at 0 vector(1)\n  {a=\"b\"} 1", False),
        ("load 1s\n  m{a=\"1\"} 1\n  m{a=\"2\"} 2\n\neval_ordered instant at 0 sort_desc(m)\n  m{a=\"2\"} 2\n  m{a=\"1\"} 1", True),
        ("load 1s\n  m{a=\"1\"} 1\n  m{a=\"2\"} 2\n\neval_ordered instant at 0 sort(m)\n  m{a=\"2\"} 2\n  m{a=\"1\"} 1", False),
    ],
)  # fmt: skip
def test_expectations(body: str, right: bool) -> None:
    assert (run_script("s", body).mismatches == []) is right


def test_the_command_prints_what_differs(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.test", tmp_path / "bad.test"
    good.write_text("eval instant at 0 vector(1)\n  {} 1\n")
    bad.write_text("\neval instant at 0 vector(1)\n  {} 2\n")
    runner = CliRunner()
    assert runner.invoke(app, ["test", str(good)]).exit_code == 0
    outcome = runner.invoke(app, ["test", str(good), str(bad)])
    assert outcome.exit_code == 1
    assert f"{bad}:2: vector(1)" in outcome.output
    assert "expected: {} 2@0" in outcome.output
    assert "got:      {} 1@0" in outcome.output
    known = tmp_path / "known.toml"
    known.write_text('["bad.test"]\n2 = "it is a test"\n')
    assert runner.invoke(app, ["test", str(bad), "--exceptions", str(known)]).exit_code == 0
    assert runner.invoke(app, ["test", str(tmp_path / "none")]).exit_code == 2


def test_results_go_into_a_page() -> None:
    report = run_script("s.test", "eval instant at 0 vector(1)\n  {} 2\n")
    table = results_table([report], Exceptions({"s.test": {"1": "because"}}))
    assert "| s.test | 1 | 0 | 1 |" in table
    assert "| s.test | 1 | because |" in table
    page = "a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n"
    assert replaced(page, "x", "new\n") == "a\n<!-- begin: x -->\nnew\n<!-- end: x -->\nb\n"
    with pytest.raises(ScriptError):
        replaced(page, "y", "")


def test_annotations_may_be_told_without_their_place() -> None:
    script = """load 1m
  jobs 0+1x5

eval instant at 5m rate(jobs[5m])
  expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "jobs"{place}
  {{}} 0.016666666666666666
"""
    for place, fits in (("", True), (" (1:6)", True), (" (1:7)", False)):
        report = run_script("x.test", script.format(place=place))
        assert (report.mismatches == []) is fits, report.mismatches
