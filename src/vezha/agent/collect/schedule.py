"""Which collectors run at which tick: the groups, built from the settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from vezha.agent.catalogue import COLLECTORS, Entry, Option
from vezha.agent.collect.collector import Collector, Family
from vezha.agent.collect.group import Group
from vezha.agent.collect.host import Host
from vezha.agent.collect.own import Collector as Own
from vezha.agent.collect.runner import Runner
from vezha.agent.config import AgentConfig, CollectorSettings
from vezha.agent.errors import ConfigError
from vezha.world import World

_NOT_SET = CollectorSettings()
_PORTABLE = Entry("portable", "what every Unix tells", interval_s=1)


class CollectorGroups:
    """All groups of an agent. One thread calls `due` and then `sample` on each group.

    Raises `ConfigError` where a setting cannot work (an interval shorter than the tick).
    """

    def __init__(self, config: AgentConfig, world: World, host: str = "") -> None:
        """*host* is this host's name as the server knows it; without one it runs no checks."""
        plugins = config.plugins
        check_job = {
            "host": host,
            "state": config.state,
            "checks": dict(config.checks) if host else {},
            "plugins": [plugins.enabled, list(plugins.allowed)],
        }
        self._world = world
        # By ticks and, for a collector that hears of changes, its name.
        by_interval: dict[tuple[int, str], list[Runner]] = {}
        self._hosts: dict[int, Host] = {}
        self._own: Own | None = None
        for entry in entries_here():
            given = config.collectors.get(entry.name, _NOT_SET)
            enabled = entry.enabled if given.enabled is None else given.enabled
            if not enabled:
                continue
            interval_s = given.interval_s or entry.interval_s
            ticks = max(1, round(interval_s / config.tick_interval_s))
            # Files are shared within a group only: groups have threads of their own.
            group_host = self._hosts.setdefault(
                ticks,
                Host(
                    world,
                    config.proc,
                    config.sys,
                    config.root,
                    state=config.state,
                    check_job=check_job,
                ),
            )
            options: dict[str, Option] = {**entry.options, **given.options}
            collector = collector_of(entry, group_host.with_options(options))
            if isinstance(collector, Own):
                self._own = collector
            runner = Runner(
                entry, collector, world.clock, interval_s, given.timeout_s or entry.timeout_s
            )
            alone = entry.name if collector.hears_of_changes else ""
            by_interval.setdefault((ticks, alone), []).append(runner)
        self.groups: tuple[Group, ...] = tuple(
            Group(alone or f"every-{ticks}", ticks, _phase(ticks, i), runners)
            for i, ((ticks, alone), runners) in enumerate(sorted(by_interval.items()))
        )
        if not self.groups:
            raise ConfigError("every collector is switched off: switch on at least one")
        if self._own is not None:
            self._own.watch(self.groups)

    def due(self, tick_index: int) -> list[Group]:
        """The groups to sample at this tick: all at tick 0, later each at its own phase, spread
        so that slow groups do not meet."""
        return [group for group in self.groups if group.is_due(tick_index)]

    def publish(self, family: Family, read: Callable[[], float], **labels: str) -> None:
        """Have a series of the agent's own (spool bytes, lag, …) sampled with the fast group.

        *read* is called in a worker thread each time and must not block.
        """
        if self._own is not None:
            self._own.publish(family, read, labels)

    def runners(self) -> list[Runner]:
        """All collectors under guard, for `vezha agent collect --status` and tests."""
        return [runner for group in self.groups for runner in group.runners]

    def families(self) -> list[Family]:
        """Documentation of every metric that the switched-on collectors may send."""
        found = [f for runner in self.runners() for f in runner.collector.families]
        return found + ([] if self._own is None else self._own.published())

    def close(self) -> None:
        """End all worker threads and close all files."""
        for group in self.groups:
            group.close()
        for host in self._hosts.values():
            host.close_shared()


def entries_here() -> list[Entry]:
    """The catalogue, and beyond Linux what is portable of it."""
    if sys.platform.startswith("linux"):
        return list(COLLECTORS)
    portable = ("os", "uname", "time", "textfile", "agent", "loadavg", "filesystem")
    return [e for e in COLLECTORS if e.name in portable] + [_PORTABLE]


def collector_of(entry: Entry, host: Host) -> Collector:
    """The collector that *entry* names, its module imported now."""
    module = importlib.import_module(f"vezha.agent.collect.{entry.module or entry.name}")
    made = module.Collector(host)
    assert isinstance(made, Collector)
    return made


def _phase(ticks: int, order: int) -> int:
    """A tick within the interval, different for each group while there is room."""
    return 0 if ticks == 1 else (1 + 2 * order) % ticks
