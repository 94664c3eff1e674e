"""Named limits of incidents, each with its unit."""

from __future__ import annotations

TRANSITIONS_PER_STEP_MAX = 2_000
"""Transitions taken in per transaction."""
HOST_WINDOW_MS = 10 * 60_000
"""An alert of a host joins an incident of that host that was active within this time."""
KIND_WINDOW_MS = 2 * 60_000
"""The same alert of another host joins an incident that was active within this time."""
RELAPSE_WINDOW_MS = 10 * 60_000
"""An alert that fires again within this time opens its incident again instead of a new one."""
TITLE_CHARS_MAX = 200
NOTE_CHARS_MAX = 4_000
HOSTS_NAMED_MAX = 3
"""Hosts called by name in a title; beyond it they are counted."""
HOSTS_KEPT_MAX = 2_000
"""Host names that an incident's row carries."""
EVENTS_SHOWN_MAX = 1_000
INCIDENTS_LISTED_MAX = 500
MATCHERS_MAX = 20
SILENCE_MS_MAX = 366 * 86_400_000
GROWTH_TOLD_FACTOR = 3
"""Told again when one more host joins and so many times more are in it than when last told …"""
GROWTH_TOLD_GAP_MS = 60_000
"""… and this long after it."""
CLOSED_SILENCES_KEPT_MS = 30 * 86_400_000
"""Silences that ended longer ago are not listed."""
