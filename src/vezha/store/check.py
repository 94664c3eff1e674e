"""Looking a store over, and mending it.

`check` only reads and may run beside the writer; `repair` is the writer for a moment. What is
damaged is named and costs itself only: a tile, a record of the WAL, what cannot be read of a day.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from vezha.store.beside import BESIDE, complaint_of, set_aside
from vezha.store.catalog import Catalog, Known
from vezha.store.damage import Damage
from vezha.store.days import SAMPLES, DayFile, day_name, day_number
from vezha.store.errors import DAMAGE, StoreCorrupt, StoreInUse
from vezha.store.limits import SQL_VALUES_MAX
from vezha.store.mend import mend_day
from vezha.store.names import FILE, NamesLog
from vezha.store.opening import write_register
from vezha.store.partition import Partition, Partitions
from vezha.store.rebuild import rebuild
from vezha.store.rolled import ID, SIZE
from vezha.store.rollup import TIERS_MS
from vezha.store.store import lock_for_writing
from vezha.store.tile import Tile, decode
from vezha.store.wal import Wal, pack_payload, read_records, segment_name
from vezha.world import World

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something damaged: in which file, which part (a tile's number, or -1), and what it costs."""

    file: str
    part: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class DayStat:
    """One day on the disk; `disk_bytes` of the samples."""

    day: str
    tiles: int
    samples: int
    tile_bytes: int
    disk_bytes: int
    rolled_bytes: dict[str, int]
    """Bytes of roll-ups by the length of their buckets (`10s`, `60s`, `3600s`)."""
    policy: str = ""
    """The retention policy under which it is kept; empty: the general one."""
    damaged: bool = False
    """Whether its file cannot be read; how many samples there are is not known then."""


def check(path: str, world: World) -> Iterator[Problem]:
    """Everything that is wrong with the store in *path*, as it is found."""
    known, problems = _look_at_names(path, world)
    yield from problems
    series = known.index.count
    partitions = Partitions(path, readonly=True)
    try:
        for partition in partitions.all():
            for day in partition.days.days():
                name = f"{partition.prefix}days/{day_name(day)}"
                yield from _check_day(partition.days.file(day), name, series)
            yield from _check_set_aside(path, partition)
            yield from _check_roll_ups(partition, series)
    finally:
        partitions.close()
    wal = Wal(world.disk, f"{path}/wal")
    for number in wal.numbers():
        segment = wal.read(number)
        for start, end in segment.damaged:
            text = f"{end - start} bytes are no whole record"
            yield Problem(f"wal/{segment_name(number)}", start, "wal", text)
        torn = segment.bytes_on_disk - segment.good_bytes
        if torn:
            text = f"{torn} bytes at the end are no whole record (a write was cut off)"
            yield Problem(f"wal/{segment_name(number)}", segment.good_bytes, "torn", text)
    for name in BESIDE:
        text = complaint_of(f"{path}/{name}")
        if text:
            yield Problem(name, -1, "beside", text)


def _look_at_names(path: str, world: World) -> tuple[Known, list[Problem]]:
    """What the catalog knows, as far as it can be read; what is wrong with it and its register."""
    known, problems = Known(), []
    noted: int | None = None
    try:
        catalog = Catalog(path, readonly=True)
        try:
            catalog.refresh(known)
            problems += [Problem("catalog.db", -1, "catalog", c) for c in catalog.complaints()]
            names_bytes = catalog.meta("names_bytes")
            noted = None if names_bytes is None else int(names_bytes)
        finally:
            catalog.close()
    except (sqlite3.Error, *DAMAGE) as error:
        known = Known()
        text = f"the catalog, which names all series, cannot be read: {error}"
        problems.append(Problem("catalog.db", -1, "catalog", text))
    for start, end in NamesLog(world.disk, path).read().damaged:
        if noted is None or start < noted:  # else a record that is just being written
            text = f"{end - start} bytes of the register of names are no whole record"
            problems.append(Problem(FILE, start, "names", text))
    return known, problems


def _check_set_aside(path: str, partition: Partition) -> Iterator[Problem]:
    for file in sorted(Path(path, f"{partition.prefix}days").glob("*.db.damaged")):
        text = "was set aside as damaged: what can be read is not taken out yet"
        yield Problem(f"{partition.prefix}days/{file.name}", -1, "set aside", text)


def _check_day(file: DayFile | None, name: str, series: int) -> Iterator[Problem]:
    if file is None:
        yield Problem(name, -1, "day", "the file is no database")
        return
    complaints = file.integrity()
    for text in complaints:
        yield Problem(name, -1, "database", text)
    try:
        directory = file.directory()
        ids = directory[:, 0].tolist()
        samples = dict(zip(ids, directory[:, SAMPLES].tolist(), strict=True))
        for at in range(0, len(ids), SQL_VALUES_MAX):
            part = ids[at : at + SQL_VALUES_MAX]
            blobs = file.fetch(part)
            for number in part:
                try:
                    found = blobs[number]
                    if isinstance(found, StoreCorrupt):
                        raise found
                    _check_tile(found, samples[number], series)
                except KeyError:
                    yield Problem(name, number, "tile", "the tile has no data")
                except StoreCorrupt as error:
                    yield Problem(name, number, "tile", str(error))
    except sqlite3.DatabaseError as error:
        yield Problem(name, -1, "day", str(error))


def _check_roll_ups(partition: Partition, series: int) -> Iterator[Problem]:
    rolled = partition.rolled
    for tier in TIERS_MS:
        for day in rolled.days(tier):
            name = _rolled_name(partition, tier, day)
            file = rolled.file(tier, day)
            if file is None:
                yield Problem(name, -1, "roll-ups", "the file is no database")
                continue
            for text in file.integrity():
                yield Problem(name, -1, "roll-ups", text)
            for number, size in file.directory()[:, [ID, SIZE]].tolist():
                blob = file.fetch([number]).get(number)
                try:
                    if blob is None or len(blob) != size:
                        raise StoreCorrupt("the roll-up is damaged")
                    if size:
                        _check_values(blob, series)
                except StoreCorrupt as error:
                    # else the writer has just replaced it
                    if number in file.directory()[:, ID]:
                        yield Problem(name, number, "roll-up", str(error))


def _rolled_name(partition: Partition, tier_ms: int, day: int) -> str:
    return f"{partition.prefix}rolled/{tier_ms // 1000}s/{day_name(day)}"


def _check_tile(blob: bytes, samples: int, series: int) -> None:
    tile = _check_values(blob, series)
    lengths = np.array([len(t) for t in tile.times])
    if int(lengths[tile.groups].sum()) != samples:
        raise StoreCorrupt(f"the tile should have {samples} samples")


def _check_values(blob: bytes, series: int) -> Tile:
    tile = decode(blob)
    tile.values(np.arange(len(tile.refs)))
    if series and int(tile.refs.max()) >= series:
        raise StoreCorrupt("the tile has series that the catalog does not know")
    return tile


def repair(path: str, world: World) -> list[Problem]:
    """Mend what is damaged, and remove what cannot be; what it was.

    A catalog is made anew from its register, a register from its catalog (`rebuild`); a day's file
    from the tiles in it that can be read (`mend`). A damaged tile or roll-up goes (roll-ups are made
    anew); WAL segments lose what is no record. Raises StoreInUse while another process writes to the
    store.
    """
    with contextlib.ExitStack() as stack:
        fd = lock_for_writing(path)
        stack.callback(os.close, fd)
        problems = list(check(path, world))
        kinds = {problem.kind for problem in problems}
        if "catalog" in kinds:
            rebuild(path, world, NamesLog(world.disk, path), "it is to be repaired")
        elif "names" in kinds:
            write_register(path, world)
        known, _ = _look_at_names(path, world)
        partitions = Partitions(path, readonly=False)
        stack.callback(partitions.close)
        tiles: dict[str, list[int]] = {}
        roll_ups: dict[str, list[int]] = {}
        for problem in problems:
            target = Path(path, problem.file)
            if problem.kind == "tile":
                tiles.setdefault(problem.file, []).append(problem.part)
            elif problem.kind == "roll-up":
                roll_ups.setdefault(problem.file, []).append(problem.part)
            elif problem.kind in ("torn", "wal"):
                data = world.disk.read(str(target))
                records = map(pack_payload, read_records(data).payloads)
                world.disk.write_whole(str(target), b"".join(records))
            elif problem.kind == "beside":
                set_aside(str(target))
            elif problem.kind == "roll-ups":
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{target}{suffix}").unlink(missing_ok=True)
        partitions.close()
        for name in _mend_days(path, problems, known):
            tiles.pop(name, None)  # what was damaged in it is gone, and its tiles have new numbers
        for partition in partitions.all():
            for day in partition.days.days():
                name = f"{partition.prefix}days/{day_name(day)}"
                file = partition.days.file(day) if name in tiles else None
                if file is not None:
                    file.remove(tiles[name])
            for tier in TIERS_MS:
                for day in partition.rolled.days(tier):
                    numbers = roll_ups.get(_rolled_name(partition, tier, day))
                    made = partition.rolled.file(tier, day) if numbers else None
                    if made is not None and numbers:
                        made.remove(numbers)
        Damage(path).forget_gone(partitions)
    return problems


def _mend_days(path: str, problems: list[Problem], known: Known) -> set[str]:
    """Make damaged days anew, from the files in place and from those set aside; which."""
    files = {p.file for p in problems if p.kind in ("day", "database", "set aside")}
    for name in sorted(files):
        target = Path(path, name)
        day = day_number(target.name.removesuffix(".damaged"))
        if day is not None and target.exists():
            kept, lost = mend_day(str(target.parent), target.name, day, known.index.cell_of)
            log.warning("a day of samples was made anew", file=name, tiles=kept, lost=lost)
    return files


def stat(path: str) -> list[DayStat]:
    """Days on the disk, oldest first, those of each policy. Only reads."""
    partitions = Partitions(path, readonly=True)
    try:
        found = [day for partition in partitions.all() for day in _stat(partition)]
        return sorted(found, key=lambda one: (one.day, one.policy))
    finally:
        partitions.close()


def _stat(partition: Partition) -> Iterator[DayStat]:
    days = partition.days
    sizes, roll_ups = days.bytes_on_disk(), partition.rolled.bytes_on_disk()
    for day in sorted({*sizes, *(d for _, d in roll_ups)}):
        rolled_bytes = {f"{t // 1000}s": size for (t, d), size in roll_ups.items() if d == day}
        file = days.file(day) if day in sizes else None
        tiles, samples, size = (0, 0, 0)
        damaged = day in sizes and file is None
        try:
            if file is not None:
                tiles, samples, size = file.stat()
        except sqlite3.DatabaseError:
            damaged = True
        name = day_name(day)[:-3]
        yield DayStat(
            name, tiles, samples, size, sizes.get(day, 0), rolled_bytes, partition.name, damaged
        )  # fmt: skip


__all__ = ["DayStat", "Problem", "StoreInUse", "check", "repair", "stat"]
