"""Looking a store over, and mending it.

`check` only reads and may run beside the writer; `repair` is the writer for a moment. What is
damaged is named and costs itself only: a tile, the end of a WAL segment, a day's file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vezha.store.catalog import Catalog, Known
from vezha.store.days import SAMPLES, DayFile, Days, day_name
from vezha.store.errors import StoreCorrupt, StoreInUse
from vezha.store.limits import SQL_VALUES_MAX
from vezha.store.rollup import PLANES, TIERS_MS
from vezha.store.store import lock_for_writing
from vezha.store.tile import Tile, decode
from vezha.store.wal import Wal, segment_name
from vezha.world import World


@dataclass(frozen=True, slots=True)
class Problem:
    """Something damaged: in which file, which part (a tile's number, or -1), and what it costs."""

    file: str
    part: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class DayStat:
    """One day on the disk."""

    day: str
    tiles: int
    samples: int
    tile_bytes: int
    disk_bytes: int


def check(path: str, world: World) -> Iterator[Problem]:
    """Everything that is wrong with the store in *path*, as it is found."""
    series = 0
    try:
        catalog = Catalog(path, readonly=True)
        known = Known()
        catalog.refresh(known)
        series = known.index.count
        catalog.close()
    except (sqlite3.Error, StoreCorrupt) as error:
        yield Problem("catalog.db", -1, "catalog", f"the catalog cannot be read: {error}")
    days = Days(f"{path}/days", readonly=True)
    try:
        for day in days.days():
            yield from _check_day(days.file(day), day, series)
    finally:
        days.close()
    wal = Wal(world.disk, f"{path}/wal")
    for number in wal.numbers():
        segment = wal.read(number)
        torn = segment.bytes_on_disk - segment.good_bytes
        if torn:
            text = f"{torn} bytes at the end are no whole record (a write was cut off)"
            yield Problem(f"wal/{segment_name(number)}", segment.good_bytes, "torn", text)


def _check_day(file: DayFile | None, day: int, series: int) -> Iterator[Problem]:
    name = f"days/{day_name(day)}"
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
        yield from _check_roll_ups(file, name, series)
    except sqlite3.DatabaseError as error:
        yield Problem(name, -1, "day", str(error))


def _check_roll_ups(file: DayFile, name: str, series: int) -> Iterator[Problem]:
    for tier in TIERS_MS:
        for plane in PLANES:
            for number, _, size in file.roll_ups(tier, plane).values():
                blob = file.fetch_roll_ups([number]).get(number)
                try:
                    if blob is None or len(blob) != size:
                        raise StoreCorrupt("the roll-up is damaged")
                    if size:
                        _check_values(blob, series)
                except StoreCorrupt as error:
                    still = {number for number, _, _ in file.roll_ups(tier, plane).values()}
                    if number in still:  # else the writer has just replaced it
                        yield Problem(name, number, "roll-up", str(error))


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
    """Remove what is damaged, so that nothing stumbles over it again; what was removed.

    A damaged tile or roll-up goes (roll-ups are made anew); a torn WAL segment is cut; a day's file that is no database is renamed to
    `….damaged`. Raises StoreInUse while another process writes to the store.
    """
    with contextlib.ExitStack() as stack:
        fd = lock_for_writing(path)
        stack.callback(os.close, fd)
        problems = list(check(path, world))
        days = Days(f"{path}/days", readonly=False)
        stack.callback(days.close)
        tiles: dict[str, list[int]] = {}
        roll_ups: dict[str, list[int]] = {}
        for problem in problems:
            target = Path(path, problem.file)
            if problem.kind == "tile":
                tiles.setdefault(problem.file, []).append(problem.part)
            elif problem.kind == "roll-up":
                roll_ups.setdefault(problem.file, []).append(problem.part)
            elif problem.kind == "torn":
                segment = world.disk.open_append(str(target))
                segment.truncate(problem.part)
                segment.sync()
                segment.close()
            elif problem.kind == "day" and target.exists():
                target.rename(f"{target}.damaged")
        for day in days.days():
            name = f"days/{day_name(day)}"
            file = days.file(day) if name in tiles or name in roll_ups else None
            if file is not None and name in tiles:
                file.remove(tiles[name])
            if file is not None and name in roll_ups:
                file.remove_roll_ups(roll_ups[name])
    return problems


def stat(path: str) -> list[DayStat]:
    """Days on the disk, oldest first. Only reads."""
    days = Days(f"{path}/days", readonly=True)
    try:
        sizes = days.bytes_on_disk()
        found = []
        for day in days.days():
            file = days.file(day)
            if file is None:
                found.append(DayStat(day_name(day)[:-3], 0, 0, 0, sizes.get(day, 0)))
                continue
            tiles, samples, size = file.stat()
            found.append(DayStat(day_name(day)[:-3], tiles, samples, size, sizes.get(day, 0)))
        return found
    finally:
        days.close()


__all__ = ["DayStat", "Problem", "StoreInUse", "check", "repair", "stat"]
