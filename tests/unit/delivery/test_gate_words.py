"""Every sentence that a gate can say is said in Ukrainian, too."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest

from vezha.delivery.canary import compare, count_failures
from vezha.delivery.gate import judge
from vezha.delivery.gate_words import gate_said
from vezha.delivery.spec import Gate

_ENGLISH = re.compile(r"[A-Za-z]{2,}")
_NAMES = {
    "web",
    "db",
    "up",
    "DiskFull",
    "alice",
    "pass",
    "fail",
    "no",
    "evidence",
    "min",
    "crashed",
}
WELL: dict[str, Any] = {"alerts": [], "down": [], "completeness": {}, "seen": 3}
PROOF: dict[str, Any] = {"bad": [], "proven": 3, "open": 0, "failures": 0, "first": False}


def canary(change: float, hosts: int = 20, samples: int = 60) -> str:
    dice = np.random.default_rng(1)
    rows = [1 + dice.normal(0, 0.02, (hosts, samples)) for _ in range(4)]
    return compare(rows[0], rows[1] * (1 + change), rows[2], rows[3]).reason


JUDGED = [
    ("proof", {}, PROOF | {"bad": [["web-1", "crashed"]] * 9, "failures": 9, "proven": 1}),
    ("proof", {}, PROOF | {"open": 2}),
    ("proof", {}, PROOF),
    ("health", {}, WELL | {"alerts": [["DiskFull", "web-1"]]}),
    ("health", {}, WELL | {"down": [f"web-{n}" for n in range(9)]}),
    ("health", {}, WELL | {"completeness": {"web-1": [1.0, 0.5]}}),
    ("health", {}, WELL | {"seen": 0}),
    ("health", {}, WELL),
    ("promql", {"op": "<", "threshold": 1.0}, {"series": []}),
    ("promql", {"op": "<", "threshold": 1.0}, {"series": [["web-1", 2.0]]}),
    ("promql", {"op": "<", "threshold": 1.0}, {"series": [["", 2.0]]}),
    ("promql", {"op": "<", "threshold": 1.0}, {"series": [["web-1", 0.5]]}),
    ("budget", {}, {"good": None}),
    ("budget", {}, {"good": 0.9995, "objective": 0.999, "window_s": 3600}),
    ("predictability", {}, {"values": {}}),
    ("predictability", {}, {"values": {"web-1": 0.7}}),
    ("canary", {}, {n: [] for n in ("canary_before", "canary_after", "control_before", "control_after")}),
    ("approval", {}, {"answers": [["alice", "rejected"]]}),
    ("approval", {}, {"answers": [["alice", "approved"]]}),
    ("approval", {}, {"answers": []}),
    ("webhook", {}, {"answer": None}),
    ("webhook", {}, {"answer": {"result": "pass"}}),
]  # fmt: skip
SAID = [
    *(judge(msgspec.convert({"kind": k} | s, Gate), e).sentence for k, s, e in JUDGED),
    *(canary(change) for change in (0.0, 0.02, 0.3, 0.1)),
    canary(0.0, hosts=2), canary(0.0, samples=1),
    *(count_failures(f, t).reason for f, t in ((20, 20), (0, 400), (1, 10))),
]  # fmt: skip


@pytest.mark.parametrize("sentence", dict.fromkeys(SAID))
def test_a_gate_speaks_ukrainian(sentence: str) -> None:
    said = gate_said(sentence, "uk")
    left = set(_ENGLISH.findall(said)) - _NAMES
    assert said != sentence
    assert not left, said
    # no figure is lost on the way
    assert sorted(re.findall(r"\d+", said)) == sorted(re.findall(r"\d+", sentence)), said
    assert gate_said(sentence, "en") == sentence


def test_what_an_outside_gate_says_stays_as_it_is() -> None:
    assert gate_said("the canary sings", "uk") == "the canary sings"
