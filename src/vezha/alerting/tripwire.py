"""Alert rules as tripwires: what of a rule an agent can watch itself. Pure.

In: a rule marked `tripwire: true`. Out: what is sent to agents (`vezha.wire.tripwire`), on which
hosts, and how the agent's labels become those of the rule's result; or `NotATripwire`, one
sentence that says why not. Only what an agent reads from a single cheap source can be watched
ten times a second; everything else stays with the ordinary samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vezha.alerting.rule import AlertRule, Group
from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import INSTANCE, METRIC_NAME, Labels, labels_of
from vezha.query import ParseError
from vezha.query.ast import (
    Aggregate,
    Binary,
    Call,
    Card,
    Extension,
    MatrixSelector,
    Node,
    Number,
    Unary,
    VectorSelector,
    unwrap,
)
from vezha.query.parser import parse
from vezha.wire.limits import (
    CROSSING_PATTERN_CHARS_MAX,
    TRIPWIRE_CONDITIONS_MAX,
    TRIPWIRE_WINDOW_S_MAX,
)
from vezha.wire.tripwire import (
    OPS,
    Busy,
    Condition,
    Match,
    Selector,
    Tripwire,
    matcher_of,
    to_json,
)

JOB = "node"
"""The label `job` of everything that agents send."""
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_FILE_SYSTEM = re.compile(
    r"node_filesystem_((size|free|avail)_bytes|files|files_free|readonly|device_error)"
)
_WATCHED = re.compile(r"node_memory_\w+|node_systemd_unit_state|vezha_watched_process_up")
_OTHERS = re.compile(r"(node|vezha|process|scrape|python|go)_.*|up|ALERTS|ALERTS_FOR_STATE|.*:.*")
_NOT_PYTHON = re.compile(r"\(\?|\\[pPQEzCAZ]|\[\[:|\\x\{")
"""What RE2 and Python read differently, as far as it occurs."""


class NotATripwire(Exception):
    """Why a rule cannot be watched by agents; one clause, to stand after "because"."""


@dataclass(frozen=True, slots=True)
class RuleTripwire:
    """A rule as agents watch it. `hosts` are the matchers on `instance` and `job`."""

    rule_key: str
    wire: Tripwire
    hosts: tuple[Match, ...]
    by_host: bool
    """Whether the rule's result has the label `instance` alone."""

    def fits(self, host: str) -> bool:
        """Whether *host* is among those that the rule looks at."""
        return matcher_of(self.hosts)({INSTANCE: host, "job": JOB})

    def result_labels(self, host: str, labels: Mapping[str, object]) -> Labels:
        """The labels of the rule's result for what an agent told of *labels* on *host*."""
        if self.by_host:
            return labels_of({INSTANCE: host})
        told = {str(name): str(value) for name, value in labels.items()}
        return labels_of({**told, INSTANCE: host, "job": JOB})


def compile_groups(groups: Iterable[Group]) -> tuple[dict[str, RuleTripwire], dict[str, str]]:
    """The tripwires of *groups* by rule key, and why the others that want to be one are not,
    by the rule's name."""
    wires: dict[str, RuleTripwire] = {}
    refused: dict[str, str] = {}
    for group in groups:
        for rule in group.rules:
            if not isinstance(rule, AlertRule) or not rule.policy.tripwire:
                continue
            try:
                wires[rule.key] = compile_rule(rule, group)
            except NotATripwire as fault:
                refused[rule.name] = str(fault)
    return wires, refused


def compile_rule(rule: AlertRule, group: Group) -> RuleTripwire:
    """*rule* as a tripwire. Raises NotATripwire."""
    if rule.for_ms:
        raise NotATripwire("it has `for`, and a tripwire fires at once: remove `for`")
    if group.query_offset_ms:
        raise NotATripwire("its group has query_offset, and a tripwire fires at once")
    try:
        tree = unwrap(parse(rule.expr))
    except ParseError as fault:
        raise NotATripwire(str(fault)) from None
    compiler = _Compiler(rule.expr)
    parts = compiler.conjunction(tree)
    if len(parts) > TRIPWIRE_CONDITIONS_MAX:
        raise NotATripwire(f"it has more than {TRIPWIRE_CONDITIONS_MAX} conditions")
    by_host = [part.busy is not None for part in parts]
    if any(by_host) and not all(by_host):
        raise NotATripwire("it joins processor time with another quantity")
    wire = Tripwire(rule.key, tuple(parts))
    return RuleTripwire(rule.key, wire, tuple(dict.fromkeys(compiler.hosts)), any(by_host))


def message_wires(wires: Mapping[str, RuleTripwire], host: str) -> list[dict[str, object]]:
    """What an agent on *host* is to watch, as it stands in TRIPWIRES, in a fixed order."""
    fitting = sorted((key, w) for key, w in wires.items() if w.fits(host))
    return [to_json(wire.wire) for _, wire in fitting]


class _Compiler:
    """One expression; gathers the matchers that choose hosts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.hosts: list[Match] = []

    def _shown(self, node: Node) -> str:
        text = " ".join(self._text[node.start : node.end].split())
        return text if len(text) <= 80 else text[:77] + "..."

    def conjunction(self, node: Node) -> list[Condition]:
        """The conditions of `a and b and c`."""
        node = unwrap(node)
        if isinstance(node, Binary) and node.op == "and":
            self._plain_matching(node, Card.MANY_TO_MANY)
            return self.conjunction(node.left) + self.conjunction(node.right)
        return [self._comparison(node)]

    def _plain_matching(self, node: Binary, card: Card) -> None:
        matching = node.matching
        if matching is not None and (matching.on or matching.labels or matching.card is not card):
            raise NotATripwire("it matches series with on, ignoring or group_…")

    def _comparison(self, node: Node) -> Condition:
        if not isinstance(node, Binary) or node.op not in OPS:
            raise NotATripwire(
                f"{self._shown(node)} is not a comparison of a quantity with a number"
            )
        if node.bool_modifier:
            raise NotATripwire("it compares with bool, which gives a result always")
        left, right = constant(node.left), constant(node.right)
        if (left is None) == (right is None):
            raise NotATripwire(f"{self._shown(node)} does not compare a quantity with a number")
        quantity, op = (node.left, node.op) if left is None else (node.right, _FLIPPED[node.op])
        value = right if left is None else left
        assert value is not None
        if not math.isfinite(value):
            raise NotATripwire(f"{self._shown(node)} compares with what is not a finite number")
        return self._quantity(unwrap(quantity), op, value)

    def _quantity(self, node: Node, op: str, value: float) -> Condition:
        if isinstance(node, VectorSelector):
            return Condition(op, value, of=self._selector(node))
        busy = self._busy(node)
        if busy is not None:
            return Condition(op, value, busy=busy)
        if isinstance(node, Binary) and node.op == "/":
            self._plain_matching(node, Card.ONE_TO_ONE)
            of, per = unwrap(node.left), unwrap(node.right)
            if isinstance(of, VectorSelector) and isinstance(per, VectorSelector):
                return Condition(op, value, of=self._selector(of), per=self._selector(per))
        raise NotATripwire(
            f"{self._shown(node)} is neither a series, nor one divided by another, nor the share "
            "of processor time as `avg by (instance) (rate(node_cpu_seconds_total{…}[…]))`"
        )

    def _selector(self, node: VectorSelector) -> Selector:
        if node.offset != 0.0 or node.at is not None or node.extension is not Extension.NONE:
            raise NotATripwire(f"{self._shown(node)} looks at the past")
        name = node.name
        if not name:
            raise NotATripwire(f"{self._shown(node)} does not name one metric")
        if name == "node_cpu_seconds_total":
            raise NotATripwire("processor time is a counter: compare the rate of it")
        if not (_FILE_SYSTEM.fullmatch(name) or _WATCHED.fullmatch(name)) and _OTHERS.fullmatch(
            name
        ):
            raise NotATripwire(
                f"{name} is not among what agents watch at 10 Hz: memory, file systems, systemd's "
                "units, watched processes, processor time, and gauges in the text-file folder"
            )
        return Selector(name, self._matches(node.matchers))

    def _matches(self, matchers: Iterable[Matcher]) -> tuple[Match, ...]:
        out = []
        for one in matchers:
            if one.name == METRIC_NAME:
                continue
            regular = one.op in (MatchOp.RE, MatchOp.NRE)
            if regular and not _is_plain(one.value):
                raise NotATripwire(f"the pattern {one.value!r} is not plain enough for agents")
            match = (one.name, one.op.value, one.value)
            if one.name in (INSTANCE, "job"):
                self.hosts.append(match)
            else:
                out.append(match)
        return tuple(out)

    def _busy(self, node: Node) -> Busy | None:
        """`[1 -] avg by (instance) ([sum by (instance, cpu)] (rate(node_cpu_seconds_total[w])))`."""
        rest = False
        if isinstance(node, Binary) and node.op == "-" and constant(node.left) == 1.0:
            rest, node = True, unwrap(node.right)
        if not _is_grouped(node, "avg", {INSTANCE}):
            return None
        assert isinstance(node, Aggregate)
        inner = unwrap(node.expr)
        summed = _is_grouped(inner, "sum", {INSTANCE, "cpu"})
        if summed:
            assert isinstance(inner, Aggregate)
            inner = unwrap(inner.expr)
        if not (isinstance(inner, Call) and inner.name in ("rate", "irate") and inner.args):
            return None
        matrix = inner.args[0]
        if not isinstance(matrix, MatrixSelector):
            return None
        if matrix.selector.name != "node_cpu_seconds_total":
            return None
        selector, window_s = matrix.selector, matrix.range
        if selector.offset != 0.0 or selector.at is not None:
            raise NotATripwire(f"{self._shown(selector)} looks at the past")
        matches = self._matches(selector.matchers)
        one_mode = any(name == "mode" and op == "=" for name, op, _ in matches)
        if any(name != "mode" for name, _, _ in matches):
            raise NotATripwire("of processor time agents watch the mean over all cores only")
        if not summed and not one_mode:
            raise NotATripwire(
                'it averages over modes: write mode="…", or sum by (instance, cpu) first'
            )
        if not isinstance(window_s, float | int) or not 2.0 <= window_s <= TRIPWIRE_WINDOW_S_MAX:
            raise NotATripwire(
                f"the window of its rate must be from 2 s to {TRIPWIRE_WINDOW_S_MAX:.0f} s"
            )
        if inner.name == "irate":
            raise NotATripwire("it uses irate, which has no window: write rate")
        return Busy(matches, float(window_s), rest)


def _is_grouped(node: Node, op: str, labels: set[str]) -> bool:
    return (
        isinstance(node, Aggregate)
        and node.op == op
        and not node.without
        and set(node.grouping) == labels
    )


def _is_plain(pattern: str) -> bool:
    if len(pattern) > CROSSING_PATTERN_CHARS_MAX or _NOT_PYTHON.search(pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def constant(node: Node) -> float | None:
    """The number that *node* is, where it is made of literals only."""
    node = unwrap(node)
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Unary):
        inner = constant(node.expr)
        return None if inner is None else (-inner if node.op == "-" else inner)
    if isinstance(node, Binary) and node.op in ("+", "-", "*", "/"):
        left, right = constant(node.left), constant(node.right)
        if left is None or right is None or (node.op == "/" and right == 0):
            return None
        return {"+": left + right, "-": left - right, "*": left * right}.get(
            node.op, left / right if right else math.nan
        )
    return None
