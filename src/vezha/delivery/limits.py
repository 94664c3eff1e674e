"""Named limits of delivery, each with its unit."""

from __future__ import annotations

REPORT_HOSTS_MAX = 2_000
"""Hosts that one report from outside may name."""
REPORT_LABELS_MAX = 32
"""Labels that one report from outside may carry."""
REPORT_LINKS_MAX = 10
"""Links that one report from outside may carry."""
REPORT_TEXT_CHARS_MAX = 400
"""Characters of each text of a report that are kept."""
FIGURES_CHANGES_MAX = 20_000
"""Changes that the figures of delivery are made from, the newest."""

SENTENCE_CHARS_MAX = 2_000
"""Characters of a why, a comment, a reason."""
TITLE_CHARS_MAX = 200
SELECTOR_CHARS_MAX = 2_000
MATCHERS_MAX = 20
WAVES_MAX = 50
GATES_MAX = 30
CANARIES_MAX = 500
"""Hosts that a wave may name one by one."""
HOSTS_MAX = 20_000
"""Hosts of one plan."""
BAKE_S_MAX = 14 * 86_400.0
IN_FLIGHT_DEFAULT = 100
"""Hosts that are between offered and proven at one time."""
IN_FLIGHT_MAX = 10_000
UNAVAILABLE_DEFAULT = 0.1
"""Share of the plan's hosts that may be in flight or silent at one time."""
JITTER_S_DEFAULT = 0.0
PATIENCE_S_DEFAULT = 900.0
"""How long a host may be between offered and proven; then it is taken back."""
PROGRESS_PER_STEP_MAX = 2_000
"""Rows of progress taken in per transaction."""
PROGRESS_OVERLAP_ROWS = 256
"""Rows before the cursor that are read again: commits of several writers may end out of order."""
OFFERS_PER_STEP_MAX = 1_000
"""Directives written per transaction."""
GATES_EVERY_MS = 2_000
"""How often a wave's gates are asked."""
VERDICT_AGAIN_MS = 60_000
"""A verdict that says the same as the last is kept again after this."""
PACE_EVERY_MS = 10_000
TEND_EVERY_MS = 15_000
"""How often hosts that joined late or came back are looked for."""
SETTLE_AFTER_START_MS = 60_000
"""After a start of ours nothing counts against a release: agents have to come back first."""
SILENT_MS = 10_000
"""A host that was not up for so long is taken for silent."""
STALE_S = 20.0
"""The server writes series of its own every five seconds; older ones say that it stores nothing."""
FAULT_SHARE = 0.25
"""Share of the hosts that the rollout has not touched whose silence makes it our fault …"""
FAULT_HOSTS_LEAST = 2
"""… of at least so many."""
SAMPLES_PER_VERDICT_MAX = 20_000
"""Numbers that a verdict keeps."""
HOSTS_IN_QUERY_MAX = 200
"""Hosts that `$hosts` in a gate's expression stands for; of more, so many are drawn."""
CONTROL_HOSTS_MAX = 100
"""Hosts that a canary comparison takes as control."""
HOSTS_NAMED_MAX = 5
"""Hosts called by name in a sentence; beyond it they are counted."""
WEBHOOK_TIMEOUT_S = 5.0
"""How long the outside may be silent."""
WEBHOOK_WHOLE_S = 10.0
"""How long its whole answer may take."""
WEBHOOKS_KNOWN_MAX = 1_000
"""Questions whose last answers are kept."""
WEBHOOK_ANSWER_BYTES_MAX = 65_536
CHANGES_LISTED_MAX = 500
ATTEMPTS_LISTED_MAX = 20_000
EVENTS_SHOWN_MAX = 2_000
WINDOW_MS_MAX = 366 * 86_400_000
BREAK_GLASS_MS_MAX = 8 * 3_600_000
"""How long windows may be set aside."""
REHEARSE_STEPS_MAX = 5_000
"""Instants at which a gate is replayed."""
LATE_FAILURES_MAX = 3
"""Hosts that joined late and went back after which no more are offered the version."""
BACK_STEPS_MAX = 20
"""Versions that a way back may pass over since they were taken back themselves."""
EXCUSES_MAX = 3
"""Times that one host may go back or refuse for what is not the version's fault before its rollout waits
for a person."""
EXCUSED_WAIT_MS = 10_000
"""How long such a host rests before it is offered the version again."""
OFFLINE_GRACE_MS = 30_000
"""For so long a wave waits for hosts that are not there, once nobody else waits."""
UP_EVERY_MS = 1_000
"""How often it is asked which hosts are connected."""
SEEN_MS = 90_000
"""Without a store, a host that was heard of within this time is taken for connected."""
LABELS_EVERY_MS = 10_000
"""How often hosts' labels are read again."""
WEBHOOK_EVERY_MS = 10_000
RECENT_MS = 15 * 60_000
"""Hosts outside of the plan that were there within this time tell whether silence is our fault."""
DRIFT_KEYS_MAX = 8
"""Keys of a configuration that are named in a sentence; beyond it they are counted."""
BASELINES_PER_STEP_MAX = 1_000
"""Hosts whose effective configuration is remembered per look."""
REHEARSE_RULES_S = 86_400.0
"""Over how long a past rules are rehearsed for their plan."""
MARKS_MAX = 300
"""Marks that one chart carries; of more the newest ones."""
MARKS_READ_MAX = 2_000
"""Changes made elsewhere that are looked at for them."""
