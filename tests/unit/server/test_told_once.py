"""Killed with SIGKILL at any step between a sample and its message: told, once, in order.

One run of a fault and its end, from the first sample to the last receipt, has some dozens of steps that
write; each is cut in turn in a process that really dies, and a second life finishes the story.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    script = Path(__file__).with_name("telling.py")
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(tmp_path_factory.mktemp("telling"))],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_story_has_every_kind_of_step(matrix: dict[str, Any]) -> None:
    steps = matrix["steps"]
    assert {
        "INSERT alert_transition", "INSERT incident", "INSERT incident_event", "INSERT message",
        "UPDATE message", "COMMIT", "send", "taken",
    } <= set(steps)  # fmt: skip
    assert matrix["calm"]["events"] == ["fired", "resolved"]
    assert [kind for _, kind in matrix["calm"]["received"]] == ["opened", "resolved"]
    assert len(matrix["killed"]) == len(steps)
    assert all(life["at"] for life in matrix["killed"])


def test_each_stage_is_counted_once(matrix: dict[str, Any]) -> None:
    counted = {
        labels["stage"]: value
        for labels, value in matrix["stages"]
        if labels["__name__"].endswith("_count")
    }
    # a fault and its end are two changes; the end rings nobody
    assert counted == {"fired": 1, "gathered": 2, "dispatched": 1}


def test_whatever_is_cut_all_is_told_in_order(matrix: dict[str, Any]) -> None:
    for life in matrix["killed"]:
        received = dict(life["received"])  # by key, in the order in which they first came
        assert list(received.values()) == ["opened", "resolved"], life
        assert life["events"] == ["fired", "resolved"], life
        assert life["incidents"] == ["resolved"], life
        assert life["outbox"] == ["sent", "sent"], life


def test_twice_only_where_the_receiver_had_it_and_nobody_knew(matrix: dict[str, Any]) -> None:
    steps = matrix["steps"]
    for life in matrix["killed"]:
        before = steps[: life["number"]]
        # from the receiver's yes until that is durable
        last_taken = max((i for i, s in enumerate(before) if s == "taken"), default=None)
        open_edge = last_taken is not None and "COMMIT" not in before[last_taken:-1]
        extra = len(life["received"]) - len(dict(life["received"]))
        assert extra == int(open_edge), (life, open_edge)
    assert sum(len(x["received"]) > 2 for x in matrix["killed"]) >= 2
