"""What became of directives, on disk until the server has it in its ledger.

One file holds what waits and how far the launcher's history was told, so that each of its events is
told once, whatever is killed in between.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from vezha.agent.limits import PROGRESS_KEPT_MAX
from vezha.wire import message as m
from vezha.world import World

FILE = "progress.json"


class ProgressBook:
    """Numbered, and never forgotten but for the oldest beyond the limit."""

    def __init__(self, world: World, state: str) -> None:
        self._world = world
        self._path = f"{state}/{FILE}"
        self._lock = threading.Lock()
        self._next = 1
        self._told_event = 0
        self._waiting: list[dict[str, Any]] = []
        self.dropped = 0
        try:
            kept = json.loads(world.disk.read(self._path))
            self._next, self._told_event = int(kept["next"]), int(kept["told_event"])
            self._waiting = [dict(entry) for entry in kept["waiting"]]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError):
            # a number must never be given twice: go on far beyond what can have been told
            self._next = int(world.clock.now() * 1000)

    def add(
        self,
        kind: str,
        generation: int,
        sha256: str,
        step: str,
        run: str = "",
        reason: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep one more. Raises OSError where the disk takes nothing."""
        now_ms = int(self._world.clock.now() * 1000)
        with self._lock:
            self._add(kind, generation, sha256, step, run, reason, detail or {}, now_ms)
            self._keep()

    def add_events(self, state: Mapping[str, Any]) -> bool:
        """Keep what the launcher's *state* tells that was not told; whether there was anything.
        Raises OSError."""
        events = state.get("events", [])
        with self._lock:
            new = [e for e in events if e["number"] > self._told_event]
            if state.get("next_event", 1) <= self._told_event:
                # the launcher's folder was wiped: its history begins anew
                self._told_event, new = 0, list(events)
            for event in new:
                detail = {"text": event["text"]} if event["text"] else {}
                self._add(
                    event["kind"],
                    event["generation"],
                    event["sha256"],
                    event["step"],
                    "",
                    event["reason"],
                    detail,
                    event["time_ms"],
                )
                self._told_event = event["number"]
            if new:
                self._keep()
            return bool(new)

    def untold(self) -> list[m.Progress]:
        """What is not acknowledged, oldest first."""
        with self._lock:
            return [m.Progress(**entry) for entry in self._waiting]

    def acked(self, number: int) -> None:
        """Up to this number it is in the ledger."""
        with self._lock:
            left = [entry for entry in self._waiting if entry["number"] > number]
            if len(left) != len(self._waiting):
                self._waiting = left
                try:
                    self._keep()
                except OSError:
                    return  # told again after a restart; the ledger takes each number once

    def _add(
        self,
        kind: str,
        generation: int,
        sha256: str,
        step: str,
        run: str,
        reason: str,
        detail: Mapping[str, Any],
        time_ms: int,
    ) -> None:
        told = m.Progress(
            self._next, kind, generation, sha256, step, time_ms, run, reason, dict(detail)
        )
        self._next += 1
        self._waiting.append(dict(vars(told)))
        if len(self._waiting) > PROGRESS_KEPT_MAX:
            self.dropped += len(self._waiting) - PROGRESS_KEPT_MAX
            del self._waiting[:-PROGRESS_KEPT_MAX]

    def _keep(self) -> None:
        kept = {"next": self._next, "told_event": self._told_event, "waiting": self._waiting}
        self._world.disk.write_whole(self._path, json.dumps(kept).encode())
