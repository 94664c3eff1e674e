"""The launcher as a program."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import sys
from typing import Any

from vezha.agent.launcher.keeper import Launcher
from vezha.agent.launcher.limits import OPERATORS_EXIT, PROBE_NO
from vezha.agent.launcher.machine import Machine


def main(words: list[str]) -> int:
    """`--state FOLDER --factory FILE [--config FILE]`, until SIGTERM."""
    if words[:1] == ["--probe"]:
        try:
            from vezha.agent.launcher.probe import probe_main

            return probe_main(json.loads(words[1]))
        except (OSError, ValueError, KeyError, IndexError):
            return PROBE_NO
    given = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or not {"--state", "--factory"} <= set(given):
        print("usage: --state FOLDER --factory FILE [--config FILE]", file=sys.stderr)
        return OPERATORS_EXIT
    launcher = Launcher(Machine(given["--state"], given["--factory"], given.get("--config", "")))

    def stop(_number: int, _frame: object) -> None:
        launcher.is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # a signal must end the wait below
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    while not launcher.is_stopping:
        try:
            launcher.turn()
        except OSError as error:  # a full disk: what runs goes on, and the step is tried again
            print(f"vezha-launcher: {error}", file=sys.stderr, flush=True)
        channels: list[Any] = [woken] + ([launcher.child] if launcher.child is not None else [])
        select.select(channels, [], [], launcher.wait_s())
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
    launcher.stop()
    return 0
