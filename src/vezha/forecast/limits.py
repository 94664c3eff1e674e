"""Named limits of the forecast room, with their units."""

from __future__ import annotations

STEP_S = 900
"""Forecasts are of means over this."""
DAY_STEPS = 86_400 // STEP_S
HISTORY_DAYS = 28
HISTORY_STEPS = HISTORY_DAYS * DAY_STEPS
DAYS_MIN = 3
"""Whole days of history before anything is forecast: two to learn from, one to be measured on."""
PRESENT_PART_MIN = 0.5
"""Part of a day's steps that must have a value for the day to count."""
HORIZON_DAYS_MAX = 30
ISSUE_STEPS = DAY_STEPS
"""A forecast is made for this many steps ahead, once for each step; it is never revised."""
ISSUE_EVERY_STEPS = 24
"""New forecasts are made each six hours."""
KEPT_STEPS = 8 * DAY_STEPS
"""Forecasts kept, past and coming."""
COVERAGE = 0.9
"""Part of what comes that should lie in the interval."""
CALIBRATION_DAYS = 14
"""Days whose errors make the interval."""
SCORE_STEPS = DAY_STEPS
"""Predictability is of the last 24 hours …"""
SCORE_STEPS_MIN = DAY_STEPS // 4
"""… of which so many must have been scored."""
ROWS_AT_ONCE = 512
"""Series forecast in one block: it stays in the processor's cache."""
HOSTS_MAX = 20_000
GROUPS_MAX = 200
"""Label values that are forecast as groups; the largest first."""
GROUP_HOSTS_MIN = 2
FILE_SYSTEMS_MAX = 100_000
