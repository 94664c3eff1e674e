"""`notify.toml`: receivers and routes, read strictly.

Every fault is one sentence that names the file, the place in it and the fix. An absent file means
that nobody is told anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomllib

from vezha.incidents.errors import SilenceError
from vezha.incidents.silence import LabelMatcher, parse_matchers
from vezha.model.severity import Severity
from vezha.notify.errors import NotifySettingsError
from vezha.notify.limits import (
    RATE_MESSAGES_DEFAULT,
    RECEIVERS_MAX,
    ROUTES_MAX,
    SETTINGS_BYTES_MAX,
)
from vezha.notify.provider import Sender, load_provider, provider_names
from vezha.notify.quiet import Quiet, take_quiet
from vezha.notify.reading import leave_none, take_int, take_text, take_texts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who can be told. `rate` bounds ringing messages per RATE_WINDOW_MS."""

    name: str
    type: str
    sender: Sender
    language: str = "en"
    time_zone: str = "UTC"
    rate: int = RATE_MESSAGES_DEFAULT
    quiet: Quiet | None = None
    saved: bool = False
    """Whether it was saved while running; else it stands in `notify.toml`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who is told of what: an incident fits where one of its alerts fits all of it."""

    receivers: tuple[str, ...]
    matchers: tuple[LabelMatcher, ...] = ()
    least: Severity = Severity.WARNING
    go_on: bool = False
    saved: bool = False


@dataclass(frozen=True, slots=True)
class NotifyPlan:
    """Receivers and routes. `implied`: nobody wrote the one route, which tells everyone everything."""

    receivers: dict[str, Receiver] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    implied: bool = False


def load_settings(path: str, environment: Mapping[str, str]) -> NotifyPlan:
    """The receivers and routes of the file at *path*. Raises NotifySettingsError."""
    file = Path(path)
    if not file.exists():
        return NotifyPlan()
    try:
        if file.stat().st_size > SETTINGS_BYTES_MAX:
            raise NotifySettingsError(f"{path} is larger than {SETTINGS_BYTES_MAX} bytes")
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise NotifySettingsError(f"{path} cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise NotifySettingsError(f"{path}: {fault}") from None
    return parse_settings(tree, path, environment)


def parse_settings(
    tree: Mapping[str, object], where: str, environment: Mapping[str, str]
) -> NotifyPlan:
    """The same from a parsed document. Raises NotifySettingsError."""
    raw = dict(tree)
    language = take_text(raw, "language", where, "en")
    zone = take_text(raw, "time_zone", where, "UTC")
    receivers_raw = raw.pop("receivers", {})
    routes_raw = raw.pop("routes", [])
    leave_none(raw, where)
    if not isinstance(receivers_raw, dict):
        raise NotifySettingsError(f"{where}: receivers must be tables, [receivers.NAME]")
    if len(receivers_raw) > RECEIVERS_MAX:
        raise NotifySettingsError(f"{where}: more than {RECEIVERS_MAX} receivers")
    receivers = {
        name: take_receiver(name, table, f"{where}: receiver {name}", environment, language, zone)
        for name, table in receivers_raw.items()
    }
    if not isinstance(routes_raw, list) or len(routes_raw) > ROUTES_MAX:
        raise NotifySettingsError(f"{where}: routes must be at most {ROUTES_MAX} tables [[routes]]")
    routes = tuple(
        take_route(table, f"{where}: route {i + 1}", receivers)
        for i, table in enumerate(routes_raw)
    )
    if not routes and receivers:
        return NotifyPlan(receivers, (Route(tuple(receivers)),), implied=True)
    return NotifyPlan(receivers, routes)


def take_receiver(
    name: str,
    table: object,
    where: str,
    environment: Mapping[str, str],
    language: str,
    time_zone: str,
) -> Receiver:
    """The receiver *name* from its table. Raises NotifySettingsError."""
    if not _NAME.fullmatch(name):
        raise NotifySettingsError(f"{where}: a name has letters, digits, and - _ . only", "name")
    if not isinstance(table, dict):
        raise NotifySettingsError(f"{where} must be a table")
    raw = dict(table)
    type_ = take_text(raw, "type", where)
    if type_ not in provider_names():
        known = ", ".join(provider_names())
        raise NotifySettingsError(
            f'{where}: type "{type_}" is not known; known are {known}', "type"
        )
    language = take_text(raw, "language", where, language)
    check_language(language, where)
    time_zone = take_text(raw, "time_zone", where, time_zone)
    check_zone(time_zone, where)
    rate = take_int(raw, "rate", where, RATE_MESSAGES_DEFAULT, 1, 10_000)
    quiet = take_quiet(raw, where, time_zone)
    sender = load_provider(type_).make(raw, where, environment)
    leave_none(raw, where)
    return Receiver(name, type_, sender, language, time_zone, rate, quiet)


def check_language(language: str, where: str) -> None:
    """Raises NotifySettingsError for a language that messages do not speak."""
    if language not in ("en", "uk"):
        raise NotifySettingsError(
            f'{where}: language "{language}" is not known; use en or uk', "language"
        )


def check_zone(time_zone: str, where: str) -> None:
    """Raises NotifySettingsError for what is no time zone."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotifySettingsError(
            f'{where}: there is no time zone "{time_zone}"; try Europe/Kyiv', "time_zone"
        ) from None


def take_route(table: object, where: str, receivers: Mapping[str, Receiver]) -> Route:
    """A route from its table. Raises NotifySettingsError."""
    if not isinstance(table, dict):
        raise NotifySettingsError(f"{where} must be a table")
    raw = dict(table)
    names = take_texts(raw, "receivers", where)
    for name in names:
        if name not in receivers:
            known = ", ".join(receivers) or "none"
            raise NotifySettingsError(
                f'{where}: there is no receiver "{name}"; there are: {known}', "receivers"
            )
    matchers: list[LabelMatcher] = []
    for text in take_texts(raw, "match", where):
        try:
            matchers += parse_matchers(text)
        except SilenceError as fault:
            raise NotifySettingsError(f"{where}: match: {fault}", "match") from None
    least = take_text(raw, "severity", where, "warning")
    words = [s.value for s in Severity]
    if least not in words:
        raise NotifySettingsError(
            f'{where}: severity "{least}" is not known; use {", ".join(words)}', "severity"
        )
    go_on = raw.pop("continue", False)
    if not isinstance(go_on, bool):
        raise NotifySettingsError(f"{where}: continue must be true or false")
    leave_none(raw, where)
    return Route(tuple(names), tuple(matchers), Severity(least), go_on)
