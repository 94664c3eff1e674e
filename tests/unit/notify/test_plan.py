"""What becomes news of an incident, and how its probable cause is told."""

from __future__ import annotations

from vezha.incidents.blame import Reason
from vezha.incidents.cause import Cause
from vezha.incidents.state import State
from vezha.notify.plan import cause_line, news_of


def test_a_suspect_is_a_quiet_change_and_one_line_in_each_language() -> None:
    assert news_of(("suspect",), State.OPEN) == "updated"
    reasons = (Reason("hosts", {"hit": 2, "of": 2, "touched": 2}),)
    cause = Cause(1, "db-1: slow", 7, "shop v3", "external", 0.8, reasons, "", "", None, 0)
    assert cause_line(cause, "en") == (
        "Probably change 7 (shop v3): it had touched 2 of the 2 hosts in trouble (2 in all)."
    )
    assert cause_line(cause, "uk").startswith("Імовірно, зміна 7 (shop v3): вона торкнулася")
