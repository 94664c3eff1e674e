"""Rules → transitions: evaluates alert and recording rules and says what changed.

Owns rule files (Prometheus's format), their templates, the state of every alert and the
built-in rule pack. In: the query engine, rule folders, "data arrived" nudges and the clock.
Out: series (`ALERTS`, `ALERTS_FOR_STATE`, recording rules, own cost) and rows in the ledger
(`alert_transition`, `alert_state`). Refuses: rule files that it does not understand whole;
to call an alert resolved because its data vanished; to fire on late or replayed data.
It knows nothing of incidents and people: those follow the rows.

Nothing is imported here: a command that asks for a duration or a rule's error must not pay for
the query engine. The loop is `vezha.alerting.loop.Alerting`.
"""
