"""What the pages say of the server's faults in Ukrainian begins from sentences that the server has."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import vezha

ROOT = Path(vezha.__file__).parent
TWINS = Path(__file__).parents[3] / "frontend/src/i18n/uk.fault.json"
HOLE = "\0"
PLACES = ("receiver {name}", "route {n}", "schedule {name}", "policy {name}", "team {name}",
          "step {n}", "layer {name}", "wave {name}", "gate {name}")  # fmt: skip
"""What stands before a colon; the rooms put these together in several ways."""


def shape(text: str) -> str:
    return re.sub(r"\{\w+\}", HOLE, text).rstrip(".").lower()


@cache
def said() -> frozenset[str]:
    """The shape of every text in the server's source, holes standing for what is filled in."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else HOLE for v in node.values)
                found.add("".join(str(part) for part in parts))
    return frozenset(text.rstrip(".").lower() for text in found if len(text) < 400)


def test_each_twin_is_of_a_sentence_that_the_server_says() -> None:
    twins = json.loads(TWINS.read_text("utf-8"))
    assert len(twins) > 90
    lost = [one for one in twins if one not in PLACES and shape(one) not in said()]
    assert lost == []
