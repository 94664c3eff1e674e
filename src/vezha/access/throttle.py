"""Throttling of sign-ins: after some failures each further one doubles the wait.

Counted per name and per address (an IPv6 network of /64 counts as one address). Rows live in
the ledger, so that all web contours agree and a restart forgets nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from vezha.access import limits
from vezha.ledger.tables import throttle


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures so far, the time of the last one, and until when to wait (ms)."""

    failures: int = 0
    last_ms: int = 0
    blocked_until_ms: int = 0


def after_failure(state: Throttle, now_ms: int) -> Throttle:
    """The state after one more failure."""
    forgotten = now_ms - state.last_ms > limits.THROTTLE_FORGET_S * 1000
    failures = 1 if forgotten else state.failures + 1
    over = failures - limits.THROTTLE_FREE_FAILURES
    if over < 0:
        return Throttle(failures, now_ms, 0)
    # The exponent is bounded, or the power of a long attack would not fit a float.
    wait_s = min(limits.THROTTLE_FIRST_S * 2.0 ** min(over, 32), limits.THROTTLE_MAX_S)
    return Throttle(failures, now_ms, now_ms + int(wait_s * 1000))


def wait_ms(state: Throttle, now_ms: int) -> int:
    """How long to wait still (ms); 0 = go ahead. A clock that was set back cannot lock out."""
    longest = int(limits.THROTTLE_MAX_S * 1000)
    return min(max(0, state.blocked_until_ms - now_ms), longest)


def throttle_keys(name: str, address: str) -> tuple[str, str]:
    """The two rows that a sign-in counts on."""
    return f"name:{name.casefold()[:253]}", f"address:{_network(address)}"


def read_wait_ms(connection: Connection, keys: Sequence[str], now_ms: int) -> int:
    """The longest wait among *keys*."""
    rows = connection.execute(select(throttle).where(throttle.c.key.in_(keys)))
    waits = [wait_ms(Throttle(r.failures, r.last_ms, r.blocked_until_ms), now_ms) for r in rows]
    return max(waits, default=0)


def note_failure(connection: Connection, keys: Sequence[str], now_ms: int) -> None:
    """Count a failure on each key; rows that no longer matter are dropped on the way."""
    oldest = now_ms - int(limits.THROTTLE_FORGET_S * 1000)
    connection.execute(delete(throttle).where(throttle.c.last_ms < oldest))
    for key in keys:
        row = connection.execute(select(throttle).where(throttle.c.key == key)).first()
        state = Throttle() if row is None else Throttle(*row[1:])
        after = after_failure(state, now_ms)
        values = {
            "failures": after.failures,
            "last_ms": after.last_ms,
            "blocked_until_ms": after.blocked_until_ms,
        }
        if row is None:
            connection.execute(throttle.insert().values(key=key, **values))
        else:
            connection.execute(throttle.update().where(throttle.c.key == key).values(**values))
    _bound(connection)


def forget_failures(connection: Connection, name: str) -> None:
    """A success, or an admin's reset: the name starts from zero. The address keeps its count,
    or one own account would open the door to guessing the others'."""
    connection.execute(delete(throttle).where(throttle.c.key == throttle_keys(name, "")[0]))


def _bound(connection: Connection) -> None:
    surplus = (
        select(throttle.c.key).order_by(throttle.c.last_ms.desc()).offset(limits.THROTTLE_KEYS_MAX)
    )
    if connection.dialect.name == "sqlite":
        surplus = surplus.limit(-1)
    connection.execute(delete(throttle).where(throttle.c.key.in_(surplus.scalar_subquery())))


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
