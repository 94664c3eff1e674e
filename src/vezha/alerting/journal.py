"""What alerting writes to the ledger and reads back after a restart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from vezha.alerting.instances import Instances, fingerprint
from vezha.alerting.rule import AlertRule
from vezha.alerting.runner import AlertRunner, Told
from vezha.alerting.state import TOLD, Event, State
from vezha.ledger.tables import alert_state, alert_transition, rule_group_state
from vezha.model.labels import Labels, get_label, host_of, labels_of
from vezha.model.severity import Severity


def severity_of(labels: Labels, rule: AlertRule) -> Severity:
    """By the alert's own label, else the rule's."""
    word = get_label(labels, "severity")
    return Severity.of(word) if word else rule.severity


@dataclass(slots=True)
class Batch:
    """Rows that wait to be written in one transaction; kept when the ledger is away."""

    transitions: list[dict[str, Any]] = field(default_factory=list)
    states: dict[tuple[str, str], dict[str, Any] | None] = field(default_factory=dict)
    groups: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.transitions or self.states or self.groups)

    def add(self, group: str, runner: AlertRunner, told: Told, now_ms: int) -> bool:
        """Take in a change; whether incidents must hear of it."""
        change = told.change
        rule, labels = runner.rule, change.labels
        common = _common(group, rule, labels)
        key = (rule.key, common["fingerprint"])
        if change.after is State.INACTIVE and not runner.instances.fires[change.row]:
            self.states[key] = None
        else:
            self.states[key] = state_row(group, runner, change.row, told.annotations, now_ms)
        if change.event not in TOLD:
            return False
        self.transitions.append(
            {
                **common,
                "annotations": told.annotations,
                "event": change.event.word,
                "from_state": change.before.word,
                "to_state": change.after.word,
                "value": _finite(told.value),
                "active_ms": told.active_ms,
                "sampled_ms": told.sampled_ms,
                "evaluated_ms": now_ms,
                "written_ms": now_ms,
            }
        )
        return True

    def forget(self, rule: AlertRule, labels: Iterable[Labels]) -> None:
        """Drop the remembered state of alerts that are over."""
        for one in labels:
            self.states[(rule.key, fingerprint(one))] = None

    def write(self, connection: Connection, now_ms: int) -> None:
        """Write all; the caller's transaction commits or nothing happened."""
        for row in self.transitions:
            row["written_ms"] = now_ms
        if self.states:
            connection.execute(
                delete(alert_state).where(
                    alert_state.c.rule_key == bindparam("k"),
                    alert_state.c.fingerprint == bindparam("f"),
                ),
                [{"k": k, "f": f} for k, f in self.states],
            )
            rows = [row for row in self.states.values() if row is not None]
            if rows:
                connection.execute(insert(alert_state), rows)
        if self.transitions:
            connection.execute(insert(alert_transition), self.transitions)
        for (file, name), row in self.groups.items():
            connection.execute(
                delete(rule_group_state).where(
                    rule_group_state.c.file == file, rule_group_state.c.group_name == name
                )
            )
            connection.execute(insert(rule_group_state), row)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _common(group: str, rule: AlertRule, labels: Labels) -> dict[str, Any]:
    return {
        "rule_key": rule.key,
        "fingerprint": fingerprint(labels),
        "group_name": group,
        "alert_name": rule.name,
        "host": host_of(labels),
        "severity": severity_of(labels, rule).value,
        "labels": dict(labels),
    }


def state_row(
    group: str, runner: AlertRunner, row: int, annotations: Mapping[str, str], now_ms: int
) -> dict[str, Any]:
    """The row of `alert_state` for one alert as it is now."""
    columns = runner.instances
    return {
        **_common(group, runner.rule, columns.labels[row]),
        "annotations": dict(annotations),
        "state": State(int(columns.state[row])).word,
        "value": _finite(float(columns.value[row])),
        "active_ms": int(columns.active_ms[row]),
        "fired_ms": int(columns.fired_ms[row]) or None,
        "timer_ms": int(columns.timer_ms[row]),
        "changed_ms": int(columns.changed_ms[row]),
        "updated_ms": now_ms,
        "fires_ms": columns.fires[row],
    }


def restore(connection: Connection, runners: Sequence[tuple[str, AlertRunner]], now_ms: int) -> int:
    """Give each runner its alerts of before; closes those whose rule is gone.

    Returns how many were closed (each with a transition, so that incidents hear of it).
    """
    by_rule: dict[str, list[Any]] = {}
    for row in connection.execute(select(alert_state)):
        by_rule.setdefault(row.rule_key, []).append(row)
    for _, runner in runners:
        rows = by_rule.pop(runner.rule.key, [])
        if rows:
            _restore_rule(runner, rows)
    closed = 0
    for rows in by_rule.values():
        closed += close_rows(connection, rows, now_ms)
    return closed


def _restore_rule(runner: AlertRunner, rows: Sequence[Any]) -> None:
    labels = [labels_of(row.labels) for row in rows]
    instances: Instances = runner.instances
    instances.restore(
        labels,
        [State[row.state.upper()] for row in rows],
        [(row.active_ms, row.fired_ms or 0, row.timer_ms, row.changed_ms) for row in rows],
        [math.nan if row.value is None else row.value for row in rows],
        [list(row.fires_ms) for row in rows],
    )
    for one, row in zip(labels, rows, strict=True):
        runner.annotations[one] = dict(row.annotations)


def close_rows(connection: Connection, rows: Sequence[Any], now_ms: int) -> int:
    """End the alerts of rules that are gone: open ones with a transition `expired`."""
    closed = 0
    for row in rows:
        connection.execute(
            delete(alert_state).where(
                alert_state.c.rule_key == row.rule_key,
                alert_state.c.fingerprint == row.fingerprint,
            )
        )
        if row.state not in ("inactive", "pending"):
            closed += 1
            names = ("rule_key", "fingerprint", "group_name", "alert_name", "host", "severity")
            connection.execute(
                insert(alert_transition),
                {
                    **{name: getattr(row, name) for name in names},
                    "labels": row.labels,
                    "annotations": row.annotations,
                    "event": Event.EXPIRED.word,
                    "from_state": row.state,
                    "to_state": State.INACTIVE.word,
                    "value": row.value,
                    "active_ms": row.active_ms,
                    "sampled_ms": None,
                    "evaluated_ms": now_ms,
                    "written_ms": now_ms,
                },
            )
    return closed
