"""One incident in hand: its alerts, and what happens to it. Pure; `desk` reads and writes rows.

Every happening becomes an `Entry` of the timeline; happenings of one kind that follow at once
are one entry, so that a thousand alerts joining are one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vezha.incidents.dependency import Cause
from vezha.incidents.errors import WrongState
from vezha.incidents.limits import FINGERPRINTS_KEPT_MAX, HOSTS_KEPT_MAX
from vezha.incidents.state import Act, State, step
from vezha.incidents.words import LANGUAGES, Member, Place, Said, hosts_of, words_of, worst_of
from vezha.model.severity import Severity

SYSTEM = "vezha"
_NAMED_MAX = 20


@dataclass(slots=True)
class Entry:
    """One line of the timeline, not yet written."""

    at_ms: int
    kind: str
    actor: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    _alerts: list[tuple[str, str]] = field(default_factory=list)

    def name(self, member: Member) -> None:
        """Count an alert under this line; the first few by name, more of them by fingerprint."""
        self._alerts.append((member.alert_name, member.host))
        kept = self.data.setdefault("fingerprints", [])
        if len(kept) < FINGERPRINTS_KEPT_MAX:
            kept.append(member.fingerprint)
        named = [f"{name} {host}".strip() for name, host in self._alerts[:_NAMED_MAX]]
        self.data["count"] = len(self._alerts)
        self.data["alerts"] = named
        more = len(self._alerts) - 3
        self.text = ", ".join(named[:3]) + (f" and {more} more" if more > 0 else "")


@dataclass(slots=True)
class Case:
    """An incident with its alerts by fingerprint."""

    id: int
    state: State
    severity: Severity
    team: str
    began_ms: int
    detected_ms: int
    active_ms: int
    revision: int = 0
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    resolved_ms: int | None = None
    resolved_by: str | None = None
    seen_ms: int | None = None
    seen_by: str | None = None
    mitigated_ms: int | None = None
    mitigated_by: str | None = None
    snoozed_until_ms: int | None = None
    merged_into: int | None = None
    service: str = ""
    silent_because: str = ""
    title: str = ""
    summary: str = ""
    next: str = ""
    words: dict[str, dict[str, str]] = field(default_factory=dict)
    """Title, summary, next and why it is silent, in other languages than English."""
    hosts: list[str] = field(default_factory=list)
    alert_names: list[str] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    is_new: bool = False

    # From alerts

    def fire(self, member: Member, at_ms: int) -> None:
        """An alert fired (again) and belongs here."""
        known = self.members.get(member.fingerprint)
        if known is not None:
            member.first_ms = known.first_ms
        worse = member.severity.rank < self.severity.rank
        fresh = not self.members
        again = known is not None and known.is_open
        self.members[member.fingerprint] = member
        self.changed.add(member.fingerprint)
        self.active_ms = max(self.active_ms, at_ms)
        if member.active_ms:
            self.began_ms = min(self.began_ms, member.active_ms)
        if fresh:
            self._enter(at_ms, "opened").name(member)
            return
        if again and self.state is not State.RESOLVED and not worse:
            return
        if worse:
            # what had been said to be over is not over
            self.mitigated_ms = self.mitigated_by = None
        self._act(Act.WORSE if worse else Act.FIRED, at_ms, member)
        if worse:
            self.severity = member.severity

    def over(self, fingerprint: str, at_ms: int, expired: bool) -> None:
        """An alert recovered, or expired; the last one resolves the incident.

        Where somebody said before that it is over, that is only noted: nobody waits for it, and should
        the incident be opened again, what has recovered since does not count as failing.
        """
        member = self.members.get(fingerprint)
        if member is None or not member.is_open:
            return
        self._set(member, "resolved", at_ms)
        if self.state.is_over:
            return
        left = [m for m in self.members.values() if m.is_open]
        if left:
            worst = min(m.severity.rank for m in left)
            kind = "eased" if worst > self.severity.rank else "recovered"
            self._enter(at_ms, "expired" if expired else kind).name(member)
            if kind == "eased":
                self.severity = worst_of(left)
                self._mitigate(at_ms, SYSTEM)
        else:
            self._act(Act.ALL_OVER, at_ms, None)
            if expired:
                self.entries[-1].text = "no data came back"

    def lose(self, fingerprint: str, at_ms: int) -> None:
        """An alert's target vanished: it is not known whether it recovered."""
        member = self.members.get(fingerprint)
        if member is not None and member.is_open:
            self._set(member, "unknown", at_ms)
            if not self.state.is_over:
                self._act(Act.LOST, at_ms, member)

    def flap(self, fingerprint: str, at_ms: int) -> None:
        """An alert comes and goes too often to tell each time."""
        member = self.members.get(fingerprint)
        if member is not None:
            self._set(member, "flapping", at_ms)
            if self.state.is_over:
                return
            self._enter(at_ms, "flapping").name(member)

    def _set(self, member: Member, state: str, at_ms: int) -> None:
        member.state, member.changed_ms = state, at_ms
        self.changed.add(member.fingerprint)

    # From people

    def act(self, act: Act, actor: str, text: str, at_ms: int) -> Entry:
        """Somebody does *act*; its line of the timeline. Raises WrongState."""
        row = step(self.state, act)
        if row is None:
            raise WrongState(f"incident {self.id} is {self.state.value} already")
        self.see(actor, at_ms)
        self._to(row.to, actor, at_ms)
        if act is Act.MITIGATE:
            self._mitigate(at_ms, actor)
        entry = Entry(at_ms, row.event, actor, text)
        self.entries.append(entry)
        return entry

    def snooze(self, until_ms: int, actor: str, text: str, at_ms: int) -> None:
        """Somebody wants to be asked again at *until_ms*. Raises WrongState."""
        entry = self.act(Act.SNOOZE, actor, text, at_ms)
        entry.data["until_ms"] = until_ms
        self.snoozed_until_ms = until_ms

    def see(self, actor: str, at_ms: int) -> None:
        """Somebody looks at it; only the first look counts."""
        if self.seen_ms is None and actor != SYSTEM:
            self.seen_ms, self.seen_by = at_ms, actor
            self.changed.add("")

    def tell(self, at_ms: int, kind: str, actor: str, text: str = "", **data: Any) -> Entry:
        """A line of the timeline that changes no state."""
        entry = Entry(at_ms, kind, actor, text, dict(data))
        self.entries.append(entry)
        return entry

    def give(self, fingerprints: Iterable[str], *, copies: bool = False) -> list[Member]:
        """Its alerts among *fingerprints*, for another incident; *copies* stay here as resolved."""
        given = []
        for fingerprint in fingerprints:
            member = self.members.get(fingerprint)
            if member is None:
                continue
            given.append(replace(member))
            if copies:
                member.state = "resolved"
                self.changed.add(fingerprint)
            else:
                del self.members[fingerprint]
                self.changed.discard(fingerprint)
                self.gone.add(fingerprint)
        return given

    def receive(self, members: Iterable[Member]) -> None:
        """Alerts of another incident; of one that is in both, the one that is open counts."""
        for member in members:
            known = self.members.get(member.fingerprint)
            if known is not None:
                kept = known if known.is_open else member
                kept.first_ms = min(known.first_ms, member.first_ms)
                member = kept
            self.members[member.fingerprint] = member
            self.changed.add(member.fingerprint)
            self.gone.discard(member.fingerprint)
            self.active_ms = max(self.active_ms, member.changed_ms)

    @property
    def is_all_over(self) -> bool:
        """Whether no alert of it is open."""
        return not any(m.is_open for m in self.members.values())

    # Both

    def _act(self, act: Act, at_ms: int, member: Member | None) -> None:
        row = step(self.state, act)
        assert row is not None, (self.state, act)
        self._to(row.to, SYSTEM, at_ms)
        entry = self._enter(at_ms, row.event)
        if member is not None:
            entry.name(member)

    def _to(self, state: State, actor: str, at_ms: int) -> None:
        if state is self.state:
            return
        if state is State.ACKNOWLEDGED:
            self.acknowledged_ms, self.acknowledged_by = at_ms, actor
        elif state is State.RESOLVED:
            self.resolved_ms, self.resolved_by = at_ms, actor
        elif state is State.OPEN:
            self.acknowledged_ms = self.acknowledged_by = None
            if self.state is State.RESOLVED:
                self.mitigated_ms = self.mitigated_by = None
            self.resolved_ms = self.resolved_by = None
        self.snoozed_until_ms = None
        self.state = state

    def _mitigate(self, at_ms: int, actor: str) -> None:
        if self.mitigated_ms is None:
            self.mitigated_ms, self.mitigated_by = at_ms, actor
            self.changed.add("")

    def _enter(self, at_ms: int, kind: str, actor: str = SYSTEM, text: str = "") -> Entry:
        if self.entries and not text:
            last = self.entries[-1]
            if last.kind == kind and last.actor == actor == SYSTEM:
                return last
        entry = Entry(at_ms, kind, actor, text)
        self.entries.append(entry)
        return entry

    def judge(
        self,
        because: Callable[[Member], Said],
        cause_of: Callable[[Member], Cause | None],
        at_ms: int,
    ) -> None:
        """Apply silences and dependencies: the incident is silent where each open alert is."""
        reasons = []
        waited = False
        for member in self.members.values():
            if not member.is_open:
                continue  # what explained it stays, for the title
            cause = cause_of(member)
            reason = because(member) or (cause.because if cause else Said())
            waited |= bool(member.cause and member.silent_because) and not reason
            known = (member.silent_because, member.cause)
            member.silent_because, member.silent_because_uk = reason.en, reason.uk
            if cause is not None:
                member.cause = cause.fingerprint
            elif member.cause not in self.members:
                member.cause = ""
            if known != (member.silent_because, member.cause):
                self.changed.add(member.fingerprint)
            reasons.append(reason)
        whole = reasons[0] if reasons and all(reasons) else Said()
        if bool(whole) != bool(self.silent_because):
            # whoever was told of the cause hears what is left after it
            ended = "eased" if waited else "unsilenced"
            entry = self._enter(at_ms, "silenced" if whole else ended, SYSTEM, whole.en)
            if whole:
                entry.data["text_uk"] = whole.uk
        if whole.en != self.silent_because:
            self.silent_because = whole.en
            self.words["uk"] = {**self.words.get("uk", {}), "silent_because": whole.uk}
            self.changed.add("")

    def describe(self, place: Place) -> None:
        """Bring title, summary, severity and hosts up to date with the alerts that count."""
        if not self.members:
            return  # merged into another: what it was called stays
        live = [m for m in self.members.values() if m.is_open]
        if live:
            self.severity = worst_of(live)
        shown = live or list(self.members.values())
        words = words_of(shown, "en", place)
        self.title, self.summary, self.next = words.title, words.summary, words.next
        self.words = {
            language: {**self.words.get(language, {}), **asdict(words_of(shown, language, place))}
            for language in LANGUAGES
            if language != "en"
        }
        self.hosts = hosts_of(list(self.members.values()))[:HOSTS_KEPT_MAX]
        self.alert_names = sorted({m.alert_name for m in self.members.values()})
