"""`Alerting`: evaluates what is due, writes what changed, tells who follows.

One code path: `tick` does what is due now, whatever woke it. Everything that decides is in
`runner`, `instances` and `state`. `tick` may run on any one thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from vezha.alerting.ask import Ask, ask_of, check_expression
from vezha.alerting.book import file_stamps
from vezha.alerting.crossings import OUTCOMES, Crossings
from vezha.alerting.errors import EvaluationError
from vezha.alerting.journal import Batch, close_rows, restore, state_row
from vezha.alerting.limits import (
    CLOCK_JUMP_MS,
    EARLY_BUDGET_S,
    EARLY_GAP_MS,
    OWN_SERIES_EVERY_MS,
    PASS_BUDGET_S,
    SETTLE_MS_DEFAULT,
    STATE_REFRESH_MS,
)
from vezha.alerting.rule import AlertRule, Group, RecordRule
from vezha.alerting.rulefile import BUILTIN_FOLDER, find_rule_files, load_rule_files
from vezha.alerting.runner import AlertRunner, Outside, RecordRunner
from vezha.alerting.schedule import Due, phase_ms
from vezha.alerting.shared import SharedReads
from vezha.alerting.state import Event, State
from vezha.alerting.tripwire import RuleTripwire, compile_groups
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_state, host
from vezha.model.columns import STALE_NAN, Values
from vezha.model.labels import Labels, get_label, host_of, labels_of
from vezha.query import Engine
from vezha.world import World

WriteSamples = Callable[[list[Labels], int, Values], None]
"""Writes one sample each of some series: labels, time in ms, float64 values."""

_log = structlog.get_logger("alerting")
_SAVE_QUIET_MS = 2_000
_AGENT_JOB = "node"
_RELOAD_LOOK_MS = 5_000


@dataclass(frozen=True, slots=True)
class AlertingSettings:
    """How alerting behaves as a whole."""

    builtin: bool = True
    settle_ms: int = SETTLE_MS_DEFAULT
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""


@dataclass(slots=True)
class _LiveGroup:
    group: Group
    runners: list[AlertRunner | RecordRunner]
    due: Due
    took_s: float = 0.0
    """What its last whole turn cost."""
    evaluated_ms: int = 0
    saved_ms: int = 0
    rule_at: int = 0
    """The rule with which an unfinished turn goes on; 0 where none is."""
    turn_ms: int = 0
    """The instant that all rules of the turn are asked about."""
    spent_s: float = 0.0
    """What the unfinished turn has cost so far."""

    @property
    def is_patient(self) -> bool:
        """Whether it may be late by a second, since it looks every few seconds at most."""
        return self.group.interval_ms > 1_000


class Alerting:
    """All rules of one server.

    *write_samples* gets recording rules, `ALERTS` and own figures; *notify_ops* is called after
    transitions were committed. Broken rule files are left out, logged, and told in the ledger
    (`rule_group_state.problem`); they never stop the others.
    """

    def __init__(
        self,
        engine: Engine | Ask,
        ledger: Ledger,
        write_samples: WriteSamples,
        world: World,
        rule_folders: Sequence[str] = (),
        settings: AlertingSettings | None = None,
        notify_ops: Callable[[], None] = lambda: None,
    ) -> None:
        """Loads the rules and takes up the alerts of before. Raises SQLAlchemyError."""
        self._shared: SharedReads | None = None
        if isinstance(engine, Engine):
            inner = getattr(engine.source, "inner", engine.source)
            self._shared = SharedReads(inner)
            shared = Engine(self._shared, engine.limits, engine.options)
            self._ask, self._ask_to_record = ask_of(shared), ask_of(shared, parts=True)
        else:
            self._ask = self._ask_to_record = engine
        self._ledger = ledger
        self._write = write_samples
        self._world = world
        self._settings = settings or AlertingSettings()
        self._notify_ops = notify_ops
        self._folders = tuple(rule_folders)
        self._groups: list[_LiveGroup] = []
        self._files: dict[str, tuple[float, int]] = {}
        self._problems: dict[str, list[str]] = {}
        self.crossings = Crossings()
        self.tripwires: dict[str, RuleTripwire] = {}
        """What agents are to watch, by rule key. Never changed in place."""
        self.on_tripwires: Callable[[], None] = lambda: None
        """Called on the rules' thread when `tripwires` has changed."""
        self.on_fired: Callable[[float], None] = lambda seconds: None
        """Called on the rules' thread for each alert that fired: the age of the sample behind it, in
        seconds, when that was durable."""
        self._not_tripwires: dict[str, str] = {}
        self._batch = Batch()
        self._must_save = False
        self._nudged = False
        self._early_ms = 0
        self._own_ms = 0
        self._quiet_saved_ms = 0
        self._looked_ms = 0
        self._missed = 0
        self._failed_saves = 0
        self._tick_s = 0.0
        now_ms = self._now_ms()
        self._settled_ms = now_ms + self._settings.settle_ms
        self._jump_guard = now_ms - int(world.clock.monotonic() * 1000)
        self._load()
        with ledger.begin() as connection:
            runners = [(g.name, r) for g, r in self._alert_runners()]
            if restore(connection, runners, now_ms):
                self._must_save = True  # so that ops is told

    # What the contour calls

    def nudge(self) -> None:
        """Data arrived: evaluate early what can be. Cheap; any thread."""
        self._nudged = True

    def crossed(
        self, host: str, told: tuple[str, bool, int, float], labels: Mapping[str, object]
    ) -> bool:
        """An agent's tripwire (see `Crossings.take`). Whether `tick` should be called at once.
        Cheap; any thread."""
        now_ms = self._now_ms()
        settling = self.is_settling(now_ms)
        return self.crossings.take(self.tripwires, host, told, labels, now_ms, settling)

    def wait_s(self, now_s: float | None = None) -> float:
        """How long nothing is due, in seconds (0 to 1)."""
        if self.crossings.waits or any(g.rule_at for g in self._groups):
            return 0.0
        now_ms = self._now_ms() if now_s is None else int(now_s * 1000)
        next_ms = min((g.due.next_ms for g in self._groups), default=now_ms + 1000)
        if self._nudged:
            next_ms = min(next_ms, self._early_ms + EARLY_GAP_MS)
        return min(1.0, max(0.0, (next_ms - now_ms) / 1000))

    def tick(self, now_s: float | None = None) -> int:
        """Evaluate what is due at *now_s* (seconds since the epoch); transitions written.

        Groups that are evaluated every few seconds get PASS_BUDGET_S of it and go on in the next tick
        where they stopped: those of each second are never late because of them.
        """
        started = self._world.clock.monotonic()
        now_ms = self._now_ms() if now_s is None else int(now_s * 1000)
        self._guard_clock(now_ms)
        if self._shared is not None:
            self._shared.begin()
        self._take_crossings(now_ms)
        if now_ms - self._looked_ms >= _RELOAD_LOOK_MS:
            self._looked_ms = now_ms
            if self._folder_stamps() != self._files:
                self.reload()
            self._expire_removed(now_ms)
        due = [g for g in self._groups if g.rule_at or g.due.is_due(now_ms)]
        written = self._early(now_ms, due)
        # the cheap ones first, and what they found is told before the dear ones are asked; among those
        # who can wait, whose turn it has been for longest
        budget_end_s = 0.0
        for live in sorted(due, key=lambda g: (g.is_patient, _order(g))):
            if live.is_patient:
                clock_s = self._world.clock.monotonic()
                budget_end_s = budget_end_s or clock_s + PASS_BUDGET_S
                if clock_s > budget_end_s:
                    break
            if not live.rule_at:
                self._missed += live.due.take(now_ms)
                live.turn_ms, live.spent_s = now_ms, 0.0
            self._evaluate(live, now_ms, budget_end_s if live.is_patient else math.inf)
            written += self._save(now_ms)
            if now_s is None:
                written += self._early(self._now_ms(), due)
        self._tick_s = self._world.clock.monotonic() - started
        if now_ms - self._own_ms >= OWN_SERIES_EVERY_MS:
            self._own_ms = now_ms
            self._write_own(now_ms)
        return written

    def is_settling(self, now_ms: int) -> bool:
        """Whether nobody is judged yet, because this server or its clock has just started."""
        return now_ms < self._settled_ms

    def reload(self) -> None:
        """Read the rule files anew; alerts of rules that stay keep their state."""
        before = {r.rule.key: r for _, r in self._alert_runners()}
        self._load()
        now_ms = self._now_ms()
        for _, runner in self._alert_runners():
            old = before.pop(runner.rule.key, None)
            if old is not None:
                runner.instances = old.instances
                runner.instances.rule = runner.rule
                runner.annotations = old.annotations
        gone = [key for key, runner in before.items() if len(runner.instances)]
        for key in gone:
            labels, _ = before[key].series()
            self._write_safely(labels, now_ms, np.full(len(labels), STALE_NAN))
        if gone:
            self._save(now_ms)
            with self._ledger.begin() as connection:
                rows = connection.execute(
                    select(alert_state).where(alert_state.c.rule_key.in_(gone))
                ).all()
                close_rows(connection, rows, now_ms)
            self._notify_ops()

    def stats(self) -> dict[str, float]:
        """Own figures: seconds of the last tick, turns missed, alerts by state …"""
        out = {
            "tick_seconds": self._tick_s,
            "missed_total": float(self._missed),
            "failed_saves_total": float(self._failed_saves),
            "settling": float(self.is_settling(self._now_ms())),
            "broken_files": float(len(self._problems)),
            "tripwires": float(len(self.tripwires)),
            "crossings_delay_seconds_total": self.crossings.delay_ms_total / 1000,
        }
        for outcome, count in self.crossings.outcomes.items():
            out[OUTCOMES[outcome]] = float(count)
        for state in State:
            if state is not State.INACTIVE:
                out[f"alerts_{state.word}"] = float(
                    sum(int((r.instances.state == state).sum()) for _, r in self._alert_runners())
                )
        return out

    @property
    def problems(self) -> dict[str, list[str]]:
        """Faults of rule files by path."""
        return dict(self._problems)

    @property
    def groups(self) -> list[Group]:
        """The groups that are evaluated."""
        return [live.group for live in self._groups]

    # Inside

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)

    def _alert_runners(self) -> Iterable[tuple[Group, AlertRunner]]:
        for live in self._groups:
            for runner in live.runners:
                if isinstance(runner, AlertRunner):
                    yield live.group, runner

    def _all_folders(self) -> tuple[str, ...]:
        return ((BUILTIN_FOLDER,) if self._settings.builtin else ()) + self._folders

    def _folder_stamps(self) -> dict[str, tuple[float, int]]:
        return file_stamps(find_rule_files(self._all_folders()))

    def _load(self) -> None:
        paths = find_rule_files(self._all_folders())
        self._files = file_stamps(paths)
        loaded = load_rule_files(paths, check_expression)
        outside = Outside(self._settings.external_labels, self._settings.external_url)
        old = {live.group.identity: live for live in self._groups}
        self._groups = []
        for group in loaded.groups:
            before = old.get(group.identity)
            if before is not None and before.group == group:
                self._groups.append(before)
                continue
            runners: list[AlertRunner | RecordRunner] = [
                AlertRunner(r, outside) if isinstance(r, AlertRule) else RecordRunner(r)
                for r in group.rules
            ]
            self._groups.append(_LiveGroup(group, runners, Due(group.interval_ms, phase_ms(group))))
        for file, texts in loaded.problems.items():
            if self._problems.get(file) != texts:
                _log.error("a rule file is left out", file=file, problems=texts)
        self._problems = loaded.problems
        if self._shared is not None:
            recorded = (r for live in self._groups for r in live.group.rules)
            self._shared.writes([r.name for r in recorded if isinstance(r, RecordRule)])
        self._note_problems()
        self._compile_tripwires()

    def _compile_tripwires(self) -> None:
        wires, refused = compile_groups(live.group for live in self._groups)
        for rule, why in refused.items():
            if self._not_tripwires.get(rule) != why:
                _log.warning("a rule cannot be a tripwire", rule=rule, because=why)
        self._not_tripwires = refused
        if wires != self.tripwires:
            self.tripwires = wires
            self.on_tripwires()

    def _note_problems(self) -> None:
        for file, texts in self._problems.items():
            self._batch.groups[(file, "")] = {
                "file": file,
                "group_name": "",
                "evaluated_ms": self._now_ms(),
                "duration_s": 0.0,
                "rules": [],
                "problem": "\n".join(texts),
            }

    def _guard_clock(self, now_ms: int) -> None:
        """A clock that jumped makes every age wrong: settle anew."""
        guard = self._now_ms() - int(self._world.clock.monotonic() * 1000)
        if abs(guard - self._jump_guard) > CLOCK_JUMP_MS:
            _log.warning("the clock jumped", by_s=(guard - self._jump_guard) / 1000)
            self._jump_guard = guard
            self._settled_ms = now_ms + self._settings.settle_ms

    def _expire_removed(self, now_ms: int) -> None:
        """A host that a person took out of the fleet is not awaited for a day.

        Only agents' own series count: what other tools send is of no host in the ledger.
        """
        lost = [
            (group, runner, labels)
            for group, runner in self._alert_runners()
            for labels in runner.instances.unknown_labels()
            if get_label(labels, "job") == _AGENT_JOB and host_of(labels)
        ]
        if not lost:
            return
        try:
            with self._ledger.read() as connection:
                known = set(connection.execute(select(host.c.name)).scalars())
        except SQLAlchemyError as fault:
            _log.error("the ledger is not reachable", error=str(fault))
            return
        for group, runner, labels in lost:
            if host_of(labels) not in known:
                for told in runner.expire([labels], now_ms):
                    self._must_save |= self._batch.add(group.name, runner, told, now_ms)

    def _take_crossings(self, at_ms: int | None = None) -> None:
        """Evaluate the rules whose tripwires were crossed, now: nothing is more urgent."""
        if not self.crossings.waits:
            return
        now_ms = self._now_ms() if at_ms is None else at_ms
        due = self.crossings.rules_due()
        for live in self._groups:
            for runner in live.runners:
                if not isinstance(runner, AlertRunner) or runner.rule.key not in due:
                    continue
                if self._evaluate_alerts(live, runner, now_ms):
                    self._write_safely(*_with_time(runner, now_ms))
        self._save(now_ms)

    def _early(self, now_ms: int, due: Sequence[_LiveGroup]) -> int:
        """The early evaluation, where one is asked for and allowed; transitions written."""
        if not self._nudged or now_ms - self._early_ms < EARLY_GAP_MS:
            return 0
        self._nudged = False
        self._early_ms = now_ms
        waiting = {g.group.identity for g in due if g.due.is_due(now_ms)}
        self._tick_early(now_ms, waiting)
        return self._save(now_ms)

    def _tick_early(self, now_ms: int, skip: set[tuple[str, str]]) -> None:
        """Evaluate alerts that wait for nothing, cheapest first, within the budget."""
        eager = [
            (runner.health.cost_s, i, live, runner)
            for live in self._groups
            if live.group.interval_ms <= 1_000 and live.group.identity not in skip
            for i, runner in enumerate(live.runners)
            if isinstance(runner, AlertRunner) and runner.rule.for_ms == 0
        ]
        budget = EARLY_BUDGET_S
        for cost, _, live, runner in sorted(eager, key=lambda e: (e[0], e[1])):
            self._take_crossings()
            budget -= cost
            if budget < 0:
                break
            if self._evaluate_alerts(live, runner, now_ms):
                self._write_safely(*_with_time(runner, now_ms))

    def _evaluate(self, live: _LiveGroup, now_ms: int, end_s: float) -> None:
        """All rules of a group in order; a later one sees what an earlier one recorded.

        One rule at least, and those after it until *end_s* (monotonic); the next call goes on.
        """
        clock, turn_ms = self._world.clock, live.turn_ms
        started = clock.monotonic()
        for at, runner in enumerate(live.runners[live.rule_at :], live.rule_at):
            if at > live.rule_at and clock.monotonic() > end_s:
                live.rule_at = at
                live.spent_s += clock.monotonic() - started
                return
            self._take_crossings()
            if isinstance(runner, RecordRunner):
                self._record(live, runner, turn_ms)
                continue
            self._evaluate_alerts(live, runner, turn_ms)
            self._write_safely(*_with_time(runner, turn_ms))
            self._batch.forget(runner.rule, runner.instances.forget(turn_ms))
        live.rule_at = 0
        live.took_s = live.spent_s + clock.monotonic() - started
        live.evaluated_ms = turn_ms
        if now_ms - live.saved_ms >= STATE_REFRESH_MS:
            live.saved_ms = now_ms
            self._refresh(live, now_ms)

    def _evaluate_alerts(self, live: _LiveGroup, runner: AlertRunner, now_ms: int) -> bool:
        """One alert rule; whether any alert changed."""
        started = self._world.clock.monotonic()
        ts_ms = now_ms - live.group.query_offset_ms
        error = ""
        told = []
        try:
            settling = self.is_settling(now_ms)
            claims = self.crossings.claims(runner.rule.key, now_ms)
            told = runner.evaluate(self._ask, ts_ms, settling, live.group.limit, claims)
        except EvaluationError as fault:
            error = str(fault)
        self._note_health(live, runner, started, error, now_ms)
        for one in told:
            self._must_save |= self._batch.add(live.group.name, runner, one, now_ms)
        return bool(told)

    def _record(self, live: _LiveGroup, runner: RecordRunner, now_ms: int) -> None:
        started = self._world.clock.monotonic()
        ts_ms = now_ms - live.group.query_offset_ms
        error = ""
        try:
            labels, values = runner.evaluate(self._ask_to_record, ts_ms, live.group.limit)
            self._write_safely(labels, ts_ms, values)
        except EvaluationError as fault:
            error = str(fault)
        self._note_health(live, runner, started, error, now_ms)

    def _note_health(
        self,
        live: _LiveGroup,
        runner: AlertRunner | RecordRunner,
        started: float,
        error: str,
        now_ms: int,
    ) -> None:
        if error and error != runner.health.error:
            _log.warning("a rule fails", group=live.group.name, rule=runner.rule.name, error=error)
        if bool(error) != bool(runner.health.error):
            live.saved_ms = 0
        runner.health.record(self._world.clock.monotonic() - started, error, now_ms)

    def _write_safely(self, labels: list[Labels], ts_ms: int, values: Values) -> None:
        if labels:
            self._write(labels, ts_ms, values)

    def _refresh(self, live: _LiveGroup, now_ms: int) -> None:
        """Bring what the pages show of a group up to date: values, costs, health."""
        for runner in live.runners:
            if isinstance(runner, AlertRunner):
                for row in runner.instances.open_rows():
                    labels = runner.instances.labels[row]
                    texts = runner.annotations.get(labels, {})
                    state = state_row(live.group.name, runner, int(row), texts, now_ms)
                    self._batch.states[(runner.rule.key, state["fingerprint"])] = state
        self._batch.groups[live.group.identity] = {
            "file": live.group.file,
            "group_name": live.group.name,
            "evaluated_ms": live.evaluated_ms,
            "duration_s": live.took_s,
            "rules": [
                {
                    "key": runner.rule.key,
                    "health": "err" if runner.health.error else "ok",
                    "error": runner.health.error,
                    "duration_s": runner.health.cost_s,
                    "evaluated_ms": runner.health.evaluated_ms,
                }
                for runner in live.runners
            ],
            "problem": "",
        }

    def _save(self, now_ms: int) -> int:
        """Write the batch where somebody waits for it, or it waited long enough."""
        waited = now_ms - self._quiet_saved_ms >= _SAVE_QUIET_MS
        if not self._must_save and not (self._batch and waited):
            return 0
        written = len(self._batch.transitions)
        try:
            if self._batch:
                with self._ledger.begin() as connection:
                    self._batch.write(connection, self._now_ms())
        except SQLAlchemyError as fault:
            # kept and tried again at the next tick: what is in memory is the truth until then
            self._failed_saves += 1
            _log.error("transitions cannot be written yet", error=str(fault))
            return 0
        for row in self._batch.transitions:
            if row["event"] == Event.FIRED.word and row["sampled_ms"] is not None:
                self.on_fired((self._now_ms() - row["sampled_ms"]) / 1000)
        self._batch = Batch()
        self._quiet_saved_ms = now_ms
        if self._must_save:
            self._must_save = False
            self._notify_ops()
        return written

    def _write_own(self, now_ms: int) -> None:
        labels: list[Labels] = []
        values: list[float] = []
        for name, value in self.stats().items():
            labels.append(_own(f"vezha_alerting_{name}"))
            values.append(value)
        for live in self._groups:
            labels.append(_own("vezha_rule_group_seconds", rule_group=live.group.name))
            values.append(live.took_s)
            for runner in live.runners:
                rule = runner.rule.name
                labels.append(_own("vezha_rule_seconds", rule_group=live.group.name, rule=rule))
                values.append(runner.health.cost_s)
        # rules of one name differ by severity only and are summed under one series
        total: dict[Labels, float] = {}
        for one, value in zip(labels, values, strict=True):
            total[one] = total.get(one, 0.0) + value
        self._write_safely(list(total), now_ms, np.array(list(total.values())))


def _order(live: _LiveGroup) -> float:
    return (
        float(live.turn_ms if live.rule_at else live.due.next_ms)
        if live.is_patient
        else live.took_s
    )


def _own(name: str, **labels: str) -> Labels:
    return labels_of({"__name__": name, "job": "vezha", **labels})


def _with_time(runner: AlertRunner, now_ms: int) -> tuple[list[Labels], int, Values]:
    labels, values = runner.series()
    return labels, now_ms, values
