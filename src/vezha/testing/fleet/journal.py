"""What the simulated hosts sampled, what may be missing, and what must hold at the end.

1. Each sample that its host did not count as dropped is stored, once, with its values.
2. What a host was told to be durable is durable, at the moment at which it is told.
3. Missing are at most: frames counted as dropped; frames that were nowhere but in the memory of
   an agent that was killed; frames neither synced nor acknowledged when the power went.
4. While nothing is wrong with a host, its live frames are durable within `LIVE_LAG_S`, however
   long its backlog is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vezha.wire.ranges import Ranges

EPOCH_S = 1_700_000_000.0
"""The true time at which every run begins, in seconds since 1970."""
LIVE_LAG_S = 2.5
CALM_S = 2.0
"""So long after the last trouble of a host its live frames must be in time again."""


@dataclass(frozen=True)
class Sampled:
    """One frame as it was made."""

    host: str
    stamp_ms: int
    values: tuple[float, ...]
    made_s: float


@dataclass
class Journal:
    """The truth that the run is compared with. Streams by their key, `agent/stream`."""

    sampled: dict[str, dict[int, Sampled]] = field(default_factory=dict)
    durable: dict[str, Ranges] = field(default_factory=dict)
    excused: set[tuple[str, int]] = field(default_factory=set)
    dropped: dict[str, int] = field(default_factory=dict)
    calm_since_s: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    live_checked: int = 0
    live_lag_s_max: float = 0.0

    def violate(self, now_s: float, what: str) -> None:
        """Something that must hold does not."""
        if len(self.violations) < 20:
            self.violations.append(f"{now_s:8.2f} s  {what}")

    def fault(self, now_s: float, what: str) -> None:
        """Remember what was done to the fleet."""
        self.faults.append(f"{now_s:8.2f} s  {what}")

    def trouble_all(self, now_s: float) -> None:
        """Something is wrong at the server: no host is calm."""
        for host in self.calm_since_s:
            self.calm_since_s[host] = now_s

    def sample(self, key: str, seq: int, made: Sampled) -> None:
        """A frame was made."""
        frames = self.sampled.setdefault(key, {})
        assert seq not in frames, "a number was given twice"
        frames[seq] = made

    def committed(self, key: str, seq: int, now_s: float) -> None:
        """A frame became durable at the server."""
        self.durable.setdefault(key, Ranges()).add(seq)
        made = self.sampled.get(key, {}).get(seq)
        if made is None:
            self.violate(now_s, f"{key} {seq:#x} is stored and was never sampled")
            return
        if made.made_s >= self.calm_since_s[made.host] + CALM_S:
            lag = now_s - made.made_s
            self.live_checked += 1
            self.live_lag_s_max = max(self.live_lag_s_max, lag)
            if lag > LIVE_LAG_S:
                self.violate(now_s, f"a live frame of {made.host} took {lag:.2f} s")

    def told(self, key: str, ranges: list[tuple[int, int]], now_s: float) -> None:
        """The server calls *ranges* durable to an agent."""
        have = self.durable.get(key, Ranges())
        for low, high in ranges:
            if not have.covers(low, high):
                self.violate(now_s, f"{key} was told {low:#x}..{high:#x} is durable, it is not")

    def check(self, stored: dict[tuple[str, int], tuple[int, tuple[float, ...]]]) -> None:
        """Compare with what is *stored*: (stream's key, number) → (time in ms, values)."""
        missing: dict[str, list[str]] = {}
        for key, frames in self.sampled.items():
            for seq, made in frames.items():
                found = stored.get((key, seq))
                if found is None:
                    if (key, seq) not in self.excused:
                        which = f"{key[-6:]} {seq:#x} made at {made.made_s:.2f} s"
                        missing.setdefault(made.host, []).append(which)
                elif found[1] != made.values or (found[0] - made.stamp_ms) % 1000:
                    self.violations.append(f"{made.host} {seq:#x} is stored with other values")
        for host, lost in missing.items():
            if len(lost) > self.dropped.get(host, 0):
                self.violations.append(
                    f"{host} lost {len(lost)} frames and counted {self.dropped.get(host, 0)} as "
                    f"dropped: {lost[0]} … {lost[-1]}"
                )
