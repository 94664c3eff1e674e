"""Changes of rules and checklists: the server itself takes them, in the steps that a host goes.

fetched and verified (downloaded) → linted (staged) → swapped in atomically (started) → loaded by
the rules' evaluator (proven); each step is a transaction of its own and can be done twice.
"""

from __future__ import annotations

from typing import Protocol

from vezha.delivery.attempt import Act, State, step
from vezha.delivery.back import before_of
from vezha.delivery.plan import Version
from vezha.delivery.rows import Move, apply_moves, read_rollout
from vezha.delivery.situation import Situation
from vezha.ledger import Ledger


class ServerRules(Protocol):
    """Where rule files live. Each method may be called again after a crash."""

    def fetch(self, version: Version) -> str:
        """Verify the artifact and unpack it aside; what is wrong with it, or the empty string."""
        ...

    def lint(self, version: Version) -> str:
        """What is wrong with its files, or the empty string."""
        ...

    def swap(self, version: Version) -> None:
        """Let the server use it from now on (an empty version: none); atomic."""
        ...

    def loaded(self, version: Version, since_ms: int) -> str | None:
        """Empty once its rules were evaluated after *since_ms*, what is wrong with them where they
        cannot be, None while that is not known yet."""
        ...


class NoRules:
    """No rules are taken here."""

    def fetch(self, version: Version) -> str:
        return "this server does not take rules as changes"

    def lint(self, version: Version) -> str:
        return ""

    def swap(self, version: Version) -> None:
        return None

    def loaded(self, version: Version, since_ms: int) -> str | None:
        return ""


def advance_rules(ledger: Ledger, rules: ServerRules, situation: Situation) -> bool:
    """Take the server's own attempt one step on; whether it went."""
    rows = [*situation.in_flight, *situation.reverting]
    if not rows:
        return False
    row, to = rows[0], situation.plan.to
    state = State(row.state)
    act, reason, said = Act.TOLD_DOWNLOADED, "", ""
    if state is State.OFFERED:
        said = rules.fetch(to)
        reason = "signature" if said else ""
    elif state is State.DOWNLOADED:
        act, said = Act.TOLD_STAGED, rules.lint(to)
        reason = "lint" if said else ""
    elif state is State.STAGED:
        rules.swap(to)
        act = Act.TOLD_STARTED
    else:
        if state is State.REVERTING:
            rules.swap(before_of(row))
        version = before_of(row) if state is State.REVERTING else to
        found = rules.loaded(version, row.since_ms)
        if found is None:
            return False
        if state is State.REVERTING:
            act = Act.TOLD_BACK
        elif found:
            rules.swap(before_of(row))
            act, reason, said = Act.TOLD_REVERTED, "invalid", found
        else:
            act = Act.TOLD_PROVEN
    if said and act is not Act.TOLD_REVERTED:
        act = Act.TOLD_REFUSED
    after = step(state, act)
    assert after is not None, (state, act)
    if state is State.REVERTING:
        reason, said = row.reason, row.detail
    with ledger.begin() as connection:
        if read_rollout(connection, situation.row.id, lock=True).revision != situation.row.revision:
            return False
        move = Move(situation.row.id, row.host_id, state, after, reason, said)
        apply_moves(connection, [move], situation.now_ms)
    return True
