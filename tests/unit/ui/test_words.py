"""The words of the pages hold whatever the server names by a key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vezha.access import ACTIONS
from vezha.access.subject import Role
from vezha.api.host_charts import CHARTS
from vezha.incidents.state import TABLE
from vezha.model.severity import Severity

FRONTEND = Path(__file__).parents[3] / "frontend"
SOURCE = Path(__file__).parents[3] / "src" / "vezha"


def words(language: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in (FRONTEND / "src" / "i18n").glob(f"{language}*.json"):
        found |= json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("language", ["en", "uk"])
def test_the_servers_keys_have_words(language: str) -> None:
    known = words(language)
    wanted = {chart.title for chart in CHARTS} | {f"group.{chart.group}" for chart in CHARTS}
    for chart in CHARTS:
        # Of a chart with one line the title says it all; a label's value is a name.
        if len(chart.series) > 1:
            wanted |= {f"legend.{s.legend}" for s in chart.series if "{{" not in s.legend}
    wanted |= {f"severity.{severity.value}" for severity in Severity}
    wanted |= {f"role.{role.value}" for role in Role}
    wanted |= {f"incident.state.{row.to.value}" for row in TABLE}
    wanted |= {f"event.{row.event}" for row in TABLE}
    assert wanted - known.keys() == set()


@pytest.mark.parametrize("language", ["en", "uk"])
def test_what_stands_in_the_audit_has_words(language: str) -> None:
    wanted = {rule.action.value for rule in ACTIONS.values() if rule.changes}
    for path in SOURCE.rglob("*.py"):
        written = re.findall(
            r'(?:\baction=|_audit\(connection, )"(\w+\.\w+)"', path.read_text("utf-8")
        )
        wanted |= set(written)
    assert len(wanted) > 50
    assert {f"act.{action}" for action in wanted} - words(language).keys() == set()


def test_the_lock_file_names_no_address() -> None:
    text = (FRONTEND / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert re.search(r"https?://|git\+|ssh://", text) is None
    packages = json.loads(text)["packages"]
    pinned = [name for name in packages if name and not packages[name].get("link")]
    assert pinned
    for name in pinned:
        assert packages[name]["integrity"].startswith("sha512-"), name


def test_the_libraries_are_pinned() -> None:
    package = json.loads((FRONTEND / "package.json").read_text("utf-8"))
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} {version}"
