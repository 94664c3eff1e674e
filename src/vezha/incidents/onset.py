"""When trouble began: a change-point search in the alert's own series, back from the firing.

Two shapes are fitted by least squares, each for every possible change-point at once: a *step*
(one mean before, another after; Hinkley, Biometrika 57, 1970) and a *ramp* (level, then a straight
line from the change-point on; Hudson, "Fitting segmented curves", JASA 61, 1966). The better
counts, if it explains far more than no change at all and the move is large against the noise before it.
The search is pure and columnar; `series_of` and `Onsets` ask the store for the series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy import select

from vezha.alerting.book import RuleBook
from vezha.alerting.errors import EvaluationError
from vezha.alerting.rule import AlertRule
from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.limits import (
    ONSET_BACK_MS,
    ONSET_COARSE_MS,
    ONSET_FINE_MS,
    ONSETS_PER_STEP_MAX,
)
from vezha.incidents.rows import read_cases, read_cursor, read_place, write_case, write_cursor
from vezha.incidents.shift import AskRange
from vezha.incidents.words import Member, main_member
from vezha.ledger import Ledger
from vezha.ledger.tables import incident_event
from vezha.model.labels import INSTANCE, METRIC_NAME, Labels, quote_value
from vezha.query.ast import Binary, Node, Number, Unary, VectorSelector, unwrap, walk
from vezha.query.errors import ParseError
from vezha.query.parser import parse
from vezha.world import World

CURSOR = "incidents.onsets"
_COMPARES = ("==", "!=", ">", "<", ">=", "<=")
_POINTS_MIN = 12
"""Points before, and three after, without which no change is believed."""
_POINTS_AFTER_MIN = 3
_GAIN_MIN = 6.0
"""So many times smaller must the squared error be than without a change."""
_DEVIATIONS_MIN = 5.0
"""So many robust deviations of the time before must the move be."""
_NORMAL = 1.4826
Floats = npt.NDArray[np.float64]
_log = structlog.get_logger("incidents")


@dataclass(frozen=True, slots=True)
class Onset:
    """The change begins between points *index* − 1 and *index*; `shape`: step or ramp."""

    index: int
    shape: str


def find_onset(values: Floats) -> Onset | None:
    """The change-point in evenly spaced *values* (float64 [n], no NaN), or None."""
    n = len(values)
    if n < _POINTS_MIN + _POINTS_AFTER_MIN:
        return None
    scale = float(np.max(np.abs(values))) or 1.0
    v = values / scale
    whole = float(np.sum((v - v.mean()) ** 2))
    if whole <= 1e-12 * n:
        return None
    places = np.arange(_POINTS_MIN, n - _POINTS_AFTER_MIN + 1)
    step, ramp = _step_errors(v, places), _ramp_errors(v, places)
    # a step costs as many parameters as a ramp; where both fit alike the step is meant
    shape, errors = ("ramp", ramp) if ramp.min() < 0.8 * step.min() else ("step", step)
    at = int(places[int(np.argmin(errors))])
    if whole < _GAIN_MIN * max(float(errors.min()), 1e-12 * n):
        return None
    before = v[:at]
    level = float(np.median(before))
    noise = max(_NORMAL * float(np.median(np.abs(before - level))), 1e-3 * max(abs(level), 1e-3))
    moved = abs(float(np.median(v[-_POINTS_AFTER_MIN:])) - level)
    return Onset(at, shape) if moved >= _DEVIATIONS_MIN * noise else None


def _step_errors(v: Floats, places: npt.NDArray[np.int64]) -> Floats:
    """Squared error of two means, parted before each of *places*."""
    ones = np.cumsum(v)
    squares = np.cumsum(v * v)
    k = places.astype(np.float64)
    left, left2 = ones[places - 1], squares[places - 1]
    right, right2 = ones[-1] - left, squares[-1] - left2
    errors = (left2 - left * left / k) + (right2 - right * right / (len(v) - k))
    return np.asarray(np.maximum(errors, 0.0), np.float64)


def _ramp_errors(v: Floats, places: npt.NDArray[np.int64]) -> Floats:
    """Squared error of a level and then a line that leaves it one point before each place."""
    n = len(v)
    t = np.arange(n, dtype=np.float64)
    bend = places.astype(np.float64) - 1.0
    # x = max(0, t - bend): its sums over the tail, from sums of t, t², v and v·t
    count = n - places.astype(np.float64)
    tail = {
        name: (np.cumsum(column[::-1])[::-1])[np.minimum(places, n - 1)]
        for name, column in (("t", t), ("tt", t * t), ("v", v), ("vt", v * t))
    }
    x = tail["t"] - bend * count
    xx = tail["tt"] - 2 * bend * tail["t"] + bend * bend * count
    xv = tail["vt"] - bend * tail["v"]
    total, total2 = float(v.sum()), float((v * v).sum())
    spread = xx - x * x / n
    slope = np.where(spread > 1e-12, (xv - x * total / n) / np.maximum(spread, 1e-12), 0.0)
    errors = (total2 - total * total / n) - slope * slope * spread
    return np.asarray(np.maximum(errors, 0.0), np.float64)


def measured(expr: str, host: str) -> str:
    """What a rule compares, for one host: PromQL; empty where it compares nothing with a number.

    Raises ParseError.
    """
    node = unwrap(parse(expr))
    while isinstance(node, Binary) and node.op in ("and", "unless"):
        node = unwrap(node.left)
    if not isinstance(node, Binary) or node.op not in _COMPARES:
        return ""
    sides = (unwrap(node.left), unwrap(node.right))
    wanted = [side for side in sides if not _is_number(side)]
    if len(wanted) != 1:
        return ""
    return _narrowed(expr, wanted[0], host)


def _is_number(node: Node) -> bool:
    node = unwrap(node)
    return isinstance(node, Number) or (isinstance(node, Unary) and _is_number(node.expr))


def _narrowed(expr: str, node: Node, host: str) -> str:
    """The text of *node* with a matcher for *host* in each selector."""
    matcher = f"{INSTANCE}={quote_value(host)}"
    text = expr
    end = node.end
    selectors = [n for n in walk(node) if isinstance(n, VectorSelector)]
    for one in sorted(selectors, key=lambda n: -n.start):
        at = one.start + len(one.name)
        brace = text.find("{", one.start, one.end)
        if brace >= 0 and not text[at:brace].strip():
            written, at = matcher + ",", brace + 1
        else:
            written = "{" + matcher + "}"
        text = text[:at] + written + text[at:]
        end += len(written)
    return text[node.start : end]


def pick(labels: Iterable[Labels], alert: Mapping[str, str]) -> int | None:
    """Which series is the alert's: all of its labels are the alert's; the most telling one."""
    best: tuple[int, int] | None = None
    for row, pairs in enumerate(labels):
        own = {n: v for n, v in pairs if n != METRIC_NAME}
        fits = all(alert.get(name) == value for name, value in own.items())
        if fits and (best is None or len(own) > best[0]):
            best = (len(own), row)
    return None if best is None else best[1]


def estimate(ask: AskRange, expr: str, member: Member, fired_ms: int) -> tuple[int, str] | None:
    """When what *expr* compares changed for this alert: (ms, shape), or None. Raises as *ask*."""
    text = measured(expr, member.host)
    if not text:
        return None
    found = _search(ask, text, member, fired_ms - ONSET_BACK_MS, fired_ms, ONSET_COARSE_MS)
    if found is None or found[1] == "ramp":
        return found
    # a step is looked at again, by the second
    near_ms, shape = found
    start_ms = near_ms - (_POINTS_MIN + 8) * ONSET_FINE_MS
    end_ms = min(fired_ms, near_ms + 2 * ONSET_COARSE_MS + _POINTS_AFTER_MIN * ONSET_FINE_MS)
    return _search(ask, text, member, start_ms, end_ms, ONSET_FINE_MS) or (near_ms, shape)


def _search(
    ask: AskRange, text: str, member: Member, start_ms: int, end_ms: int, step_ms: int
) -> tuple[int, str] | None:
    # so that the last point is the firing itself
    start_ms = end_ms - (end_ms - start_ms) // step_ms * step_ms
    labels, values = ask(text, start_ms, end_ms, step_ms)
    row = pick(labels, member.labels)
    if row is None:
        return None
    column = values[row]
    known = np.flatnonzero(np.isfinite(column))
    if not len(known):
        return None
    # from the last gap on: before it nothing is known of how it came to be
    holes = np.flatnonzero(~np.isfinite(column[: known[-1] + 1]))
    first = int(holes[-1]) + 1 if len(holes) else 0
    onset = find_onset(column[first : known[-1] + 1].astype(np.float64))
    if onset is None:
        return None
    return start_ms + (first + onset.index) * step_ms, onset.shape


class Onsets:
    """Follows new incidents and dates their beginnings back to the change in their data."""

    def __init__(self, ledger: Ledger, world: World, book: RuleBook, ask: AskRange) -> None:
        self._ledger = ledger
        self._world = world
        self._book = book
        self._ask = ask

    def step(self) -> int:
        """Look at incidents that were opened since; how many began earlier. Blocks."""
        now_ms = int(self._world.clock.now() * 1000)
        with self._ledger.read() as connection:
            after = read_cursor(connection, CURSOR)
            rows = connection.execute(
                select(incident_event.c.id, incident_event.c.incident_id)
                .where(
                    incident_event.c.id > after,
                    incident_event.c.kind == "opened",
                    incident_event.c.actor == SYSTEM,
                    # older ones have been seen, or were before there was this search
                    incident_event.c.at_ms > now_ms - ONSET_BACK_MS,
                )
                .order_by(incident_event.c.id)
                .limit(ONSETS_PER_STEP_MAX)
            ).all()
            cases = read_cases(connection, [row.incident_id for row in rows])
        if not rows:
            return 0
        found = {id_: at for id_, case in cases.items() if (at := self._look(case)) is not None}
        changed = 0
        with self._ledger.begin() as connection:
            place = read_place(connection)
            for id_, case in read_cases(connection, found).items():
                at_ms, shape = found[id_]
                if at_ms < case.began_ms:
                    early_s = (case.began_ms - at_ms) / 1000
                    text = f"{early_s:.0f} s before the rule's condition held ({shape} in its data)"
                    case.tell(now_ms, "began", SYSTEM, text, was_ms=case.began_ms, began_ms=at_ms)
                    case.began_ms = at_ms
                    changed += write_case(connection, case, place, now_ms)
            write_cursor(connection, CURSOR, rows[-1].id)
        return changed

    def _look(self, case: Case) -> tuple[int, str] | None:
        members = [m for m in case.members.values() if m.host]
        if not members:
            return None
        member = main_member(members)
        for rule in self._rules(member.alert_name):
            try:
                return estimate(self._ask, rule.expr, member, member.first_ms)
            except (EvaluationError, ParseError) as fault:
                _log.info("when it began is not known", incident=case.id, reason=str(fault))
        return None

    def _rules(self, name: str) -> list[AlertRule]:
        return [
            rule
            for group in self._book.loaded().groups
            for rule in group.rules
            if isinstance(rule, AlertRule) and rule.name == name
        ]
