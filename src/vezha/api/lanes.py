"""Where queries are evaluated, and which have been seen to belong where."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from vezha.api import limits


class Lane:
    """Threads, and how many queries are in them or wait for them."""

    def __init__(self, threads: int, waiting_max: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.open = 0
        self._open_max = threads + waiting_max

    @property
    def is_full(self) -> bool:
        return self.open >= self._open_max


class Cost(Enum):
    """What a query was seen to cost."""

    QUICK = "quick"
    LIGHT = "light"
    """It is quick, but reads more than the event loop should."""
    LARGE = "large"
    """It reads too much for the serving process."""
    SLOW = "slow"
    """It took too long there; perhaps only in a cold or busy minute."""


class Costs:
    """What is known of the shapes of queries, the latest of them. From any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Cost] = OrderedDict()

    def of(self, shape: Hashable) -> Cost | None:
        """What a shape was seen to cost; None: nothing worth knowing."""
        return self._known.get(shape)

    def note(self, shape: Hashable, cost: Cost) -> None:
        """Remember it."""
        self._known[shape] = cost
        while len(self._known) > limits.SHAPES_REMEMBERED:
            with contextlib.suppress(KeyError):  # another thread was faster
                self._known.popitem(last=False)

    def forget(self, shape: Hashable) -> None:
        """It may have changed."""
        self._known.pop(shape, None)
