"""Opening the catalog for writing: whole, or made anew on the spot.

Nothing but the catalog says what the series of tiles are called, so it is looked at closely, and
where it is damaged the store does not begin without it: it is made anew from the register of names
(`rebuild`), loudly, and the start goes on.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import structlog

from vezha.model.labels import Labels
from vezha.store.catalog import Catalog, Known
from vezha.store.catalog_rows import CHECKPOINT, SUMMED, is_checkpoint
from vezha.store.errors import DAMAGE, StoreCorrupt, WrongFormat
from vezha.store.names import NamesLog, delta_record, tombstone_record
from vezha.store.rebuild import rebuild
from vezha.store.salvage import is_damage
from vezha.wire.ranges import Ranges
from vezha.world import World

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Opened:
    """A catalog and all that the writer knows from it. `lost_names`: series that lost theirs when
    it was made anew just now; negative where it was whole."""

    catalog: Catalog
    names: NamesLog
    known: Known
    schemas: dict[int, list[Labels]]
    origins: dict[str, int]
    progress: dict[int, Ranges]
    layouts: list[tuple[int, int, Labels]]
    lost_names: int = -1


def open_catalog(path: str, world: World) -> Opened:
    """The catalog of the store in *path*, made if absent, made anew if damaged. Raises WrongFormat."""
    names = NamesLog(world.disk, path)
    lost = -1
    if not Path(path, "catalog.db").exists() and names.size:
        lost = rebuild(path, world, names, "there is no catalog.db, but a register of names")
    else:
        try:
            return _loaded(path, names)
        except WrongFormat as error:
            if not names.read().deltas:
                raise
            lost = rebuild(path, world, names, error)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            lost = rebuild(path, world, names, error)
        except DAMAGE as error:
            lost = rebuild(path, world, names, error)
    opened = _loaded(path, names)
    opened.lost_names = lost
    return opened


def _loaded(path: str, names: NamesLog) -> Opened:
    catalog = Catalog(path, names=names)
    try:
        _catch_up(catalog, names)
        known, sums = Known(), {"label_column": 0, "host": 0}
        catalog.refresh(known, sums)
        sums |= catalog.sums(("series", "schema", "layout", "origin", "progress"))
        check_sums(catalog, sums)
        catalog.compact_series()
        origins = catalog.origins()
        layouts = catalog.layouts()
        if [n for n, _ in origins] != list(range(len(origins))):
            raise StoreCorrupt("streams are missing")
        if [n for n, _, _ in layouts] != list(range(len(layouts))):
            raise StoreCorrupt("layouts are missing")
        return Opened(
            catalog, names, known, catalog.schemas(), {key: n for n, key in origins},
            catalog.progress(), layouts,
        )  # fmt: skip
    except BaseException:
        catalog.close()
        names.close()
        raise


def _catch_up(catalog: Catalog, names: NamesLog) -> None:
    """Bring the catalog to where the register is: it is told first, and a journal of SQLite's that
    is damaged sets the catalog back. Where there is no register yet, or a short one, begin it."""
    if catalog.meta("summed") is None:
        catalog.note_sums()
        catalog.set_meta("summed", 1)
    noted = catalog.meta("names_bytes")
    size = names.size
    if noted is None or size < int(noted):
        _begin_register(catalog, names)
    elif size > int(noted):
        more = names.read(int(noted))
        known = {(start, end, refs) for start, end, refs in catalog.tombstones()}
        catalog.put_noted(more.deltas, size)
        for stone in more.tombstones:
            if (stone.start_ms, stone.end_ms, stone.refs.tobytes()) not in known:
                catalog.add_tombstone(stone.start_ms, stone.end_ms, stone.refs)


def _begin_register(catalog: Catalog, names: NamesLog) -> None:
    records = [delta_record(delta) for delta in catalog.everything()]
    records += [tombstone_record(*stone) for stone in catalog.tombstones()]
    catalog.set_meta("names_bytes", names.replace(records))


def write_register(path: str, world: World) -> None:
    """Write the register of a store anew from its catalog, which is whole."""
    catalog = Catalog(path)
    try:
        _begin_register(catalog, NamesLog(world.disk, path))
    finally:
        catalog.close()


def check_sums(catalog: Catalog, sums: dict[str, int]) -> None:
    """Raise StoreCorrupt where rows are not what was written: SQLite would not notice."""
    noted = catalog.noted_sums()
    for table, value in sums.items():
        told = noted.get(table, 0 if table in SUMMED else value)
        if told != value:
            raise StoreCorrupt(f"rows of the table {table} are not what was written")
    if not is_checkpoint({key: catalog.meta(key) for key in CHECKPOINT}):
        raise StoreCorrupt("the checkpoint is not what was written")
