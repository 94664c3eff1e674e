"""Limits of other people's protocols, with their units."""

from __future__ import annotations

BODY_BYTES_MAX = 32 << 20
"""A request's body as sent."""
UNPACKED_BYTES_MAX = 256 << 20
"""A request's body unpacked."""
SERIES_KNOWN_MAX = 2_000_000
"""Series that one web contour remembers; past it the memory is begun anew."""
SERIES_WINDOW_S = 900.0
SERIES_FORGOTTEN_MIN = 50_000
"""If fewer than half of so many known series were sent for so long, the memory is begun anew: those
that live are told to the store again, 40 µs each."""
LABEL_MEMORY_BYTES_MAX = 128 << 20
"""Bytes of remote-write requests that are remembered to know the next ones by; past it the memory
is begun anew."""
TEMPLATE_BYTES_MAX = 64 << 20
"""Bytes of remote-write 2.0 requests that are remembered."""
NATIVE_BUCKETS_MAX = 2_000
"""Buckets of one side of a native histogram."""
LABELS_PER_SERIES_MAX = 64
LABEL_CHARS_MAX = 4_096
FEED_TIMEOUT_S = 20.0
"""How long a batch may wait to become durable before the sender is told to come again."""
ANNOUNCED_SERIES, ANNOUNCED_SERIES_MAX = 1_000, 20_000
"""New series that are told to the store at once: so many and what is left of their source, and at most."""
FEED_IN_FLIGHT_SAMPLES_MAX = 4_000_000
"""Samples handed over and not yet durable; beyond it senders get 503."""
STARTED_BACK_MS_MAX = 3_600_000
"""How long before its first sample that we see a counter may have begun and still get its zero."""
EXPOSITION_COMMENTS_MAX = 20_000
"""Comments of one target, or one pusher, that are remembered."""
SCRAPE_BYTES_MAX = 64 << 20
SCRAPE_TIMEOUT_S = 10.0
SCRAPE_TARGETS_MAX = 10_000
"""Targets scraped by one server."""
