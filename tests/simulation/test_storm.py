"""The storm of docs/reference/incidents.md: 1,000 hosts behind one dead gateway."""

from __future__ import annotations

from pathlib import Path

from benchmarks.storm import RECEIVERS, is_calm, report, simulate


def test_a_thousand_hosts_behind_one_gateway_are_few_messages(tmp_path: Path) -> None:
    storm = simulate(1_000, 7, 10, tmp_path)
    told = report(storm)
    assert storm.incidents == 1, told
    assert storm.title_in_outage == "gw-kyiv: no answer to ping, 1,000 hosts behind it", told
    for receiver in RECEIVERS:
        outage = storm.told(receiver, 0, storm.back_s)
        assert 1 <= len(outage) <= 3, told
        assert outage[-1][3] == storm.title_in_outage, told
        (end,) = storm.told(receiver, storm.back_s, 10**9)
        assert end[2] == "resolved", told
    assert is_calm(storm), told
