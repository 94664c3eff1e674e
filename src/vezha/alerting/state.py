"""The states of an alert, as a table. Pure: no clock, no I/O.

Rules of this module:
1. A row says: in this state, on this signal (and with this state's timer run out or not, and the
   alert unstable or not) → that state, telling that event. The first fitting row counts; every
   combination has one (checked when the module is loaded).
2. `advance` looks the table up for many alerts at once; nothing else decides.
3. `docs/reference/rules.md` carries the table as `table_as_markdown` prints it (a test compares).

Signals:
- TRUE: the expression gives the alert;
- BETWEEN: it does not, but the recovery expression does not hold yet either (hysteresis);
- FALSE: it does not, though its target has data;
- GONE: it does not, because its target has no data;
- HELD: nobody may judge now (settling after a start, late data, a failed evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class State(IntEnum):
    """What an alert is in."""

    INACTIVE = 0
    PENDING = 1
    FIRING = 2
    KEEPING = 3
    FLAPPING = 4
    UNKNOWN = 5

    @property
    def word(self) -> str:
        """As it stands in the ledger and on the API."""
        return self.name.lower()


class Signal(IntEnum):
    """What an evaluation says about one alert."""

    TRUE = 0
    BETWEEN = 1
    FALSE = 2
    GONE = 3
    HELD = 4


class Event(IntEnum):
    """What is told to those who follow; `NONE` and `QUIET` write no transition."""

    NONE = 0
    QUIET = 1
    FIRED = 2
    RESOLVED = 3
    FLAPS = 4
    LOST = 5
    FOUND = 6
    EXPIRED = 7

    @property
    def word(self) -> str:
        """As it stands in the ledger."""
        return self.name.lower()


TOLD = (Event.FIRED, Event.RESOLVED, Event.FLAPS, Event.LOST, Event.FOUND, Event.EXPIRED)
"""Events that are written as rows for the incidents to follow."""
OPEN_STATES = (State.FIRING, State.KEEPING, State.FLAPPING, State.UNKNOWN)
"""States in which an alert counts as there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; None fits both."""

    state: State
    signal: Signal
    ran_out: bool | None
    unstable: bool | None
    to: State
    event: Event
    why: str


_I, _P, _F = State.INACTIVE, State.PENDING, State.FIRING
_K, _L, _U = State.KEEPING, State.FLAPPING, State.UNKNOWN
_TRUE, _BETWEEN, _FALSE = Signal.TRUE, Signal.BETWEEN, Signal.FALSE
_GONE, _HELD = Signal.GONE, Signal.HELD

TABLE: tuple[Row, ...] = (
    Row(_I, _TRUE, True, None, _F, Event.FIRED, "no `for` to wait for"),
    Row(_I, _TRUE, False, None, _P, Event.QUIET, "`for` begins"),
    Row(_I, _HELD, None, None, _P, Event.QUIET, "true, but nobody may judge yet"),
    Row(_I, _BETWEEN, None, None, _I, Event.NONE, ""),
    Row(_I, _FALSE, None, None, _I, Event.NONE, ""),
    Row(_I, _GONE, None, None, _I, Event.NONE, ""),
    Row(_P, _TRUE, True, None, _F, Event.FIRED, "true for as long as `for` asks"),
    Row(_P, _TRUE, False, None, _P, Event.NONE, "`for` runs"),
    Row(_P, _HELD, None, None, _P, Event.NONE, "waits for judgement"),
    Row(_P, _BETWEEN, None, None, _I, Event.QUIET, "not true long enough"),
    Row(_P, _FALSE, None, None, _I, Event.QUIET, "not true long enough"),
    Row(_P, _GONE, None, None, _I, Event.QUIET, "nothing to judge by"),
    Row(_F, _TRUE, None, None, _F, Event.NONE, ""),
    Row(_F, _BETWEEN, None, None, _F, Event.NONE, "not recovered yet"),
    Row(_F, _HELD, None, None, _F, Event.NONE, ""),
    Row(_F, _FALSE, None, True, _L, Event.FLAPS, "came and went too often"),
    Row(_F, _FALSE, True, False, _I, Event.RESOLVED, "no `keep_firing_for`"),
    Row(_F, _FALSE, False, False, _K, Event.QUIET, "`keep_firing_for` begins"),
    Row(_F, _GONE, None, None, _U, Event.LOST, "vanished, which is not recovered"),
    Row(_K, _TRUE, None, None, _F, Event.QUIET, "true again within `keep_firing_for`"),
    Row(_K, _BETWEEN, None, None, _F, Event.QUIET, "not recovered after all"),
    Row(_K, _FALSE, True, None, _I, Event.RESOLVED, "false for `keep_firing_for`"),
    Row(_K, _FALSE, False, None, _K, Event.NONE, "`keep_firing_for` runs"),
    Row(_K, _HELD, None, None, _K, Event.NONE, ""),
    Row(_K, _GONE, None, None, _U, Event.LOST, "vanished, which is not recovered"),
    Row(_L, _TRUE, None, None, _L, Event.NONE, "one more swing; nobody is told"),
    Row(_L, _BETWEEN, None, None, _L, Event.NONE, ""),
    Row(_L, _FALSE, True, None, _I, Event.RESOLVED, "quiet for long enough"),
    Row(_L, _FALSE, False, None, _L, Event.NONE, "quiet, but not for long enough"),
    Row(_L, _HELD, None, None, _L, Event.NONE, ""),
    Row(_L, _GONE, None, None, _U, Event.LOST, "vanished, which is not recovered"),
    Row(_U, _TRUE, None, None, _F, Event.FOUND, "back, and still true"),
    Row(_U, _BETWEEN, None, None, _F, Event.FOUND, "back, and not recovered yet"),
    Row(_U, _FALSE, None, None, _I, Event.RESOLVED, "back, and not true any more"),
    Row(_U, _GONE, True, None, _I, Event.EXPIRED, "gone for a day"),
    Row(_U, _GONE, False, None, _U, Event.NONE, ""),
    Row(_U, _HELD, None, None, _U, Event.NONE, ""),
)

States = npt.NDArray[np.int8]


def _compile() -> tuple[States, States]:
    """The table as two arrays [state, signal, ran_out, unstable] → state, event."""
    shape = (len(State), len(Signal), 2, 2)
    to = np.full(shape, -1, np.int8)
    event = np.full(shape, -1, np.int8)
    for row in reversed(TABLE):
        ran_out = slice(None) if row.ran_out is None else int(row.ran_out)
        unstable = slice(None) if row.unstable is None else int(row.unstable)
        to[row.state, row.signal, ran_out, unstable] = row.to
        event[row.state, row.signal, ran_out, unstable] = row.event
    assert (to >= 0).all(), "the table leaves a case open"
    return to, event


_TO, _EVENT = _compile()


def advance(
    states: States,
    signals: States,
    ran_out: npt.NDArray[np.bool_],
    unstable: npt.NDArray[np.bool_],
) -> tuple[States, States]:
    """The next states and the events, each int8[n], of n alerts at once (all inputs [n])."""
    at = (states, signals, ran_out.astype(np.int8), unstable.astype(np.int8))
    to: States = _TO[at]
    events: States = _EVENT[at]
    return to, events


def table_as_markdown() -> str:
    """The table for the documentation, one line per row."""
    yes = {True: "yes", False: "no", None: "–"}
    lines = [
        "| State | Signal | Timer out | Unstable | Next | Told | Why |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in TABLE:
        told = r.event.word if r.event in TOLD else "–"
        lines.append(
            f"| {r.state.word} | {r.signal.name} | {yes[r.ran_out]} | {yes[r.unstable]} "
            f"| {r.to.word} | {told} | {r.why or '–'} |"
        )
    return "\n".join(lines) + "\n"
