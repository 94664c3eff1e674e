"""The catalog's file: schemas are packed, and those of older catalogs stay readable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from vezha.model.labels import Labels, labels_of
from vezha.store.catalog import Catalog
from vezha.store.delta import Delta
from vezha.store.errors import StoreCorrupt

SERIES: list[Labels] = [
    labels_of({"__name__": "node_cpu_seconds_total", "cpu": str(i), "mode": "idle"})
    for i in range(200)
]
HIGH = (1 << 63) + 7
"""An id whose first bit is set: SQLite keeps it as a negative number."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(str(tmp_path))


def blob(catalog: Catalog) -> bytes:
    with sqlite3.connect(catalog.path) as db:
        (found,) = db.execute("SELECT series FROM schema").fetchone()
    return bytes(found)


def test_a_schema_is_packed_and_read_again(catalog: Catalog, tmp_path: Path) -> None:
    catalog.put(Delta(schemas=[(HIGH, SERIES)]))
    assert Catalog(str(tmp_path), readonly=True).schemas() == {HIGH: SERIES}
    assert len(blob(catalog)) < len(msgspec.msgpack.encode(SERIES)) / 5


def test_a_schema_of_an_older_catalog_is_read(catalog: Catalog) -> None:
    plain = msgspec.msgpack.encode(SERIES)
    with sqlite3.connect(catalog.path) as db:
        db.execute("INSERT INTO schema VALUES (7, ?)", (plain,))
    assert catalog.schemas() == {7: SERIES}
    # an id that is there is not written again
    catalog.put(Delta(schemas=[(7, SERIES)]))
    assert blob(catalog) == plain


@pytest.mark.parametrize("cut", [3, 12, -1])
def test_a_damaged_schema_is_told(catalog: Catalog, cut: int) -> None:
    catalog.put(Delta(schemas=[(7, SERIES)]))
    damaged = blob(catalog)[:cut]
    with sqlite3.connect(catalog.path) as db:
        db.execute("UPDATE schema SET series = ?", (damaged,))
    with pytest.raises(StoreCorrupt, match="a schema in the catalog cannot be read"):
        catalog.schemas()
