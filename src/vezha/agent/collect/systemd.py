"""States of systemd's units, over D-Bus, within a second at hardly any cost.

The list is asked once (and again every `refresh_every_s`, and when units come or go); from then
on systemd tells of changes. They are news: a service that died is sampled at the next tick,
while hundreds of units that stay as they are cost a sample only once an interval. Works over systemd's private socket (root) or
the system bus (anyone).
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.dbus import Connection, DbusError, Message
from vezha.agent.limits import UNITS_MAX
from vezha.model.labels import metric

_STATES = ("active", "activating", "deactivating", "inactive", "failed")
_BUSES = ("/run/systemd/private", "/run/dbus/system_bus_socket")
_NAME = "org.freedesktop.systemd1"
_MANAGER_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_UNIT = "org.freedesktop.systemd1.Unit"
_SERVICE = "org.freedesktop.systemd1.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_CALL_TIMEOUT_S = 0.4
_LIST_AGAIN_MIN_S = 5.0
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Unit(NamedTuple):
    """One unit that is reported."""

    name: str
    path: str
    service_type: str


class Collector(base.Collector):
    """node_systemd_unit_state, restarts of services, and the counts by state."""

    hears_of_changes = True
    families = (
        Family(
            "node_systemd_unit_state",
            "gauge",
            "1 for the state that the unit is in.",
            "name,state,type",
        ),
        Family(
            "node_systemd_service_restart_total",
            "counter",
            "Times that systemd itself started the service again since somebody did.",
            "name",
        ),
        Family("node_systemd_units", "gauge", "Units by state.", "state"),
        Family("node_systemd_system_running", "gauge", "1 where systemd says that all is running."),
        Family("node_systemd_version", "gauge", "systemd's version.", "version"),
    )

    def start(self) -> None:
        self._include = re.compile(f"^(?:{self.host.text('unit_include')})$")
        self._exclude = re.compile(f"^(?:{self.host.text('unit_exclude')})$")
        self._refresh_every_s = self.host.number("refresh_every_s")
        self._types: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._restarts: dict[str, float] = {}
        """Of services, by path; of those only whose systemd counts them (235 and later)."""
        self._units: list[Unit] = []
        self._counted: list[str] = []
        self._list_at = self._listed_at = 0.0
        self._bus = self._connect()

    def _connect(self) -> Connection:
        refused: OSError | None = None
        for bus in _BUSES:
            path = self.host.root(bus)
            if not os.path.exists(path):
                continue
            try:
                connection = Connection(path, _CALL_TIMEOUT_S)
            except OSError as error:
                # The private socket is root's; the system bus is everyone's.
                refused = error
                continue
            self._is_private = bus == _BUSES[0]
            try:
                self._subscribe(connection)
            except OSError:
                connection.close()
                raise
            return connection
        if refused is not None and not isinstance(refused, PermissionError):
            raise refused
        raise base.NotHere("systemd is not running here, or does not talk to us")

    def _subscribe(self, connection: Connection) -> None:
        if not self._is_private:
            bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
            connection.call(*bus, "Hello")
            for rule in (
                f"type='signal',sender='{_NAME}',interface='{_PROPERTIES}'",
                f"type='signal',sender='{_NAME}',interface='{_MANAGER}'",
            ):
                connection.call(*bus, "AddMatch", rule)
        connection.call(self._name, _MANAGER_PATH, _MANAGER, "Subscribe")
        (version,) = connection.call(
            self._name, _MANAGER_PATH, _PROPERTIES, "Get", _MANAGER, "Version"
        )
        self._version = str(version)

    @property
    def _name(self) -> str:
        return "" if self._is_private else _NAME

    def read(self, now: float) -> list[float]:
        monotonic = self.host.world.clock.monotonic()
        for signal in self._bus.take_signals():
            self._hear(signal)
        if monotonic >= self._list_at:
            self._list(monotonic)
        values = []
        for unit in self._units:
            state = self._states.get(unit.path, "")
            values += [1.0 if state == known else 0.0 for known in _STATES]
        values += [self._restarts.get(path, 0.0) for path in self._counted]
        counts = dict.fromkeys(_STATES, 0)
        for state in self._states.values():
            if state in counts:
                counts[state] += 1
        values += map(float, counts.values())
        values += [1.0 if self._system_state == "running" else 0.0, self._version_number]
        return values

    def _hear(self, signal: Message) -> None:
        if signal.member == "PropertiesChanged" and signal.path in self._states:
            body = signal.body
            if len(body) >= 2 and body[0] == _UNIT and "ActiveState" in body[1]:
                self._states[signal.path] = str(body[1]["ActiveState"])
            elif len(body) >= 2 and body[0] == _SERVICE and "NRestarts" in body[1]:
                self._restarts[signal.path] = float(body[1]["NRestarts"])
        elif signal.member in ("UnitNew", "UnitRemoved", "Reloading", "UnitFilesChanged"):
            # Timers make transient units all the time; the list is asked at most every 5 s.
            self._list_at = min(self._list_at, self._listed_at + _LIST_AGAIN_MIN_S)

    def _list(self, monotonic: float) -> None:
        (listed,) = self._bus.call(self._name, _MANAGER_PATH, _MANAGER, "ListUnits")
        (state,) = self._bus.call(
            self._name, _MANAGER_PATH, _PROPERTIES, "Get", _MANAGER, "SystemState"
        )
        self._system_state = str(state)
        self._listed_at = monotonic
        self._list_at = monotonic + self._refresh_every_s
        self._states = {str(row[6]): str(row[3]) for row in listed}
        wanted = sorted(
            (str(row[0]), str(row[6]))
            for row in listed
            if row[2] == "loaded"
            and self._include.match(row[0])
            and not self._exclude.match(row[0])
        )[:UNITS_MAX]
        services = [(n, p) for n, p in wanted if n.endswith(".service")]
        self._learn_types(services)
        self._learn_restarts(services)
        units = [Unit(name, path, self._types.get(name, "")) for name, path in wanted]
        counted = [path for _, path in services if path in self._restarts]
        if units != self._units or counted != self._counted or not self.series:
            self._units, self._counted = units, counted
            self.series = self._announce()

    def _announce(self) -> base.Series:
        match = _NUMBER.search(self._version)
        self._version_number = float(match.group()) if match else 0.0
        return (
            *(
                metric("node_systemd_unit_state", name=u.name, state=state, type=u.service_type)
                for u in self._units
                for state in _STATES
            ),
            *(
                metric("node_systemd_service_restart_total", name=u.name)
                for u in self._units
                if u.path in self._restarts
            ),
            *(metric("node_systemd_units", state=state) for state in _STATES),
            metric("node_systemd_system_running"),
            metric("node_systemd_version", version=self._version),
        )

    def _learn_types(self, services: list[tuple[str, str]]) -> None:
        """A service's type does not change while it is loaded: asked once."""
        unknown = {name: path for name, path in services if name not in self._types}
        for name, value in self._ask_each(unknown, "Type"):
            self._types[name] = str(value)

    def _learn_restarts(self, services: list[tuple[str, str]]) -> None:
        """Asked once; then systemd tells of each."""
        there = {path for _, path in services}
        self._restarts = {p: n for p, n in self._restarts.items() if p in there}
        unknown = {path: path for _, path in services if path not in self._restarts}
        for path, value in self._ask_each(unknown, "NRestarts"):
            self._restarts[path] = float(value)

    def _ask_each(self, paths: dict[str, str], what: str) -> list[tuple[str, Any]]:
        """A property of services, all asked in one go; by key, of those that have it."""
        asked = [
            (key, self._bus.begin(self._name, path, _PROPERTIES, "Get", _SERVICE, what))
            for key, path in paths.items()
        ]
        found = []
        for key, serial in asked:
            try:
                answer: list[Any] = self._bus.wait_answer(serial)
            except DbusError:
                # Unloaded since it was listed, or a systemd that does not know the property.
                continue
            found.append((key, answer[0]))
        return found

    def has_news(self) -> bool:
        return self._bus.has_news()

    def stop(self) -> None:
        super().stop()
        bus = getattr(self, "_bus", None)
        if bus is not None:
            bus.close()
