"""Series by number: label sets that were seen, each under a small number that never changes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vezha.legacy.errors import BadBody
from vezha.legacy.limits import (
    LABEL_CHARS_MAX,
    LABELS_PER_SERIES_MAX,
    SERIES_FORGOTTEN_MIN,
    SERIES_KNOWN_MAX,
    SERIES_WINDOW_S,
)
from vezha.legacy.numbers import NumbersByHash
from vezha.model.labels import METRIC_NAME, Labels

Numbers = npt.NDArray[np.uint32]


class SeriesTable:
    """Numbers of label sets. `generation` grows when the memory is begun anew; numbers of an
    older generation mean nothing then, so caches that hold them must go too.

    Series are many, their labels are few: each pair is kept once, and a series is the numbers of
    its pairs, 4 bytes each, one series after the other. Where pods come and go, most series are
    dead after a while: so what was sent is noted, and now and then the memory is begun anew.
    """

    def __init__(self, series_max: int = SERIES_KNOWN_MAX) -> None:
        self.generation = 0
        self._max = series_max
        self.window = 0
        """Counts the windows in which it is noted what was sent."""
        self._window_ends_s: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._pair_numbers: dict[tuple[str, str], int] = {}
        self._pairs: list[tuple[str, str]] = []
        self._of_series = array("I")
        self._starts = array("Q", [0])
        self._sent: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._by_hash = NumbersByHash()
        self._twins: dict[Labels, int] = {}
        """Series whose hash another one has."""

    def number(self, labels: Labels) -> int:
        """The number of a label set, a new one if need be. Raises BadBody if it is malformed."""
        key = hash(labels)
        found = self._by_hash.get(key)
        if found >= 0:
            if self.labels(found) == labels:
                return found
            twin = self._twins.get(labels)
            if twin is not None:
                return twin
        check_series(labels)
        number = len(self)
        places, pairs, of_series = self._pair_numbers, self._pairs, self._of_series
        for pair in labels:
            place = places.setdefault(pair, len(pairs))
            if place == len(pairs):
                pairs.append(pair)
            of_series.append(place)
        self._starts.append(len(self._of_series))
        if found < 0:
            self._by_hash.put(key, number)
        else:
            self._twins[labels] = number
        return number

    def labels(self, number: int) -> Labels:
        """The label set of a number."""
        places = self._of_series[self._starts[number] : self._starts[number + 1]]
        return tuple(map(self._pairs.__getitem__, places))

    def note_sent(self, numbers: Numbers) -> None:
        """Samples of these series come; enough to say it once in a `window`."""
        if len(self._sent) < len(self):
            grown = np.zeros(len(self) + len(self) // 4, np.bool_)
            grown[: len(self._sent)] = self._sent
            self._sent = grown
        self._sent[numbers] = True

    def make_room(self, now_s: float | None = None) -> bool:
        """Begin anew if the table is full, or most of it was not sent in the window that has just
        ended (*now_s* is monotonic). True if it did: numbers that somebody still holds are void."""
        dead = False
        if now_s is not None:
            if self._window_ends_s is not None and now_s >= self._window_ends_s:
                sent = int(np.count_nonzero(self._sent))
                dead = len(self) >= SERIES_FORGOTTEN_MIN and 2 * sent < len(self)
                self._sent[:] = False
                self._window_ends_s = None
                self.window += 1
            if self._window_ends_s is None:
                self._window_ends_s = now_s + SERIES_WINDOW_S
        if len(self) < self._max and not dead:
            return False
        self.generation += 1
        self._begin()
        return True

    def __len__(self) -> int:
        return len(self._starts) - 1


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
