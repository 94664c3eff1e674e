"""A ledger in a temporary folder, and scenarios of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vezha.alerting.ask import check_expression
from vezha.ledger import Ledger
from vezha.scenario.file import Scenario, parse_scenario

WALK = """
scenario: walk
title: A walk
every: 1m
views:
  - title: Hosts
    at: /fleet
    look_for: None is down.
    odd: up == 0
  - title: Load
    at: /fleet?by=cpu
    look_for: There is some.
    expect: load > 0
  - title: The door
    at: /oncall
    look_for: It is locked.
"""


@pytest.fixture
def walk() -> Scenario:
    return parse_scenario(WALK, check_expression)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.migrate()
    yield opened
    opened.close()
