"""The child process that runs this host's checks from outside, and tells what they find.

Its own process, so that neither a slow name server nor the memory of TLS and HTTP is the sampler's.
It reads one job (a line of JSON) from standard input, and runs until that ends: with its parent. Each
finding is a line of JSON on standard output: the target, until when it holds, its series and values.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Any

from vezha.agent.config import PluginSettings
from vezha.agent.errors import ConfigError
from vezha.checks.check import DEFAULTS, Check, checks_of
from vezha.checks.errors import CheckConfigError
from vezha.checks.limits import (
    AGENT_PLUGINS_IN_FLIGHT_MAX,
    AGENT_PROBES_IN_FLIGHT_MAX,
    AGENT_TARGETS_MAX,
)
from vezha.checks.loop import Checks
from vezha.checks.plugin import PluginProbe
from vezha.model.labels import Labels, get_label
from vezha.world import World

EVERY_HOST = "*"


def checks_for(
    table: Mapping[str, Any], host: str, plugins: PluginSettings, world: World, state: str
) -> list[Check]:
    """The checks of the tables `[checks.NAME]` that *host* is to run; an empty *host* is any, whose
    secrets' files and plugins are not looked at. Raises ConfigError."""

    def read_file(path: str) -> bytes:
        return world.disk.read(os.path.join(state, path)) if host else b"on each host"

    entries = []
    for name, given in table.items():
        hosts, entry = _for_whom(name, given)
        if not host or host in hosts or EVERY_HOST in hosts:
            entries.append({"name": name, **entry})
    try:
        found = checks_of(entries, DEFAULTS, True, read_file, "checks")
    except CheckConfigError as error:
        raise ConfigError(str(error)) from None
    for check in found:
        if check.kind == "heartbeat":
            raise ConfigError(
                f"checks.{check.name}: jobs call the server; an agent runs no heartbeat"
            )
        if host and isinstance(check.probe, PluginProbe):
            plugins.check(check.name, check.probe.command[0])
    if host and (count := sum(len(c.targets) for c in found)) > AGENT_TARGETS_MAX:
        raise ConfigError(
            f"checks have {count} targets, an agent runs {AGENT_TARGETS_MAX}: split them"
        )
    return found


def _for_whom(name: str, given: Any) -> tuple[list[str], dict[str, Any]]:
    if not isinstance(given, dict):
        raise ConfigError(f"checks.{name} must be a table: [checks.{name}], then type = …")
    entry = dict(given)
    hosts = entry.pop("hosts", [EVERY_HOST])
    if not isinstance(hosts, list) or not all(isinstance(one, str) for one in hosts):
        raise ConfigError(f'checks.{name}.hosts must be a list of names, such as ["web-1"]')
    return hosts, entry


class LineSink:
    """Writes findings for the parent to read."""

    def __init__(self, out: IO[bytes], checks: Iterable[Check]) -> None:
        self._out = out
        self._holds_s = {c.name: 3 * c.interval_s + c.timeout_s + 5.0 for c in checks}

    async def write(
        self, values: Mapping[Labels, float], gone: Iterable[Labels], ts_ms: int
    ) -> None:
        """One line for one target; the parent is gone where it cannot be written."""
        first = next(iter(values))
        check = get_label(first, "job")
        told = {
            "target": [check, get_label(first, "instance")],
            "holds_s": self._holds_s[check],
            "series": [list(labels) for labels in values],
            "values": list(values.values()),
        }
        try:
            self._out.write(json.dumps(told).encode() + b"\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            os._exit(0)


def _tell(word: str, check: str, target: str, why: str) -> None:
    print(f"{word} {check}: {target} {why}".rstrip(), file=sys.stderr, flush=True)


async def _serve(job: Mapping[str, Any], out: IO[bytes], world: World) -> None:
    plugins = PluginSettings(bool(job["plugins"][0]), tuple(job["plugins"][1]))
    checks = checks_for(job["checks"], job["host"], plugins, world, job["state"])
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(
        Checks(
            checks, LineSink(out, checks), world, _tell,
            AGENT_PROBES_IN_FLIGHT_MAX, AGENT_PLUGINS_IN_FLIGHT_MAX,
        ).run()
    )  # fmt: skip
    # the parent's end is the only thing that ever comes
    ended = loop.run_in_executor(None, sys.stdin.buffer.read, 1)
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    if running.done() and not ended.done():
        if not running.cancelled() and (broken := running.exception()) is not None:
            print(f"checks: {broken!r}", file=sys.stderr, flush=True)
        os._exit(1)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main() -> int:
    """`checks`: until the parent ends."""
    os.nice(5)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # nothing else may write there
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # the parent was gone before it said anything
    job = json.loads(line)
    try:
        asyncio.run(_serve(job, out, World()))
    except ConfigError as error:
        out.write(json.dumps({"refused": str(error)}).encode() + b"\n")
        out.flush()
        print(f"checks: {error}", file=sys.stderr, flush=True)
        return 2
    return 0
