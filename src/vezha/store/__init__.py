"""The embedded store: a WAL, a head in memory, compressed tiles in SQLite, an index of labels.

Owns every sample and nothing else. In come the frames of agents (whole, as columns) and columnar
samples of any age; out go `SampleSource` selections, to this process (`Store`) and to any other
(`StoreReader`). What was committed is there after a restart; a sample is stored once, and the
first value of a (series, time) wins. Refused, and counted: times far in the future, times older
than the retention, more series than the named limits allow.

One process opens the `Store` for writing. The way of a sample: `head` (readable at once) and
`wal` (durable at the next commit), then `flush` writes the head as `tile`s into the file of its
day (`days`), then `merge` joins small tiles to long ones, at last the day file is deleted.
"""

from vezha.store.cardinality import Cardinality, SourceSeries
from vezha.store.errors import (
    StoreCorrupt,
    StoreInUse,
    StoreUnwritable,
    TooManySeries,
    UnknownSchema,
)
from vezha.store.head import Layout
from vezha.store.reader import StoreReader
from vezha.store.settings import StoreSettings
from vezha.store.store import Batch, Store

__all__ = [
    "Batch",
    "Cardinality",
    "Layout",
    "SourceSeries",
    "Store",
    "StoreCorrupt",
    "StoreInUse",
    "StoreReader",
    "StoreSettings",
    "StoreUnwritable",
    "TooManySeries",
    "UnknownSchema",
]
