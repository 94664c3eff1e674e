"""Limits of the simulated fleet, with their units."""

from __future__ import annotations

CORES = 4
"""Of every simulated host."""
SERIES_DEFAULT = 100
SERIES_MAX = 2_000
UNSENT_FRAMES_MAX = 3_600
"""Frames that a host of the socket driver keeps while it is cut off: an hour at one a second."""
DIALLING_MAX = 200
"""Handshakes at once: the generator has one core where a real fleet has one each."""
SLOTS_PER_S = 50
"""Into so many bursts the hosts of one second are cut."""
LATENCIES_MAX = 2_000_000
"""Ack latencies kept for percentiles; the oldest go first."""
FAREWELL_S = 5.0
"""How long a stopping fleet waits for its last acks."""
