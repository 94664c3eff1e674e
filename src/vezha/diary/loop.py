"""`Diarist`: keeps the page of this week fresh, finishes last week's on Monday, and tells of it.

A reconciler: each step looks at the clock and at the rows. A server that was down on Monday
finishes the page when it is back; a page is told of once, in the transaction that claims it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, select

from vezha.alerting.ask import Ask
from vezha.diary.facts import WeekFacts
from vezha.diary.gather import gather
from vezha.diary.limits import FRESH_LEAST_MS, FRESH_MS, MAKE_AFTER_MS, TELL_WITHIN_MS
from vezha.diary.page import claim_telling, read_page, write_page
from vezha.diary.week import Week, week_at, week_before
from vezha.ledger import Ledger
from vezha.ledger.tables import change, incident
from vezha.world import World

Tell = Callable[[Connection, WeekFacts], None]
"""Hands a finished page to those who get it by message, within the caller's transaction."""


class Diarist:
    """The diary of one ledger. `step` blocks on the ledger and on *ask*."""

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        ask: Ask | None,
        time_zone: str = "UTC",
        tell: Tell | None = None,
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._ask = ask
        self._time_zone = time_zone
        self._tell = tell

    def step(self) -> list[str]:
        """Bring the pages up to date; the weeks that were written."""
        now_ms = int(self._world.clock.now() * 1000)
        this = week_at(now_ms, self._time_zone)
        last = week_before(this, self._time_zone)
        written = []
        if self._is_stale(this, now_ms):
            self._make(this, now_ms)
            written.append(this.name)
        if now_ms >= last.end_ms + MAKE_AFTER_MS:
            if self._is_unfinished(last):
                self._make(last, now_ms)
                written.append(last.name)
            self._tell_of(last, now_ms)
        return written

    def _make(self, week: Week, now_ms: int) -> None:
        with self._ledger.read() as connection:
            facts = gather(connection, self._ask, week, now_ms, self._time_zone)
        with self._ledger.begin() as connection:
            write_page(connection, facts)

    def _is_stale(self, week: Week, now_ms: int) -> bool:
        with self._ledger.read() as connection:
            facts = read_page(connection, week.name)
            if facts is None or facts.made_ms > now_ms:
                return True
            age_ms = now_ms - facts.made_ms
            return age_ms >= FRESH_MS or (
                age_ms >= FRESH_LEAST_MS and _newest_ms(connection) > facts.made_ms
            )

    def _is_unfinished(self, week: Week) -> bool:
        """Whether a week that is over has no final page, though something is known of it."""
        with self._ledger.read() as connection:
            facts = read_page(connection, week.name)
            if facts is not None:
                return not facts.is_over
            return _anything_before(connection, week.end_ms)

    def _tell_of(self, week: Week, now_ms: int) -> None:
        if self._tell is None or now_ms - week.end_ms > TELL_WITHIN_MS:
            return
        with self._ledger.begin() as connection:
            facts = read_page(connection, week.name)
            if facts is not None and facts.is_over and claim_telling(connection, week.name):
                self._tell(connection, facts)


def _newest_ms(connection: Connection) -> int:
    """When something last happened that the page would tell."""
    columns = (incident.c.updated_ms, change.c.updated_ms)
    return max(connection.execute(select(func.max(one))).scalar() or 0 for one in columns)


def _anything_before(connection: Connection, end_ms: int) -> bool:
    """Whether this server was there before that instant: a fresh one has no last week."""
    for column in (incident.c.detected_ms, change.c.created_ms):
        if connection.execute(select(column).where(column < end_ms).limit(1)).first():
            return True
    return False
