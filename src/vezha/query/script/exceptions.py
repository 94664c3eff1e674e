"""Evaluations of upstream scripts that are known to differ, each with its reason.

The table is TOML: a section for each script, `"line" = "reason"` in it, or `all = "reason"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomllib

from vezha.query.script.series_text import ScriptError


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Reasons by script and line."""

    table: Mapping[str, Mapping[str, str]]

    @staticmethod
    def none() -> Exceptions:
        """No exception at all."""
        return Exceptions({})

    @staticmethod
    def read(path: Path) -> Exceptions:
        """The table in a file. Raises ScriptError."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ScriptError(f"{path}: {error}") from None
        for name, rows in table.items():
            if not isinstance(rows, dict) or not all(isinstance(r, str) for r in rows.values()):
                raise ScriptError(f"{path}: [{name}] must hold lines with reasons")
        return Exceptions(table)

    def reason(self, script: str, line: int) -> str:
        """Why the eval at *line* differs, or the empty string."""
        rows = self.table.get(script, {})
        return rows.get(str(line)) or rows.get("all") or ""
