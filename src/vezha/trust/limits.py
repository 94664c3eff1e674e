"""Limits of signed metadata, with their units."""

from __future__ import annotations

ROOT_BYTES_MAX = 128 << 10
TIMESTAMP_BYTES_MAX = 16 << 10
SNAPSHOT_BYTES_MAX = 64 << 10
TARGETS_BYTES_MAX = 4 << 20
"""About 8,000 artifacts."""
ROOT_ROTATIONS_MAX = 64
"""New roots that one refresh follows."""

AGENT_BYTES_MAX = 16 << 20
CONFIG_BYTES_MAX = 64 << 10
SCRIPT_BYTES_MAX = 256 << 10
RULES_BYTES_MAX = 1 << 20

ROOT_LIFETIME_S = 365 * 86_400
TARGETS_LIFETIME_S = 365 * 86_400
SNAPSHOT_LIFETIME_S = 7 * 86_400
TIMESTAMP_LIFETIME_S = 7 * 86_400
"""The server signs snapshot and timestamp anew each day, so the rest is its time to be away."""
ONLINE_RENEW_BEFORE_S = 6 * 86_400
EXPIRY_WARNINGS_S = (30 * 86_400, 7 * 86_400, 86_400)
"""How long before a role expires people are told."""

PARAMETERS_MAX = 32
PARAMETER_CHARS_MAX = 1_024
SCRIPT_TIMEOUT_MAX_S = 3_600
SCRIPT_TIMEOUT_DEFAULT_S = 60
SCRIPT_OUTPUT_BYTES_MAX = 64 << 10
SCRIPT_OUTPUT_BYTES_DEFAULT = 16 << 10
