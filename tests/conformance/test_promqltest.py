"""The upstream project's own PromQL scripts, where they lie beside the checkout.

`VEZHA_PROMQLTEST` names the folder; otherwise `../shared/promqltest` relative to the repository
is looked for. Known exceptions stand with their reasons in `exceptions.toml`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vezha.query.script.exceptions import Exceptions
from vezha.query.script.runner import run_script

ROOT = Path(__file__).resolve().parents[2]
KNOWN = Exceptions.read(Path(__file__).with_name("exceptions.toml"))


def folder() -> Path:
    return Path(os.environ.get("VEZHA_PROMQLTEST", ROOT.parent / "shared" / "promqltest"))


def scripts() -> list[Path]:
    return sorted(folder().glob("*.test")) if folder().is_dir() else []


@pytest.mark.skipif(
    not scripts(),
    reason="no upstream scripts: set VEZHA_PROMQLTEST to a folder with *.test files",
)
@pytest.mark.parametrize("path", scripts() or [Path("none")], ids=lambda path: path.name)
def test_script(path: Path) -> None:
    report = run_script(path.name, path.read_text(encoding="utf-8"))
    assert report.evals > 0
    unexpected = [m for m in report.mismatches if not KNOWN.reason(path.name, m.line)]
    assert unexpected == []


def test_exceptions_are_needed() -> None:
    """An exception that no longer holds must go."""
    for path in scripts():
        rows = KNOWN.table.get(path.name, {})
        if not rows:
            continue
        report = run_script(path.name, path.read_text(encoding="utf-8"))
        stale = {line for line in rows if line != "all"} - {str(n) for n in report.failed_lines}
        assert stale == set()
