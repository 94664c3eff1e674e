"""The rules as other processes see them: the files, with what the ledger says of each.

The data contour evaluates; here rule files are read again (when they change) and joined with
`rule_group_state` and `alert_state`, so that the API can show rules without asking anyone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from vezha.alerting.ask import check_expression
from vezha.alerting.rule import Group
from vezha.alerting.rulefile import BUILTIN_FOLDER, Loaded, find_rule_files, load_rule_files
from vezha.ledger.tables import alert_state, rule_group_state


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group with its latest evaluation. `rules[i]` belongs to `group.rules[i]`; may be empty."""

    group: Group
    evaluated_ms: int | None
    duration_s: float
    health: dict[str, dict[str, Any]]


class RuleBook:
    """Rule files of some folders, read again when they changed. Safe for threads."""

    def __init__(self, folders: Sequence[str] = (), builtin: bool = True) -> None:
        self._folders = ((BUILTIN_FOLDER,) if builtin else ()) + tuple(folders)
        self._lock = threading.Lock()
        self._stamps: dict[str, tuple[float, int]] = {}
        self._loaded: Loaded | None = None

    def loaded(self) -> Loaded:
        """Groups, and faults by file."""
        paths = find_rule_files(self._folders)
        stamps = file_stamps(paths)
        with self._lock:
            if self._loaded is None or stamps != self._stamps:
                self._loaded = load_rule_files(paths, check_expression)
                self._stamps = stamps
            return self._loaded

    def views(self, connection: Connection) -> list[GroupView]:
        """All groups with how they fare."""
        rows = {
            (row.file, row.group_name): row for row in connection.execute(select(rule_group_state))
        }
        out = []
        for group in self.loaded().groups:
            row = rows.get(group.identity)
            if row is None:
                out.append(GroupView(group, None, 0.0, {}))
            else:
                health = {entry["key"]: entry for entry in row.rules}
                out.append(GroupView(group, row.evaluated_ms, row.duration_s, health))
        return out


def file_stamps(paths: Sequence[str]) -> dict[str, tuple[float, int]]:
    """When files were last changed, and their sizes; files that vanished are left out."""
    out: dict[str, tuple[float, int]] = {}
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError:
            continue
        out[path] = (status.st_mtime, status.st_size)
    return out


def active_alerts(connection: Connection) -> list[Any]:
    """Rows of `alert_state` that are pending or worse, worst first."""
    rows = connection.execute(
        select(alert_state)
        .where(alert_state.c.state != "inactive")
        .order_by(alert_state.c.alert_name, alert_state.c.host)
    )
    return list(rows)
