"""Named limits of the ledger, each with its unit."""

from __future__ import annotations

BUSY_TIMEOUT_MS = 10_000
"""How long a SQLite transaction waits for another process's; ours last milliseconds."""
POOL_SIZE = 8
"""PostgreSQL connections that one process keeps."""
POOL_WAIT_S = 10
"""How long a thread waits for a connection before the request fails."""
NAME_CHARS_MAX = 253
"""Names of hosts, people and tokens; the longest DNS name."""
SQLITE_CACHE_KIB = 8_192
"""Page cache of one SQLite connection."""
WRITE_AHEAD_TRIES_MAX = 100
"""How often a process tries to turn the write-ahead log on; each waits `BUSY_TIMEOUT_MS` at most."""
