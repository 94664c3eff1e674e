"""Titles and summaries: what a person reads first. Pure; English and Ukrainian.

A title says where and what in one line ("db-1: disk full", "1,000 hosts (site kyiv): silent").
A summary says it in sentences. The words of an alert are its annotations: `vezha_title`,
`summary`, `vezha_next`, each also with `_uk`; an alert without them speaks by its name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vezha.incidents.limits import HOSTS_NAMED_MAX, TITLE_CHARS_MAX
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.model.severity import Severity

LANGUAGES = ("en", "uk")
_ENDS = (".", "!", "?", "…", ":", "")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Said:
    """One text in both languages; false where there is none."""

    en: str = ""
    uk: str = ""

    def __bool__(self) -> bool:
        return bool(self.en)


@dataclass(slots=True)
class Member:
    """An alert of an incident. `state`: firing, flapping, unknown or resolved."""

    fingerprint: str
    alert_name: str
    host: str
    severity: Severity
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    first_ms: int
    changed_ms: int
    active_ms: int = 0
    silent_because: str = ""
    silent_because_uk: str = ""
    cause: str = ""
    """The fingerprint of the alert that explains this one, or empty."""

    @property
    def is_open(self) -> bool:
        """Whether it still counts."""
        return self.state != "resolved"


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of an incident in one language."""

    title: str
    summary: str
    next: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of hosts' whereabouts: labels of each, and those that all hosts share."""

    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    everywhere: frozenset[tuple[str, str]] = frozenset()

    def labels_of(self, member: Member) -> dict[str, str]:
        """What matchers of silences and routes see: the alert's labels over its host's."""
        own = {**member.labels, "severity": member.severity.value}
        return {**self.labels.get(member.host, {}), **own}

    def common(self, hosts: Sequence[str]) -> str:
        """Labels that all of *hosts* share and others do not: `site kyiv`; or empty."""
        if len(hosts) < 2:
            return ""
        sets = [set(self.labels.get(h, {}).items()) for h in hosts]
        shared = set.intersection(*sets) - self.everywhere
        return ", ".join(f"{n} {v}" for n, v in sorted(shared))


def annotation(member: Member, name: str, language: str) -> str:
    """The text of annotation *name* in *language*, else in English, else empty."""
    if language != "en" and (text := member.annotations.get(f"{name}_{language}", "")):
        return text
    return member.annotations.get(name, "")


def alert_title(member: Member, language: str) -> str:
    """What an alert is called within a title."""
    if text := annotation(member, "vezha_title", language):
        return text
    words = _CAMEL.sub(" ", member.alert_name).replace("_", " ")
    return words[:1] + words[1:].lower() if words.istitle() or " " in words else words


def main_member(members: Sequence[Member]) -> Member:
    """The alert that speaks for all: the cause of others, the worst, most common, earliest.

    Alerts that stand in for the others of their host (`HostSilent`) come first among equals.
    """
    count = Counter(m.alert_name for m in members)
    explained = Counter(m.cause for m in members if m.cause)
    return min(
        members,
        key=lambda m: (
            # what explains others comes before all that it explains, however bad they are
            -explained[m.fingerprint],
            m.severity.rank,
            not is_root(m),
            -count[m.alert_name],
            m.first_ms,
            m.fingerprint,
        ),
    )


def worst_of(members: Sequence[Member]) -> Severity:
    """The worst severity among them."""
    return min((m.severity for m in members), key=lambda s: s.rank)


def service_of(member: Member) -> str:
    """The service that an alert is about: its label, or what its rule says; or empty."""
    named = member.labels.get("service", "") or member.annotations.get("vezha_service", "")
    return named[:NAME_CHARS_MAX]


def is_root(member: Member) -> bool:
    """Whether the alert explains whatever else is wrong with its host."""
    return member.annotations.get("vezha_explains", "") == "host"


def hosts_of(members: Sequence[Member]) -> list[str]:
    """Hosts in the order in which they were hit."""
    ordered = sorted(members, key=lambda m: (m.first_ms, m.host))
    return list(dict.fromkeys(m.host for m in ordered if m.host))


def hosts_behind(main: Member, members: Sequence[Member]) -> list[str]:
    """Other hosts whose alerts *main* explains, in the order in which they were hit."""
    explained = [m for m in members if m.cause == main.fingerprint and m.host != main.host]
    return hosts_of(explained)


def words_of(members: Sequence[Member], language: str, place: Place) -> Words:
    """Title, summary and next step for the alerts of an incident that count."""
    main = main_member(members)
    same = [m for m in members if m.alert_name == main.alert_name]
    others = [m for m in members if m.alert_name != main.alert_name]
    hosts = hosts_of(same)
    behind = hosts_behind(main, members)
    title = _title(main, hosts, others, behind, language, place)
    summary = _summary(main, hosts, others, behind, language)
    return Words(title[:TITLE_CHARS_MAX], summary, annotation(main, "vezha_next", language))


def _title(
    main: Member,
    hosts: Sequence[str],
    others: Sequence[Member],
    behind: Sequence[str],
    language: str,
    place: Place,
) -> str:
    what = alert_title(main, language)
    if mountpoint := main.labels.get("mountpoint", ""):
        what = f"{what} ({mountpoint})" if len(hosts) < 2 else what
    if behind:
        form = {"en": "{w}, {n} behind it", "uk": "{w}, за ним {n}"}[language]
        return f"{main.host}: {form.format(w=what, n=count_hosts(len(behind), language))}"
    kinds = len({m.alert_name for m in others})
    if kinds and len(hosts) < 2:
        more = {"en": "and {n} more", "uk": "і ще {n}"}[language]
        what = f"{what} {more.format(n=kinds)}"
    if not hosts:
        return what
    return f"{where(hosts, language, place)}: {what}"


def where(hosts: Sequence[str], language: str, place: Place) -> str:
    """Hosts by name, or counted with what they share."""
    if len(hosts) <= HOSTS_NAMED_MAX:
        return ", ".join(hosts)
    shared = place.common(hosts)
    counted = count_hosts(len(hosts), language)
    return f"{counted} ({shared})" if shared else counted


def count_hosts(n: int, language: str) -> str:
    """`1,000 hosts`, `1 000 серверів`."""
    if language == "uk":
        tail = n % 100
        word = "серверів"
        if n % 10 == 1 and tail != 11:
            word = "сервер"
        elif n % 10 in (2, 3, 4) and tail not in (12, 13, 14):
            word = "сервери"
        return f"{n:,} {word}".replace(",", "\u00a0")
    return f"{n:,} host{'s' if n != 1 else ''}"


def _summary(
    main: Member,
    hosts: Sequence[str],
    others: Sequence[Member],
    behind: Sequence[str],
    language: str,
) -> str:
    text = annotation(main, "summary", language) or annotation(main, "description", language)
    text = text or annotation(main, "message", language) or alert_title(main, language)
    parts = [text.strip()]
    if behind:
        form = {"en": "{n} cannot be reached or seen without it: {h}{r}.",
                "uk": "Без нього не видно: {n} ({h}{r})."}[language]  # fmt: skip
        named = ", ".join(behind[:HOSTS_NAMED_MAX])
        rest = len(behind) - HOSTS_NAMED_MAX
        more = {"en": " and {n} more", "uk": " і ще {n}"}[language]
        counted = count_hosts(len(behind), language)
        parts.append(form.format(n=counted, h=named, r=more.format(n=rest) if rest > 0 else ""))
    elif len(hosts) > 1:
        alike = [host for host in hosts if host != main.host]
        named = ", ".join(alike[:HOSTS_NAMED_MAX])
        rest = len(alike) - HOSTS_NAMED_MAX
        form = {"en": "The same on {h}{r}.", "uk": "Те саме: {h}{r}."}[language]
        more = {"en": " and {n} more", "uk": " і ще {n}"}[language]
        parts.append(form.format(h=named, r=more.format(n=rest) if rest > 0 else ""))
    kinds = list(dict.fromkeys(alert_title(m, language) for m in others))
    if kinds:
        form = {"en": "Also: {k}.", "uk": "Також: {k}."}[language]
        parts.append(form.format(k=", ".join(kinds[:4]) + (" …" if len(kinds) > 4 else "")))
    if len(parts) > 1 and parts[0][-1:] not in _ENDS:
        parts[0] += "."  # other tools' summaries end as they like
    return " ".join(parts)
