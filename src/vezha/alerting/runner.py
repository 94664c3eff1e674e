"""Evaluates one rule: asks, maps results to alerts, lets `instances` decide.

Keeps what must outlive one evaluation (the alerts, their texts, the rule's cost and health) and
does no I/O but through the `Ask` that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vezha.alerting.ask import Ask, Vector
from vezha.alerting.crossings import NO_CLAIMS, Claim
from vezha.alerting.errors import EvaluationError, TemplateError
from vezha.alerting.instances import Change, Findings, Instances
from vezha.alerting.limits import ALERTS_PER_RULE_MAX
from vezha.alerting.presence import leading_selector, presence_expression
from vezha.alerting.rule import AlertRule, RecordRule
from vezha.alerting.state import OPEN_STATES, State, States
from vezha.alerting.template import Sample, Scope
from vezha.model.columns import STALE_NAN, Values, is_stale
from vezha.model.labels import INSTANCE, METRIC_NAME, Labels, get_label, labels_of
from vezha.model.native import ends_series, without_part

_ALERT_NAME = "alertname"
_STATE_WORDS = {
    State.PENDING: "pending",
    State.FIRING: "firing",
    State.KEEPING: "firing",
    State.FLAPPING: "firing",
    State.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Outside:
    """What the server says of itself in templates."""

    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""


@dataclass(slots=True)
class Health:
    """How a rule fares: moving average of its cost, its last error (empty: none)."""

    cost_s: float = 0.0
    error: str = ""
    evaluated_ms: int = 0

    def record(self, took_s: float, error: str, ts_ms: int) -> None:
        """Take in one evaluation."""
        self.cost_s = took_s if not self.evaluated_ms else 0.8 * self.cost_s + 0.2 * took_s
        self.error, self.evaluated_ms = error, ts_ms


@dataclass(frozen=True, slots=True)
class Told:
    """A change with what people need of it."""

    change: Change
    value: float
    active_ms: int
    sampled_ms: int | None
    annotations: dict[str, str]


class AlertRunner:
    """One alert rule with its alerts."""

    def __init__(self, rule: AlertRule, outside: Outside) -> None:
        self.rule = rule
        self.instances = Instances(rule)
        self.health = Health()
        self.annotations: dict[Labels, dict[str, str]] = {}
        self._outside = outside
        self._presence = presence_expression(rule.expr)
        self._selector = leading_selector(rule.expr)
        self._own_names = {_ALERT_NAME, METRIC_NAME, *(n for n, _ in rule.labels)}
        self._constant = {n: t.source for n, t in rule.labels if t.constant}
        self._varying = [(n, t) for n, t in rule.labels if not t.constant]
        self._mapped: dict[Labels, Labels] = {}
        self._shown: dict[Labels, tuple[State, Labels]] = {}
        self._last_series: tuple[States, list[Labels], Values] | None = None

    def evaluate(
        self,
        ask: Ask,
        ts_ms: int,
        held: bool,
        limit: int,
        claims: Mapping[Labels, Claim] = NO_CLAIMS,
    ) -> list[Told]:
        """Judge all alerts at *ts_ms*; what agents claim (by result labels) is true besides.

        Raises EvaluationError; then nothing has changed.
        """
        sources: dict[Labels, tuple[Labels, float]] = {}
        for labels, value in zip(*ask(self.rule.expr, ts_ms), strict=True):
            final = self.final(labels, value, ask, ts_ms)
            if final in sources:
                raise EvaluationError("two results have the same labels after the rule's own")
            sources[final] = (labels, float(value))
        claimed: dict[Labels, int | None] = {}
        for labels, claim in claims.items():
            final = self.final(labels, claim.value, ask, ts_ms)
            if final not in sources:
                sources[final] = (labels, claim.value)
                claimed[final] = claim.at_ms
        if len(sources) > min(limit or ALERTS_PER_RULE_MAX, ALERTS_PER_RULE_MAX):
            raise EvaluationError(f"gives {len(sources)} alerts, more than its limit")
        true = {final: value for final, (_, value) in sources.items()}
        ordinary = {k: v for k, v in true.items() if k not in claimed} if claimed else true
        stamps = {} if held else self._stamps(ask, ts_ms, ordinary) | claimed
        late_ms = self.rule.policy.late_ms
        late = [labels for labels, ms in stamps.items() if ms is not None and ts_ms - ms > late_ms]
        recovered, present = self._absent(ask, ts_ms, true)
        found = Findings(true, late, recovered, present)
        changes = self.instances.update(found, ts_ms, held)
        return [self._told(c, sources, stamps, ask, ts_ms) for c in changes]

    def final(self, labels: Labels, value: float, ask: Ask, ts_ms: int) -> Labels:
        """The alert's labels: the result's without its name, under the rule's own."""
        final = self._mapped.get(labels)
        if final is not None:
            return final
        pairs = {n: v for n, v in labels if n != METRIC_NAME}
        pairs.update(self._constant)
        if self._varying:
            scope = self._scope(labels, value, ask, ts_ms)
            for name, template in self._varying:
                pairs[name] = template.expand_or_error(scope)
        pairs[_ALERT_NAME] = self.rule.name
        final = labels_of(pairs)
        if not self._varying:
            if len(self._mapped) >= ALERTS_PER_RULE_MAX:
                self._mapped.clear()
            self._mapped[labels] = final
        return final

    def _scope(self, labels: Labels, value: float, ask: Ask, ts_ms: int) -> Scope:
        return Scope(
            dict(labels),
            float(value),
            self._outside.external_labels,
            self._outside.external_url,
            ts_ms / 1000,
            query_function(ask, ts_ms),
        )

    def _stamps(
        self, ask: Ask, ts_ms: int, true: Mapping[Labels, float]
    ) -> dict[Labels, int | None]:
        """Of those about to fire, when the samples behind them were taken (ms)."""
        candidates = self.instances.would_fire(true, ts_ms)
        if not candidates:
            return {}
        if self._selector is None:
            return dict.fromkeys(candidates)
        try:
            found = ask(f"max by ({INSTANCE}) (timestamp({self._selector}))", ts_ms)
        except EvaluationError:
            return dict.fromkeys(candidates)
        by_host = {
            get_label(labels, INSTANCE): int(value * 1000)
            for labels, value in zip(*found, strict=True)
        }
        newest = max(by_host.values(), default=None)
        return {c: by_host.get(get_label(c, INSTANCE), newest) for c in candidates}

    def _absent(
        self, ask: Ask, ts_ms: int, true: Mapping[Labels, float]
    ) -> tuple[set[Labels] | None, set[Labels] | None]:
        """Of open alerts that are not true: which recovered, and which have data."""
        leaving = self.instances.leaving(true)
        if not leaving:
            return None, None
        policy = self.rule.policy
        recovered: set[Labels] | None = None
        if policy.recovery:
            recovered = self._among(leaving, ask(policy.recovery, ts_ms)[0])
            leaving = [labels for labels in leaving if labels not in recovered]
        present: set[Labels] | None = None
        if self._presence is not None:
            there = ask(self._presence, ts_ms)[0] if leaving else []
            present = self._among(leaving, there)
        return recovered, present

    def _among(self, alerts: Iterable[Labels], results: Iterable[Labels]) -> set[Labels]:
        """Those *alerts* whose labels, the rule's own apart, one of *results* has."""
        bare = {self._bare(labels) for labels in results}
        return {labels for labels in alerts if self._bare(labels) in bare}

    def _bare(self, labels: Labels) -> Labels:
        return tuple(pair for pair in labels if pair[0] not in self._own_names)

    def _told(
        self,
        change: Change,
        sources: Mapping[Labels, tuple[Labels, float]],
        stamps: Mapping[Labels, int | None],
        ask: Ask,
        ts_ms: int,
    ) -> Told:
        row, labels = change.row, change.labels
        value = float(self.instances.value[row])
        if labels in sources and change.after in OPEN_STATES:
            self.annotations[labels] = self.expand(*sources[labels], ask, ts_ms)
        texts = self.annotations.get(labels, {})
        if change.after is State.INACTIVE:
            self.annotations.pop(labels, None)
        active_ms = int(self.instances.active_ms[row])
        return Told(change, value, active_ms, stamps.get(labels), texts)

    def expire(self, gone: Iterable[Labels], ts_ms: int) -> list[Told]:
        """End alerts whose target was taken away on purpose."""
        out = []
        for change in self.instances.expire(list(gone), ts_ms):
            texts = self.annotations.pop(change.labels, {})
            value = float(self.instances.value[change.row])
            active_ms = int(self.instances.active_ms[change.row])
            out.append(Told(change, value, active_ms, None, texts))
        return out

    def expand(self, labels: Labels, value: float, ask: Ask, ts_ms: int) -> dict[str, str]:
        """The annotations' texts for one result."""
        scope = self._scope(labels, value, ask, ts_ms)
        texts = {name: t.expand_or_error(scope) for name, t in self.rule.annotations}
        policy = self.rule.policy
        own = {"vezha_team": policy.team, "vezha_explains": policy.explains}
        return texts | {name: text for name, text in own.items() if text}

    def series(self) -> Vector:
        """`ALERTS` and `ALERTS_FOR_STATE` as they are to be written now, stale marks included."""
        known = self._last_series
        # a thousand alerts that stay as they are cost nothing to write again
        if known is not None and np.array_equal(known[0], self.instances.state):
            return known[1], known[2]
        labels, values = self._changed_series()
        ended = is_stale(values).any()
        self._last_series = None if ended else (self.instances.state.copy(), labels, values)
        return labels, values

    def _changed_series(self) -> Vector:
        labels_out: list[Labels] = []
        values: list[float] = []
        seen = set()
        for row in np.flatnonzero(self.instances.state != State.INACTIVE):
            labels = self.instances.labels[row]
            state = State(int(self.instances.state[row]))
            seen.add(labels)
            known = self._shown.get(labels)
            if known is None or known[0] is not state:
                shown = labels_of(
                    {**dict(labels), METRIC_NAME: "ALERTS", "alertstate": _STATE_WORDS[state]}
                )
                if known is not None and known[1] != shown:
                    labels_out.append(known[1])
                    values.append(STALE_NAN)
                known = self._shown[labels] = (state, shown)
            labels_out += [known[1], _for_state(labels)]
            values += [1.0, float(self.instances.active_ms[row]) / 1000]
        for labels in [labels for labels in self._shown if labels not in seen]:
            labels_out += [self._shown.pop(labels)[1], _for_state(labels)]
            values += [STALE_NAN, STALE_NAN]
        return labels_out, np.array(values)


class RecordRunner:
    """One recording rule."""

    def __init__(self, rule: RecordRule) -> None:
        self.rule = rule
        self.health = Health()
        self._labels = {METRIC_NAME: rule.name, **dict(rule.labels)}
        self._mapped: dict[Labels, Labels] = {}
        self._before: set[Labels] = set()

    def evaluate(self, ask: Ask, ts_ms: int, limit: int) -> Vector:
        """What to write, stale marks for series that ended included. *ask* gives histograms in
        parts. Raises EvaluationError."""
        results, values = ask(self.rule.expr, ts_ms)
        if limit and len(results) > limit:
            series = len({without_part(labels) for labels in results})
            if series > limit:
                raise EvaluationError(f"gives {series} series, more than its limit of {limit}")
        out = [self._final(labels) for labels in results]
        now = set(out)
        if len(now) != len(out):
            raise EvaluationError("two results have the same labels after the rule's own")
        ended = [labels for labels in self._before if labels not in now and ends_series(labels)]
        self._before = now
        return out + ended, np.concatenate([values, np.full(len(ended), STALE_NAN)])

    def _final(self, labels: Labels) -> Labels:
        final = self._mapped.get(labels)
        if final is None:
            if len(self._mapped) >= ALERTS_PER_RULE_MAX:
                self._mapped.clear()
            final = self._mapped[labels] = labels_of({**dict(labels), **self._labels})
        return final


def _for_state(labels: Labels) -> Labels:
    return labels_of({**dict(labels), METRIC_NAME: "ALERTS_FOR_STATE"})


def query_function(ask: Ask, ts_ms: int) -> Callable[[str], list[Sample]]:
    """The function `query` of templates, at one instant."""

    def query(text: str) -> list[Sample]:
        try:
            labels, values = ask(text, ts_ms)
        except EvaluationError as fault:
            raise TemplateError(str(fault)) from None
        return [
            {"Labels": dict(one), "Value": float(value)}
            for one, value in zip(labels, values, strict=True)
        ]

    return query
