"""The dead man's switch: a heartbeat to the outside while all is well, and a look at the peer.

The outside notices our silence; nothing here makes an incident of our own trouble, since who is
dead tells nobody. Of the peer's silence it does make one: an alert as if it came from elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import structlog
from sqlalchemy.exc import SQLAlchemyError

from vezha.alerting.book import RuleBook
from vezha.api.health import WELL_UNTIL
from vezha.incidents import external
from vezha.incidents.limits import EXTERNAL_RESOLVE_MS
from vezha.incidents.rows import write_cursor
from vezha.ledger import Ledger
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.labels import metric
from vezha.notify.http import make_client
from vezha.server.errors import SettingError
from vezha.server.limits import DEADMAN_FIRST_S, DEADMAN_INTERVAL_LEAST_S, PEER_MISSES_MAX
from vezha.server.settings import DeadmanSettings
from vezha.server.vitals import judge, read_signs
from vezha.world import World

SOURCE = "vezha"
_log = structlog.get_logger("deadman")


@dataclass(slots=True)
class Counters:
    """What became of heartbeats since the start."""

    sent: int = 0
    failures: int = 0
    withheld: int = 0


class Deadman:
    """Beats once per interval. `beat` does one round and never raises.

    Raises SettingError for an interval that is too short.
    """

    def __init__(
        self,
        settings: DeadmanSettings,
        ledger: Ledger,
        book: RuleBook,
        doors: Doors,
        receivers: Callable[[], Collection[str]],
        world: World,
    ) -> None:
        if settings.interval_s < DEADMAN_INTERVAL_LEAST_S:
            raise SettingError(f"deadman.interval_s must be {DEADMAN_INTERVAL_LEAST_S:g} s or more")
        self._settings = settings
        self._ledger = ledger
        self._book = book
        self._doors = doors
        self._receivers = receivers
        self._world = world
        self._began_ms = self._now_ms()
        self._holds_ms = int(PEER_MISSES_MAX * settings.interval_s * 1000)
        self._client: httpx.AsyncClient | None = None
        self._misses = 0
        self._missed_ms = 0
        self.counters = Counters()

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        try:
            # the other contours are starting, too
            await asyncio.sleep(min(DEADMAN_FIRST_S, self._settings.interval_s))
            while True:
                await self.beat()
                await asyncio.sleep(self._settings.interval_s)
        finally:
            if self._client is not None:
                await self._client.aclose()

    def _asking(self) -> httpx.AsyncClient:
        """Made when it is needed: where nobody is asked it would keep 2 MB of authorities."""
        if self._client is None:
            self._client = make_client()
        return self._client

    async def beat(self) -> list[str]:
        """One round; what is wrong with us."""
        if self._settings.peer_url:
            await self._watch_peer()
        problems = await self._problems()
        if problems:
            self.counters.withheld += 1
            _log.error("the heartbeat is withheld", why="; ".join(problems))
        elif self._settings.url and not await self._answers(self._settings.url):
            self.counters.failures += 1
        elif self._settings.url:
            self.counters.sent += 1
        return problems

    async def _problems(self) -> list[str]:
        now_ms = self._now_ms()
        try:
            problems = await asyncio.to_thread(self._judge, now_ms)
        except SQLAlchemyError as fault:
            problems = [f"the ledger is not reachable: {type(fault).__name__}"]
        try:
            await self._write(now_ms, healthy=not problems)
        except (NotNow, BadBody) as fault:
            problems.append(f"samples are not taken: {fault}")
        if not problems:
            try:
                await asyncio.to_thread(self._note_healthy, now_ms)
            except SQLAlchemyError as fault:
                problems = [f"the ledger cannot be written: {type(fault).__name__}"]
        return problems

    def _judge(self, now_ms: int) -> list[str]:
        has_rules = bool(self._book.loaded().groups)
        signs = read_signs(self._ledger, has_rules, self._receivers())
        return judge(signs, self._began_ms, now_ms)

    def _note_healthy(self, now_ms: int) -> None:
        with self._ledger.begin() as connection:
            write_cursor(connection, WELL_UNTIL, now_ms + self._holds_ms)

    async def _write(self, now_ms: int, *, healthy: bool) -> None:
        """Our own series; the feed answers when they are durable. Raises NotNow, BadBody."""
        values = {
            "vezha_deadman_healthy": float(healthy),
            "vezha_deadman_sent_total": self.counters.sent,
            "vezha_deadman_failures_total": self.counters.failures,
            "vezha_deadman_withheld_total": self.counters.withheld,
        }
        if self._settings.peer_url:
            values["vezha_deadman_peer_up"] = float(not self._misses)
        table = self._doors.table
        numbers = [
            table.number(metric(name, instance="vezha-server", job="vezha")) for name in values
        ]
        stamps = [now_ms] * len(numbers)
        await self._doors.feed.write(batch_of(numbers, stamps, list(values.values())))

    async def _answers(self, url: str) -> bool:
        try:
            answer = await self._asking().get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            _log.warning("no heartbeat", host=urlsplit(url).hostname, why=type(fault).__name__)
            return False
        if not answer.is_success:
            # never the address itself: such addresses are secrets
            _log.warning("no heartbeat", host=urlsplit(url).hostname, why=answer.status_code)
        return answer.is_success

    async def _watch_peer(self) -> None:
        here = await self._answers(self._settings.peer_url.rstrip("/") + "/healthz/flow")
        now_ms = self._now_ms()
        if here:
            self._misses = 0
        else:
            self._misses += 1
            self._missed_ms = now_ms if self._misses == 1 else self._missed_ms
        if here or self._misses >= PEER_MISSES_MAX:
            try:
                await asyncio.to_thread(self._tell_of_peer, here, now_ms)
            except SQLAlchemyError as fault:
                _log.error("the ledger is not reachable", error=str(fault))

    def _tell_of_peer(self, here: bool, now_ms: int) -> None:
        host = urlsplit(self._settings.peer_url).hostname or "peer"
        labels = {"alertname": "PeerSilent", "instance": host, "severity": "critical"}
        annotations = {
            "summary": f"The Vezha on {host} does not answer, or its data does not flow.",
            "summary_uk": f"Vezha на {host} не відповідає або її дані не рухаються.",
            "vezha_title": "the other Vezha is silent",
            "vezha_title_uk": "інша Vezha мовчить",
            "vezha_meaning": "Two servers watch each other; while one is down, nobody tells of what it watches.",
            "vezha_meaning_uk": "Два сервери стежать один за одним; поки один не працює, ніхто не повідомить про те, що він бачить.",
            "vezha_next": f"Look whether the server on {host} runs, then at its logs (state/logs).",
            "vezha_next_uk": f"Перевірте, чи працює сервер на {host}, потім його журнали (state/logs).",
        }
        starts_ms, ends_ms = self._missed_ms, now_ms + max(EXTERNAL_RESOLVE_MS, self._holds_ms)
        if here:
            starts_ms, ends_ms = now_ms, now_ms
        sent = external.check(labels, annotations, starts_ms, ends_ms, "", now_ms)
        with self._ledger.begin() as connection:
            external.take(connection, [sent], SOURCE, now_ms)

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)
