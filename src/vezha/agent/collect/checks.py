"""What this host's checks from outside found (`[checks.NAME]` of the settings, the server's mostly).

The checks run in a process of their own (`vezha.agent.checking`), which is started when there are
any for this host and ends with this one. A finding is news: it is sampled at the next tick. One that
is not renewed in time is missing, so that a process that hangs does not look like a target that is up.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.limits import CHECK_LINE_BYTES_MAX, CHILD_STOP_S
from vezha.model.labels import Labels

if TYPE_CHECKING:
    import subprocess


class _Found:
    """The last finding of one target."""

    def __init__(self, series: tuple[Labels, ...], values: list[float], until_s: float) -> None:
        self.series = series
        self.values = values
        self.until_s = until_s


class Collector(base.Collector):
    """probe_* and vezha_check_* of what this host checks."""

    hears_of_changes = True
    families = (
        Family("probe_*", "gauge", "What a check's last probe found.", "job,instance,from"),
        Family("vezha_check_*", "gauge", "State of a check, and its figures.", "job,instance,from"),
    )

    def start(self) -> None:
        self._found: dict[tuple[str, str], _Found] = {}
        self._rest = b""
        self._child: subprocess.Popen[bytes] | None = None
        self.series = ()
        if not self.host.has_checks:
            raise base.NotHere("no checks are set for this host")
        self._begin()

    def _begin(self) -> None:
        import subprocess  # only a host with checks pays for it

        job = json.dumps(self.host.check_job).encode() + b"\n"
        self._child = child = subprocess.Popen(
            command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert child.stdin is not None
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        self._poll = select.poll()
        self._poll.register(child.stdout.fileno(), select.POLLIN | select.POLLHUP)
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(job)

    def has_news(self) -> bool:
        return bool(self._poll.poll(0))

    def read(self, now: float) -> list[float]:
        clock_s = self.host.world.clock.monotonic()
        changed = False
        for line in self._lines():
            changed |= self._take(json.loads(line), clock_s)
        if changed:
            self.series = tuple(s for one in self._found.values() for s in one.series)
        values: list[float] = []
        for one in self._found.values():
            values += one.values if clock_s < one.until_s else [MISSING] * len(one.series)
        return values

    def _take(self, told: Any, clock_s: float) -> bool:
        """Keep a finding; whether the series are others than before."""
        if "refused" in told:
            raise ValueError(str(told["refused"]))
        key = (str(told["target"][0]), str(told["target"][1]))
        series = tuple(tuple((n, v) for n, v in labels) for labels in told["series"])
        until_s = clock_s + float(told["holds_s"])
        known = self._found.get(key)
        if known is not None and known.series == series:
            known.values, known.until_s = told["values"], until_s
            return False
        self._found[key] = _Found(series, told["values"], until_s)
        return True

    def _lines(self) -> list[bytes]:
        """Whole lines that came. Raises OSError where the process ended."""
        assert self._child is not None
        assert self._child.stdout is not None
        while True:
            try:
                part = os.read(self._child.stdout.fileno(), 65_536)
            except BlockingIOError:
                break
            if not part:
                raise OSError(f"the checks' process ended with {self._child.wait()}")
            self._rest += part
            if len(self._rest) > CHECK_LINE_BYTES_MAX:
                raise OSError("the checks' process says too much at once")
        *lines, self._rest = self._rest.split(b"\n")
        return lines

    def stop(self) -> None:
        super().stop()
        child: subprocess.Popen[bytes] | None = getattr(self, "_child", None)
        if child is None:
            return
        self._child = None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.close()
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.terminate()
            child.wait(CHILD_STOP_S)
        except Exception:
            child.kill()
            child.wait()


def command() -> list[str]:
    """This same agent as the process that runs checks."""
    file = sys.argv[0]
    if file.endswith(".pyz"):
        return [sys.executable, "-I", "-S", file, "checks"]
    safe = ["-P"] if getattr(sys.flags, "safe_path", False) else []
    return [sys.executable, *safe, "-m", "vezha.agent.command", "checks"]
