"""Why something signed is not taken, and what an operator can do wrong with keys."""

from __future__ import annotations


class Refused(Exception):
    """Metadata, a file or a directive is not taken; `code` is one of CODES."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        assert code in CODES, code
        self.code = code
        self.text = text


CODES: dict[str, str] = {
    "expired": "Signed metadata is past its date: sign it anew. Nothing changes until then.",
    "rolled_back": "Metadata is older than what was seen already (a replay).",
    "mix_and_match": "Files of different publications were put together.",
    "wrong_hash": "A file's content is not what was signed.",
    "wrong_length": "A file is longer or shorter than was signed, or does not end.",
    "unsigned": "Too few of the trusted keys have signed.",
    "malformed": "Metadata cannot be read.",
    "missing": "The server does not have a file that it should have.",
    "not_listed": "The signed targets do not list that name.",
    "disagrees": "The directive and the signed targets do not say the same.",
    "unpinned": "This agent was enrolled without the keys' metadata, so it trusts no change.",
    "older_generation": "The directive is older than one that was taken before.",
    "quarantined": "This host went back from that hash once; it is taken only if forced.",
    "no_launcher": "The agent runs without the launcher, so its file cannot be changed.",
    "opted_out": "agent.toml on that host does not allow scripts, or not that one.",
    "bad_params": "A script's parameters are not those that its signed schema allows.",
    "bad_config": "The agent's own parser does not take the configuration.",
    "bad_build": "The agent's file is not one that this host can start.",
    "no_space": "The disk has too little room for both slots.",
    "ran_already": "That run of the script was started before; each runs once.",
    "busy": "Another change is being proven on that host.",
}
"""Every reason for which an agent or the server refuses, with its meaning."""


class TrustError(Exception):
    """An operator's mistake with keys or releases: one sentence with the fix."""
