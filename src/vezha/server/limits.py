"""Named limits of the composition root, with their units."""

from __future__ import annotations

SETTINGS_FILE_BYTES_MAX = 1 << 20
SECRET_FILE_BYTES_MAX = 64 << 10

BUS_DATAGRAM_BYTES_MAX = 256
"""A nudge is a topic's name; the truth is in ledger and store."""
BUS_TOPICS_PENDING_MAX = 64
UNIX_PATH_BYTES_MAX = 100
"""Linux allows 107 bytes and macOS 103 for a Unix socket's path; longer ones get an alias."""

CONTOUR_READY_TIMEOUT_S = 60.0
CONTOUR_STOP_TIMEOUT_S = 8.0
"""How long a contour may take to stop before it is killed."""
ORPHAN_STOP_TIMEOUT_S = 10.0
"""How long a child may go on after its supervisor vanished."""
RESTART_DELAY_FIRST_S = 0.5
RESTART_DELAY_MAX_S = 30.0
FIRST_START_TRIES = 3
"""Failures of a contour after which the operator is told where the others serve."""
RESTART_CALM_S = 60.0
"""A child that ran this long has its restart delay forgotten."""
SUPERVISOR_POLL_S = 0.25
WORKERS_MAX = 64
"""Workers of all contours together that the supervisor forks."""
WORKER_START_TIMEOUT_S = 30.0
"""How long a contour waits for the supervisor to fork a worker."""

LOG_LINE_BYTES_MAX = 16 << 10
LOG_FILE_BYTES_DEFAULT = 16 << 20
LOG_FILES_DEFAULT = 4

SERVER_NAMES_MAX = 64
"""Names and addresses in the channel's certificate."""
AGENT_INVITATION_LIFETIME_S = 300.0
ENROL_RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between tries to enrol this machine's own agent at the first start."""
PREPARE_TIMEOUT_S = 120.0
"""How long migrations and the rest of the preparation may take."""

FACTS_BYTES_MAX = 16 << 10
"""What an agent may tell of its host."""
FACTS_PENDING_MAX = 20_000
"""Hosts whose facts wait to be written to the ledger."""
IDENTITIES_REFRESH_S = 5.0
"""How old the gateway's picture of who may connect gets without a nudge."""
HOSTS_NUDGE_S = 0.2
"""How long a change of hosts waits for others of its kind before the pages are told."""
TOLD_INTERVAL_S = 2.0
SEEN_INTERVAL_S = 30.0
"""How often `last_seen` of all hosts is written: one transaction."""
OWN_SERIES_INTERVAL_S = 5.0
GC_THRESHOLDS = (50_000, 20, 100)
"""Looking at ten thousand connections' objects again and again is what made others' p99 a second."""
OPEN_FILES_WANTED = 65_536
FOLLOWED_FILE_BYTES_MAX = 4 << 20
FOLLOWED_FILE_LOOK_S = 5.0
"""How often `scrape.yml` and `checks.yml` are looked at for changes."""
RULES_STUCK_MS = 120_000
"""When the newest evaluation of any rule is older, the heartbeat is withheld."""
OUTBOX_STUCK_MS = 300_000
"""When a message was due so long ago and nobody tried, the heartbeat is withheld."""
PEER_MISSES_MAX = 3
"""Looks at the peer without an answer before it is an alert."""
DEADMAN_FIRST_S = 10.0
"""How long after its start the server beats for the first time."""
DEADMAN_INTERVAL_LEAST_S = 1.0
"""Heartbeats come no faster."""

DESK_SERIES_EVERY_S = 60.0
"""How often figures of people's work are written as series."""
DESK_SERIES_CHECKLIST_MS = 90 * 86_400_000
"""Runs of checklists that began within this time make their figures."""
HANDOVER_EVERY_S = 5.0
"""How often it is looked whether somebody else is on call."""
ONSET_EVERY_S = 5.0
"""How often new incidents are looked at for when they began."""
BLAME_EVERY_S = 5.0
"""How often incidents are held against changes; without news a look costs a few rows."""
DIARY_EVERY_S = 60.0
FIGURES_EVERY_S = 60.0
FIGURES_DAYS = 28
"""The figures of delivery, as series, are those of so many days."""
ASKING_CACHE_BYTES_MAX = 32 << 20
"""Memory of the ops contour for unpacked samples: it asks now and then, seldom the same again."""
FORECAST_CACHE_BYTES_MAX = 16 << 20
"""Memory of the forecast's process for unpacked samples: it reads each once."""
FORECAST_WAIT_MAX_S = 5.0
"""How long the forecast's process sleeps at most, so that a set clock is noticed."""

DIRECTIVES_LOOK_S = 1.0
"""How often the ledger is asked whether hosts should run something else, without a nudge."""
DIRECTIVES_ALL_AGAIN_S = 60.0
"""How often all directives are read, in case that a clock was set back."""
DIRECTIVES_OVERLAP_MS = 5_000
"""Rows are read again so far back: transactions end in another order than they began."""
EFFECTIVE_TEXT_CHARS_MAX = 64 << 10
RELEASES_LOOK_S = 60.0
"""How often the server looks whether its own signatures come to their end."""
DELIVERY_LOOK_EVERY_S = 1.0
"""How often the delivery loop looks without being nudged."""
DELIVERY_SERIES_EVERY_S = 5.0
"""How often the series of delivery are written."""
FENCED_AUDIT_S = 60.0
"""How often one host is told of in the audit for an identity that is used twice."""
DESK_SERIES_RATES_H = 24.0
"""Hours that the series of alarm rates look back over."""
DIARY_LINES_MAX = 60
"""Lines of a diary's page in a message; the rest stands on the page."""
TRIM_EVERY_S = 20.0
"""How often a contour gives free memory back; each takes some milliseconds of the allocator."""
JOINED_BYTES_MAX = 64 * 1024
"""Up to this length the body of an answer is copied behind its head, so that both are one packet."""
