"""Limits of the channel, with their units."""

from __future__ import annotations

PROTOCOL_GENERATION = 1
PROTOCOL_GENERATION_MIN = 1
SUBPROTOCOL = "vezha.1"
AGENT_PATH = "/v1/agent"
ENROL_PATH = "/v1/enrol"
AGENT_FILE_PATH = "/vezha-agent.pyz"
"""Plain GET: the agent's one file, for new hosts."""

MESSAGE_BYTES_MAX = 1 << 20
JSON_BYTES_MAX = 256 << 10
SCHEMA_JSON_BYTES_MAX = 8 << 20
SERIES_PER_SCHEMA_MAX = 20_000
LABELS_PER_SERIES_MAX = 40
LABEL_NAME_CHARS_MAX = 256
LABEL_VALUE_CHARS_MAX = 2_048
SCHEMAS_PER_HELLO_MAX = 256
RANGES_PER_MESSAGE_MAX = 64

WINDOW_FRAMES_DEFAULT = 64
WINDOW_FRAMES_MAX = 1_024
WINDOW_LIVE_RESERVE_FRAMES = 8
"""Part of the window that the backlog may not use, so that live data never waits behind it."""

SILENCE_S = 2.7
"""No message for so long and the host counts as silent: people are told within 3 s."""
STATUS_INTERVAL_S = 5.0
HANDSHAKE_TIMEOUT_S = 30.0
"""At least 2 x agents / handshake rate for 10,000 agents (the channel study)."""
BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 10.0
"""Bounds of the full-jitter back-off between connects: 10,000 agents in ten seconds are as many
handshakes as one core makes; more at once are told to come later."""

TRIPWIRES_CAPABILITY = "tripwires"
"""Stands in the capabilities of agents that watch tripwires; others are sent none."""
TRIPWIRES_MAX = 200
"""Tripwires that one agent watches."""
TRIPWIRE_CONDITIONS_MAX = 4
TRIPWIRE_WINDOW_S_MAX = 60.0
"""Longest window over which an agent itself averages processor time."""
CROSSING_PATTERN_CHARS_MAX = 2_048
CROSSING_AGE_MAX_S = 2.0
"""A crossing that is older when it could be sent, or when it arrives, is history: the ordinary
samples tell of it, and it fires nothing."""

CHUNK_BYTES_MAX = 64 << 10
"""A piece of a published file; live frames go between two of them."""
FETCH_PATH_CHARS_MAX = 512
DIRECTIVES_MAX = 64
"""Directives that one agent is sent: one release, one configuration, the rest scripts to run."""
DIRECTIVE_LENGTH_MAX = 64 << 20
"""Longest file that a directive may name; an agent's own limits are lower for what is not code."""
PROGRESS_TEXT_CHARS_MAX = 1_000
"""Longest reason of a Progress."""
PROGRESS_DETAIL_BYTES_MAX = 96 << 10
"""A script's output and what else is told with a Progress."""
RELEASE_CAPABILITY, CONFIG_CAPABILITY, SCRIPT_CAPABILITY = "release", "config", "script"
"""Stand in the capabilities of agents that act on directives of that kind; others are sent none."""
