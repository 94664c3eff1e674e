"""Where this server's queries read from: the own store, or it and a remote engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vezha.model.columns import SampleSource
from vezha.query.context import EngineOptions
from vezha.query.engine import Engine
from vezha.query.limits import QueryLimits
from vezha.query.remembered import Remembered
from vezha.server.settings import Settings
from vezha.store.joined import JoinedSource, Near
from vezha.store.reader import StoreReader
from vezha.store.remote import RemoteSource
from vezha.store.settings import StoreSettings
from vezha.world import World


@dataclass(frozen=True, slots=True)
class Reading:
    """What of the settings decides how queries are answered, for other processes too."""

    store: str
    samples_max: int
    bytes_max: int
    timeout_s: float
    lookback_s: float
    cache_bytes_max: int
    answers_bytes_max: int
    query_url: str = ""
    token: str = ""
    kept_s: float = 0.0

    @staticmethod
    def of(settings: Settings) -> Reading:
        """As the operator wrote it."""
        query, remote, retention = settings.query, settings.remote, settings.retention
        kept_s = [p.samples_s for p in retention.policies if p.samples_s >= 0]
        shortest_s = min([retention.samples_s, *kept_s])  # since then everything is here
        return Reading(
            str(settings.state.store), query.samples_max, query.bytes_max, query.timeout_s,
            query.lookback_s, query.cache_bytes_max, query.answers_bytes_max,
            remote.query_url, remote.token, remote.kept_s or shortest_s,
        )  # fmt: skip

    def message(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @property
    def limits(self) -> QueryLimits:
        """Of one query."""
        return QueryLimits(
            samples_max=self.samples_max, bytes_max=self.bytes_max, seconds_max=self.timeout_s
        )

    @property
    def options(self) -> EngineOptions:
        """Of the engine."""
        return EngineOptions(lookback_ms=int(self.lookback_s * 1000))

    def reader(self, cache_bytes_max: int | None = None) -> StoreReader:
        """A view of the store's files, with less memory for unpacked samples where that is said."""
        most = self.cache_bytes_max
        if cache_bytes_max is not None:
            most = min(most, cache_bytes_max)
        return StoreReader.open(self.store, StoreSettings(cache_bytes_max=most))

    def remembered(self, engine: Engine, source: SampleSource) -> Remembered | None:
        """Memory for the answers of *engine*; None where the operator wants none, or where a
        remote engine answers, too, which cannot tell what changed."""
        if not self.answers_bytes_max or not isinstance(source, StoreReader):
            return None
        return Remembered(engine, source, self.answers_bytes_max)

    def joined(self, near: Near, world: World) -> SampleSource:
        """*near*, with the remote engine behind it where one is set."""
        if not self.query_url:
            return near
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else None
        far = RemoteSource(self.query_url, headers, self.timeout_s)
        return JoinedSource(near, far, int(self.kept_s * 1000), world, self.query_url)
