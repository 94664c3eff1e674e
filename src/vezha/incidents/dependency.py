"""What depends on what, and which failure explains which. Pure.

A dependency says: what fits `child` cannot work without `parents`. Several parents in one are
redundant (all must fail); several dependencies of one child are each needed. An end is a host's
name (`gw-kyiv`) or matchers (`site="kyiv"`), which see an alert's labels over its host's.

A parent *fails* while an alert of it is open, or ended less than RECHECK_MS ago, whose rule says
`vezha_explains`: `host` (the host is away: it explains everything else of it, and what depends on
it) or `dependents` (a part of it: it explains only what depends on that part, by matchers). The cause of an alert is the failing parent farthest up; a parent
that is not watched itself fails when its own parents do. Of two that explain each other the
earlier counts.

The same for inhibition: while an alert that fits `source` is open, those that fit `target` and have
the same values of the labels `equal` are explained by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vezha.incidents.errors import DependencyError, SilenceError
from vezha.incidents.limits import (
    DEPENDENCY_CHARS_MAX,
    DEPENDENCY_DEPTH_MAX,
    DEPENDENCY_PARENTS_MAX,
)
from vezha.incidents.silence import LabelMatcher, parse_matchers
from vezha.incidents.words import LANGUAGES, Member, Place, Said, alert_title

LABEL = "depends_on"
"""A host's label: `gw-1`; `gw-1|gw-2` for redundant ones; a comma parts what is each needed."""
ANNOTATION = "vezha_depends_on"
"""The same on a rule, for its alerts."""
HOST, DEPENDENTS = "host", "dependents"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:/@-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """One end: a host's name, or matchers."""

    host: str = ""
    matchers: tuple[LabelMatcher, ...] = ()

    def fits(self, host: str, labels: Mapping[str, str]) -> bool:
        """Whether a host or an alert with these labels is meant."""
        if self.host:
            return self.host == host
        return all(m.fits(labels) for m in self.matchers)

    def __str__(self) -> str:
        return self.host or ", ".join(str(m) for m in self.matchers)


@dataclass(frozen=True, slots=True)
class Dependency:
    """`child` cannot work without one of `parents`. `source`: person, learned, file, label, rule."""

    child: Target
    parents: tuple[Target, ...]
    why: str = ""
    source: str = "person"
    id: int = 0


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` is open, `target` with the same `equal` labels is silent."""

    source: tuple[LabelMatcher, ...]
    target: tuple[LabelMatcher, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an alert is silent: another one, in a sentence."""

    fingerprint: str
    host: str
    because: Said


def parse_target(text: str) -> Target:
    """A host's name, or matchers. Raises DependencyError."""
    text = text.strip()
    if not text or len(text) > DEPENDENCY_CHARS_MAX:
        raise DependencyError(
            f'"{text[:64]}" names nothing; write a host\'s name, or matchers as site="kyiv"'
        )
    if _NAME.fullmatch(text):
        return Target(host=text)
    try:
        return Target(matchers=parse_matchers(text))
    except SilenceError as fault:
        raise DependencyError(str(fault)) from None


def _about(field: str, sentence: str) -> DependencyError:
    fault = DependencyError(sentence)
    fault.field = field
    return fault


def make_dependency(
    child: str, parents: Sequence[str], why: str = "", source: str = "person", id_: int = 0
) -> Dependency:
    """A dependency from its texts. Raises DependencyError."""
    if not parents or len(parents) > DEPENDENCY_PARENTS_MAX:
        raise _about("parents", f"a dependency has 1 to {DEPENDENCY_PARENTS_MAX} parents")
    place = "child"
    try:
        first = parse_target(child)
        place = "parents"
        ends = first, tuple(parse_target(p) for p in parents)
    except DependencyError as fault:
        fault.field = place
        raise
    if ends[0] in ends[1]:
        raise _about("parents", f"{ends[0]} cannot depend on itself")
    return Dependency(ends[0], ends[1], why, source, id_)


def of_label(child: Target, text: str, source: str = "label") -> list[Dependency]:
    """What a label or an annotation says; what cannot be understood is left out."""
    out = []
    for part in text.split(","):
        names = [n.strip() for n in part.split("|") if _NAME.fullmatch(n.strip())]
        targets = tuple(Target(host=n) for n in names[:DEPENDENCY_PARENTS_MAX])
        if targets and child not in targets:
            out.append(Dependency(child, targets, source=source))
    return out


def check_circle(new: Dependency, known: Iterable[Dependency]) -> None:
    """Refuse a dependency that closes a circle of named hosts. Raises DependencyError."""
    up: dict[str, set[str]] = {}
    for one in known:
        if one.child.host:
            up.setdefault(one.child.host, set()).update(p.host for p in one.parents if p.host)
    if not new.child.host:
        return
    waiting, seen = [p.host for p in new.parents if p.host], set[str]()
    while waiting:
        host = waiting.pop()
        if host == new.child.host:
            raise DependencyError(f"{host} would then depend on itself, by way of others")
        if host not in seen:
            seen.add(host)
            waiting += up.get(host, ())


@dataclass(slots=True)
class Tree:
    """All dependencies over the alerts that fail now; answers what explains what.

    `failing` are alerts, open or ended lately, that may explain others; where there are
    inhibitions, all such alerts.
    """

    dependencies: Sequence[Dependency]
    inhibitions: Sequence[Inhibition]
    place: Place
    failing: Iterable[Member]
    _by_child: dict[str, list[Dependency]] = field(default_factory=dict)
    _matching: list[Dependency] = field(default_factory=list)
    _by_host: dict[str, list[Member]] = field(default_factory=dict)
    _all: list[Member] = field(default_factory=list)
    _known: dict[Target, Member | None] = field(default_factory=dict)
    _needs: dict[str, list[Dependency]] = field(default_factory=dict)
    _parents: list[Target] = field(default_factory=list)

    def __post_init__(self) -> None:
        for one in self.dependencies:
            if one.child.host:
                self._by_child.setdefault(one.child.host, []).append(one)
            else:
                self._matching.append(one)
            self._parents += one.parents
        for member in self.failing:
            self.add(member)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can explain anything."""
        return not self._all

    def add(self, member: Member) -> None:
        """An alert that fails now, too."""
        self._all.append(member)
        self._by_host.setdefault(member.host, []).append(member)
        self._known.clear()

    def is_parent(self, member: Member) -> bool:
        """Whether something depends on what *member* is about."""
        if explains(member) not in (HOST, DEPENDENTS):
            return False
        labels = self.place.labels_of(member)
        if any(p.fits(member.host, labels) for p in self._parents):
            return True
        return any(
            target.host == member.host
            for known in self.place.labels.values()
            if (text := known.get(LABEL, ""))
            for need in of_label(Target(host="-"), text)
            for target in need.parents
        )

    def cause(self, member: Member) -> Cause | None:
        """What explains *member*, or None. An alert never explains itself."""
        for found in self._above(member):
            if found.fingerprint == member.fingerprint or self._later(found, member):
                continue
            return Cause(found.fingerprint, found.host, _because(found))
        if explains(member) != HOST:
            for found in self._by_host.get(member.host, ()) if member.host else ():
                if explains(found) == HOST and found.fingerprint != member.fingerprint:
                    top = self._dead(Target(host=member.host), frozenset()) or found
                    return Cause(top.fingerprint, top.host, _because(top))
        return self._inhibitor(member)

    def explains_host(self, root: Member, host: str) -> bool:
        """Whether *root* explains that *host* fails."""
        labels = {"instance": host, **self.place.labels.get(host, {})}
        return any(
            found.fingerprint == root.fingerprint
            for need in self._needs_of(host, labels)
            if (found := self._all_dead(need, frozenset({host}))) is not None
        )

    # Inside

    def _above(self, member: Member) -> list[Member]:
        """Failing parents of *member*, the farthest up of each way."""
        needs = list(self._needs_of(member.host, {}, cached=True)) if member.host else []
        labels = self.place.labels_of(member)
        needs += [d for d in self._matching if d.child.fits(member.host, labels)]
        if text := member.annotations.get(ANNOTATION, ""):
            needs += of_label(Target(host=member.host or "-"), text, "rule")
        seen = frozenset({member.host}) if member.host else frozenset[str]()
        found = [m for n in needs if (m := self._all_dead(n, seen)) is not None]
        return list({m.fingerprint: m for m in found}.values())

    def _needs_of(
        self, host: str, labels: Mapping[str, str], *, cached: bool = False
    ) -> list[Dependency]:
        """What a host needs: by its name and its label; with *labels*, by matchers, too."""
        known = self._needs.get(host)
        if known is None:
            text = self.place.labels.get(host, {}).get(LABEL, "")
            known = [*self._by_child.get(host, ()), *of_label(Target(host=host), text)]
            self._needs[host] = known
        if cached:
            return known
        return known + [d for d in self._matching if d.child.fits(host, labels)]

    def _all_dead(self, need: Dependency, seen: frozenset[str]) -> Member | None:
        """The cause, where every parent of *need* fails."""
        found = None
        for parent in need.parents:
            dead = self._dead(parent, seen)
            if dead is None:
                return None
            found = found or dead
        return found

    def _dead(self, target: Target, seen: frozenset[str]) -> Member | None:
        """The cause why *target* fails, the farthest up; None where it does not."""
        if len(seen) > DEPENDENCY_DEPTH_MAX or (target.host and target.host in seen):
            return None
        if target in self._known:
            return self._known[target]
        found: Member | None = None
        if target.host:
            labels = {"instance": target.host, **self.place.labels.get(target.host, {})}
            above = seen | {target.host}
            for need in self._needs_of(target.host, labels):
                found = found or self._all_dead(need, above)
            own = self._by_host.get(target.host, [])
        else:
            own = [m for m in self._all if target.fits(m.host, self.place.labels_of(m))]
        if found is None:
            enough = (HOST,) if target.host else (HOST, DEPENDENTS)
            own = [m for m in own if explains(m) in enough]
            found = min(own, key=lambda m: (m.first_ms, m.fingerprint), default=None)
        self._known[target] = found
        return found

    def _later(self, cause: Member, member: Member) -> bool:
        """Whether *cause* is itself explained by *member*, which came first."""
        if not cause.host or not member.host or explains(member) == "":
            return False
        if (cause.first_ms, cause.fingerprint) < (member.first_ms, member.fingerprint):
            return False
        return self._reaches(cause.host, member.host, frozenset())

    def _reaches(self, host: str, ancestor: str, seen: frozenset[str]) -> bool:
        if host in seen or len(seen) > DEPENDENCY_DEPTH_MAX:
            return False
        labels = {"instance": host, **self.place.labels.get(host, {})}
        for need in self._needs_of(host, labels):
            for parent in need.parents:
                if parent.host == ancestor or (
                    parent.host and self._reaches(parent.host, ancestor, seen | {host})
                ):
                    return True
        return False

    def _inhibitor(self, member: Member) -> Cause | None:
        if not self.inhibitions:
            return None
        labels = self.place.labels_of(member)
        for rule in self.inhibitions:
            if not all(m.fits(labels) for m in rule.target):
                continue
            if all(m.fits(labels) for m in rule.source):
                continue  # what fits both is never silenced by its own kind
            for other in self._all:
                theirs = self.place.labels_of(other)
                if all(m.fits(theirs) for m in rule.source) and all(
                    labels.get(n, "") == theirs.get(n, "") for n in rule.equal
                ):
                    en, uk = (f"{alert_title(other, w)} {other.host}".strip() for w in LANGUAGES)
                    said = Said(f"inhibited by {en}", f"приглушено, бо триває: {uk}")
                    return Cause(other.fingerprint, other.host, said)
        return None


def explains(member: Member) -> str:
    """What an alert explains: `host`, `dependents`, or nothing."""
    return member.annotations.get("vezha_explains", "")


def _because(cause: Member) -> Said:
    en, uk = (alert_title(cause, language) for language in LANGUAGES)
    if not cause.host:
        return Said(en, uk)
    return Said(f"{cause.host} fails: {en}", f"не працює {cause.host}: {uk}")
