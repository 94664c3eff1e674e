"""What a probe found: figures, and whether all was as it should be."""

from __future__ import annotations

from dataclasses import dataclass, field

from vezha.model.labels import Labels, labels_of


@dataclass(slots=True)
class Report:
    """Filled in while a probe runs, so that a probe that fails half-way still tells its half.

    A figure is a metric's name, labels of its own, and a value in the unit that the name says.
    """

    figures: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a figure."""
        self.figures[name, labels_of(labels)] = value

    def add(self, name: str, value: float, **labels: str) -> None:
        """Add to a figure: phases of several requests of one probe are one sum."""
        key = (name, labels_of(labels))
        self.figures[key] = self.figures.get(key, 0.0) + value

    def get(self, name: str, **labels: str) -> float | None:
        """A figure, or None."""
        return self.figures.get((name, labels_of(labels)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one probe. *why* is empty on success, else one sentence."""

    success: bool
    why: str
    took_s: float
    report: Report
