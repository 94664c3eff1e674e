"""Series by number: label sets that were seen, each under a small number that never changes."""

from __future__ import annotations

from collections.abc import Sequence

from vezha.legacy.errors import BadBody
from vezha.legacy.limits import LABEL_CHARS_MAX, LABELS_PER_SERIES_MAX, SERIES_KNOWN_MAX
from vezha.model.labels import METRIC_NAME, Labels


class SeriesTable:
    """Numbers of label sets. `generation` grows when the memory is begun anew; numbers of an
    older generation mean nothing then, so caches that hold them must go too."""

    def __init__(self, series_max: int = SERIES_KNOWN_MAX) -> None:
        self.generation = 0
        self._max = series_max
        self._numbers: dict[Labels, int] = {}
        self._series: list[Labels] = []
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def number(self, labels: Labels) -> int:
        """The number of a label set, a new one if need be. Raises BadBody if it is malformed."""
        found = self._numbers.get(labels)
        if found is not None:
            return found
        check_series(labels)
        number = len(self._series)
        # series are many, their labels are few: each pair is kept once
        pairs = self._pairs
        labels = tuple(pairs.setdefault(pair, pair) for pair in labels)
        self._numbers[labels] = number
        self._series.append(labels)
        return number

    def labels(self, number: int) -> Labels:
        """The label set of a number."""
        return self._series[number]

    def make_room(self) -> bool:
        """Begin anew if the table is full; between requests only. True if it did."""
        if len(self._series) < self._max:
            return False
        self.generation += 1
        self._numbers.clear()
        self._series.clear()
        self._pairs.clear()
        return True

    def __len__(self) -> int:
        return len(self._series)


def check_series(labels: Labels) -> None:
    """Raises BadBody unless *labels* is a sorted label set with a metric's name, within limits."""
    if len(labels) > LABELS_PER_SERIES_MAX:
        raise BadBody(f"a series has {len(labels)} labels, over {LABELS_PER_SERIES_MAX}")
    before = ""
    named = False
    for name, value in labels:
        if name <= before:
            raise BadBody("labels are not sorted by name, or a name is empty or stands twice")
        if len(name) > LABEL_CHARS_MAX or len(value) > LABEL_CHARS_MAX:
            raise BadBody(f"a label is over {LABEL_CHARS_MAX} characters")
        named = named or name == METRIC_NAME
        before = name
    if not named:
        raise BadBody("a series has no name")


def sorted_labels(pairs: Sequence[tuple[str, str]]) -> Labels:
    """A label set of *pairs* in any order, empty values left out. Raises BadBody if a name
    stands twice."""
    kept = sorted((n, v) for n, v in pairs if v)
    if len({n for n, _ in kept}) != len(kept):
        raise BadBody("a label stands twice")
    return tuple(kept)
