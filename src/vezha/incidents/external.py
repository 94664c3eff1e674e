"""Alerts of other programs (Prometheus, vmalert, amtool …): what each message of theirs means.

Senders of Alertmanager's protocol repeat themselves: an alert is told again each minute or so
with the time until which the word holds (`endsAt`), and a few times more when it is over. Here
that becomes what incidents follow, a transition for each real change:

1. A first word, or a new beginning after an end: `fired`. Repetitions only move the end.
2. An end that has come: `resolved`. Ends of what is unknown or over already mean nothing.
3. No further word until the end: `expired` (`sweep`), but not just after a start, because then
   the senders could not reach us.
4. A word with the beginning of before, after the end was told, is a late message where it
   promises no more than was promised before, or comes within EXTERNAL_LATE_MS; else it fires:
   another replica of the sender still sees it.

The fingerprint is salted and the rule key a word of its own, so that none is ever one of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import (
    EXTERNAL_FIRING_MAX,
    EXTERNAL_HOLD_MS_MAX,
    EXTERNAL_KEPT_MS,
    EXTERNAL_LABEL_CHARS_MAX,
    EXTERNAL_LABELS_MAX,
    EXTERNAL_LATE_MS,
    EXTERNAL_RESOLVE_MS,
    EXTERNAL_SWEPT_MAX,
    EXTERNAL_TEXT_CHARS_MAX,
)
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables import alert_transition, external_alert
from vezha.model.labels import host_of, labels_of
from vezha.model.severity import Severity

RULE_KEY = "external"
"""Our own rules' keys are hexadecimal: this is none of them."""
SOURCE = "source"
"""The label that says who sent it, where the alert has none of that name."""
FIRING, RESOLVED = "firing", "resolved"
_SELECT_MAX = 500


class BadAlert(OperatorError):
    """An alert that cannot be taken as sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One alert as a message tells it, checked. Times in ms, the sender's clock."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str
    starts_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class Known:
    """What was told of an alert up to now; `changed_ms` by our clock, the others by theirs."""

    state: str
    starts_ms: int
    ends_ms: int
    promised_ms: int
    expired: bool
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message changes: what is known now (None: nothing changes), and the event or ""."""

    known: Known | None
    event: str = ""


def check(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    starts_ms: int | None,
    ends_ms: int | None,
    generator_url: str,
    now_ms: int,
) -> Sent:
    """An alert from a message, what it leaves out filled in. Raises BadAlert."""
    labels = {n: v for n, v in labels.items() if v}
    annotations = {n: v for n, v in annotations.items() if v}
    name = labels.get("alertname", "")[:100]
    if not labels:
        raise BadAlert("an alert needs at least one label")
    if max(len(labels), len(annotations)) > EXTERNAL_LABELS_MAX:
        raise BadAlert(f"{name}: more than {EXTERNAL_LABELS_MAX} labels or annotations")
    if any(len(n) + len(v) > EXTERNAL_LABEL_CHARS_MAX for n, v in labels.items()):
        raise BadAlert(f"{name}: a label is longer than {EXTERNAL_LABEL_CHARS_MAX} characters")
    texts = [*annotations, *annotations.values(), generator_url]
    if any(len(text) > EXTERNAL_TEXT_CHARS_MAX for text in texts):
        raise BadAlert(f"{name}: a text is longer than {EXTERNAL_TEXT_CHARS_MAX} characters")
    if any("\x00" in text for pair in labels.items() for text in pair) or "\x00" in "".join(texts):
        raise BadAlert(f"{name}: a text has a NUL character")
    if ends_ms is None:
        ends_ms = now_ms + EXTERNAL_RESOLVE_MS
        starts_ms = now_ms if starts_ms is None else starts_ms
    elif starts_ms is None:
        starts_ms = min(now_ms, ends_ms)
    if ends_ms < starts_ms:
        raise BadAlert(f"{name}: it ends before it starts")
    ends_ms = min(ends_ms, now_ms + EXTERNAL_HOLD_MS_MAX)
    return Sent(_fingerprint(labels), labels, annotations, generator_url, starts_ms, ends_ms)


def _fingerprint(labels: Mapping[str, str]) -> str:
    text = "\x00".join(f"{n}\x01{v}" for n, v in sorted(labels.items()))
    salted = f"{RULE_KEY}\x02{text}"
    return hashlib.sha256(salted.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def decide(known: Known | None, sent: Sent, now_ms: int) -> Verdict:
    """What *sent* means after *known*. Pure."""
    over = sent.ends_ms <= now_ms
    if known is None or known.state == RESOLVED:
        if over or (known is not None and _is_late(known, sent, now_ms)):
            return Verdict(None)
        fresh = Known(FIRING, sent.starts_ms, sent.ends_ms, sent.ends_ms, False, now_ms)
        return Verdict(fresh, "fired")
    if not over:
        ends_ms = max(known.ends_ms, sent.ends_ms)
        starts_ms = min(known.starts_ms, sent.starts_ms)
        return Verdict(replace(known, starts_ms=starts_ms, ends_ms=ends_ms, promised_ms=ends_ms))
    if sent.ends_ms < known.starts_ms:
        return Verdict(None)
    ended = replace(known, state=RESOLVED, ends_ms=sent.ends_ms, expired=False, changed_ms=now_ms)
    return Verdict(ended, "resolved")


def _is_late(known: Known, sent: Sent, now_ms: int) -> bool:
    if known.expired or sent.starts_ms >= known.ends_ms:
        return False
    promises_nothing_new = sent.ends_ms <= known.promised_ms
    return promises_nothing_new or now_ms - known.changed_ms < EXTERNAL_LATE_MS


def take(connection: Connection, alerts: Sequence[Sent], source: str, now_ms: int) -> int:
    """Take in what *source* sent, within the caller's transaction; how many changes to follow.

    Raises BadAlert where too many would fire.
    """
    rows = _read(connection, [a.fingerprint for a in alerts])
    transitions: list[dict[str, Any]] = []
    written: dict[str, dict[str, Any]] = {}
    for sent in alerts:
        before = written.get(sent.fingerprint) or rows.get(sent.fingerprint)
        known = None if before is None else _known(before)
        verdict = decide(known, sent, now_ms)
        if verdict.known is None:
            continue
        row = _row(sent, verdict.known, source, before, now_ms)
        written[sent.fingerprint] = row
        if verdict.event:
            transitions.append(_transition(row, verdict.event, now_ms))
    if sum(t["event"] == "fired" for t in transitions):
        _check_room(connection, len(transitions))
    fresh = [row for fingerprint, row in written.items() if fingerprint not in rows]
    if fresh:
        connection.execute(insert(external_alert), fresh)
    for fingerprint, row in written.items():
        if fingerprint in rows:
            same = external_alert.c.fingerprint == fingerprint
            connection.execute(update(external_alert).where(same).values(row))
    if transitions:
        connection.execute(insert(alert_transition), transitions)
    return len(transitions)


def sweep(connection: Connection, now_ms: int) -> int:
    """End what no word came of in time, and forget what ended long ago; how many ended."""
    connection.execute(delete(external_alert).where(_forgettable(now_ms)))
    due = connection.execute(
        select(external_alert)
        .where(external_alert.c.state == FIRING, external_alert.c.ends_ms <= now_ms)
        .order_by(external_alert.c.ends_ms)
        .limit(EXTERNAL_SWEPT_MAX)
        .with_for_update()
    )
    rows = [dict(row._mapping) for row in due]
    for row in rows:
        connection.execute(
            update(external_alert)
            .where(external_alert.c.fingerprint == row["fingerprint"])
            .values(state=RESOLVED, expired=True, changed_ms=now_ms)
        )
    if rows:
        ended = [_transition(row, "expired", now_ms) for row in rows]
        connection.execute(insert(alert_transition), ended)
    return len(rows)


def _forgettable(now_ms: int) -> ColumnElement[bool]:
    return and_(
        external_alert.c.state == RESOLVED,
        external_alert.c.changed_ms < now_ms - EXTERNAL_KEPT_MS,
    )


def has_due(connection: Connection, now_ms: int) -> bool:
    """Whether `sweep` would do something."""
    ends = and_(external_alert.c.state == FIRING, external_alert.c.ends_ms <= now_ms)
    due = select(external_alert.c.fingerprint).where(or_(ends, _forgettable(now_ms)))
    return connection.execute(due.limit(1)).first() is not None


def firing(connection: Connection) -> list[Any]:
    """Rows of what fires now, by name and host."""
    rows = connection.execute(
        select(external_alert)
        .where(external_alert.c.state == FIRING)
        .order_by(external_alert.c.alert_name, external_alert.c.host)
    )
    return list(rows)


def _read(connection: Connection, fingerprints: Sequence[str]) -> dict[str, dict[str, Any]]:
    wanted = sorted(set(fingerprints))
    found: dict[str, dict[str, Any]] = {}
    for at in range(0, len(wanted), _SELECT_MAX):
        part = wanted[at : at + _SELECT_MAX]
        query = select(external_alert).where(external_alert.c.fingerprint.in_(part))
        # two senders at once: on PostgreSQL the second waits here, SQLite has one writer anyway
        for row in connection.execute(query.with_for_update()):
            found[row.fingerprint] = dict(row._mapping)
    return found


def _known(row: Mapping[str, Any]) -> Known:
    return Known(**{name: row[name] for name in Known.__dataclass_fields__})


def _row(
    sent: Sent, known: Known, source: str, before: Mapping[str, Any] | None, now_ms: int
) -> dict[str, Any]:
    # who sent it first stays its source, so that two replicas do not take turns
    source = source if before is None else str(before["source"])
    labels = {SOURCE: source, **sent.labels}
    severity = sent.labels.get("severity", "")
    return {
        "fingerprint": sent.fingerprint,
        "source": source,
        "alert_name": sent.labels.get("alertname", "Alert")[:NAME_CHARS_MAX],
        "host": host_of(labels_of(sent.labels))[:NAME_CHARS_MAX],
        "severity": (Severity.of(severity) if severity else Severity.WARNING).value,
        "labels": labels,
        "annotations": dict(sent.annotations),
        "generator_url": sent.generator_url,
        "updated_ms": now_ms,
        **{name: getattr(known, name) for name in Known.__dataclass_fields__},
    }


def _transition(row: Mapping[str, Any], event: str, now_ms: int) -> dict[str, Any]:
    names = ("fingerprint", "alert_name", "host", "severity", "labels", "annotations")
    fired = event == "fired"
    return {
        **{name: row[name] for name in names},
        "rule_key": RULE_KEY,
        "group_name": row["source"],
        "event": event,
        "from_state": "inactive" if fired else FIRING,
        "to_state": FIRING if fired else "inactive",
        "value": None,
        "active_ms": min(row["starts_ms"], now_ms),
        "sampled_ms": None,
        "evaluated_ms": now_ms,
        "written_ms": now_ms,
    }


def _check_room(connection: Connection, more: int) -> None:
    query = select(func.count()).where(external_alert.c.state == FIRING)
    if (connection.execute(query).scalar() or 0) + more > EXTERNAL_FIRING_MAX:
        raise BadAlert(f"more than {EXTERNAL_FIRING_MAX} alerts would fire at one time")
