"""Named limits of notifications, each with its unit."""

from __future__ import annotations

SETTINGS_BYTES_MAX = 256_000
RECEIVERS_MAX = 100
"""In `notify.toml`, and as many again that are saved while running; so are routes."""
ROUTES_MAX = 500
EVENTS_PER_STEP_MAX = 2_000
"""Timeline entries planned per transaction."""
CLAIM_MS = 60_000
"""How long a message belongs to who claimed it; afterwards another may send it (again)."""
SEND_TIMEOUT_S = 20.0
BACKOFF_FIRST_MS = 1_000
BACKOFF_MOST_MS = 120_000
"""Full jitter between zero and the doubling step, up to this."""
MISSET_RETRY_MS = 60_000
"""A provider that refuses us (wrong token) is asked again this seldom, until it is set right."""
GIVE_UP_MS = 48 * 3_600_000
"""A message this old is not sent any more; it says so in the outbox."""
HOSTS_IN_MESSAGE_MAX = 20
ALERTS_IN_MESSAGE_MAX = 20
TEXT_CHARS_MAX = 3_500
RATE_WINDOW_MS = 10 * 60_000
RATE_MESSAGES_DEFAULT = 20
"""Messages that ring per receiver in RATE_WINDOW_MS; what is more goes into one digest."""
DIGEST_LINES_MAX = 30
HANDOVER_LINES_MAX = 40
OUTBOX_LISTED_MAX = 500
SENT_KEPT_MS = 90 * 86_400_000
"""How long settled messages and transitions of alerts are kept; incidents are kept for good."""
PRUNE_EVERY_MS = 3_600_000
RESPONSE_CHARS_MAX = 300
"""How much of a provider's answer an error quotes."""
TELEGRAM_TEXT_CHARS_MAX = 4_096
TELEGRAM_POLL_S = 25
ALARM_PERIOD_MS = 10 * 60_000
"""The period that alarm rates are counted in."""
ALARM_FLOOD_RINGS = 10
"""More rings than this in one period are a flood."""
ALARM_CHATTER_FIRES = 3
ALARM_CHATTER_MS = 60_000
"""So many firings of one alert within this time are chattering."""
ALARM_STALE_MS = 86_400_000
"""An alert that is open for longer is stale."""
ALARM_TALKERS_MAX = 10
ALARM_ROWS_MAX = 200_000
"""Messages, and firings, that the figures are made from."""
ALARM_HOURS_MAX = 24 * 92
OPTION_CHARS_MAX = 8_000
"""Of one option of a receiver that is saved while running."""
OPTION_TEXTS_MAX = 50
ROUTE_MATCHERS_MAX = 50
