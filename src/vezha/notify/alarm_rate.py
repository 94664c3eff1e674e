"""How many alarms people get: the figures of EEMUA 191 and ISA-18.2.

Per receiver: ringing messages that were sent in each ten minutes (edits and quiet messages are no
alarms). Of the signals themselves: standing alerts (open now) and stale ones (for over a day),
chattering ones (three firings within a minute), and the top talkers' share of all firings. The words for an
average load are those of EEMUA 191, appendix 11; the targets for standing, stale, chattering and top
talkers those of ISA-18.2, chapter 16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from vezha.ledger.tables import alert_state, alert_transition, message
from vezha.model.labels import Labels, metric
from vezha.notify.limits import (
    ALARM_CHATTER_FIRES,
    ALARM_CHATTER_MS,
    ALARM_FLOOD_RINGS,
    ALARM_PERIOD_MS,
    ALARM_ROWS_MAX,
    ALARM_STALE_MS,
    ALARM_TALKERS_MAX,
)
from vezha.notify.message import RINGING

_OPEN = ("firing", "keeping", "flapping", "unknown")
_LOADS = (
    (1.0, "very likely acceptable"),
    (2.0, "manageable"),
    (5.0, "likely over-demanding"),
    (10.0, "likely unacceptable"),
)
TARGETS = {"standing": 10, "stale": 5, "chattering": 0, "top_share": 0.05}


@dataclass(frozen=True, slots=True)
class ReceiverRate:
    """Rings of one receiver, per ten minutes. `flood_share`: of the periods, those over ten."""

    receiver: str
    rings: int
    average: float
    peak: int
    flood_share: float
    load: str
    last_10m: int


@dataclass(frozen=True, slots=True)
class Talker:
    """One alert that fires often, and its share of all firings."""

    alert: str
    host: str
    fires: int
    share: float


@dataclass(frozen=True, slots=True)
class AlarmRates:
    """All figures over a span."""

    hours: float
    receivers: list[ReceiverRate]
    standing: int
    stale: int
    chattering: list[Talker]
    top_talkers: list[Talker]
    top_share: float
    fires: int
    targets: Mapping[str, float]


def load_word(average: float) -> str:
    """What EEMUA 191 calls so many alarms in ten minutes, on average."""
    return next((word for most, word in _LOADS if average <= most), "very likely unacceptable")


def receiver_rate(
    receiver: str, sent_ms: npt.NDArray[np.int64], since_ms: int, now_ms: int
) -> ReceiverRate:
    """The figures of one receiver from the times (ms) at which it was rung."""
    periods = max(1, -(-(now_ms - since_ms) // ALARM_PERIOD_MS))
    # counted back from now, so that the last period is always a whole one
    bins = np.bincount(
        np.clip((now_ms - sent_ms) // ALARM_PERIOD_MS, 0, periods - 1), minlength=periods
    )
    average = float(len(sent_ms)) / periods
    return ReceiverRate(
        receiver,
        len(sent_ms),
        round(average, 4),
        int(bins.max()),
        round(float((bins > ALARM_FLOOD_RINGS).mean()), 4),
        load_word(average),
        int(bins[0]),
    )


def chattering(fires: Mapping[tuple[str, str, str], Sequence[int]]) -> list[tuple[str, str, int]]:
    """(alert, host, fires) of those that fired ALARM_CHATTER_FIRES times within ALARM_CHATTER_MS."""
    out = []
    for (_, alert, host), times in fires.items():
        ordered = np.sort(np.asarray(times, np.int64))
        last = ALARM_CHATTER_FIRES - 1
        if len(ordered) > last and (ordered[last:] - ordered[:-last] <= ALARM_CHATTER_MS).any():
            out.append((alert, host, len(ordered)))
    return sorted(out, key=lambda c: (-c[2], c[0], c[1]))


def read_rates(
    connection: Connection, now_ms: int, hours: float, receivers: Iterable[str] = ()
) -> AlarmRates:
    """The figures of the last *hours*; *receivers* are shown even if they were never rung."""
    since_ms = now_ms - int(hours * 3_600_000)
    rung: dict[str, list[int]] = {name: [] for name in receivers}
    sent = (
        select(message.c.receiver, message.c.sent_ms)
        .where(
            message.c.sent_ms > since_ms,
            message.c.sent_ms <= now_ms,
            message.c.kind.in_(RINGING),
            message.c.state == "sent",
        )
        .limit(ALARM_ROWS_MAX)
    )
    for row in connection.execute(sent):
        rung.setdefault(row.receiver, []).append(row.sent_ms)
    fires: dict[tuple[str, str, str], list[int]] = {}
    fired = (
        select(
            alert_transition.c.fingerprint,
            alert_transition.c.alert_name,
            alert_transition.c.host,
            alert_transition.c.evaluated_ms,
        )
        .where(alert_transition.c.written_ms > since_ms, alert_transition.c.event == "fired")
        .order_by(alert_transition.c.id.desc())
        .limit(ALARM_ROWS_MAX)
    )
    for fingerprint, alert, host, at_ms in connection.execute(fired):
        fires.setdefault((fingerprint, alert, host), []).append(at_ms)
    now_open = connection.execute(
        select(alert_state.c.fired_ms, alert_state.c.state).where(alert_state.c.state.in_(_OPEN))
    ).all()
    total = sum(map(len, fires.values()))
    top = Counter({key[1:]: 0 for key in fires})
    for key, times in fires.items():
        top[key[1:]] += len(times)
    talkers = [_talker(a, h, n, total) for (a, h), n in top.most_common(ALARM_TALKERS_MAX)]
    return AlarmRates(
        hours,
        [
            receiver_rate(name, np.asarray(times, np.int64), since_ms, now_ms)
            for name, times in sorted(rung.items())
        ],
        len(now_open),
        sum(now_ms - (r.fired_ms or now_ms) > ALARM_STALE_MS for r in now_open),
        [_talker(a, h, n, total) for a, h, n in chattering(fires)][:ALARM_TALKERS_MAX],
        talkers,
        round(sum(t.share for t in talkers), 4),
        total,
        TARGETS,
    )


def _talker(alert: str, host: str, fires: int, total: int) -> Talker:
    return Talker(alert, host, fires, round(fires / max(1, total), 4))


def rates_series(rates: AlarmRates) -> list[tuple[Labels, float]]:
    """The figures as series: labels and value."""
    own = {"instance": "vezha-server", "job": "vezha"}
    out: list[tuple[Labels, float]] = [
        (metric("vezha_alarms_standing", **own), float(rates.standing)),
        (metric("vezha_alarms_stale", **own), float(rates.stale)),
        (metric("vezha_alarms_chattering", **own), float(len(rates.chattering))),
        (metric("vezha_alarms_top_share", **own), rates.top_share),
        (metric("vezha_alarms_fired", **own), float(rates.fires)),
    ]
    for one in rates.receivers:
        who = {**own, "receiver": one.receiver}
        out += [
            (metric("vezha_alarm_rings_10m", **who), float(one.last_10m)),
            (metric("vezha_alarm_rings_10m_average", **who), one.average),
            (metric("vezha_alarm_rings_10m_peak", **who), float(one.peak)),
            (metric("vezha_alarm_flood_ratio", **who), one.flood_share),
        ]
    return out
