"""Our own PromQL scripts: what the upstream ones beside the checkout do not cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.query.script.runner import run_script

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "scenarios" / "promql").glob("*.test"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script(path: Path) -> None:
    report = run_script(path.name, path.read_text(encoding="utf-8"))
    assert report.evals > 0
    assert report.mismatches == []


def test_there_are_scripts() -> None:
    assert SCRIPTS
