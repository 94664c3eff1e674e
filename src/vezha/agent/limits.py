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

WATCHED_PROCESSES_MAX = 50
"""Processes that may be named to be watched."""

WATCHED_PIDS_MAX = 16
"""Processes of one name that are followed; one of them alive is enough."""

WATCHED_RESCAN_S = 5.0
"""While a watched process is missing, all of /proc is looked at so often, what is new each second."""

QUEUES_MAX = 50
"""Folders that may be named as queues."""

QUEUE_FILES_MAX = 100_000
"""Files counted in one queue: more are as bad, and counting them would cost the tick."""

QUEUE_DEPTH_MAX = 2
"""Folders in folders that are looked into, as mail servers spread their spools."""

COMMAND_CHARS_MAX = 15
"""The kernel keeps so much of a command's name."""

WATCH_INTERVAL_S = 0.1
"""How often tripwires are looked at."""

WATCH_MEMINFO_BYTES_MAX = 8 * 1024
"""So much of /proc/meminfo is read for tripwires; it is 1.5 KiB, and a larger buffer costs more."""

WATCH_MOUNTS_AGAIN_S = 2.0
"""How often the list of mounts is read anew for tripwires."""

WATCH_START_AGAIN_S = 30.0
"""Pause before a tripwire's source that could not be opened, or broke, is tried again."""

WATCH_CROSSINGS_PER_S = 20
"""Crossings that one agent sends; what is over it is left to the ordinary samples."""

URGENT_MESSAGES_MAX = 64
"""Crossings that wait to be sent; the oldest goes first."""

CGROUPS_MAX = 500

UNITS_MAX = 2_000
"""systemd units reported."""

DBUS_MESSAGE_BYTES_MAX = 32 * 1024 * 1024
"""systemd's own limit for one message is 128 MiB; a list of 2,000 units is about 1 MiB."""

TCP_SOCKETS_MAX = 1_000_000
"""Sockets counted in one TCP dump."""

SPOOL_SEGMENT_BYTES_MAX = 1 << 20
"""A spool segment this big is closed and a new one begun; also what trimming goes by."""

SPOOL_RECORD_BYTES_MAX = 2 << 20

SPOOL_RECENT_FRAMES = 128
"""Frames kept in memory too, so that live data is sent without reading the disk."""

SPOOL_LOOSE_FRAMES_MAX = 600
"""Frames kept in memory alone while the disk takes nothing; the oldest goes first, counted."""

SPOOL_SYNC_INTERVAL_S = 5.0
"""While disconnected the spool is synced this often; connected, the server's ack is the proof."""

LINK_IO_TIMEOUT_S = 10.0
"""A connection on which a send or a half-received record takes longer is cut."""

LINK_HEARTBEAT_S = 1.0
"""With nothing else to say for so long, the agent gives a sign of life."""

LINK_SILENT_SERVER_S = 15.0
"""A server that neither acknowledges nor answers for so long is left and dialled again."""

LINK_FAREWELL_S = 2.0
"""How long a stopping agent waits for its last frames to be acknowledged."""

PLANNED_ABSENCE_S = 30.0
"""How long the server takes the silence of an agent that stopped in good order for planned."""

INSTALL_TOOL_TIMEOUT_S = 60.0
"""How long `install` waits for a program such as systemctl."""

INSTALL_START_S = 10.0
"""How long the service may take to be steadily active."""

LINK_CALM_S = 30.0
"""A connection that lasted so long has earlier failures forgotten."""

FETCH_ANSWER_S = 60.0
"""How long a piece of a file may take; the server answers within ten seconds when it is slow."""

LOCK_WAIT_S = 30.0
"""How long a starting agent waits for another one in its folder to end."""
LOCK_LOOK_S = 0.02
CHANGE_LOOK_S = 1.0
"""How often the launcher's history and the directives are looked at without a nudge."""
CHANGE_AGAIN_S = 10.0
"""Pause before a change that was broken off by the network or the disk is taken up again."""
CHECKS_MAX = 200
"""Tables `[checks.NAME]` in one agent's settings."""
CHECK_LINE_BYTES_MAX = 4 << 20
"""What the process that runs checks may say at once."""
CHILD_STOP_S = 5.0
STAGE_FREE_BYTES_MIN = 16 << 20
"""Room that must be left beside three times the file before a change is downloaded."""
FETCH_LATER_MAX = 30
FETCH_LATER_S = 2.0
"""How often, and how long apart, a busy server is asked for the same piece."""
PROGRESS_KEPT_MAX = 256
"""What is told of directives and not acknowledged; beyond it the oldest goes."""
RUNS_KEPT_MAX = 256
"""Runs of scripts that are remembered, so that none begins twice."""
SCRIPT_KILL_AFTER_S = 2.0
"""Between the polite end of a script that is over its time, and the other."""
PROOF_LAG_S = 2.0
"""Frames that are younger need not be acknowledged yet for a proof of running."""
