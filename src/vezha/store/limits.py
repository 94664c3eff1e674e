"""Limits of the store, with their units."""

from __future__ import annotations

HOSTS_PER_TILE = 32
COLUMNS_PER_TILE = 4
"""Shape of a tile; see ADR 0002 for how it was measured."""
SERIES_PER_WIDE_TILE = 128
WIDE_TILES_PER_STRIP = 8
"""The same of series that brought their columns, see `index`; roll-ups of so many lie together."""
ALONE_SAMPLES_MAX = 65_536
"""Samples of a roster that become tiles together with those of its series that came alone."""
TILE_SPAN_MS = 3_600_000
"""No tile crosses a multiple of this, but those of sparse series: what merging aims at first."""
SPARSE_DAY_SAMPLES_MAX = 8_192
SPARSE_SPAN_MS_MIN = 6 * 3_600_000
"""A row of so few samples in a day, reaching so far, is one row for the day."""
SPARSE_CELL_SAMPLES_MAX = HOSTS_PER_TILE * COLUMNS_PER_TILE * SPARSE_DAY_SAMPLES_MAX
"""Most samples of a cell in a day that is over at which its hours are merged into the day."""
KEPT_CELLS_MAX = 16_384
"""Values of an opened tile that are kept unpacked, too, once it is used again."""
MARK_COLUMNS = 256
"""Columns of an opened tile from one to the next of which the numbers are kept, so that its end is
read without its beginning."""
MARKED_CELLS_MAX = 262_144
"""Numbers unpacked at once to find those."""
TILE_ROWS_MAX = 65_535
TILE_BYTES_MAX = 256 << 20
"""Most that a tile may unpack to; a larger one is taken for damaged."""
ROLL_UP_SPAN_MS_MIN = 6 * 3_600_000
"""Shorter selections read the samples themselves."""
HOST_BLOCKS_PER_STRIP = 8
"""Blocks of hosts whose roll-ups lie together: they are small, and opening each costs the same."""
ROLL_UP_GAIN_MIN = 3
"""A tier with less than so many samples per bucket is not made."""
DAY_MS = 86_400_000

FUTURE_MS_MAX = 600_000
"""Samples further ahead of our clock than this are refused: a clock is wrong."""

SLAB_BYTES = 4 << 20
"""Size of one piece of shared memory of the head; a block that needs more gets its own."""
SLAB_BYTES_FIRST = 2 << 20
"""Size of the first for rows, so that a small fleet takes little."""
SLAB_BYTES_MIN = 512 << 10
"""Size of the first for loose samples, and the least of any."""
SLAB_BLOCKS_MAX = 2_048
STRETCH_BYTES_MIN = 4 << 20
STRETCH_ROWS = 16
"""Rows of a generation are packed once they take so much, and are so many of each layout on average.
With more of them packing gains more, and takes more memory until it comes."""
FLUSH_BYTES = 2 << 20
"""Bytes of tiles that a flush stores at once."""
PACKED_CELLS = 65_536
"""Values that are packed at once."""
RELIST_MAX = 8
"""How often a reader looks again at the head's slabs when one went while it looked."""
BLOCK_ROWS_MIN = 4
BLOCK_BYTES_MIN = 2_048
"""Least that a block takes, so that narrow ones do not use up a slab's entries first."""
BLOCK_ROWS_FIRST = 32
BLOCK_ROWS_MAX = 1_024
SOURCE_SERIES_MIN = 8
"""New series of a source that come together before what they have in common is its host's."""
HOSTS_PER_SOURCE_MAX = 8
"""Sets of host's labels of one source, tried one by one for each new series."""
ROSTER_SERIES_MIN = 16
ROSTER_SERIES_MAX = 16_384
"""Series of a run that comes again and again outside of frames."""
ROSTER_ROWS_FIRST = 8
ROSTER_ROWS_MIN = 4
ROSTER_BLOCK_BYTES_MAX = 2 << 20
"""Most that a block of a roster takes, but for its fewest rows, so that slabs fill up."""
ROSTER_REFS_MAX = 8 << 20
"""Series of all runs that are remembered, 8 bytes each."""
ROSTER_LAYOUTS_KNOWN_MAX = 8_192
"""Rosters that a query remembers the positions of."""
LOOSE_ROWS_FIRST = 8_192
LOOSE_ROWS_MAX = 43_000
"""Rows (samples) of a block for samples that do not come in frames; four of the largest fill a slab."""

EXEMPLARS_MAX = 100_000
"""Exemplars that are kept, the newest ones."""
EXEMPLARS_SPARE = 5_000
"""How many more there may be before the oldest are looked for."""
EXEMPLAR_SERIES_MAX = 50_000
"""Series with exemplars."""
METADATA_METRICS_MAX = 50_000
"""Metrics that metadata are kept of."""
METADATA_PER_METRIC_MAX = 4
"""Different metadata of one metric, where sources do not agree; the newest stay."""
METADATA_HELP_CHARS_MAX = 1_024
METADATA_UNIT_CHARS_MAX = 64

LOST_RECORDS_TOLD_MAX = 100
"""Entries of a damaged WAL that the log names."""
REFUSED_SOURCES_TOLD_MAX = 1_000
"""Sources over their limit that the log names."""
DAMAGE_NOTES_MAX = 10_000
"""Damaged tiles that are remembered; a disk that rots shall not fill a folder."""

POLICIES_MAX = 100
"""Retention policies of one store; each is a folder of files of its own."""

WAL_RECORD_BYTES_MAX = 1 << 30
NAMES_RECORD_BYTES_MAX = 1 << 30
NAMES_PER_RECORD = 4_096
"""Label sets, or layouts, of one record of a register of names that is written anew."""
SERIES_PER_RECORD = 262_144
"""Series of one, 8 bytes each."""
MERGE_PASS_S = 0.5
"""How long a pass of merging lasts before others get their turn."""
VACUUM_PAGES = 4_096
"""Pages given back to the file system after a pass of merging."""

FROZEN_HEADS_MAX = 4
"""Heads that wait to be written as tiles before the current one grows instead."""

MATCH_CACHE_ENTRIES = 512
PLAN_CACHE_ENTRIES = 256
PLAN_DAYS_KNOWN_MAX = 8
PLAN_TILES_KNOWN_MAX = 256
"""Days of which each of these knows its tiles, if they are so few."""
PLAN_SLABS_KNOWN_MAX = 12
PLAN_RUNS_KNOWN_MAX = 256
"""Packed slabs of which each knows its runs, if they are so few."""
PLAN_TILES_LISTED_MAX = 64
"""So few tiles are looked through one by one: cheaper than by columns."""
IMPORT_SAMPLES = 5_000_000
"""Samples of an import between two flushes."""
THIN_STEP_MS_MIN = 5_000
"""Shorter steps are not worth looking for samples to leave out."""
THIN_CELLS_MIN = 512
"""Nor are tiles with so few wanted values."""
SHEET_SAMPLES_MAX = 1 << 20
"""Samples of such tiles that are put side by side at a time."""
REGEX_CACHE_ENTRIES = 1_024
REGEX_CHARS_MAX = 10_000
SQL_VALUES_MAX = 500
"""Numbers in one SQL list."""
REMOTE_REST_S = 5.0
"""How long a remote engine that did not answer is not asked again."""
REMOTE_CONNECT_S = 2.0
"""How long a connection to it may take."""
REMOTE_EXEMPLARS_BACK_S = 300.0
"""An exemplar that arrives later than this after newer ones does not go to a remote engine."""
REMOTE_EXEMPLARS_MAX = 2_000
"""Exemplars in one request."""
REMOTE_METADATA_MAX = 2_000
"""Metrics whose metadata are in one request."""
REMOTE_METADATA_S = 300.0
"""How often all metadata are sent: Mimir, for one, forgets them after ten minutes."""
