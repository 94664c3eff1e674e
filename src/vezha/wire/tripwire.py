"""What stands in TRIPWIRES: thresholds that an agent watches, ten times a second.

A tripwire is a list of conditions that must all hold for one set of labels; a condition compares
a quantity with a number; a quantity is a series of the agent, one divided by another, or the
share of processor time spent in some modes. The server makes them of rules, the agent reads them
here; both refuse what is not exactly this. Page: docs/reference/formats/wire.md.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple  # noqa: UP035

from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    CROSSING_PATTERN_CHARS_MAX,
    TRIPWIRE_CONDITIONS_MAX,
    TRIPWIRE_WINDOW_S_MAX,
    TRIPWIRES_MAX,
)

OPS: Dict[str, Callable[[float, float], bool]] = {  # noqa: UP006
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
MATCH_OPS = ("=", "!=", "=~", "!~")

Match = Tuple[str, str, str]  # noqa: UP006
"""Label, operator, value; regular expressions are anchored."""


@dataclass(frozen=True)
class Selector:
    """Series of one metric."""

    metric: str
    match: Tuple[Match, ...] = ()  # noqa: UP006


@dataclass(frozen=True)
class Busy:
    """The mean share of processor time in the modes that *match*, over the last *window_s*;
    `rest`: one minus that."""

    match: Tuple[Match, ...]  # noqa: UP006
    window_s: float
    rest: bool = False


@dataclass(frozen=True)
class Condition:
    """`of [/ per] op value`."""

    op: str
    value: float
    of: Optional[Selector] = None  # noqa: UP045
    per: Optional[Selector] = None  # noqa: UP045
    busy: Optional[Busy] = None  # noqa: UP045


@dataclass(frozen=True)
class Tripwire:
    """Conditions on one host; the value that is told is the first one's."""

    id: str
    conditions: Tuple[Condition, ...]  # noqa: UP006


def to_json(wire: Tripwire) -> Dict[str, Any]:  # noqa: UP006
    """As it stands in TRIPWIRES."""
    return {"id": wire.id, "all": [_condition_json(one) for one in wire.conditions]}


def _condition_json(one: Condition) -> Dict[str, Any]:  # noqa: UP006
    out: Dict[str, Any] = {"op": one.op, "value": one.value}  # noqa: UP006
    if one.of is not None:
        out["of"] = _selector_json(one.of)
    if one.per is not None:
        out["per"] = _selector_json(one.per)
    if one.busy is not None:
        out["busy"] = {
            "match": [list(match) for match in one.busy.match],
            "window_s": one.busy.window_s,
            "rest": one.busy.rest,
        }
    return out


def _selector_json(one: Selector) -> Dict[str, Any]:  # noqa: UP006
    return {"metric": one.metric, "match": [list(match) for match in one.match]}


def from_json(wires: List[Dict[str, Any]]) -> List[Tripwire]:  # noqa: UP006
    """The tripwires of a message; those of a form that we do not know (a newer server's) are
    left out. Raises ProtocolError where there are too many."""
    if len(wires) > TRIPWIRES_MAX:
        raise ProtocolError("too_large", f"{len(wires)} tripwires")
    found = []
    for raw in wires:
        try:
            found.append(_wire(raw))
        except (LookupError, TypeError, ValueError, re.error):
            continue
    return found


def _wire(raw: Mapping[str, Any]) -> Tripwire:
    conditions = raw["all"]
    if not isinstance(raw["id"], str) or not isinstance(conditions, list):
        raise TypeError("not a tripwire")
    if not 0 < len(conditions) <= TRIPWIRE_CONDITIONS_MAX:
        raise ValueError("none or too many conditions")
    return Tripwire(raw["id"], tuple(_condition(one) for one in conditions))


def _condition(raw: Mapping[str, Any]) -> Condition:
    if not set(raw) <= {"op", "value", "of", "per", "busy"} or raw["op"] not in OPS:
        raise ValueError("an unknown form of condition")
    of = _selector(raw["of"]) if "of" in raw else None
    per = _selector(raw["per"]) if "per" in raw else None
    busy = None
    if "busy" in raw:
        window_s = float(raw["busy"]["window_s"])
        if not 0 < window_s <= TRIPWIRE_WINDOW_S_MAX:
            raise ValueError("the window is too long")
        busy = Busy(_matches(raw["busy"]["match"]), window_s, raw["busy"]["rest"] is True)
    if (of is None) == (busy is None) or (per is not None and of is None):
        raise ValueError("a condition is of one quantity")
    return Condition(str(raw["op"]), float(raw["value"]), of, per, busy)


def _selector(raw: Mapping[str, Any]) -> Selector:
    if not isinstance(raw["metric"], str):
        raise TypeError("a metric is a name")
    return Selector(raw["metric"], _matches(raw["match"]))


def _matches(raw: Any) -> Tuple[Match, ...]:  # noqa: UP006
    found = []
    for name, op, value in raw:
        if op not in MATCH_OPS or not isinstance(name, str) or not isinstance(value, str):
            raise ValueError("not a matcher")
        if len(value) > CROSSING_PATTERN_CHARS_MAX:
            raise ValueError("a matcher is too long")
        if "~" in op:
            re.compile(value)
        found.append((name, op, value))
    return tuple(found)


def matcher_of(matches: Tuple[Match, ...]) -> Callable[[Mapping[str, str]], bool]:  # noqa: UP006
    """Whether all of *matches* hold of a set of labels (an absent one has the empty value)."""
    tests: List[Tuple[str, Any, str, bool]] = []  # noqa: UP006
    for name, op, value in matches:
        pattern = re.compile(value, re.DOTALL) if "~" in op else None
        tests.append((name, pattern, value, op.startswith("!")))

    def fits(labels: Mapping[str, str]) -> bool:
        for name, pattern, value, negative in tests:
            have = labels.get(name, "")
            same = have == value if pattern is None else pattern.fullmatch(have) is not None
            if same == negative:
                return False
        return True

    return fits
