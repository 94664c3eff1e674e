"""A damaged catalog made anew: from the register of names, and from the rows that can be read.

Numbers stay what they were, for tiles and the WAL go by them. What neither knows is lost: the series
that had it keep their samples under a name of ours (`vezha_lost_series`), so that nobody else gets
their numbers.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
import zstandard

from vezha.model.labels import INSTANCE, METRIC_NAME, Labels
from vezha.store import salvage
from vezha.store.beside import set_aside
from vezha.store.catalog import Catalog
from vezha.store.catalog_rows import CHECKPOINT, digest, is_checkpoint
from vezha.store.days import FLUSH
from vezha.store.delta import Delta
from vezha.store.errors import DAMAGE, StoreCorrupt
from vezha.store.limits import DAY_MS, NAMES_PER_RECORD, SERIES_PER_RECORD
from vezha.store.names import NamesLog, delta_record, tombstone_record
from vezha.store.partition import Partitions
from vezha.store.tile import decode
from vezha.wire.ranges import Ranges
from vezha.world import World

log = structlog.get_logger(__name__)
LOST = "vezha_lost_series"
_NUMBERS = ("flush", "segment", "opened", "began_ms", "filed")
_labels = msgspec.msgpack.Decoder(Labels).decode
_ranges = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode
_schema = msgspec.msgpack.Decoder(list[Labels]).decode


@dataclass(slots=True)
class Found:
    """What is known of a damaged catalog. Of series, the pair (column, host) of each number."""

    columns: dict[int, Labels] = field(default_factory=dict)
    hosts: dict[int, Labels] = field(default_factory=dict)
    series: dict[int, tuple[int, int]] = field(default_factory=dict)
    schemas: dict[int, list[Labels]] = field(default_factory=dict)
    layouts: dict[int, tuple[int, Labels, bytes]] = field(default_factory=dict)
    origins: dict[int, str] = field(default_factory=dict)
    tombstones: dict[tuple[int, int, bytes], None] = field(default_factory=dict)
    progress: dict[int, Ranges] = field(default_factory=dict)
    meta: dict[str, int] = field(default_factory=dict)

    def take(self, delta: Delta) -> None:
        """Learn what is not known yet."""
        for known, pairs in ((self.columns, delta.columns), (self.hosts, delta.hosts)):
            for number, labels in pairs:
                known.setdefault(number, labels)
        for first, columns, hosts in delta.series:
            pairs_of = zip(
                np.frombuffer(columns, np.int32).tolist(),
                np.frombuffer(hosts, np.int32).tolist(),
                strict=False,
            )
            for number, pair in enumerate(pairs_of, first):
                self.series.setdefault(number, pair)
        for schema_id, series in delta.schemas:
            self.schemas.setdefault(schema_id, series)
        for number, schema, host, refs in delta.layouts:
            self.layouts.setdefault(number, (schema, host, refs))
        for number, key in delta.origins:
            self.origins.setdefault(number, key)


def rebuild(path: str, world: World, names: NamesLog, why: Exception | str) -> int:
    """Make the catalog of the store in *path* anew, and the register with it; how many series have
    lost their names. The damaged file is kept beside it, as `catalog.db.damaged`."""
    noted = names.read()
    found = Found()
    for delta in noted.deltas:
        found.take(delta)
    for stone in noted.tombstones:
        found.tombstones[(stone.start_ms, stone.end_ms, stone.refs.tobytes())] = None
    if Path(path, "catalog.db").exists():
        with contextlib.suppress(OSError, sqlite3.Error):
            _salvage(f"{path}/catalog.db", found)
    partitions = Partitions(path, readonly=True)
    try:
        whole = bool(noted.deltas) and not noted.damaged
        highest, flush = _of_tiles(partitions, whole)
        found.meta["flush"] = max(found.meta.get("flush", 0), flush)
        days = [day for p in partitions.all() for day in p.days.days()]
    finally:
        partitions.close()
    if days:
        found.meta.setdefault("began_ms", min(days) * DAY_MS)
    lost = _fill(found, highest)
    set_aside(f"{path}/catalog.db")
    deltas = list(_deltas(found))
    records = [delta_record(delta) for delta in deltas]
    records += [tombstone_record(*stone) for stone in found.tombstones]
    _write(path, found, deltas, names.replace(records))
    log.error(
        "the catalog was damaged and is made anew",
        why=str(why), series=len(found.series), lost_names=lost,
    )  # fmt: skip
    return lost


def _salvage(path: str, found: Found) -> None:
    def make(empty: str) -> None:
        folder = Path(f"{empty}.folder")
        folder.mkdir(mode=0o700)
        Catalog(str(folder)).close()
        (folder / "catalog.db").replace(empty)

    bytes_on_disk = sum(p.stat().st_size for p in (Path(path), Path(f"{path}-wal")) if p.exists())

    def missing(table: str, known: dict[int, Any]) -> Iterator[int]:
        # each row has its bytes: a number far beyond them is no number
        highest = min(salvage.highest(copies, table), bytes_on_disk)
        return (n for n in range(highest + 1) if n not in known)

    with salvage.opened(path, make) as copies:
        keys = (*_NUMBERS, "sum:checkpoint", "sum:progress")
        told = dict(salvage.rows(copies, "meta", "key", "key, value", keys))
        if not is_checkpoint(told):
            told = {key: value for key, value in told.items() if key not in CHECKPOINT}
        for key in _NUMBERS:
            value = told.get(key)
            if isinstance(value, int) and value >= 0:
                found.meta[key] = value
        for table, known in (("label_column", found.columns), ("host", found.hosts)):
            wanted = missing(table, known)
            for number, labels in _read(copies, table, "id, labels", wanted):
                with contextlib.suppress(*DAMAGE):
                    known[number] = _labels(labels)
        for first, columns, hosts in salvage.scanned(copies, "series", "first_ref, columns, hosts"):
            with contextlib.suppress(*DAMAGE):
                if 0 <= first <= bytes_on_disk:
                    found.take(Delta(series=[(first, columns, hosts)]))
        for schema_id, series in salvage.scanned(copies, "schema", "id, series"):
            with contextlib.suppress(zstandard.ZstdError, *DAMAGE):
                if series[:4] == b"\x28\xb5\x2f\xfd":
                    series = zstandard.ZstdDecompressor().decompress(series)
                found.schemas.setdefault(schema_id & ((1 << 64) - 1), _schema(series))
        wanted = missing("layout", found.layouts)
        for number, schema, host, refs in _read(copies, "layout", "id, schema, host, refs", wanted):
            with contextlib.suppress(*DAMAGE):
                np.frombuffer(refs, np.int64)
                found.layouts[number] = (schema & ((1 << 64) - 1), _labels(host), refs)
        wanted = missing("origin", found.origins)
        for number, key in _read(copies, "origin", "id, key", wanted):
            if isinstance(key, str):
                found.origins[number] = key
        for start, end, refs in salvage.scanned(copies, "tombstone", "start_ms, end_ms, refs"):
            with contextlib.suppress(*DAMAGE):
                np.frombuffer(refs, np.int64)
                found.tombstones[(int(start), int(end), refs)] = None
        origins = range(max(found.origins, default=-1) + 1)
        total = 0
        for number, ranges in salvage.rows(copies, "progress", "origin", "origin, ranges", origins):
            with contextlib.suppress(*DAMAGE):
                found.progress[number] = Ranges(_ranges(ranges))
                total ^= digest((number, ranges))
        if total != told.get("sum:progress", total):
            # one that says too much would have frames dropped as known; without, they come twice,
            # which is harmless
            log.error("how far streams were stored is not known any more")
            found.progress.clear()


def _read(
    copies: list[sqlite3.Connection], table: str, columns: str, wanted: Iterator[int]
) -> Iterator[tuple[Any, ...]]:
    return salvage.rows(copies, table, "id", columns, wanted)


def _of_tiles(partitions: Partitions, names_are_whole: bool) -> tuple[int, int]:
    """(highest number of a series, highest flush) in tiles; the former only where names may be
    missing, for it means opening all of them."""
    highest, flush = -1, 0
    for partition in partitions.all():
        for day in partition.days.days():
            file = partition.days.file(day)
            if file is None:
                continue
            rows = file.directory()
            flush = max(flush, int(rows[:, FLUSH].max(initial=0)))
            for number in () if names_are_whole else rows[:, 0].tolist():
                blob = file.fetch([number]).get(number)
                with contextlib.suppress(StoreCorrupt):
                    if isinstance(blob, bytes):
                        highest = max(highest, int(decode(blob).refs.max(initial=-1)))
    return highest, flush


def _fill(found: Found, highest: int) -> int:
    """Put something in place of what is missing, and make every label set differ; how many series
    have lost their names."""
    columns = max(found.columns, default=-1) + 1
    hosts = max(found.hosts, default=-1) + 1
    lost_columns = _gaps(
        found.columns, columns, lambda n: ((METRIC_NAME, LOST), ("column", str(n)))
    )
    lost_hosts = _gaps(found.hosts, hosts, lambda n: ((INSTANCE, f"lost-{n}"),))
    for number in [
        n for n, (c, h) in found.series.items() if not (0 <= c < columns and 0 <= h < hosts)
    ]:
        del found.series[number]
    lost = sum(1 for c, h in found.series.values() if c in lost_columns or h in lost_hosts)
    highest = max(highest, max(found.series, default=-1))
    missing = [n for n in range(highest + 1) if n not in found.series]
    if missing:
        found.hosts[hosts] = ((INSTANCE, "lost"),)
        for place, number in enumerate(missing, columns):
            found.columns[place] = ((METRIC_NAME, LOST), ("series", str(number)))
            found.series[number] = (place, hosts)
    _gaps(found.origins, max(found.origins, default=-1) + 1, lambda n: f"lost/{n}")
    for number in range(max(found.layouts, default=-1) + 1):
        _, _, refs_bytes = found.layouts.get(number, (0, (), b""))
        refs = np.frombuffer(refs_bytes, np.int64)
        if not len(refs) or not 0 <= int(refs.min()) <= int(refs.max()) <= highest:
            found.layouts[number] = (0, ((INSTANCE, f"lost-{number}"),), b"")
    return lost + len(missing)


def _gaps(known: dict[int, Any], count: int, named: Callable[[int], Any]) -> set[int]:
    """Fill *known* up to *count*, and what is there twice the second time; which were filled."""
    seen: set[Any] = set()
    filled: set[int] = set()
    for number in range(count):
        if number not in known or known[number] in seen:
            known[number] = named(number)
            filled.add(number)
        seen.add(known[number])
    return filled


def _deltas(found: Found) -> Iterator[Delta]:
    """All of it, in pieces: of a register, damage costs a piece."""
    for name, known in (("columns", found.columns), ("hosts", found.hosts)):
        items = sorted(known.items())
        for at in range(0, len(items), NAMES_PER_RECORD):
            part = items[at : at + NAMES_PER_RECORD]
            yield Delta(columns=part) if name == "columns" else Delta(hosts=part)
    pairs = np.array([found.series[n] for n in range(len(found.series))], np.int32).reshape(-1, 2)
    for at in range(0, len(pairs), SERIES_PER_RECORD):
        piece = pairs[at : at + SERIES_PER_RECORD]
        yield Delta(series=[(at, piece[:, 0].tobytes(), piece[:, 1].tobytes())])
    yield Delta(schemas=sorted(found.schemas.items()), origins=sorted(found.origins.items()))
    layouts = [(n, *layout) for n, layout in sorted(found.layouts.items())]
    for at in range(0, len(layouts), NAMES_PER_RECORD):
        yield Delta(layouts=layouts[at : at + NAMES_PER_RECORD])


def _write(path: str, found: Found, deltas: list[Delta], names_bytes: int) -> None:
    catalog = Catalog(path)
    try:
        catalog.put_noted(deltas, names_bytes)
        for start, end, refs in found.tombstones:
            catalog.add_tombstone(start, end, np.frombuffer(refs, np.int64))
        for key, value in found.meta.items():
            catalog.set_meta(key, value)
        catalog.set_meta("head_folder", f"{path}/head")  # until the next writer names its own
        catalog.note_sums()
        catalog.set_meta("summed", 1)
        segment = found.meta.get("segment", 0)
        catalog.checkpoint(segment, found.meta["flush"], found.progress)
    finally:
        catalog.close()
