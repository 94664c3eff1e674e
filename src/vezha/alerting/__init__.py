"""Rules → transitions: evaluates alert and recording rules and says what changed.

Owns rule files (Prometheus's format), their templates, the state of every alert and the
built-in rule pack. In: the query engine, rule folders, "data arrived" nudges and the clock.
Out: series (`ALERTS`, `ALERTS_FOR_STATE`, recording rules, own cost) and rows in the ledger
(`alert_transition`, `alert_state`). Refuses: rule files that it does not understand whole;
to call an alert resolved because its data vanished; to fire on late or replayed data.
It knows nothing of incidents and people: those follow the rows.
"""

from __future__ import annotations

from vezha.alerting.errors import RuleError, TemplateError
from vezha.alerting.loop import Alerting, AlertingSettings

__all__ = ["Alerting", "AlertingSettings", "RuleError", "TemplateError"]
