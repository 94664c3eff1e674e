"""Reason codes: one word for why, the same on server and agent, with its sentence.

Agents send those of `AGENT`; a code that an agent's release knows and we do not is kept as it came.
"""

from __future__ import annotations

AGENT: dict[str, str] = {
    "": "",
    # refused before anything was switched
    "signature": "the signed metadata does not allow it",
    "expired": "the signed metadata has expired",
    "rolled_back": "the metadata or the directive is older than what the agent has seen",
    "checksum": "what was fetched has another hash",
    "too_long": "what was fetched is longer than it was said to be",
    "disk_full": "there is not enough disk",
    "incompatible": "it does not run on this host",
    "invalid": "the configuration or script is not valid",
    "not_opted_in": "the host's own configuration does not allow it",
    "quarantined": "the host went back from this very hash before",
    "fetch_failed": "it could not be fetched",
    # reverted after the switch
    "crashed": "it ended by itself while it was watched",
    "boot_loop": "it was started too often",
    "no_connection": "it did not connect",
    "no_acks": "its samples were not acknowledged",
    "gap": "its series have a gap",
    "too_hungry": "it used more processor time or memory than it may",
    "collector": "a collector stopped working under it",
    "rebooted": "the host started again while it was watched",
    # a script's end
    "exit_code": "the script ended with another code than 0",
    "timed_out": "the script took longer than it may",
    "output_limit": "the script wrote more than it may",
}
SERVER: dict[str, str] = {
    # of an attempt
    "offline": "the host was not there when its wave came",
    "stuck": "the host was there and did not get on with it",
    "silent": "the host fell silent after it began",
    "gate_failed": "a gate failed",
    "too_many_failures": "too many hosts went back",
    "by_hand": "somebody asked for it",
    "aborted": "the rollout was ended before this host's turn",
    "removed": "the host was removed",
    "superseded": "a newer rollout took the host over",
    "lint": "the rule files have faults",
    "late": "the host joined after the plan was made",
    # why a rollout holds
    "paused": "somebody paused it",
    "window": "a window keeps changes out",
    "approval": "it is not approved",
    "no_evidence": "a gate has no evidence",
    "gate_holds": "a gate says to hold",
    "pace": "reliability does not allow more change now",
    "control_plane": "the fault is ours, not the release's",
    "metadata": "the signed metadata has expired",
}
REASONS: dict[str, str] = {**AGENT, **SERVER}


def sentence(code: str) -> str:
    """What *code* means; the code itself where it is unknown."""
    return REASONS.get(code, code.replace("_", " "))


def table_as_markdown() -> str:
    """All codes for the documentation."""
    lines = ["| Code | By | Means |", "|---|---|---|"]
    lines += [f"| `{code}` | agent | {text} |" for code, text in AGENT.items() if code]
    lines += [f"| `{code}` | server | {text} |" for code, text in SERVER.items()]
    return "\n".join(lines) + "\n"
