"""Teams: whose an incident is, by the labels of its alert. Pure.

An alert that names a team itself (label `team`, annotation `vezha_team`) belongs to it; else to
the first team, by position and name, whose matchers all fit the alert's labels and its host's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vezha.incidents.silence import LabelMatcher
from vezha.ledger.limits import NAME_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Team:
    """A team as kept; one without matchers gets what names it."""

    name: str
    matchers: tuple[LabelMatcher, ...] = ()
    policy: str = ""
    members: tuple[str, ...] = ()
    title: str = ""
    position: int = 100

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether what has these labels is this team's."""
        return bool(self.matchers) and all(m.fits(labels) for m in self.matchers)


def named_team(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """The team that an alert names itself; or empty."""
    return (labels.get("team", "") or annotations.get("vezha_team", ""))[:NAME_CHARS_MAX]


def team_of(
    labels: Mapping[str, str], annotations: Mapping[str, str], teams: Sequence[Team]
) -> str:
    """The name of the team that an alert with these *labels* (its host's included) belongs to."""
    named = named_team(labels, annotations)
    if named:
        return named
    ordered = sorted(teams, key=lambda t: (t.position, t.name))
    return next((t.name for t in ordered if t.fits(labels)), "")
