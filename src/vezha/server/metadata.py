"""Whether the signed metadata lets changes go on. Expired metadata freezes change, nothing else."""

from __future__ import annotations

from vezha.server.releases import expiries_s
from vezha.trust.errors import Refused, TrustError
from vezha.trust.folder import ReleaseFolder
from vezha.world import World

OFFLINE_ROLES = ("root", "targets")
"""Roles whose keys the server does not have."""
_ASK_EVERY_S = 30.0


class MetadataGuard:
    """Looks at the release folder now and then."""

    def __init__(self, folder: ReleaseFolder, world: World) -> None:
        self._folder = folder
        self._world = world
        self._asked_s: float | None = None
        self._trouble = ""

    def trouble(self) -> str:
        """Why no change goes on, in a sentence; empty where the metadata is good."""
        now_s = self._world.clock.monotonic()
        if self._asked_s is None or now_s - self._asked_s >= _ASK_EVERY_S:
            self._asked_s = now_s
            self._trouble = self._look()
        return self._trouble

    def _look(self) -> str:
        if not self._folder.exists:
            return "nothing was published yet: there is no signed metadata"
        try:
            expiries = expiries_s(self._folder.files())
        except (OSError, KeyError, Refused, TrustError, ValueError) as fault:
            return f"the signed metadata cannot be read ({fault})"
        past = sorted(role for role, at_s in expiries.items() if at_s <= self._world.clock.now())
        if not past:
            return ""
        said = f"the signed {' and '.join(past)} metadata has expired; "
        if any(role in OFFLINE_ROLES for role in past):
            return f"{said}sign it anew with the offline keys: `vezha release renew --keys FOLDER`"
        return (
            f"{said}the server signs that anew by itself: see why not with `vezha release verify`"
        )
