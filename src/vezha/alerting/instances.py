"""The alerts of one rule, as columns: who they are, what state each is in, since when.

Pure. In: what one evaluation found (labels that are true, that recovered, that have data).
Out: changes. `state` decides; here rows are found, timers are read and columns kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.alerting.limits import (
    FLAP_FIRES,
    FLAP_QUIET_MS,
    FLAP_WINDOW_MS,
    RESOLVED_KEEP_MS,
    UNKNOWN_KEEP_MS,
)
from vezha.alerting.rule import AlertRule, NoData
from vezha.alerting.state import OPEN_STATES, Event, Signal, State, States, advance
from vezha.model.columns import Values
from vezha.model.labels import Labels

Stamps = npt.NDArray[np.int64]


def fingerprint(labels: Labels) -> str:
    """32 hexadecimal characters that stand for a label set everywhere outside the process."""
    text = "\x00".join(f"{n}\x01{v}" for n, v in labels)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Change:
    """One alert went from one state to another. `row` is its place in the columns."""

    row: int
    labels: Labels
    before: State
    after: State
    event: Event


@dataclass(frozen=True, slots=True)
class Findings:
    """What one evaluation of a rule found, by final alert labels.

    `true` → value. `late`: true, but by samples that are history. `recovered`: labels for which
    the recovery expression holds, or None without one. `present`: labels whose target has data,
    or None where absence cannot be told from recovery (then absent means false).
    """

    true: Mapping[Labels, float]
    late: Collection[Labels] = ()
    recovered: Collection[Labels] | None = None
    present: Collection[Labels] | None = None


class Instances:
    """Columns over the alerts of one rule; rows are dropped only by `forget`."""

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.rows: dict[Labels, int] = {}
        self.labels: list[Labels] = []
        self.fires: list[list[int]] = []
        self.state: States = np.empty(0, np.int8)
        self.active_ms: Stamps = np.empty(0, np.int64)
        self.fired_ms: Stamps = np.empty(0, np.int64)
        self.timer_ms: Stamps = np.empty(0, np.int64)
        self.changed_ms: Stamps = np.empty(0, np.int64)
        self.value: Values = np.empty(0)

    def __len__(self) -> int:
        return len(self.labels)

    def restore(
        self,
        labels: Sequence[Labels],
        states: Sequence[State],
        stamps: Sequence[tuple[int, int, int, int]],
        values: Sequence[float],
        fires: Sequence[list[int]],
    ) -> None:
        """Take over alerts of before a restart; *stamps* are (active, fired, timer, changed)."""
        assert not self.labels, "restored onto something"
        self._grow(labels)
        self.state[:] = states
        columns = np.array(stamps, np.int64).reshape(-1, 4)
        self.active_ms[:], self.fired_ms[:] = columns[:, 0], columns[:, 1]
        self.timer_ms[:], self.changed_ms[:] = columns[:, 2], columns[:, 3]
        self.value[:] = values
        self.fires = [list(f) for f in fires]

    def open_rows(self) -> npt.NDArray[np.intp]:
        """Rows that are firing in some way."""
        return np.flatnonzero(np.isin(self.state, OPEN_STATES))

    def leaving(self, true: Collection[Labels]) -> list[Labels]:
        """Open alerts that an evaluation did not find: whether they recovered must be asked."""
        return [self.labels[i] for i in self.open_rows() if self.labels[i] not in true]

    def would_fire(self, true: Mapping[Labels, float], now_ms: int) -> list[Labels]:
        """Of *true*, those that would fire now: how old their samples are must be asked."""
        out = []
        for labels in true:
            row = self.rows.get(labels)
            state = State.INACTIVE if row is None else State(int(self.state[row]))
            if state is State.INACTIVE and self.rule.for_ms == 0:
                out.append(labels)
            elif state is State.PENDING:
                assert row is not None
                if now_ms - int(self.timer_ms[row]) >= self.rule.for_ms:
                    out.append(labels)
        return out

    def update(self, found: Findings, now_ms: int, held: bool) -> list[Change]:
        """Advance every alert by what was found; *held* means that nobody may judge now."""
        self._grow([labels for labels in found.true if labels not in self.rows])
        n = len(self)
        if n == 0:
            return []
        signals = np.full(n, Signal.FALSE, np.int8)
        true = np.fromiter((self.rows[labels] for labels in found.true), np.intp, len(found.true))
        signals[true] = Signal.TRUE
        self.value[true] = np.fromiter(found.true.values(), np.float64, len(found.true))
        self._absent(signals, found)
        if held:
            # what is not true may still end being pending, and nothing else
            signals[(self.state != State.PENDING) & (signals != Signal.TRUE)] = Signal.HELD
            signals[(self.state == State.INACTIVE) & (signals == Signal.HELD)] = Signal.FALSE
            signals[signals == Signal.TRUE] = Signal.HELD
        for labels in found.late:
            signals[self.rows[labels]] = Signal.HELD
        return self._move(signals, now_ms)

    def _absent(self, signals: States, found: Findings) -> None:
        """Say of open alerts that were not found whether they recovered or vanished."""
        policy = self.rule.policy
        gone_from_result = np.isin(self.state, OPEN_STATES) & (signals != Signal.TRUE)
        for row in np.flatnonzero(gone_from_result):
            labels = self.labels[row]
            if found.recovered is not None and labels in found.recovered:
                continue
            gone = found.present is not None and labels not in found.present
            if gone and policy.no_data is NoData.UNKNOWN:
                signals[row] = Signal.GONE
            elif gone and policy.no_data is NoData.KEEP:
                signals[row] = Signal.HELD
            elif not gone and found.recovered is not None:
                signals[row] = Signal.BETWEEN

    def _move(self, signals: States, now_ms: int) -> list[Change]:
        before = self.state
        ran_out = self._ran_out(now_ms)
        unstable = np.zeros(len(self), np.bool_)
        # only who has just stopped being true can be found to flap
        for row in np.flatnonzero((before == State.FIRING) & (signals == Signal.FALSE)):
            fires = self.fires[row]
            unstable[row] = (
                len(fires) >= FLAP_FIRES and fires[-FLAP_FIRES] > now_ms - FLAP_WINDOW_MS
            )
        after, events = advance(before, signals, ran_out, unstable)
        self.state = after
        # a flapping alert's timer counts the quiet since the last swing
        self.timer_ms[(after == State.FLAPPING) & (signals == Signal.TRUE)] = now_ms
        changes = []
        for row in np.flatnonzero(before != after):
            change = Change(
                int(row),
                self.labels[row],
                State(int(before[row])),
                State(int(after[row])),
                Event(int(events[row])),
            )
            self._stamp(change, now_ms)
            changes.append(change)
        return changes

    def _stamp(self, change: Change, now_ms: int) -> None:
        row = change.row
        if change.before is State.INACTIVE:
            self.active_ms[row] = now_ms
        if change.event is Event.FIRED:
            self.fired_ms[row] = now_ms
            recent = [t for t in self.fires[row] if t > now_ms - FLAP_WINDOW_MS]
            self.fires[row] = [*recent[-FLAP_FIRES:], now_ms]
        self.timer_ms[row] = now_ms
        self.changed_ms[row] = now_ms

    def _ran_out(self, now_ms: int) -> npt.NDArray[np.bool_]:
        """Whether the timer of each row's state has run out."""
        rule = self.rule
        length = np.zeros(len(self), np.int64)
        length[self.state == State.PENDING] = rule.for_ms
        length[self.state == State.KEEPING] = rule.keep_ms
        length[self.state == State.FLAPPING] = FLAP_QUIET_MS
        length[self.state == State.UNKNOWN] = UNKNOWN_KEEP_MS
        out: npt.NDArray[np.bool_] = now_ms - self.timer_ms >= length
        # these two have no timer behind them: the next one's length decides
        out[self.state == State.INACTIVE] = rule.for_ms == 0
        out[self.state == State.FIRING] = rule.keep_ms == 0
        return out

    def unknown_labels(self) -> list[Labels]:
        """Alerts whose target vanished."""
        return [self.labels[i] for i in np.flatnonzero(self.state == State.UNKNOWN)]

    def expire(self, gone: Collection[Labels], now_ms: int) -> list[Change]:
        """End unknown alerts whose target was taken away on purpose."""
        changes = []
        for labels in gone:
            row = self.rows[labels]
            assert self.state[row] == State.UNKNOWN, "only what vanished can be taken away"
            self.state[row] = State.INACTIVE
            change = Change(row, labels, State.UNKNOWN, State.INACTIVE, Event.EXPIRED)
            self._stamp(change, now_ms)
            changes.append(change)
        return changes

    def forget(self, now_ms: int) -> list[Labels]:
        """Drop inactive rows that no relapse can follow any more; returns their labels."""
        drop = self.state == State.INACTIVE
        if not drop.any():
            return []
        old = now_ms - self.changed_ms >= RESOLVED_KEEP_MS
        drop &= (self.fired_ms == 0) | old
        if not drop.any():
            return []
        gone = [self.labels[i] for i in np.flatnonzero(drop)]
        keep = np.flatnonzero(~drop)
        self.labels = [self.labels[i] for i in keep]
        self.fires = [self.fires[i] for i in keep]
        self.rows = {labels: i for i, labels in enumerate(self.labels)}
        self.state, self.value = self.state[keep], self.value[keep]
        self.active_ms, self.fired_ms = self.active_ms[keep], self.fired_ms[keep]
        self.timer_ms, self.changed_ms = self.timer_ms[keep], self.changed_ms[keep]
        return gone

    def _grow(self, labels: Sequence[Labels]) -> None:
        if not labels:
            return
        for item in labels:
            self.rows[item] = len(self.labels)
            self.labels.append(item)
            self.fires.append([])
        more = len(labels)
        self.state = np.concatenate([self.state, np.zeros(more, np.int8)])
        self.active_ms = np.concatenate([self.active_ms, np.zeros(more, np.int64)])
        self.fired_ms = np.concatenate([self.fired_ms, np.zeros(more, np.int64)])
        self.timer_ms = np.concatenate([self.timer_ms, np.zeros(more, np.int64)])
        self.changed_ms = np.concatenate([self.changed_ms, np.zeros(more, np.int64)])
        self.value = np.concatenate([self.value, np.full(more, np.nan)])
