"""The server killed at its writes: a spread of cells at each run, and the page tells of all.

`python -m tests.docs.generate --kills` makes the whole table anew.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from vezha.testing.fleet.killing import BEHAVIOURS, SIDES, run_killed

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "changes.md"
ENDS = {"good": "done", "crashes": "reverted", "hangs": "reverted", "errors": "reverted"}
CELLS = [(1, 0), (6, 1), (9, 0), (13, 1)]
"""(write, side) that are killed at in each behaviour."""


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_killed_server_goes_on(behaviour: str, migrated: Path, tmp_path: Path) -> None:
    for number, (at, side) in enumerate(CELLS):
        path = tmp_path / f"{number}.db"
        shutil.copyfile(migrated, path)
        ending = run_killed(path, behaviour, at, SIDES[side])
        assert len(ending.writes) > at, "it was not killed"
        assert ending.shown == ENDS[behaviour]


def test_the_page_tells_of_every_behaviour_and_of_nothing_broken() -> None:
    table = PAGE.read_text().split("<!-- kill-matrix -->")[1].split("<!-- /kill-matrix -->")[0]
    assert "BROKEN" not in table
    parts = re.split(r"^### ", table, flags=re.MULTILINE)[1:]
    assert len(parts) == len(BEHAVIOURS)
    for part, (name, (about, _)) in zip(parts, BEHAVIOURS.items(), strict=True):
        assert about in part.splitlines()[0]
        cells = re.findall(r"^\| [^|]+ \| (\w+) \| (\w+) \|$", part, re.MULTILINE)
        assert len(cells) > 8
        assert {end for row in cells for end in row} == {ENDS[name]}
