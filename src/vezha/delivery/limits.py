"""Named limits of delivery, each with its unit."""

from __future__ import annotations

REPORT_HOSTS_MAX = 2_000
"""Hosts that one report from outside may name."""
REPORT_LABELS_MAX = 32
"""Labels that one report from outside may carry."""
REPORT_LINKS_MAX = 10
"""Links that one report from outside may carry."""
REPORT_TEXT_CHARS_MAX = 400
"""Characters of each text of a report that are kept."""
FIGURES_CHANGES_MAX = 20_000
"""Changes that the figures of delivery are made from, the newest."""
