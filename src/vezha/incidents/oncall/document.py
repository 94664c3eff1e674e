"""Schedules, policies and teams as plain documents: what the API and files carry. Pure.

[[schedules]]
name = "db"
time_zone = "Europe/Kyiv"
[[schedules.layers]]
name = "week"
people = ["olena", "petro"]
rotation = "weekly"          # daily, weekly, "3d", "12h"
start = "2026-11-02T09:00"   # the first hand-over, local time
[[schedules.layers]]
name = "night"
people = ["ivan"]
rotation = "daily"
start = "2026-11-02T22:00"
windows = [{days = ["mon", "tue"], start = "22:00", minutes = 480}]

[[policies]]
name = "db"
repeat = 2
ack_timeout_s = 3600
[[policies.steps]]
targets = ["schedule:db"]
wait_s = 300
[[policies.steps]]
targets = ["person:boss", "receiver:oncall"]
wait_s = 600

[[teams]]
name = "db"
match = ['role="db"']
policy = "db"
members = ["olena", "petro"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vezha.incidents.errors import SilenceError
from vezha.incidents.oncall.errors import OnCallError
from vezha.incidents.oncall.limits import (
    ACK_TIMEOUT_MS_MAX,
    LAYERS_MAX,
    NAME_CHARS,
    PEOPLE_MAX,
    POLICIES_MAX,
    REPEATS_MAX,
    ROTATION_HOURS_MAX,
    SCHEDULES_MAX,
    STEP_MS_MAX,
    STEPS_MAX,
    TARGETS_MAX,
    TEAMS_MAX,
    WINDOWS_MAX,
)
from vezha.incidents.oncall.policy import Policy, Step, Target, TargetKind
from vezha.incidents.oncall.rota import Layer, Schedule, Window
from vezha.incidents.oncall.team import Team
from vezha.incidents.silence import LabelMatcher, parse_matchers
from vezha.model.recurrence import DAYS
from vezha.model.severity import Severity

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_ROTATION = re.compile(r"(\d{1,4})(h|d|w)")
_UNIT_HOURS = {"h": 1, "d": 24, "w": 168}
_NAMED_HOURS = {"daily": 24, "weekly": 168}


@dataclass(frozen=True, slots=True)
class Everything:
    """All of on-call that is set up."""

    schedules: tuple[Schedule, ...] = ()
    policies: tuple[Policy, ...] = ()
    teams: tuple[Team, ...] = field(default=())


def read_everything(raw: Mapping[str, Any]) -> Everything:
    """Everything from a parsed file. Raises OnCallError."""
    taken = _Table(raw, "the file")
    schedules = taken.tables("schedules", SCHEDULES_MAX)
    policies = taken.tables("policies", POLICIES_MAX)
    teams = taken.tables("teams", TEAMS_MAX)
    taken.leave_none()
    made = Everything(
        tuple(read_schedule(t) for t in schedules),
        tuple(read_policy(t) for t in policies),
        tuple(read_team(t) for t in teams),
    )
    for kind, names in (
        ("schedules", [s.name for s in made.schedules]),
        ("policies", [p.name for p in made.policies]),
        ("teams", [t.name for t in made.teams]),
    ):
        if len(set(names)) != len(names):
            raise OnCallError(f"two {kind} have the same name")
    return made


def show_everything(everything: Everything) -> dict[str, Any]:
    """The same as a document."""
    return {
        "schedules": [show_schedule(s) for s in everything.schedules],
        "policies": [show_policy(p) for p in everything.policies],
        "teams": [show_team(t) for t in everything.teams],
    }


def read_schedule(raw: Mapping[str, Any], name: str = "") -> Schedule:
    """A schedule from a document. Raises OnCallError."""
    taken = _Table(raw, f"schedule {raw.get('name', name)}")
    name = taken.name(name)
    zone = taken.text("time_zone", "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise OnCallError(
            f'{taken.where}: there is no time zone "{zone}"; try Europe/Kyiv', "time_zone"
        ) from None
    title = taken.text("title", "")
    layers = tuple(
        _read_layer(table, f"{taken.where}: layer {i + 1}", f"layers[{i}].")
        for i, table in enumerate(taken.tables("layers", LAYERS_MAX))
    )
    taken.leave_none()
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise OnCallError(f"{taken.where}: two layers have the same name", "layers")
    return Schedule(name, zone, layers, title)


def _read_layer(raw: Mapping[str, Any], where: str, place: str) -> Layer:
    taken = _Table(raw, where, place)
    name = taken.name("", required=True)
    people = taken.texts("people", PEOPLE_MAX)
    if not people:
        raise OnCallError(f"{where}: people must name at least one person", f"{place}people")
    rotation = taken.text("rotation", "weekly")
    match = _ROTATION.fullmatch(rotation)
    hours = _NAMED_HOURS.get(rotation)
    if match is not None:
        hours = int(match[1]) * _UNIT_HOURS[match[2]]
    if hours is None or not 1 <= hours <= ROTATION_HOURS_MAX:
        raise OnCallError(
            f'{where}: rotation "{rotation}" must be daily, weekly, or like 12h, 3d, 2w',
            f"{place}rotation",
        )
    begins = taken.text("start")
    try:
        start = datetime.fromisoformat(begins)
    except ValueError:
        raise OnCallError(
            f'{where}: start "{begins}" must be the first hand-over in local time, like 2026-11-02T09:00',
            f"{place}start",
        ) from None
    if start.tzinfo is not None:
        raise OnCallError(f"{where}: start is in the schedule's time zone; leave the offset out",
                          f"{place}start")  # fmt: skip
    if not 1970 < start.year < 2200:
        raise OnCallError(f"{where}: start must be in a year from 1971 to 2199", f"{place}start")
    windows = tuple(_read_window(t, where, place) for t in taken.tables("windows", WINDOWS_MAX))
    taken.leave_none()
    return Layer(name, tuple(people), hours, start.replace(second=0, microsecond=0), windows)


def _read_window(raw: Mapping[str, Any], where: str, place: str) -> Window:
    taken = _Table(raw, f"{where}: window", f"{place}windows.")
    try:
        window = read_window(
            taken.texts("days", 7), taken.text("start"), taken.number("minutes", 1, 10_080),
            taken.where,
        )  # fmt: skip
    except OnCallError as fault:
        fault.field = f"{place}windows"
        raise
    taken.leave_none()
    return window


def read_window(days: Sequence[str], start: str, minutes: int, where: str) -> Window:
    """A weekly window: `mon … sun`, `HH:MM`, its length. Raises OnCallError."""
    numbers = []
    for day in days:
        if day.lower()[:3] not in DAYS:
            raise OnCallError(f'{where}: "{day}" is not a day; use {", ".join(DAYS)}')
        numbers.append(DAYS.index(day.lower()[:3]))
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", start)
    if match is None:
        raise OnCallError(f'{where}: start "{start}" must be a time of day, HH:MM')
    if not numbers:
        raise OnCallError(f"{where}: days must name at least one day")
    return Window(tuple(sorted(set(numbers))), int(match[1]) * 60 + int(match[2]), minutes)


def show_schedule(schedule: Schedule) -> dict[str, Any]:
    """A schedule as a document."""
    return {
        "name": schedule.name,
        "title": schedule.title,
        "time_zone": schedule.time_zone,
        "layers": [
            {
                "name": layer.name,
                "people": list(layer.people),
                "rotation": _rotation(layer.turn_hours),
                "start": layer.start.isoformat(timespec="minutes"),
                "windows": [show_window(w) for w in layer.windows],
            }
            for layer in schedule.layers
        ],
    }


def show_window(window: Window) -> dict[str, Any]:
    """A weekly window as a document."""
    midnight = datetime(2000, 1, 1)  # noqa: DTZ001 - a time of day
    start = midnight + timedelta(minutes=window.start_minute)
    return {
        "days": [DAYS[d] for d in window.days],
        "start": start.strftime("%H:%M"),
        "minutes": window.minutes,
    }


def _rotation(hours: int) -> str:
    named = {number: name for name, number in _NAMED_HOURS.items()}
    if hours in named:
        return named[hours]
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def read_policy(raw: Mapping[str, Any], name: str = "") -> Policy:
    """An escalation policy from a document. Raises OnCallError."""
    taken = _Table(raw, f"policy {raw.get('name', name)}")
    name = taken.name(name)
    steps = tuple(
        _read_step(table, f"{taken.where}: step {i + 1}", f"steps[{i}].")
        for i, table in enumerate(taken.tables("steps", STEPS_MAX))
    )
    if not steps:
        raise OnCallError(f"{taken.where}: steps must have at least one step", "steps")
    repeat = taken.number("repeat", 0, REPEATS_MAX, 0)
    timeout_s = taken.number("ack_timeout_s", 0, ACK_TIMEOUT_MS_MAX // 1000, 0)
    least = taken.text("severity", "warning")
    if least not in [s.value for s in Severity]:
        raise OnCallError(f'{taken.where}: severity "{least}" must be critical, warning or info',
                          "severity")  # fmt: skip
    taken.leave_none()
    return Policy(name, steps, repeat, timeout_s * 1000, Severity(least))


def _read_step(raw: Mapping[str, Any], where: str, place: str) -> Step:
    taken = _Table(raw, where, place)
    try:
        targets = tuple(read_target(text, where) for text in taken.texts("targets", TARGETS_MAX))
    except OnCallError as fault:
        fault.field = f"{place}targets"
        raise
    if not targets:
        raise OnCallError(f"{where}: targets must name at least one", f"{place}targets")
    wait_s = taken.number("wait_s", 1, STEP_MS_MAX // 1000, 300)
    taken.leave_none()
    return Step(targets, wait_s * 1000)


def read_target(text: str, where: str) -> Target:
    """`person:NAME`, `schedule:NAME`, `team:NAME` or `receiver:NAME`. Raises OnCallError."""
    kind, _, name = text.partition(":")
    kinds = [k.value for k in TargetKind]
    if kind not in kinds or not name:
        shown = ", ".join(f"{k}:NAME" for k in kinds)
        raise OnCallError(f'{where}: target "{text}" must be one of {shown}')
    return Target(TargetKind(kind), name)


def show_policy(policy: Policy) -> dict[str, Any]:
    """A policy as a document."""
    return {
        "name": policy.name,
        "severity": policy.least.value,
        "repeat": policy.repeat,
        "ack_timeout_s": policy.ack_timeout_ms // 1000,
        "steps": [
            {"targets": [str(t) for t in step.targets], "wait_s": step.wait_ms // 1000}
            for step in policy.steps
        ],
    }


def read_team(raw: Mapping[str, Any], name: str = "") -> Team:
    """A team from a document. Raises OnCallError."""
    taken = _Table(raw, f"team {raw.get('name', name)}")
    name = taken.name(name)
    title = taken.text("title", "")
    policy = taken.text("policy", "")
    members = taken.texts("members", PEOPLE_MAX)
    position = taken.number("position", 0, 1_000_000, 100)
    matchers: list[LabelMatcher] = []
    for text in taken.texts("match", 20):
        try:
            matchers += parse_matchers(text)
        except SilenceError as fault:
            raise OnCallError(f"{taken.where}: match: {fault}", "match") from None
    taken.leave_none()
    return Team(name, tuple(matchers), policy, tuple(members), title, position)


def show_team(team: Team) -> dict[str, Any]:
    """A team as a document."""
    return {
        "name": team.name,
        "title": team.title,
        "match": [str(m) for m in team.matchers],
        "policy": team.policy,
        "members": list(team.members),
        "position": team.position,
    }


class _Table:
    """A document's table, taken apart strictly: what is left over was not known."""

    def __init__(self, raw: object, where: str, place: str = "") -> None:
        self.where = where
        self._place = place
        if not isinstance(raw, Mapping):
            raise OnCallError(f"{where} must be a table")
        self._raw = dict(raw)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._raw.pop(key, default)
        if not isinstance(value, str):
            missing = "is missing" if value is None else "must be text"
            raise OnCallError(f"{self.where}: {key} {missing}", self._place + key)
        if len(value) > 500:
            raise OnCallError(
                f"{self.where}: {key} is longer than 500 characters", self._place + key
            )
        return value

    def name(self, given: str, *, required: bool = False) -> str:
        name = self.text("name", None if required else given)
        if not _NAME.fullmatch(name) or len(name) > NAME_CHARS:
            raise OnCallError(
                f'{self.where}: name "{name[:100]}" must be 1 to {NAME_CHARS} letters, digits, or - _ .',
                f"{self._place}name",
            )
        if given and name != given:
            raise OnCallError(f'{self.where}: name must be "{given}", as in the address')
        return name

    def texts(self, key: str, most: int) -> list[str]:
        value = self._raw.pop(key, [])
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v for v in value):
            raise OnCallError(f"{self.where}: {key} must be a list of texts", self._place + key)
        if len(value) > most:
            raise OnCallError(f"{self.where}: {key} has more than {most} items", self._place + key)
        return list(value)

    def number(self, key: str, least: int, most: int, default: int | None = None) -> int:
        value = self._raw.pop(key, default)
        whole = (
            isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
        )
        if not whole or not least <= int(value) <= most:
            raise OnCallError(f"{self.where}: {key} must be a whole number from {least} to {most}",
                              self._place + key)  # fmt: skip
        return int(value)

    def tables(self, key: str, most: int) -> list[Mapping[str, Any]]:
        value = self._raw.pop(key, [])
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, Mapping) for v in value):
            raise OnCallError(f"{self.where}: {key} must be a list of tables")
        if len(value) > most:
            raise OnCallError(f"{self.where}: {key} has more than {most} items", self._place + key)
        return list(value)

    def leave_none(self) -> None:
        if self._raw:
            raise OnCallError(
                f"{self.where}: {', '.join(sorted(map(str, self._raw)))} is not known here"
            )
