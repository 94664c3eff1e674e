"""Commands that ask nothing of the store do not load the query engine: each start of one would pay."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = (
    "audit",
    "change",
    "contact",
    "freeze",
    "incident",
    "oncall",
    "rollout",
    "silence",
    "token",
    "user",
)


@pytest.mark.parametrize("noun", LIGHT)
def test_a_light_noun_loads_no_engine(noun: str) -> None:
    script = f"import sys, vezha.cli.{noun}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert f"vezha.cli.{noun}" in loaded
    assert loaded.isdisjoint({"vezha.query.engine", "vezha.alerting.loop", "vezha.store.store"})
