"""Quiet hours: when only what is bad enough rings. Pure.

What is milder waits until they end, and then is told as things are then; what was over by then is not
told at all.

    quiet = "22:00-07:00"        # by the receiver's time_zone
    quiet_days = ["mon", "tue"]  # on which they begin; all by default
    quiet_below = "critical"     # what is milder than this waits
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from vezha.incidents.errors import OperatorError
from vezha.incidents.oncall.document import read_window
from vezha.incidents.oncall.rota import Window, open_until
from vezha.model.recurrence import DAYS
from vezha.model.severity import Severity
from vezha.notify.errors import NotifySettingsError
from vezha.notify.message import LOUD
from vezha.notify.reading import take_text, take_texts

HELD = "held: quiet hours"
"""How the outbox says why such a message waits."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """*windows* by the clock of *time_zone*; what is at least as bad as *least* rings anyhow."""

    windows: tuple[Window, ...]
    time_zone: str
    least: Severity = Severity.CRITICAL


def quiet_until(quiet: Quiet | None, kind: str, severity: str, now_ms: int) -> int | None:
    """Until when news of that kind and severity wait; None: they may leave now."""
    if quiet is None or kind not in LOUD or Severity.of(severity).rank <= quiet.least.rank:
        return None
    return open_until(quiet.windows, ZoneInfo(quiet.time_zone), now_ms)


def take_quiet(raw: dict[str, object], where: str, time_zone: str) -> Quiet | None:
    """Take the quiet hours out of a receiver's table. Raises NotifySettingsError."""
    text = take_text(raw, "quiet", where, "")
    days = take_texts(raw, "quiet_days", where)
    below = take_text(raw, "quiet_below", where, "critical")
    if not text:
        if days:
            raise NotifySettingsError(f'{where}: quiet_days needs quiet = "22:00-07:00"', "quiet")
        return None
    if below not in [s.value for s in Severity]:
        raise NotifySettingsError(
            f'{where}: quiet_below "{below}" must be critical, warning or info', "quiet_below"
        )
    try:
        window = hours(text, days or list(DAYS), f"{where}: quiet")
    except OperatorError as fault:
        raise NotifySettingsError(str(fault), "quiet") from None
    return Quiet((window,), time_zone, Severity(below))


def hours(text: str, days: list[str], where: str) -> Window:
    """A window from `HH:MM-HH:MM`, over midnight where it must. Raises OperatorError."""
    match = re.fullmatch(r"(\d\d?:\d\d)\s*[-–]\s*(\d\d?:\d\d)", text)
    if match is None:
        raise NotifySettingsError(f'{where} "{text}" must be like 22:00-07:00', "quiet")
    begins = read_window(days, match[1], 1, where)
    ends = read_window(days, match[2], 1, where)
    minutes = (ends.start_minute - begins.start_minute) % 1440 or 1440
    return Window(begins.days, begins.start_minute, minutes)
