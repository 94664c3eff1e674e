"""How busy a host is at an hour: the shape of a day, by role and site. Pure, vectorised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAY_S = 86_400.0
_PEAKS = ((10.5, 2.2, 0.8), (15.0, 2.5, 1.0), (20.5, 1.8, 0.7))
"""Hour, width in hours, height: the morning, the afternoon, the evening at home."""
WEEKEND = 0.55
"""Saturday and Sunday reach this part of a working day's peaks."""


def daily_shape(hour: Floats | float) -> Floats:
    """float64 like *hour* (0 to 24, local): 0 at the quietest moment, 1 at the busiest."""
    at = np.asarray(hour, np.float64)
    total = np.zeros_like(at)
    for peak, width, height in _PEAKS:
        apart = np.abs(at - peak)
        apart = np.minimum(apart, 24.0 - apart)
        total += height * np.exp(-0.5 * (apart / width) ** 2)
    shape: Floats = np.clip(total / 1.15, 0.0, 1.0)
    return shape


def base_load(now_s: float, offset_h: Floats, night: Floats, day: Floats) -> Floats:
    """float64[hosts]: the load that role and hour give, 0 to 1, for hosts whose clocks are
    *offset_h* hours ahead of UTC."""
    local_s = now_s + offset_h * 3600.0
    hour = (local_s % DAY_S) / 3600.0
    weekday = (local_s // DAY_S + 3) % 7  # the epoch began on a Thursday
    strength = np.where(weekday >= 5, WEEKEND, 1.0)
    load: Floats = night + (day - night) * daily_shape(hour) * strength
    return load
