"""`StoreReader`: the store of another process, read-only, as fresh as its head."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from vezha.model.columns import Matcher, Selection, SeriesData
from vezha.model.labels import Labels
from vezha.store.cardinality import Cardinality, cardinality
from vezha.store.catalog import Catalog, Known
from vezha.store.damage import Damage
from vezha.store.errors import DAMAGE, StoreCorrupt
from vezha.store.head import HeadSet
from vezha.store.mark import Mark, Watch
from vezha.store.partition import Partitions
from vezha.store.reading import Reading
from vezha.store.salvage import is_damage
from vezha.store.settings import StoreSettings

log = structlog.get_logger(__name__)


class StoreReader:
    """A `SampleSource` over a store that some other process may be writing to.

    Takes no locks that the writer would wait for. May be opened before the store exists; it is
    empty then.
    """

    def __init__(self, path: str, settings: StoreSettings) -> None:
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._known = Known()
        self._catalog: Catalog | None = None
        self._began_ms: int | None = None
        self._told_damage = False
        self._head: HeadSet | None = None
        self._partitions = Partitions(path, readonly=True)
        self._damage = Damage(path)
        self._reading = Reading(
            self._known.index,
            self._known.layout_refs,
            lambda: [] if self._head is None else self._head.slabs(),
            self._partitions,
            settings,
            self._known.tombstones,
            self._damage,
        )
        self._watch = Watch(
            lambda: [] if self._head is None else self._head.slabs(),
            self._partitions,
            self._known,
        )

    @staticmethod
    def open(path: str, settings: StoreSettings | None = None) -> StoreReader:
        """Read the store in folder *path*. Of the settings, `cache_bytes_max` and
        `thin_to_steps` count."""
        return StoreReader(path, settings or StoreSettings())

    def _refresh(self) -> bool:
        with self._lock:
            try:
                return self._caught_up()
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                why = str(error)
            except DAMAGE as error:
                why = str(error)
            if self._known.index.count:
                # what is known already is not wrong for that; new series are not seen
                if not self._told_damage:
                    self._told_damage = True
                    log.error("the catalog is damaged; new series are not seen", why=why)
                return True
            raise StoreCorrupt(
                f"the catalog of {self._path}, which names all series, is damaged ({why}): "
                "`vezha store repair` makes it anew, and so does the server when it starts"
            )

    def _caught_up(self) -> bool:
        if self._catalog is not None and self._catalog.is_replaced():
            # the writer made a damaged one anew; the numbers in it are the same
            self._catalog.close()
            self._catalog, self._told_damage = None, False
        if self._catalog is None:
            if not Path(self._path, "catalog.db").exists():
                return False
            try:
                catalog = Catalog(self._path, readonly=True)
            except sqlite3.OperationalError as error:
                if is_damage(error) and not str(error).startswith("no such table"):
                    raise
                return False  # the writer is just making it
            folder = catalog.meta("head_folder")
            if folder is None:
                catalog.close()
                return False
            self._head = HeadSet((str(folder), f"{self._path}/head"))
            self._catalog = catalog
            began = catalog.meta("began_ms")
            self._began_ms = None if began is None else int(began)
        self._catalog.refresh(self._known)
        return True

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        return self._reading.select(selection) if self._refresh() else SeriesData.empty()

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`."""
        if not self._refresh():
            return []
        return self._reading.series(matchers, start_ms, end_ms, limit)

    def has_label(self, name: str) -> bool:
        """Whether any series had a label of that name, as of what was read last."""
        return self._known.index.has_label(name)

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See `SampleSource.label_names`."""
        if not self._refresh():
            return []
        return self._reading.label_names(matchers, start_ms, end_ms)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """See `SampleSource.label_values`."""
        if not self._refresh():
            return []
        return self._reading.label_values(name, matchers, start_ms, end_ms)

    def mark(self, start_ms: int, end_ms: int) -> Mark | None:
        """What there is of (start, end] now; None where there is no store yet."""
        return self._watch.mark(start_ms, end_ms) if self._refresh() else None

    def since(self, mark: Mark, start_ms: int, end_ms: int) -> tuple[Mark, int | None]:
        """A mark of (start, end] now; and from what time on samples of *mark*'s span may have
        changed since it was made, None: none has."""
        self._refresh()
        return self._watch.since(mark, start_ms, end_ms)

    def still(self, mark: Mark) -> bool:
        """Whether surely nothing of *mark*'s span changed; waits for nobody."""
        if self._catalog is None or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._catalog is None or not self._catalog.is_unchanged():
                return False
        finally:
            self._lock.release()
        return self._watch.still(mark)

    def cardinality(self, count: int) -> Cardinality:
        """The sources, metrics and labels with the most series, *count* of each."""
        self._refresh()
        return cardinality(self._known.index, count)

    def began_ms(self) -> int | None:
        """When the store was opened for the first time; None where there is none."""
        self._refresh()
        return self._began_ms

    def stats(self) -> dict[str, float]:
        """What the reader holds."""
        cache = self._reading.cache
        return {
            "series": float(self._known.index.count),
            "cache_bytes": float(cache.bytes_used),
            "cache_hits": float(cache.hits),
            "cache_misses": float(cache.misses),
            "corrupt_tiles": float(self._damage.count()),
        }

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            self._partitions.close()
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None
