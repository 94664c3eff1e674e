"""Vezha: watches a fleet of servers at one-second resolution and delivers change to it reliably."""

__version__ = "0.1.0"
