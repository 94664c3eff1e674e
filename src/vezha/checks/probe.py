"""What all kinds of checks have in common, and running one probe to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from vezha.checks.connection import why
from vezha.checks.errors import ProbeFailed
from vezha.checks.outcome import Outcome, Report
from vezha.world import World

_log = logging.getLogger("vezha.checks")


class Probe(Protocol):
    """One kind of check with its options read. Immutable."""

    def check_target(self, target: str, place: str) -> None:
        """Raise CheckConfigError where *target* cannot be one of this kind."""
        ...

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Ask *target* once, filling *report*. Raises ProbeFailed or OSError; may be cancelled
        at any await, which is how a time-out comes."""
        ...


async def run_probe(probe: Probe, target: str, timeout_s: float, world: World) -> Outcome:
    """One probe within its time-out; never raises but on our own faults and cancellation."""
    report = Report()
    began_s = world.clock.monotonic()
    reason = ""
    try:
        await asyncio.wait_for(probe.probe(target, report, world), timeout_s)
    except asyncio.TimeoutError:
        reason = f"no answer within {timeout_s:g} s"
    except ProbeFailed as error:
        reason = str(error)
    except OSError as error:
        reason = why(error)
    except Exception:
        # ours; it must be seen and mended, yet not take the other checks down
        _log.exception("probe_broke: %s", target)
        reason = "this check broke inside; the server's log has it"
    return Outcome(not reason, reason, world.clock.monotonic() - began_s, report)
