"""Whether the gateway slows agents down, and why. Pure but for its memory; the caller brings the time.

What happens here is never a release's fault, so whoever judges one has to know: launchers ask
`/readyz`, delivery reads the series `vezha_gateway_slowed`.
"""

from __future__ import annotations

from vezha.gateway.limits import STRAIN_KEPT_S

CONNECTS, COMMITS, SLOW, LEDGER = "connects", "commits", "slow_commits", "ledger"
REASONS: dict[str, str] = {
    CONNECTS: "more agents connect than may at once",
    COMMITS: "what agents send cannot be stored",
    SLOW: "storing what agents send takes long",
    LEDGER: "the ledger is behind with what agents tell of changes",
}
"""Why agents are slowed down."""


class Strain:
    """The last sign of each reason, in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}

    def note(self, reason: str, now_s: float) -> None:
        """It was just seen."""
        assert reason in REASONS, reason
        self._last_s[reason] = now_s

    def reasons(self, now_s: float) -> list[str]:
        """Those that were seen lately, in the order of `REASONS`."""
        return [r for r in REASONS if now_s - self._last_s.get(r, -1e9) <= STRAIN_KEPT_S]
