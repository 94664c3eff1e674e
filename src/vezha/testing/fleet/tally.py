"""What the socket driver counted: frames, acks with their latencies, connects, refusals."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from vezha.testing.fleet.limits import LATENCIES_MAX


@dataclass
class Tally:
    """Counters since the start, and latencies since the last `forget_latencies`."""

    made: int = 0
    sent: int = 0
    acked: int = 0
    bytes_sent: int = 0
    dials: int = 0
    connects: int = 0
    disconnects: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    skipped_turns: int = 0
    """Samples of the whole fleet that the generator was too late for."""
    late_s_max: float = 0.0
    """How far the generator itself came behind its timetable."""
    latencies_s: array[float] = field(default_factory=lambda: array("f"))
    """Sample made to ack received, of frames that were live when they were made."""

    def refuse(self, code: str) -> None:
        """A dial failed, or the server sent an agent away."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def note(self, latency_s: float) -> None:
        """A live frame was acknowledged."""
        if len(self.latencies_s) >= LATENCIES_MAX:
            del self.latencies_s[: LATENCIES_MAX // 2]
        self.latencies_s.append(latency_s)

    def forget_latencies(self) -> None:
        """Measure anew from here."""
        del self.latencies_s[:]
        self.late_s_max = 0.0

    def percentiles_ms(self) -> dict[str, float]:
        """p50, p95, p99 and max of the latencies in milliseconds; empty where there are none."""
        if not self.latencies_s:
            return {}
        values = np.frombuffer(self.latencies_s, np.float32)
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        top = float(values.max())
        named = {"p50": p50, "p95": p95, "p99": p99, "max": top}
        return {k: round(float(v) * 1000, 1) for k, v in named.items()}
