"""Nagios plugins as checks: a program's exit code and performance figures.

Runs what `checks.yml` names, as the server's user, without a shell; therefore only where that
file says `allow_plugins: true`. The program has an empty environment but PATH and language, no
input, bounded output, and dies with its children at the time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass

from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.limits import PLUGIN_OUTPUT_BYTES_MAX
from vezha.checks.options import Options
from vezha.checks.outcome import Report
from vezha.checks.perfdata import read_perfdata
from vezha.world import World

_STATUSES = ("ok", "warning", "critical", "unknown")
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
_TARGET = "{target}"


@dataclass(frozen=True, slots=True)
class PluginProbe:
    """A check of type `plugin`."""

    command: tuple[str, ...]
    warning_is_down: bool = False

    @classmethod
    def taken(cls, options: Options) -> PluginProbe:
        """Out of a check's options. Raises CheckConfigError."""
        command = options.texts("command")
        if not command or not command[0].startswith("/"):
            raise options.wrong(
                "command", "must be a list that begins with the program's absolute path"
            )
        if any("\0" in word for word in command):
            raise options.wrong("command", "has a NUL character in it")
        return cls(command, options.flag("warning_is_down", False))

    def check_target(self, target: str, place: str) -> None:
        """A target is any word; it stands for `{target}` in the command."""
        if not target or target.startswith("-") or "\0" in target:
            raise CheckConfigError(f"{place}: target {target!r} could be taken for an option")

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Run the program. Raises ProbeFailed, OSError."""
        words = [word.replace(_TARGET, target) for word in self.command]
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, env=_ENVIRONMENT, cwd="/",
                start_new_session=True, limit=PLUGIN_OUTPUT_BYTES_MAX,
            )  # fmt: skip
        except OSError as error:
            raise ProbeFailed(f"{words[0]} cannot be run: {error.strerror}") from None
        try:
            output = await _read(process)
            code = await process.wait()
        finally:
            # also when it ended: what it left behind in its group must not outlive the check
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.returncode is None:
                await asyncio.shield(process.wait())
        self._judge(code, output.decode("utf-8", "replace"), report)

    def _judge(self, code: int, output: str, report: Report) -> None:
        status = code if 0 <= code < len(_STATUSES) else 3
        report.set("vezha_check_plugin_status", float(status))
        for figure in read_perfdata(output):
            labels = {"figure": figure.label, "unit": figure.unit}
            report.set("vezha_check_plugin_value", figure.value, **labels)
            if figure.warn is not None:
                report.set("vezha_check_plugin_warning_limit", figure.warn, **labels)
            if figure.crit is not None:
                report.set("vezha_check_plugin_critical_limit", figure.crit, **labels)
        said = output.partition("\n")[0].partition("|")[0].strip()[:300] or "it said nothing"
        if code < 0:
            raise ProbeFailed(f"the plugin was ended by signal {-code}: {said}")
        if status >= 2 or (status == 1 and self.warning_is_down):
            raise ProbeFailed(f"{_STATUSES[status]}: {said}")


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    parts: list[bytes] = []
    size = 0
    while part := await process.stdout.read(4_096):
        size += len(part)
        if size > PLUGIN_OUTPUT_BYTES_MAX:
            raise ProbeFailed(f"the plugin said over {PLUGIN_OUTPUT_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)
