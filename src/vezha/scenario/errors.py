"""What an operator may have written or asked wrong: one sentence each."""

from __future__ import annotations


class OperatorError(ValueError):
    """The operator can mend this: the message says what to change."""


class ScenarioError(OperatorError):
    """A scenario file cannot be used. `problems` has one sentence per fault."""

    def __init__(self, problems: list[str]) -> None:
        assert problems, "an error without a problem"
        self.problems = problems
        super().__init__("\n".join(problems))


class NoSuchScenario(OperatorError):
    """There is no scenario of that name."""


class NoSuchRound(OperatorError):
    """There is no round with that number."""


class WrongRound(OperatorError):
    """The round is not in a state in which this can be done."""
