"""Reason codes: one word for why, the same on server and agent, with its sentence.

Agents send those of `AGENT`; a code that an agent's release knows and we do not is kept as it came.
"""

from __future__ import annotations

from vezha.trust.errors import CODES

REVERTS: dict[str, str] = {
    "crashed": "it ended by itself while it was watched",
    "does_not_start": "it was not ready to take over",
    "boot_loop": "it was started too often",
    "interrupted": "the host stopped too often while it was watched",
    "damaged": "its file is not what was staged",
    "cpu": "it used more processor time than it may",
    "memory": "it used more memory than it may",
    "wrong_build": "another build runs than was meant",
    "config": "it does not run with its configuration",
    "collector": "a collector fails that worked before",
    "no_proof": "it says nothing of itself",
    "not_connected": "it does not connect although the server answers",
    "no_telemetry": "its samples are not acknowledged",
    "gap": "its series have a gap",
    "server_away": "the server was away while it should have proven itself",
    "slowed_down": "the server told agents to wait while it should have proven itself",
    "replaced": "somebody installed the agent anew meanwhile",
}
"""Why an agent's launcher went back."""
EXCUSED = ("server_away", "slowed_down", "replaced")
"""Reasons that say nothing against the version: the host is offered it again."""
EXCUSED_REFUSALS = ("expired", "busy", "no_space")
"""Refusals before anything of the version ran that say nothing against it either: our metadata is past its
date, another change is being proven there, the host is full."""
SERVER_SIDED = ("not_connected", "no_telemetry", "gap")
"""Reasons that only tell what did not reach the server: excused, too, where the server had trouble
meanwhile."""
SCRIPTS: dict[str, str] = {
    "exit_code": "the script ended with another code than 0",
    "timed_out": "the script took longer than it may",
    "output_limit": "the script wrote more than it may",
}
AGENT: dict[str, str] = {"": "", **CODES, **REVERTS, **SCRIPTS}
"""All that agents tell: refusals (of the trust room), ways back, ends of scripts."""
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
    "excused": "a host did not take it too often, for what is not the version's fault",
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
