"""Limits of the launcher, each with its unit, and the words that it shares with the agent."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PROTOCOL = 1
VARIABLE = "VEZHA_AGENT_LAUNCHED"
READY = b"R"
FACTORY = "factory"

PREPARE_S = 60.0
"""How long a new agent may take to be ready to take over (the old one works meanwhile)."""
STOP_S = 20.0
"""How long an agent may take to stop before it is killed."""
WATCH_DEFAULT_S = 60.0
WATCH_MIN_S, WATCH_MAX_S = 2.0, 3_600.0
SETTLE_MIN_S, SETTLE_MAX_S = 8.0, 15.0
"""After the watch: how long a connection or an acknowledgement may still take (as long as the watch,
within these)."""
AWAY_MAX_S = 900.0
"""How long a server that is away, or sends agents away, extends the watch."""
RETURN_MAX_S = 60.0
"""After the server had trouble: how long an agent may take to come back (its back-off, and what the
server asked for on top)."""
PROOF_FRESH_S = 5.0
TRIAL_STARTS_MAX = 2
"""One start, and one more after a crash or a reboot."""
QUICK_END_S = 10.0
"""An agent that ends sooner did not stay up."""
QUICK_ENDS_MAX = 5
BACK_OFF_MAX_S = 30.0
CPU_SHARE_MAX = 0.5
"""Of one core, over at least CPU_SPAN_S; the agent's own figure is about 0.01."""
CPU_WANTED_MAX, CPU_WANTED_SHARE_MIN = 0.8, 0.05
"""On a busy host nobody gets half a core: there it counts how much of the time a process ran or
waited for a core, if it also got more than a healthy agent ever takes …"""
CPU_SUSPECT_S = 10.0
"""… for so long: what a healthy agent takes to begin is over by then."""
CPU_SPAN_S = 3.0
COST_WAIT_MAX_S = 10.0
"""Where a host does not tell what a process costs, the verdict is made without it after this."""
MEMORY_BYTES_MAX = 200 << 20
FREE_BYTES_MIN = 8 << 20
EVENTS_MAX = 64
PROBE_TIMEOUT_S = 5.0
PROBE_FROM_S = 2.0
"""A trial that is not acknowledged by then makes the launcher ask whether the server is well."""
PROBE_EVERY_S = 1.0
PROBE_NO, PROBE_SLOW = 1, 3
"""Exit codes of a probe (0: the server is well): no answer; it sends agents away for now."""
OPERATORS_EXIT = 2
"""The agent's exit code where its own settings are wrong: no build is to blame."""
UNBLAMED = ("server_away", "slowed_down", "replaced")
"""Reasons for going back that do not quarantine."""
