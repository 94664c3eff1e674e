"""Named limits of alerting, each with its unit."""

from __future__ import annotations

RULE_FILE_BYTES_MAX = 4_000_000
RULE_FILES_MAX = 1_000
RULES_PER_GROUP_MAX = 2_000
GROUPS_MAX = 5_000
EXPRESSION_CHARS_MAX = 20_000
LABEL_TEXT_CHARS_MAX = 1_024
ANNOTATION_CHARS_MAX = 8_192

TEMPLATE_CHARS_MAX = 64_000
TEMPLATE_DEPTH_MAX = 50
TEMPLATE_STEPS_MAX = 100_000
TEMPLATE_OUTPUT_CHARS_MAX = 64_000
TEMPLATE_QUERIES_MAX = 50

INTERVAL_MS_DEFAULT = 1_000
"""How often a group that names no interval is evaluated."""
EARLY_GAP_MS = 200
"""Least time between two early evaluations, which arriving data asks for."""
EARLY_BUDGET_S = 0.025
"""Rules are evaluated early, cheapest first, until their usual cost adds up to this."""
PASS_BUDGET_S = 0.25
"""So much of one pass goes to groups that are evaluated every few seconds; the rest of them waits for
the next pass, so that those of each second are in time."""
SETTLE_MS_DEFAULT = 15_000
"""After a start nothing fires and nothing resolves for so long: agents are still returning."""
LATE_MS_DEFAULT = 90_000
"""A sample older than this, when it is evaluated, is history and fires nothing."""
UNKNOWN_KEEP_MS = 24 * 3_600_000
"""An alert whose target vanished stays `unknown` for so long, then it is closed as expired."""
RESOLVED_KEEP_MS = 15 * 60_000
"""A resolved alert is remembered for so long, to see relapses and flapping."""

FLAP_WINDOW_MS = 10 * 60_000
FLAP_FIRES = 5
"""So many firings within FLAP_WINDOW_MS make an alert flapping."""
FLAP_QUIET_MS = 5 * 60_000
"""A flapping alert that was quiet for so long is resolved."""

ALERTS_PER_RULE_MAX = 50_000
"""More results than this are an error of the rule, whatever its group's limit says."""
OWN_SERIES_EVERY_MS = 10_000
STATE_REFRESH_MS = 30_000
"""How often the value of a firing alert is written anew for the pages, without a change."""
CLOCK_JUMP_MS = 30_000
"""A step of the clock larger than this, back or forth, starts a new settle period."""

CROSSING_HOLD_MS = 3_000
"""An agent's crossing counts for so long; then the ordinary samples alone decide."""
CROSSING_LATE_MS = 2_000
"""A crossing that arrives later than this after its stamp is history and fires nothing."""
CROSSING_AHEAD_MS = 1_000
"""A stamp so far in our future comes of a clock that cannot be believed."""
CROSSINGS_WAITING_MAX = 10_000
CROSSINGS_REMEMBERED_MAX = 50_000
"""(rule, alert) pairs whose newest crossing is remembered, to see repetitions."""

RULE_VERSIONS_LISTED_MAX = 100
"""Versions of a rule file that are listed."""
SHARED_SAMPLES_MAX = 4_000_000
"""Samples that one round keeps for other rules that ask the same: 64 MB."""
RULES_FILES_MAX = 500
"""Files in one artifact of rules."""
RULES_UNPACKED_BYTES_MAX = 16 << 20
"""Size of all files of one artifact of rules."""
