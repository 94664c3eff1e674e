"""Performance figures of Nagios plugins: `'label'=value[unit];[warn];[crit];[min];[max]`. Pure.

Format: "Monitoring Plugins Development Guidelines", performance data. Units become base units:
seconds, bytes; a percentage stays one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vezha.checks.limits import PLUGIN_FIGURES_MAX

_ITEM = re.compile(r"(?:'((?:[^']|'')*)'|([^\s='|]+))=(\S*)")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)([^\d;]*)")
_UNITS = {
    "": ("", 1.0), "s": ("seconds", 1.0), "ms": ("seconds", 1e-3), "us": ("seconds", 1e-6),
    "ns": ("seconds", 1e-9), "%": ("percent", 1.0), "b": ("bytes", 1.0), "kb": ("bytes", 1024.0),
    "mb": ("bytes", 1024.0**2), "gb": ("bytes", 1024.0**3), "tb": ("bytes", 1024.0**4),
    "c": ("total", 1.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PerfFigure:
    """One figure in base units; limits are None where they are absent or ranges."""

    label: str
    unit: str
    value: float
    warn: float | None = None
    crit: float | None = None


def read_perfdata(output: str) -> list[PerfFigure]:
    """The figures of a plugin's output; what is malformed is left out."""
    text = _after_bars(output)
    found: dict[str, PerfFigure] = {}
    for match in _ITEM.finditer(text):
        label = (match[1].replace("''", "'") if match[1] is not None else match[2]).strip()
        fields = match[3].split(";")
        number = _NUMBER.fullmatch(fields[0])
        if not label or number is None or len(found) >= PLUGIN_FIGURES_MAX:
            continue
        unit, factor = _UNITS.get(number[2].lower(), (number[2][:16], 1.0))
        value = float(number[1]) * factor
        if math.isfinite(value):
            limits = [_limit(fields, at, factor) for at in (1, 2)]
            found[label[:128]] = PerfFigure(label[:128], unit, value, *limits)
    return list(found.values())


def _after_bars(output: str) -> str:
    """All performance data: of the first line, and after the bar in the long text."""
    first, _, rest = output.partition("\n")
    parts = [first.partition("|")[2]]
    if "|" in rest:
        parts.append(rest.partition("|")[2])
    return " ".join(parts)


def _limit(fields: list[str], at: int, factor: float) -> float | None:
    if at >= len(fields):
        return None
    number = _NUMBER.fullmatch(fields[at])
    return float(number[1]) * factor if number and not number[2] else None
