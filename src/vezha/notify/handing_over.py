"""Hand-overs as messages, to who comes and who goes, each in their own language. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vezha.incidents.oncall.handover import Item, Page
from vezha.incidents.oncall.person import Contact, Preference, chosen
from vezha.model.severity import Severity
from vezha.notify.limits import HANDOVER_LINES_MAX
from vezha.notify.message import Message, show_time
from vezha.notify.settings import Receiver
from vezha.notify.words import is_word, word

_LISTS = ("look_at", "open", "silenced", "changed", "fragile")


def contacts_for(contacts: Sequence[Contact], preference: Preference) -> list[Contact]:
    """By which ways a person gets a page: those named for `info`, else the first only."""
    wanted = chosen(contacts, preference, Severity.INFO)
    return wanted if preference.rules.get("info") else wanted[:1]


def message_of_page(page: Page, receiver: Receiver, public_url: str) -> Message:
    """What *receiver* is told at a change of shift."""
    say = receiver.language
    nobody = word(say, "nobody")
    title = word(
        say, "handover_title",
        schedule=page.schedule, from_=page.from_person or nobody, to=page.to_person or nobody,
    )  # fmt: skip
    summary = word(
        say, "handover_text", open=len(page.open), silenced=len(page.silenced),
        resolved=page.resolved_count, fragile=len(page.fragile),
    )  # fmt: skip
    lines: list[str] = []
    for name in _LISTS:
        items: list[Item] = getattr(page, name)
        if items:
            lines.append(f"{word(say, f'handover_{name}')}:")
            shown = items[: HANDOVER_LINES_MAX // len(_LISTS)]
            lines += [f"• {line_of(item, receiver)}" for item in shown]
            if len(items) > len(shown):
                lines.append(f"  … +{len(items) - len(shown)}")
    return Message(
        kind="handover",
        incident=0,
        title=title,
        summary=summary,
        lines=lines,
        at_ms=page.at_ms,
        link=f"{public_url}/oncall" if public_url else "",
        language=say,
        time_zone=receiver.time_zone,
    )


def line_of(item: Item, receiver: Receiver) -> str:
    """One line: `#7 db-1: disk full · critical · taken by olena`."""
    say = receiver.language
    number = f"#{item.id} " if item.id and item.kind != "change" else ""
    parts = [f"{number}{item.titled(say)}"]
    if item.kind == "change":
        return " · ".join(
            [*parts, word(say, "change"), _state(say, item.state), *([item.by] if item.by else [])]
        )
    if item.severity in ("critical", "warning", "info"):
        parts.append(word(say, item.severity))
    if item.kind in ("flapping", "incomplete", "relapsed", "silence", "silence_ends", "resolved"):
        parts.append(word(say, item.kind))
    elif item.kind == "silenced" and item.by:
        parts.append(item.because(say))
    if item.state in ("acknowledged", "snoozed") and item.by and item.kind != "silenced":
        parts.append(word(say, "taken_by", actor=item.by))
    if item.until_ms is not None:
        parts.append(word(say, "ends", time=show_time(item.until_ms, receiver.time_zone)))
    return " · ".join(parts)


def _state(language: str, state: str) -> str:
    """How a change stands or ended, in words; a word of others' tools stays as it is."""
    name = f"change_{state}"
    return word(language, name) if is_word(name) else state
