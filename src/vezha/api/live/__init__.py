"""The live stream: one producer per second for all viewers of this web contour.

`frame` writes the binary frames, `viewer` is one bounded queue, `hub` computes each second's
frames once and gives them to whom they concern, `endpoint` speaks with one browser.
"""

from __future__ import annotations

from vezha.api.live.hub import Hub

__all__ = ["Hub"]
