"""Whole answers, kept as the bytes that were sent: many look at the same dashboard.

Each has a mark of the samples that it hangs on, taken before they were read. An answer is given
again only while nothing there changed: asking that takes microseconds and waits for nobody, so the
event loop may. Where it is not sure, a thread looks closer (`refresh`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from vezha.api import limits
from vezha.api.packing import Packed
from vezha.api.question import Question
from vezha.query.engine import Engine
from vezha.query.errors import QueryError
from vezha.query.remembered import Marks, reach_of


@dataclass(frozen=True, slots=True)
class _Kept:
    packed: Packed
    mark: Any
    span: tuple[int, int]

    @property
    def size_bytes(self) -> int:
        return len(self.packed.data) + 2_048


class Answers:
    """The latest answers. Thread-safe."""

    def __init__(self, engine: Engine, marks: Marks, bytes_max: int) -> None:
        self._engine = engine
        self._marks = marks
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self.bytes_used = 0

    def at_once(self, question: Question) -> Packed | None:
        """The answer, if it is kept and surely right still."""
        kept = self._kept.get(question)
        if kept is None or not self._marks.still(kept.mark):
            return None
        return kept.packed

    def refresh(self, question: Question) -> Packed | None:
        """The answer, if it is kept and right. May read files."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        mark, changed_ms = self._marks.since(kept.mark, *kept.span)
        if changed_ms is not None:
            return None
        self._put(question, replace(kept, mark=mark))
        return kept.packed

    def is_new(self, question: Question) -> bool:
        """Whether it was not asked lately: what is cheap is worth keeping for who asks the same
        again, and a dashboard that moves on never does. From now on it is not new."""
        number = hash(question)  # two of one hash: one is kept sooner, that is all
        with self._lock:
            new = number not in self._seen
            self._seen[number] = None
            while len(self._seen) > limits.QUESTIONS_SEEN_MAX:
                self._seen.popitem(last=False)
        return new

    def begin(self, question: Question) -> tuple[Any, tuple[int, int]] | None:
        """To be called before *question* is evaluated, and given to `keep` after; None where its
        answer is not kept."""
        if not question.is_plain:
            return None
        try:
            root = self._engine.prepare(question.text).root
        except QueryError:
            return None
        reach = reach_of(root, self._engine.options.lookback_ms)
        if reach is None:
            return None
        span = (question.start_ms - reach.back_ms, question.end_ms + reach.ahead_ms)
        mark = self._marks.mark(*span)
        return None if mark is None else (mark, span)

    def keep(
        self, question: Question, packed: Packed, begun: tuple[Any, tuple[int, int]] | None
    ) -> None:
        """Keep an answer."""
        if begun is not None:
            self._put(question, _Kept(packed, *begun))

    def _put(self, question: Question, fresh: _Kept) -> None:
        with self._lock:
            old = self._kept.pop(question, None)
            if old is not None:
                self.bytes_used -= old.size_bytes
            if fresh.size_bytes > self._bytes_max // limits.ANSWER_PART_MAX:
                return
            self._kept[question] = fresh
            self.bytes_used += fresh.size_bytes
            while self.bytes_used > self._bytes_max:
                self.bytes_used -= self._kept.popitem(last=False)[1].size_bytes
