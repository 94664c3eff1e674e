"""Named limits of checks, each with its unit."""

from __future__ import annotations

TARGETS_MAX = 5_000
"""Targets of all checks of one server."""
INTERVAL_S_MIN = 1.0
INTERVAL_S_MAX = 240.0
"""PromQL looks back five minutes; what is rarer would come and go."""
INTERVAL_S_DEFAULT = 15.0
TIMEOUT_S_DEFAULT = 5.0
FAILURES_BEFORE_DOWN_DEFAULT = 2
FAILURES_BEFORE_DOWN_MAX = 100
PROBES_IN_FLIGHT_MAX = 200
"""Probes at the same time; more wait, and their time-out begins when they begin."""
PLUGINS_IN_FLIGHT_MAX = 8
"""Plugins at the same time: each is a process."""
BODY_BYTES_MAX = 4 << 20
"""An HTTP answer's body; a larger one fails the check."""
BODY_SEARCHED_BYTES_MAX = 256 << 10
"""The part of a body that patterns see."""
ANSWER_BYTES_MAX = 256 << 10
"""What any other server may answer."""
REDIRECTS_MAX = 10
PLUGIN_OUTPUT_BYTES_MAX = 64 << 10
REDIS_QUEUES_MAX = 50
"""Keys of one Redis that are asked for their length."""
PLUGIN_FIGURES_MAX = 100
"""Performance figures of one plugin."""
DNS_MESSAGE_BYTES_MAX = 65_535
DNS_ATTEMPT_S = 1.0
"""How long one UDP question waits before it is sent again."""
PING_PACKETS_MAX = 10
NAME_CHARS_MAX = 64
LABELS_MAX = 16
LABEL_CHARS_MAX = 256
SECRET_BYTES_MAX = 10_000
TOKEN_CHARS_MIN = 16
"""A heartbeat's token stands in a URL that anyone may try."""
HEARTBEAT_PERIOD_S_MAX = 400 * 86_400.0
CHAIN_MAX = 16
"""Certificates of one chain that are read."""
CERTIFICATE_NAME_PARTS_MAX = 32
"""Parts of a certificate's name that are shown."""
RDAP_BOOTSTRAP_BYTES_MAX = 4 << 20
"""IANA's file of RDAP servers."""
MYSQL_ROWS_MAX = 1_000
"""Rows of one answer."""
AGENT_TARGETS_MAX = 200
"""Targets that one agent checks."""
AGENT_PROBES_IN_FLIGHT_MAX = 20
AGENT_PLUGINS_IN_FLIGHT_MAX = 2
DOMAIN_ASKED_S = 6 * 3600.0
"""How long the answer of a registry is repeated before it is asked again."""
DOMAIN_AGAIN_S = 600.0
"""How long after a failure."""
