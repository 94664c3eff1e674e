"""The series of rule tests, as promtool writes them: `up{job="a"}` with `1+0x5 _ stale`. Pure."""

from __future__ import annotations

import math
import re

from vezha.alerting.errors import RuleError
from vezha.model.columns import STALE_NAN, MatchOp
from vezha.model.labels import Labels, labels_of
from vezha.query import ParseError
from vezha.query.parser import parse_selector

_VALUES_MAX = 1_000_000
_FLOAT = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[Ii]nf|[Nn]a[Nn])"
_ITEM = re.compile(
    rf"(?P<start>{_FLOAT})(?:(?P<step>[-+]{_FLOAT.removeprefix('[-+]?')}))?(?:x(?P<times>\d+))?"
)
_MISSING = re.compile(r"_(?:x(\d+))?")


def parse_series(text: str) -> Labels:
    """The label set of `name{label="value"}` (only `=`). Raises RuleError."""
    bare = text.strip()
    if bare in ("", "{}"):
        return ()
    try:
        matchers = parse_selector(bare)
    except ParseError as fault:
        raise RuleError([f"series {bare}: {fault}"]) from None
    if any(m.op is not MatchOp.EQ for m in matchers):
        raise RuleError([f"series {bare}: only = makes a series"])
    return labels_of((m.name, m.value) for m in matchers)


def parse_values(text: str) -> list[float | None]:
    """One value per interval; None where there is no sample. Raises RuleError."""
    out: list[float | None] = []
    for item in text.split():
        if item == "stale":
            out.append(STALE_NAN)
            continue
        if missing := _MISSING.fullmatch(item):
            out += [None] * int(missing[1] or 1)
        else:
            out += _expanded(item)
        if len(out) > _VALUES_MAX:
            raise RuleError([f"more than {_VALUES_MAX} values in one series"])
    return out


def _expanded(item: str) -> list[float | None]:
    match = _ITEM.fullmatch(item)
    if match is None:
        hint = " (native histograms are not supported here)" if "{{" in item else ""
        raise RuleError([f'"{item}" is not a value; write 1, 1+2x10, 5x3, _, _x3, stale{hint}'])
    start = float(match["start"])
    times = int(match["times"] or 0)
    if match["step"] and match["times"] is None:
        raise RuleError([f'"{item}" has a step but no times; write {item}x10'])
    if times > _VALUES_MAX:
        raise RuleError([f"more than {_VALUES_MAX} values in one series"])
    step = float(match["step"]) if match["step"] else 0.0
    if not math.isfinite(start) or step == 0.0:
        return [start] * (times + 1)
    return [start + step * i for i in range(times + 1)]
