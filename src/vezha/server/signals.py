"""What the web contour needs to show rules, alerts, incidents and receivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vezha.alerting.book import RuleBook
from vezha.api import incidents, notify, rules
from vezha.api.route import Route
from vezha.ledger import Ledger
from vezha.server.settings import Settings

SIGNAL_ROUTES: tuple[Route, ...] = (*incidents.ROUTES, *rules.ROUTES, *notify.ROUTES)
"""To be added to the web contour's table."""


def signal_extra(settings: Settings) -> dict[str, Any]:
    """What those routes find in `Services.extra`."""
    return {
        rules.BOOK: RuleBook(settings.rule_folders, settings.rules.builtin),
        notify.FILE: settings.notify_file,
    }


def open_incidents(ledger: Ledger) -> Callable[[], list[dict[str, Any]]]:
    """What the live stream shows."""
    return lambda: incidents.open_incidents(ledger)
