"""An incident as Markdown: for a terminal, a ticket, a post-mortem. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vezha.incidents.views import EventView, View
from vezha.incidents.words import Member

_ALERTS_MAX = 50


def as_markdown(
    view: View,
    timeline: Sequence[EventView],
    members: Sequence[Member],
    show: Callable[[int | None], str],
) -> str:
    """The whole story; *show* writes a time in ms."""
    lines = [f"# #{view.id} {view.title}", "", view.summary, ""]
    lines.append(f"- severity: {view.severity}, state: {view.state}")
    if view.team or view.service:
        named = (("team", view.team), ("service", view.service))
        lines.append("- " + ", ".join(f"{name}: {value}" for name, value in named if value))
    if view.snoozed_until_ms is not None:
        lines.append(f"- snoozed until {show(view.snoozed_until_ms)}")
    if view.merged_into is not None:
        lines.append(f"- part of incident {view.merged_into}")
    if view.silent_because:
        lines.append(f"- silent because: {view.silent_because}")
    stages = (
        ("began", view.began_ms, None),
        ("detected", view.detected_ms, None),
        ("notified", view.notified_ms, None),
        ("seen", view.seen_ms, view.seen_by),
        ("acknowledged", view.acknowledged_ms, view.acknowledged_by),
        ("mitigated", view.mitigated_ms, view.mitigated_by),
        ("resolved", view.resolved_ms, view.resolved_by),
    )
    for name, ms, by in stages:
        if ms is not None:
            after = f" (+{(ms - view.began_ms) / 1000:.1f} s)" if name != "began" else ""
            lines.append(f"- {name}: {show(ms)}{after}{f' by {by}' if by else ''}")
    if view.next and view.state != "resolved":
        lines.append(f"- next: {view.next}")
    lines += ["", "## Alerts", ""]
    for member in members[:_ALERTS_MAX]:
        host = f" on {member.host}" if member.host else ""
        silent = f" (silent because {member.silent_because})" if member.silent_because else ""
        lines.append(
            f"- {member.state}: {member.alert_name}{host}, {member.severity.value}{silent}"
        )
    if len(members) > _ALERTS_MAX:
        lines.append(f"- … and {len(members) - _ALERTS_MAX} more")
    checklist = next(
        (m.annotations["vezha_checklist"] for m in members if "vezha_checklist" in m.annotations),
        "",
    )
    if checklist:
        lines += ["", "## Checklist", "", checklist.rstrip()]
    lines += ["", "## Timeline", ""]
    for event in timeline:
        text = f": {event.text}" if event.text else ""
        by = f" by {event.actor}" if event.actor != "vezha" else ""
        lines.append(f"- {show(event.at_ms)} {event.kind}{by}{text}")
    return "\n".join(lines) + "\n"
