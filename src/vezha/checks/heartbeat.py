"""Heartbeats: jobs that must call a URL in time. Silence is what fails.

When a job called last is known to whoever keeps it (the server's ledger), told here by
`LastBeat`; this decides what follows from it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import HEARTBEAT_PERIOD_S_MAX, TOKEN_CHARS_MIN
from vezha.checks.options import Options
from vezha.checks.outcome import Report
from vezha.world import World

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Beat:
    """The last call of a job. *at_ms* is None before the first; then *since_ms*, when the check
    was first known, is what the wait is counted from."""

    at_ms: int | None
    since_ms: int
    exit_code: int = 0


LastBeat = Callable[[str], Awaitable[Beat]]
"""The last beat of the heartbeat of that name."""


async def nobody_called(name: str) -> Beat:
    """For where no server runs, such as the command line."""
    raise ProbeFailed(f"only the running server knows when {name} called last")


@dataclass(frozen=True, slots=True)
class HeartbeatProbe:
    """A check of type `heartbeat`; its one target is its name."""

    token_sha256: str
    period_s: float
    grace_s: float
    last_beat: LastBeat = nobody_called

    @classmethod
    def taken(cls, options: Options) -> HeartbeatProbe:
        """Out of a check's options. Raises CheckConfigError."""
        token, given = options.secret("token"), options.text("token_sha256")
        if bool(token) == bool(given):
            raise options.wrong(
                "token_sha256", "or token_file must be set; `vezha check token NAME` makes one"
            )
        if token and len(token.reveal()) < TOKEN_CHARS_MIN:
            raise options.wrong("token_file", f"holds under {TOKEN_CHARS_MIN} characters")
        if given and not _HASH.fullmatch(given):
            raise options.wrong("token_sha256", "must be 64 hex digits, all small")
        period_s = options.duration_s("period", 0.0, 1.0, HEARTBEAT_PERIOD_S_MAX)
        if not period_s:
            raise options.wrong("period", "is missing; say how often the job calls, such as 1h")
        grace_s = options.duration_s("grace", period_s / 10, 0.0, HEARTBEAT_PERIOD_S_MAX)
        return cls(given or token_hash(token.reveal()), period_s, grace_s)

    def check_target(self, target: str, place: str) -> None:
        """Nothing to check: it is the check's own name."""

    def fits(self, token: str) -> bool:
        """Whether that is the token; compared in constant time."""
        return hmac.compare_digest(token_hash(token), self.token_sha256)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Look when it called last. Raises ProbeFailed."""
        beat = await self.last_beat(target)
        late_s = self.judge(beat, world.clock.now(), report)
        if late_s > 0:
            when = "called last" if beat.at_ms is not None else "never called; it is known since"
            after_s = self.period_s + self.grace_s + late_s
            raise ProbeFailed(
                f"{when} {after_s:.0f} s ago, and is meant to every {self.period_s:g} s"
            )
        if beat.exit_code:
            raise ProbeFailed(f"the job told that it failed, with exit code {beat.exit_code}")

    def judge(self, beat: Beat, now_s: float, report: Report) -> float:
        """Fills in the figures; how late it is, in s; 0 or less: in time."""
        from_ms = beat.since_ms if beat.at_ms is None else beat.at_ms
        report.set("vezha_heartbeat_period_seconds", self.period_s)
        report.set("vezha_heartbeat_exit_code", float(beat.exit_code))
        if beat.at_ms is not None:
            report.set("vezha_heartbeat_last_timestamp_seconds", beat.at_ms / 1000)
        # a clock that was set back makes nobody late
        return max(0.0, now_s - from_ms / 1000) - self.period_s - self.grace_s


def token_hash(token: str) -> str:
    """What is kept of a token: SHA-256 in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
