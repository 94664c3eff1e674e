"""Which directives were dealt with, by kind and by run; and what is due next. Pure but for its file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vezha.agent.limits import RUNS_KEPT_MAX
from vezha.wire.directive import Directive
from vezha.world import World

FILE = "directives.json"


@dataclass
class Book:
    """The newest directive of each kind, and the runs of scripts that began."""

    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Generation and hash, by kind."""
    runs: list[str] = field(default_factory=list)
    """Runs that were taken, oldest first: each runs once."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The newest directive of a kind that was refused for being older, so that it is told once."""

    def is_known(self, directive: Directive) -> bool:
        """Whether it was dealt with already."""
        if directive.run:
            return directive.run in self.runs
        told = (directive.generation, directive.sha256)
        return told in (self.kinds.get(directive.kind), self.refused.get(directive.kind))

    def is_older(self, directive: Directive) -> bool:
        """Whether a newer one of its kind was taken, or another one of the same generation."""
        generation, sha256 = self.kinds.get(directive.kind, (0, ""))
        if directive.run:
            return False
        return directive.generation < generation or (
            directive.generation == generation and sha256 != directive.sha256
        )

    def note(self, directive: Directive) -> None:
        """It was dealt with, whatever came of it."""
        if directive.run:
            self.runs = [*self.runs, directive.run][-RUNS_KEPT_MAX:]
        elif self.is_older(directive):
            self.refused[directive.kind] = (directive.generation, directive.sha256)
        else:
            self.kinds[directive.kind] = (directive.generation, directive.sha256)


def due(
    directives: Sequence[Directive], book: Book, is_trying: bool
) -> tuple[list[Directive], list[Directive]]:
    """What to take now, and what to refuse for being older. Release and configuration that are both
    new are taken together, since they go back together; while a pair is being tried nothing else
    is touched but scripts. One script at a time."""
    new = [d for d in directives if not book.is_known(d)]
    older = [d for d in new if book.is_older(d)]
    fresh = [d for d in new if d not in older]
    pair = [d for d in fresh if not d.run]
    if pair and not is_trying:
        return pair, older
    return [d for d in fresh if d.run][:1], older


def load_book(world: World, state: str) -> Book:
    """The book of that folder; empty where there is none or it is damaged (the launcher and the
    records of runs refuse what was taken, too)."""
    try:
        kept: Mapping[str, Any] = json.loads(world.disk.read(f"{state}/{FILE}"))
        return Book(
            {str(k): (int(v[0]), str(v[1])) for k, v in kept["kinds"].items()},
            [str(run) for run in kept["runs"]],
            {str(k): (int(v[0]), str(v[1])) for k, v in kept["refused"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return Book()


def save_book(world: World, state: str, book: Book) -> None:
    """Keep it. Raises OSError."""
    kept = {"kinds": book.kinds, "runs": book.runs, "refused": book.refused}
    world.disk.write_whole(f"{state}/{FILE}", json.dumps(kept).encode())
