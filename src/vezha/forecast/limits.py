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
EDGES_ASKED_ONE_BY_ONE = 3
AWAY_PART = 0.8
"""A host that counted less processor time than this part of a step was away for some of it."""
LAG_S = 20.0
"""How long samples of a step may take to arrive before it is read."""
TICK_S = 300
"""How often the load of now is compared with its forecast."""
PUBLISH_S = 60.0
"""How often series are written; PromQL remembers a sample for five minutes."""
WRITE_SERIES_MAX = 50_000
"""Samples in one write."""
FILE_DAYS = 7
FILE_STEPS = FILE_DAYS * 86_400 // TICK_S
"""Steps of TICK_S that are kept of file systems' room."""
READ_STEPS_MAX = DAY_STEPS
"""Steps read at once while catching up: a day."""
CALM_HOSTS_MAX = 2_000
CALM_WINDOWS_MAX = 20
CALM_LENGTH_S_MAX = 86_400.0
NICENESS = 15
"""The forecast's process yields to everything else."""
FILE_GAP_STEPS = 2
"""Steps without a value over which free room is taken to have stayed."""
CLOCK_BACK_STEPS_MAX = DAY_STEPS
"""A book that is farther ahead of the clock was written by a wrong one, and is begun anew."""
UNUSUAL_MIN = 3.0
"""From so many half-widths off on a load is called unusual; it ranks and explains, and pages nobody."""
UNUSUAL_BEFORE_S = 1_800.0
"""An incident lists what was unusual from so long before it began …"""
UNUSUAL_SPAN_S = 6 * 3_600.0
"""… for at most so long."""
UNUSUAL_LISTED_MAX = 50
UNUSUAL_HOSTS_MAX = 200
"""Hosts of one incident that are looked at."""
