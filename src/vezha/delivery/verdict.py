"""What the gates of a rollout's wave say, asked as often as is useful, and kept as rows.

`Verdicts` has no memory that matters: started anew it asks again. The store and the outside are asked
outside of any transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, insert

from vezha.delivery import limits
from vezha.delivery.change import Kind
from vezha.delivery.errors import NoSignals
from vezha.delivery.evidence import gather, predictability, service_level
from vezha.delivery.gate import PHASES, Judgement, judge
from vezha.delivery.outside import Outside
from vezha.delivery.pace import Pace, budget_left, pace
from vezha.delivery.rollout import State
from vezha.delivery.signals import Signals
from vezha.delivery.situation import Situation, read_scope
from vezha.delivery.spec import Gate
from vezha.ledger import Ledger
from vezha.ledger.tables import verdict


@dataclass(slots=True)
class Judged:
    """What the gates said last of one wave in one phase."""

    key: tuple[int, str]
    at_ms: int = 0
    judgements: list[tuple[Gate, Judgement]] = field(default_factory=list)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    fresh: list[tuple[Gate, Judgement, dict[str, Any]]] = field(default_factory=list)


class Verdicts:
    """Asks the gates and the pace of open rollouts."""

    def __init__(self, ledger: Ledger, signals: Signals, outside: Outside) -> None:
        self._ledger = ledger
        self._signals = signals
        self._outside = outside
        self._judged: dict[int, Judged] = {}
        self._paces: dict[int, tuple[int, Pace]] = {}

    def forget_all_but(self, open_: Iterable[int]) -> None:
        """Only these rollouts are open still."""
        kept = set(open_)
        for known in (self._judged, self._paces):
            for id_ in [i for i in known if i not in kept]:
                known.pop(id_)

    def ask(self, situation: Situation, fault: str) -> Judged:
        """What the gates of its wave say; *fault* is why what is seen may be our own doing."""
        row, now_ms = situation.row, situation.now_ms
        key = (row.wave, row.phase)
        judged = self._judged.get(row.id)
        if judged is None or judged.key != key:
            told = judged.told if judged is not None else {}
            judged = self._judged[row.id] = Judged(key, told=told)
        if situation.state not in (State.RUNNING, State.HELD):
            judged.judgements, judged.fresh = [], []
            return judged
        gates = [
            g for g in situation.plan.gates
            if g.guards(situation.wave.name) and situation.phase in PHASES[g.kind]
        ]  # fmt: skip
        due = not 0 <= now_ms - judged.at_ms < limits.GATES_EVERY_MS
        # the proof is made of rows that are at hand; the others ask the store
        wanted = gates if due else [g for g in gates if g.kind == "proof"]
        needs = any(g.kind not in ("proof", "approval", "webhook") for g in wanted)
        outside = {}
        for gate in gates:
            if gate.kind == "webhook":
                found = self._outside.ask(f"{row.id}/{row.wave}/{gate.title}", gate.url,
                                          _document(situation), now_ms)  # fmt: skip
                if found is not None:
                    outside[gate.title] = found
        with self._ledger.read() as connection:
            scope = read_scope(connection, situation, fault, outside, needs_hosts=needs)
        kept = {g.title: j for g, j in judged.judgements}
        judged.fresh = []
        for gate in wanted:
            evidence = gather(gate, scope, self._signals)
            found_judgement = judge(gate, evidence)
            kept[gate.title] = found_judgement
            judged.fresh.append((gate, found_judgement, evidence))
        judged.judgements = [(g, kept[g.title]) for g in gates if g.title in kept]
        if due:
            judged.at_ms = now_ms
        return judged

    def pace(self, situation: Situation) -> Pace:
        """How fast waves may follow each other now."""
        policy, now_ms, row = situation.plan.policy, situation.now_ms, situation.row
        if not policy.pace or situation.kind is Kind.RULES:
            return Pace(1.0, "the pace is fixed (policy.pace)")
        kept = self._paces.get(row.id)
        if kept is not None and 0 <= now_ms - kept[0] < limits.PACE_EVERY_MS:
            return kept[1]
        names = situation.plan.names
        left, predictable = None, None
        try:
            good, _ = service_level(
                policy.budget.expr, policy.budget.window_s, names, now_ms, self._signals
            )
            if good is not None:
                left = budget_left(good, policy.budget.objective)
            predictable = _middle(predictability("", names, now_ms, self._signals))
        except NoSignals:
            pass
        wave = situation.wave
        least = wave.least_s / wave.bake_s if wave.bake_s else 1.0
        made = pace(left, predictable, least)
        self._paces[row.id] = (now_ms, made)
        return made


def _document(situation: Situation) -> dict[str, Any]:
    """What a web hook is told."""
    row = situation.row
    return {
        "change": row.change_id, "rollout": row.id, "kind": situation.change.kind,
        "target": situation.plan.to.target, "sha256": situation.plan.to.sha256,
        "wave": situation.wave.name, "phase": row.phase, "counts": situation.flat_counts,
    }  # fmt: skip


def write_verdicts(connection: Connection, situation: Situation, judged: Judged) -> None:
    """Keep what is news: another answer, or the same a good while later."""
    now_ms, row = situation.now_ms, situation.row
    rows = []
    for gate, judgement, evidence in judged.fresh:
        key = f"{row.wave}/{gate.title}"
        before = judged.told.get(key)
        same = before is not None and before[0] == judgement.result
        recent = before is not None and now_ms - before[1] < limits.VERDICT_AGAIN_MS
        if same and (gate.kind == "proof" or recent):
            continue
        judged.told[key] = (judgement.result, now_ms)
        rows.append(verdict_row(situation, gate, judgement, evidence))
    if rows:
        connection.execute(insert(verdict), rows)


def verdict_row(
    situation: Situation, gate: Gate, judgement: Judgement, evidence: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of `verdict`."""
    return {
        "rollout_id": situation.row.id,
        "wave": situation.row.wave,
        "gate": gate.title,
        "kind": gate.kind,
        "spec": msgspec.to_builtins(gate),
        "shadow": gate.shadow,
        "result": judgement.result,
        "sentence": judgement.sentence,
        "measured": judgement.measured,
        "allowed": judgement.allowed,
        "samples": dict(evidence),
        "at_ms": situation.now_ms,
    }


def _middle(values: Mapping[str, float | None]) -> float | None:
    found = sorted(v for v in values.values() if v is not None)
    return found[len(found) // 2] if found else None
