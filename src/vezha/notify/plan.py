"""Who is told what of the news of an incident. Pure.

Several entries of one timeline that arrive together are one piece of news: the strongest word
counts, told with the incident as it is now. What people are told of:

| News | Rings | Quiet change (only where messages can be edited) |
|---|---|---|
| opened, worse, reopened, unsilenced, grew, woke, unacknowledged | yes | |
| resolved, eased (the worst is over), acknowledged, snoozed, merged_into | no (but sent) | |
| joined, recovered, lost, flapping, expired, note, silenced, mitigated, merged, spread … | | yes |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vezha.incidents.case import Case
from vezha.incidents.cause import Cause
from vezha.incidents.limits import GROWTH_TOLD_FACTOR, GROWTH_TOLD_GAP_MS
from vezha.incidents.state import State
from vezha.incidents.words import Member, Place, hosts_of, words_of
from vezha.model.severity import Severity
from vezha.notify.limits import ALERTS_IN_MESSAGE_MAX, HOSTS_IN_MESSAGE_MAX
from vezha.notify.message import LOUD, AlertNote, Message
from vezha.notify.settings import NotifyPlan, Receiver, Route
from vezha.notify.words import word

_ORDER = ("opened", "worse", "reopened", "unsilenced", "woke", "unacknowledged", "unmerged")
_SENT = ("resolved", "eased", "acknowledged", "snoozed")
_QUIET = (
    "joined", "recovered", "lost", "flapping", "expired", "note", "silenced", "mitigated",
    "merged", "split_off", "undone", "assigned", "began", "spread",
    "suspect", "judged",
)  # fmt: skip
_IN_STATE = {"acknowledged": State.ACKNOWLEDGED, "snoozed": State.SNOOZED}
"""News that is none any more where the incident has left that state."""
_REMINDERS = ("woke", "unacknowledged")


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver was told of an incident before: ringing messages only."""

    ringing: int = 0
    hosts_count: int = 0
    at_ms: int = 0
    last_kind: str = ""


def news_of(kinds: Sequence[str], state: State) -> str:
    """The one word for entries of a timeline that arrive together; empty for no news."""
    loud = [k for k in kinds if k in _ORDER or k in _SENT]
    if state is State.MERGED:
        return "merged" if "merged_into" in kinds else ""
    if state is State.RESOLVED:
        told = [k for k in kinds if k in (*_ORDER, *_SENT, *_QUIET)]
        return "resolved" if "resolved" in loud else ("updated" if told else "")
    if "opened" in loud:
        return "opened"
    for kind in reversed(loud):
        if kind == "resolved":
            continue
        if kind in _IN_STATE:
            return kind if state is _IN_STATE[kind] else "updated"
        return kind
    if "joined" in kinds or "spread" in kinds:
        return "joined"
    return "updated" if any(k in _QUIET for k in kinds) else ""


def kind_for(news: str, case: Case, told: Told, now_ms: int) -> str:
    """The message's kind for a receiver that was *told* something before; empty: nothing."""
    if not told.ringing:
        # who was never told of it is not told of its end; a silence that ended is an opening
        if case.silent_because or case.state.is_over or news in ("", "acknowledged"):
            return ""
        return "opened" if case.state is State.OPEN else ""
    if news == "resolved":
        return "" if told.last_kind == "resolved" else "resolved"
    if case.silent_because:
        return "updated" if news else ""
    if news in _REMINDERS:
        return "reminded" if case.state is State.OPEN else "updated"
    if news == "unmerged":
        return "reopened" if case.state is State.OPEN else "updated"
    if news in ("opened", "unsilenced"):
        return "updated"
    if news == "joined":
        grew = case.state is State.OPEN and _grew(case, told, now_ms)
        return "grew" if grew else "updated"
    return news


def kind_asked(kind: str, case: Case, told: Told, asked: Mapping[str, object]) -> str:
    """The kind for whom an escalation asks (*asked*: its entry's data); *kind* is the news' own.

    Who was told just now, by the news that made the first step due, is not told twice.
    """
    if case.state is not State.OPEN or case.silent_because:
        return kind
    if kind in LOUD:
        return kind
    first = (asked.get("step"), asked.get("round")) == (1, 1)
    if first and told.ringing and told.at_ms >= _number(asked.get("asked_ms")):
        return kind
    return "escalated"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _grew(case: Case, told: Told, now_ms: int) -> bool:
    hosts = len({m.host for m in case.members.values() if m.is_open and m.host})
    far = hosts >= GROWTH_TOLD_FACTOR * max(1, told.hosts_count)
    return far and now_ms - told.at_ms >= GROWTH_TOLD_GAP_MS


def receivers_of(
    plan: NotifyPlan, members: Iterable[Member], severity: Severity, place: Place
) -> list[Receiver]:
    """Who is told: by the first route that fits, and those after it as long as they go on.

    A route sees the alert's labels and, below them, those of its host.
    """
    sets = [place.labels_of(m) for m in members]
    out: dict[str, Receiver] = {}
    for route in plan.routes:
        if _fits(route, sets, severity):
            for name in route.receivers:
                out[name] = plan.receivers[name]
            if not route.go_on:
                break
    return list(out.values())


def _fits(route: Route, sets: Sequence[Mapping[str, str]], severity: Severity) -> bool:
    if severity.rank > route.least.rank:
        return False
    return any(all(m.fits(labels) for m in route.matchers) for labels in sets)


def message_of(
    case: Case, kind: str, receiver: Receiver, place: Place, public_url: str, now_ms: int
) -> Message:
    """What *receiver* is told now."""
    everyone = list(case.members.values())
    live = [m for m in everyone if m.is_open]
    shown = live or everyone
    words = words_of(shown, receiver.language, place)
    hosts = hosts_of(shown)
    ordered = sorted(shown, key=lambda m: (m.severity.rank, m.first_ms, m.host))
    return Message(
        kind=kind,
        incident=case.id,
        title=words.title,
        summary=words.summary,
        next=words.next,
        severity=case.severity.value,
        state=case.state.value,
        team=case.team,
        hosts=hosts[:HOSTS_IN_MESSAGE_MAX],
        hosts_count=len(hosts),
        alerts=[_note(m) for m in ordered[:ALERTS_IN_MESSAGE_MAX]],
        alerts_count=len(everyone),
        open_count=len(live),
        unknown_count=sum(m.state == "unknown" for m in live),
        began_ms=case.began_ms,
        detected_ms=case.detected_ms,
        acknowledged_ms=case.acknowledged_ms,
        acknowledged_by=case.acknowledged_by,
        resolved_ms=case.resolved_ms,
        resolved_by=case.resolved_by,
        snoozed_until_ms=case.snoozed_until_ms,
        at_ms=now_ms,
        link=f"{public_url}/incident/{case.id}" if public_url else "",
        language=receiver.language,
        time_zone=receiver.time_zone,
    )


def cause_line(cause: Cause, language: str) -> str:
    """The change that explains an incident best, with its reasons."""
    why = cause.why(language)
    why = f"{why[:1].lower()}{why[1:]}"
    return word(language, "cause", id=cause.change, title=cause.change_title, why=why)


def _note(member: Member) -> AlertNote:
    return AlertNote(
        member.alert_name,
        member.host,
        member.severity.value,
        member.state,
        member.fingerprint,
        dict(member.labels),
        dict(member.annotations),
        member.first_ms,
    )
