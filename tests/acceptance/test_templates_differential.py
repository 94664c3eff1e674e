"""Templates of annotations say what Prometheus makes them say: the same ones through its promtool and through us.

Functions that Debian's Prometheus is too old for are tried in the unit tests, against its documentation.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vezha.alerting.template import Sample, Scope, Template

FILE = Path(__file__).parents[1] / "scenarios" / "templates" / "templates.txt"
LABELS = {
    "instance": "db-1.example.org:9100",
    "job": "node",
    "path": "/var/<log> & 'more'",
    "of": "b",
}
SERIES: dict[str, list[Sample]] = {
    "series": [
        {"Labels": {"__name__": "series", "of": "a"}, "Value": 2.5},
        {"Labels": {"__name__": "series", "of": "b"}, "Value": 1.0},
    ],
    "sum(series)": [{"Labels": {}, "Value": 3.5}],
    "nothing": [],
}
A, B = SERIES["series"]
SERIES |= {"series{of='a'}": [A], "series{of='b'}": [B], "sort(series)": [B, A]}
URL = "https://v.example.org/x"
TOO_OLD = re.compile(r"toDuration|urlQueryEscape|\bnow\b")

pytestmark = [pytest.mark.acceptance, pytest.mark.peer("promtool")]


def cases() -> list[tuple[float, str]]:
    """Value and template of each line of the file."""
    lines = [line for line in FILE.read_text().splitlines() if line and line[0] != "#"]
    split = [line.partition(" | ") for line in lines]
    return [(float(value), text) for value, _, text in split]


def said_by_promtool(promtool: str, folder: Path) -> list[str]:
    """What each template becomes: a test that expects something else is told what there is."""
    rules, inputs, tests = [], [], []
    pairs = ", ".join(f"{name}={json.dumps(text)}" for name, text in LABELS.items())
    for number, (value, text) in enumerate(cases()):
        name = f"T{number}"
        rules.append({"alert": name, "expr": f"v{number}", "annotations": {"said": text}})
        inputs.append({"series": f"v{number}{{{pairs}}}", "values": repr(value)})
        expected = [{"exp_labels": LABELS, "exp_annotations": {"said": "?"}}]
        tests.append({"eval_time": "0m", "alertname": name, "exp_alerts": expected})
    inputs += [
        {"series": 'series{of="a"}', "values": "2.5"},
        {"series": 'series{of="b"}', "values": "1"},
    ]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    one = {
        "interval": "1m", "input_series": inputs, "alert_rule_test": tests,
        "external_labels": {"cluster": "eu"}, "external_url": URL,
    }  # fmt: skip
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [one]}
    (folder / "test.yml").write_text(json.dumps(document))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True
    )
    told = done.stdout + done.stderr
    found: dict[int, str] = {}
    for part in told.split("alertname: T")[1:]:
        number = int(part.split(",")[0])
        got = part.partition("got:[")[2]
        said = re.search(r'Annotations:\{said=("(?:[^"\\]|\\.)*")\}', got)
        if said is None:
            pytest.fail(f"promtool says of {cases()[number]}: {part[:500]}")
        found[number] = str(ast.literal_eval(said[1]))
    assert len(found) == len(cases()), told[-2000:]
    return [found[number] for number in range(len(found))]


def said_by_us(number: int, value: float, text: str) -> str:
    scope = Scope(
        {"__name__": f"v{number}", **LABELS},
        value,
        {"cluster": "eu"},
        URL,
        0.0,
        lambda query: SERIES[query],
    )
    return Template(text).expand_or_error(scope)


def test_templates_say_what_prometheus_says(
    peer_path: Callable[[str], str], tmp_path: Path
) -> None:
    assert not [text for _, text in cases() if TOO_OLD.search(text)]
    theirs = said_by_promtool(peer_path("promtool"), tmp_path)
    ours = [said_by_us(number, *case) for number, case in enumerate(cases())]
    different = [
        f"{text}\n  promtool: {a}\n  vezha:    {b}"
        for (_, text), a, b in zip(cases(), theirs, ours, strict=True)
        if a != b
    ]
    assert not different, "\n".join(different)
