"""Whether the way from hosts to people is open: what is looked at, and what it means.

`judge` is pure. Ingest is not among the signs that are read: whoever asks writes a sample through
the data contour's feed, and its durable answer is the proof.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import case, func, select

from vezha.ledger import Ledger
from vezha.ledger.tables import message, rule_group_state
from vezha.server.limits import OUTBOX_STUCK_MS, RULES_STUCK_MS


@dataclass(frozen=True, slots=True)
class Signs:
    """Times in ms. *evaluated_ms* of the newest group of rules, *due_ms* of the oldest message
    that should have been tried; None where there is none."""

    has_rules: bool
    evaluated_ms: int | None
    due_ms: int | None


def read_signs(ledger: Ledger, has_rules: bool, receivers: Collection[str]) -> Signs:
    """What the ledger shows; messages to others than *receivers* wait for nobody.

    Blocks; raises what the database does.
    """
    open_ = ("waiting", "claimed")
    earlier = message.alias("earlier")
    # what waits behind another message of its thread is not due yet
    behind = select(earlier.c.id).where(
        earlier.c.receiver == message.c.receiver,
        earlier.c.thread == message.c.thread,
        earlier.c.id < message.c.id,
        earlier.c.state.in_(open_),
    )
    # and one on its way is due when its claim runs out
    due = case((message.c.state == "claimed", message.c.claim_until_ms), else_=message.c.next_ms)
    oldest = select(func.min(due)).where(
        message.c.state.in_(open_), message.c.receiver.in_(sorted(receivers)), ~behind.exists()
    )
    with ledger.read() as connection:
        evaluated_ms = connection.execute(select(func.max(rule_group_state.c.evaluated_ms)))
        return Signs(has_rules, evaluated_ms.scalar(), connection.execute(oldest).scalar())


def judge(signs: Signs, began_ms: int, now_ms: int) -> list[str]:
    """Why people might not be told, a sentence each; empty: all is well."""
    problems = []
    if signs.has_rules:
        # a server that has just started has not evaluated anything yet
        newest_ms = max(began_ms, signs.evaluated_ms or 0)
        if now_ms - newest_ms > RULES_STUCK_MS:
            problems.append("rules are not evaluated")
    if signs.due_ms is not None and now_ms - max(began_ms, signs.due_ms) > OUTBOX_STUCK_MS:
        problems.append("messages are not sent")
    return problems
