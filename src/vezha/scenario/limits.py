"""Named limits of scenarios, each with its unit."""

from __future__ import annotations

FILE_BYTES_MAX = 64 * 1024
SCENARIOS_MAX = 200
"""Scenarios of all files together; more files are refused."""
VIEWS_MAX = 40
"""Views of one scenario."""
NAME_CHARS_MAX = 64
TEXT_CHARS_MAX = 400
ADDRESS_CHARS_MAX = 2_000
EXPRESSION_CHARS_MAX = 4_000
NOTE_CHARS_MAX = 4_000
EVIDENCE_MAX = 5
"""Series that a look names; the others are counted."""
EVERY_MS_MIN = 60_000
"""A scenario is played at most this often."""
WATCH_S_DEFAULT = 20
WATCH_S_MIN, WATCH_S_MAX = 5, 3_600
"""Seconds that a wallboard stays on a view."""
UNUSED_MS = 30 * 86_400_000
"""A scenario that nobody used for so long is listed as unused."""
ROUNDS_LISTED_MAX = 200
OPEN_ROUNDS_MAX = 50
"""Rounds of people that may be under way at a time."""
PLAY_EVERY_S = 5.0
"""How often the loop looks whether a scenario is due."""
