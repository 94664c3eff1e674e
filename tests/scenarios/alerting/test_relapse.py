"""A relapse is told again, 10 of 10: recovered and failed again within two minutes.

(A stock Prometheus with its Alertmanager stays silent in such trials, since its groups are told of at most
once in some minutes.)
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios.alerting.test_alerting_scenarios import Stage, parse

TRIAL = """
rules: builtin
receiver: {receiver}
series:
  up{{instance="db-1", job="node"}} 1x4 0x9 1x{gap} 0x9
until: {until}s
"""


@pytest.mark.parametrize("gap_s", [3, 5, 10, 20, 30, 45, 60, 80, 100, 119])
def test_a_relapse_is_told_again(tmp_path: Path, gap_s: int) -> None:
    receiver = "telegram" if gap_s % 2 else "webhook"
    # `1x4` is five samples: silent from 5 s, well from 15 s, silent again after the gap
    stage = Stage(
        parse(TRIAL.format(receiver=receiver, gap=gap_s - 1, until=15 + gap_s + 4)), tmp_path
    )
    stage.run()
    told = [line.split()[1] for line in stage.messages()]
    stage.ledger.close()
    assert told == ["opened", "resolved", "reopened"]
