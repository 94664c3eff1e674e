"""What is in force: `notify.toml` and what was saved while running, merged; looked at anew each time.

- The file wins: a saved receiver with the name of one in the file is not used, and says so.
- The file's routes are asked first and know the file's receivers only; saved ones come after, and may
  name all.
- Where nobody wrote a route, everyone is told of everything from `warning` on. Where only the file has
  none, its receivers are still told of everything, and the saved routes are asked, too.
- What was in force stays so while the file has a fault: a typing error must not make Vezha mute.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from sqlalchemy import Connection

from vezha.notify.errors import NotifySettingsError
from vezha.notify.saved import (
    SavedReceiver,
    SavedRoute,
    check_route,
    made_of,
    read_receivers,
    read_routes,
)
from vezha.notify.settings import NotifyPlan, Receiver, Route, load_settings
from vezha.notify.vault import Vault

_log = structlog.get_logger("notify")


@dataclass(frozen=True, slots=True)
class Standing:
    """The merged plan. `problem` says why the file as it is now is not used; `problems` by the name of
    a saved receiver, or `route N`, why that is not."""

    plan: NotifyPlan
    of_file: NotifyPlan
    problem: str
    problems: Mapping[str, str]


class InForce:
    """Receivers and routes of one server; safe to ask from any thread."""

    def __init__(self, path: str, environment: Mapping[str, str], vault: Vault) -> None:
        self.vault = vault
        self._path = path
        self._environment = environment
        self._stamp: tuple[float, int] = (-1.0, -1)
        self._file = NotifyPlan()
        self._rows: tuple[tuple[SavedReceiver, ...], tuple[SavedRoute, ...]] = ((), ())
        self._made: dict[str, tuple[SavedReceiver, Receiver]] = {}
        self._lock = threading.Lock()
        self.standing = Standing(NotifyPlan(), NotifyPlan(), "", {})

    def pretend(self, of_file: NotifyPlan) -> None:
        """Take *of_file* for what the file says, until it is written (tests, benchmarks)."""
        self._file, self._stamp = of_file, stamp_of(self._path)
        self.standing = self._merge("")

    def look(self, connection: Connection) -> Standing:
        """What stands now; the same object as long as nothing changed."""
        rows = (read_receivers(connection), read_routes(connection))
        with self._lock:
            stamp = stamp_of(self._path)
            if stamp == self._stamp and rows == self._rows:
                return self.standing
            problem = self.standing.problem
            if stamp != self._stamp:
                self._stamp = stamp
                problem = self._read_file()
            self._rows = rows
            self.standing = self._merge(problem)
            return self.standing

    def _read_file(self) -> str:
        try:
            self._file = load_settings(self._path, self._environment)
        except NotifySettingsError as fault:
            _log.error("notify settings are not used", reason=str(fault))
            return str(fault)
        return ""

    def _merge(self, problem: str) -> Standing:
        receivers, routes = self._rows
        problems: dict[str, str] = {}
        made: dict[str, tuple[SavedReceiver, Receiver]] = {}
        for row in receivers:
            if row.name in self._file.receivers:
                problems[row.name] = f'a receiver "{row.name}" stands in notify.toml, which wins'
                continue
            known = self._made.get(row.name)
            try:
                made[row.name] = (
                    known if known and known[0] == row else (row, made_of(row, self.vault))
                )
            except NotifySettingsError as fault:
                problems[row.name] = str(fault)
        self._made = made
        plan, faults = merged(self._file, {n: r for n, (_, r) in made.items()}, routes)
        for name, why in (problems | faults).items():
            _log.error("a saved receiver or route is not used", name=name, reason=why)
        return Standing(plan, self._file, problem, problems | faults)


def merged(
    of_file: NotifyPlan, saved: Mapping[str, Receiver], routes: Sequence[SavedRoute]
) -> tuple[NotifyPlan, dict[str, str]]:
    """File and saved ones together, and why a saved route is not used, by `route N`. Pure."""
    receivers = {**of_file.receivers, **saved}
    problems: dict[str, str] = {}
    own: list[Route] = []
    for number, row in enumerate(routes, 1):
        there = tuple(n for n in row.receivers if n in receivers)
        if len(there) < len(row.receivers):
            gone = ", ".join(n for n in row.receivers if n not in receivers)
            problems[f"route {number}"] = f"route {number}: there is no receiver {gone} any more"
            if not there:
                # without anybody it would swallow what the routes after it tell
                continue
        try:
            own.append(check_route(replace(row, receivers=there), f"route {number}", receivers))
        except NotifySettingsError as fault:
            problems[f"route {number}"] = str(fault)
    if not own and (of_file.implied or not of_file.routes):
        # so, too, where no saved route can be used: rather loud than mute
        everyone = (Route(tuple(receivers)),) if receivers else ()
        return NotifyPlan(receivers, everyone, implied=True), problems
    first = of_file.routes
    if of_file.implied:
        first = tuple(replace(r, go_on=True) for r in first)
    return NotifyPlan(receivers, (*first, *own)), problems


def stamp_of(path: str) -> tuple[float, int]:
    """What changes when the file at *path* does."""
    try:
        status = Path(path).stat()
    except OSError:
        return (0.0, 0)
    return (status.st_mtime, status.st_size)
