"""Named limits of the query room."""

from __future__ import annotations

from dataclasses import dataclass

QUERY_BYTES_MAX = 65_536
"""Longest query text."""

DEPTH_MAX = 64
"""Deepest nesting of parentheses, calls, unary operators and right-hand sides."""

OPERATORS_MAX = 1_024
"""Most binary operators in one query."""

TIME_MS_MAX = 2**53
"""Farthest time that a query may name, in milliseconds from the epoch, either way."""

PREPARED_CACHE_QUERIES = 1_024
"""Parsed queries that an engine keeps."""

LABEL_CACHE_SELECTIONS = 256
"""Selections whose label columns, with the groupings made of them, an engine keeps."""

LABEL_MEMO_ENTRIES = 64
"""Derived groupings and matchings kept for one label column."""

REGEX_CHARS_MAX = 4_096
"""Longest regular expression of a matcher."""

SHORT_WINDOW_SAMPLES = 2
"""Up to so many samples in each window they are taken one after the other, all windows at once;
three would be added up in another order than in a longer window."""
STEP_SAMPLES_MAX = 4
"""Up to so many samples for each step of each series are counted one by one instead of searched."""
WINDOW_CELLS_MAX = 4_000_000
"""Samples that order statistics unfold at once (8 bytes each, a few copies)."""
BATCH_CELLS = 8_192
"""Values printed at once: enough to be fast, few enough to stream."""
STAMPED_GRIDS = 8
STAMPED_STEPS_MAX = 2_000
"""Grids of at most so many steps of which the times are kept as JSON, 0.2 KB a step."""
METRIC_TEXT_ANSWERS = 16
"""Answers whose label sets are kept as JSON."""
METRIC_TEXT_SERIES = 50_000
"""Label sets in all of them: about 150 bytes each."""
REMEMBERED_PART_MAX = 8
"""Answers larger than one part in so many of the memory for answers are not remembered."""
SAMPLE_NS = 40
NEWEST_NS = 100
CELL_NS = 120
"""About what it takes to read a sample (one of many in a range; the newest of a step), and to print one,
in nanoseconds of processor time ..."""
MOVING_NS = 150_000
MOVING_ROW_NS = 3_000
"""... and to ask what changed and put an answer together, in all and for each of its rows."""
AGAIN_MAX = 0.4
"""Where a new step reads more than this part of the samples again, reading less is not counted: as
many tiles are opened."""
UNWORTHY_KEPT_MAX = 1_000
"""Queries known not to be worth remembering."""
CELL_TEXT_BYTES = 32
"""About what a sample takes as JSON; answers of which the text would be larger than such a part are
remembered without it."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one query may cost. Each is checked while the query runs."""

    samples_max: int = 50_000_000
    """Samples read from the source by all selectors together."""

    series_max: int = 500_000
    """Series of any one intermediate result."""

    steps_max: int = 11_000
    """Evaluation steps of a range query, as in Prometheus."""

    cells_max: int = 50_000_000
    """Series times steps of any one intermediate result (9 bytes each)."""

    bytes_max: int = 4_000_000_000
    """Memory of intermediate results, counted as they are made."""

    seconds_max: float = 120.0
    """Wall time."""
