"""What an operator may have written wrong: one sentence that names the place and the fix."""

from __future__ import annotations


class OperatorError(ValueError):
    """The operator can mend this: the message says what to change."""


class RuleError(OperatorError):
    """A rule file cannot be used. `problems` has one sentence per fault, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        assert problems, "an error without a problem"
        self.problems = problems
        super().__init__("\n".join(problems))


class NoSuchRuleFile(OperatorError):
    """There is no rule file of that name in the folder."""


class ChangedMeanwhile(OperatorError):
    """The file is not the one that was edited."""


class TemplateError(ValueError):
    """A template cannot be parsed or expanded."""


class EvaluationError(RuntimeError):
    """One rule could not be evaluated now; its alerts stay as they are."""
