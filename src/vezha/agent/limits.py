"""Named limits of the agent's collecting half, each with its unit."""

from __future__ import annotations

CONFIG_BYTES_MAX = 64 * 1024
"""An `agent.toml` beyond this is not one."""

TICK_INTERVAL_MIN_S = 0.1
TICK_INTERVAL_MAX_S = 60.0

COLLECTOR_INTERVAL_MAX_S = 3600
"""Slowest collector; the query engine looks back five minutes, so slower than 300 s shows gaps."""

COLLECTOR_TIMEOUT_MAX_S = 0.8
"""A collector runs inside its tick, so it must end before the next one."""

SERIES_PER_COLLECTOR_MAX = 10_000
"""A collector that announces more is counted as failed: something is wrong with its source."""

FAILURES_BEFORE_LEFT_OUT = 3
"""Failed ticks in a row (stale markers) after which a collector's series leave the schema."""

BACK_OFF_MAX_S = 300.0
"""Longest pause between two tries of a failing collector."""

PROBE_AGAIN_S = 120.0
"""Pause before a collector that found nothing to read on this host looks again."""

CLOCK_STEP_BACK_SLEWED_MAX_S = 60.0
"""A wall clock set back by less is caught up with slowly; by more, stamps follow it at once."""

CLOCK_SLEW_RATIO = 0.1
"""While slewing a tick takes this much longer than its interval."""

KERNEL_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Largest /proc or /sys text that a collector reads."""

STUCK_MOUNTS_MAX = 16
"""Threads that may hang in statfs at once; further mounts are reported as errors unasked."""

TEXTFILE_BYTES_MAX = 4 * 1024 * 1024
TEXTFILES_MAX = 200

PROCESSES_MAX = 100_000
"""Pids looked at in one scan."""

PROCESS_GROUPS_MAX = 40
"""Distinct (command, unit) pairs that the process collector reports at once."""

CGROUPS_MAX = 500

UNITS_MAX = 2_000
"""systemd units reported."""

DBUS_MESSAGE_BYTES_MAX = 32 * 1024 * 1024
"""systemd's own limit for one message is 128 MiB; a list of 2,000 units is about 1 MiB."""

TCP_SOCKETS_MAX = 1_000_000
"""Sockets counted in one TCP dump."""
