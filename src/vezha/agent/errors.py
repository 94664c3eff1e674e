"""What an operator can do wrong with the agent: one sentence with the setting and the fix."""

from __future__ import annotations


class AgentError(Exception):
    """The agent cannot go on; the text is one sentence for the operator."""


class ConfigError(AgentError):
    """A setting is unknown, of the wrong type, or out of range."""


class BuildError(AgentError):
    """The agent's file cannot be built."""
