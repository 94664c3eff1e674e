"""Rehearsal: what a gate would have said over the past, before it is armed.

The same gathering and judging as in a rollout, at instants of the past, over hosts that are taken
for touched (canary comparison: the first tenth of them; the others are the controls).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from vezha.delivery.errors import SpecError
from vezha.delivery.evidence import Scope, Touched, gather
from vezha.delivery.gate import judge
from vezha.delivery.limits import REHEARSE_STEPS_MAX
from vezha.delivery.rows import read_change
from vezha.delivery.signals import Signals
from vezha.delivery.spec import Gate, Policy, read_gates, read_policy, read_waves

_USUAL = Policy()
_ASKED = ("health", "promql", "budget", "predictability", "canary")


@dataclass(slots=True)
class Span:
    """A time over which the gate said the same."""

    start_ms: int
    end_ms: int
    result: str
    sentence: str


@dataclass(slots=True)
class Rehearsal:
    """What a gate would have said: instants by answer, and spans of equal answers."""

    counts: dict[str, int] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)


def rehearse(
    gate: Gate,
    hosts: Sequence[str],
    signals: Signals,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    policy: Policy = _USUAL,
) -> Rehearsal:
    """Ask *gate* from *start_ms* to *end_ms*, each *step_ms*, under a change's *policy* (its
    budget). Raises SpecError."""
    if gate.kind not in _ASKED:
        raise SpecError(f"a {gate.kind} gate asks nothing of the past; use {', '.join(_ASKED)}")
    if end_ms <= start_ms:
        raise SpecError("the past ends before it begins")
    if (end_ms - start_ms) // step_ms + 1 > REHEARSE_STEPS_MAX:
        raise SpecError(f"that is more than {REHEARSE_STEPS_MAX} instants; take a longer step")
    ordered = sorted(hosts)
    canaries = ordered if gate.kind != "canary" else ordered[: max(1, len(ordered) // 10)]
    touched = tuple(Touched(name, start_ms, True, start_ms) for name in canaries)
    controls = tuple(ordered[len(canaries) :])
    out = Rehearsal()
    for at_ms in range(start_ms, end_ms + 1, step_ms):
        scope = Scope(
            at_ms, 0, touched, controls, len(touched), 0, down=_down(signals, at_ms),
            names=tuple(ordered), policy=policy,
        )  # fmt: skip
        found = judge(gate, gather(gate, scope, signals))
        out.counts[found.result] = out.counts.get(found.result, 0) + 1
        last = out.spans[-1] if out.spans else None
        if last is not None and last.result == found.result:
            last.end_ms, last.sentence = at_ms, found.sentence
        else:
            out.spans.append(Span(at_ms, at_ms, found.result, found.sentence))
    return out


def armed_gate(connection: Connection, change_id: int, name: str) -> tuple[Gate, str, Policy]:
    """A gate of a change as it is written, with the change's selector and policy. Raises
    DeliveryError."""
    row = read_change(connection, change_id)
    gates = read_gates(row.gates, read_waves(row.waves))
    for gate in gates:
        if gate.title == name:
            return gate, row.selector, read_policy(row.policy)
    known = ", ".join(g.title for g in gates) or "none"
    raise SpecError(f"change {change_id} has no gate {name}; it has: {known}")


def _down(signals: Signals, at_ms: int) -> frozenset[str]:
    up = signals.up(at_ms)
    return frozenset() if up is None else frozenset(n for n, is_up in up.items() if not is_up)
