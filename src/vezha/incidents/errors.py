"""What a person may have asked that cannot be done: one sentence each."""

from __future__ import annotations


class OperatorError(ValueError):
    """The person who asked can mend this: the message says how. `field` is what of the request is
    meant, as the API calls it (`layers[0].people`); empty where it is not one field."""

    field = ""


class NoSuchIncident(OperatorError):
    """There is no incident with that number."""


class WrongState(OperatorError):
    """The incident is not in a state in which this can be done."""


class SilenceError(OperatorError):
    """The silence cannot be made as asked."""


class ChecklistError(OperatorError):
    """A checklist file cannot be used. `problems` has one sentence per fault, with its line."""

    def __init__(self, problems: list[str]) -> None:
        assert problems, "an error without a problem"
        self.problems = problems
        super().__init__("\n".join(problems))


class NoSuchChecklist(OperatorError):
    """There is no checklist, or no run of one, with that name or number."""


class AnswerError(OperatorError):
    """The answer is not one that the step takes."""


class AnsweredMeanwhile(OperatorError):
    """Somebody else changed that step; look at it again first."""


class DependencyError(OperatorError):
    """The dependency cannot be kept as asked."""
