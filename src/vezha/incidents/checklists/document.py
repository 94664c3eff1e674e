"""A checklist as parsed: steps, what may be answered, when to stop. Pure."""

from __future__ import annotations

import hashlib
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vezha.incidents.errors import AnswerError
from vezha.incidents.limits import CHECKLIST_ANSWER_CHARS_MAX

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARED = re.compile(r"(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_TRUE, _FALSE = ("yes", "true", "1", "done", "x", "ok"), ("no", "false", "0")


class Kind(Enum):
    """What a step asks for; the value is the word in the file."""

    TICK = "tick"
    YES_NO = "yes/no"
    NUMBER = "number"
    TEXT = "text"
    CHOICE = "choice"
    QUERY = "query"
    CHART = "chart"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Stop:
    """`stop if CONDITION: reason`: yes, no, none, a choice, or a comparison with a number."""

    condition: str
    reason: str
    reason_uk: str = ""

    def meets(self, value: Any) -> bool:
        """Whether an answer (or one value of a query) is one at which to stop."""
        compared = _COMPARED.fullmatch(self.condition)
        if compared is None:
            return isinstance(value, str) and value.lower() == self.condition.lower()
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        compare = _COMPARISONS[compared[1]]
        return compare(float(value), float(compared[2]))


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `number` counts from 1; `key` stays the same while kind and words do."""

    number: int
    kind: Kind
    text: str
    help: str = ""
    expr: str = ""
    unit: str = ""
    span_s: int = 0
    choices: tuple[str, ...] = ()
    script: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    stops: tuple[Stop, ...] = ()
    approvals: int = 0
    """How many other people must say yes before its script runs."""
    text_uk: str = ""
    help_uk: str = ""
    choices_uk: tuple[str, ...] = ()
    """What `choices` are called in Ukrainian, in their order; answers stay as in `choices`."""

    @property
    def key(self) -> str:
        """8 hexadecimal characters by which the step is measured over versions."""
        text = f"{self.kind.value}\x00{self.text}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def fills(self) -> bool:
        """Whether Vezha runs its query."""
        return self.kind is Kind.QUERY

    def stop_uk(self, reason: str) -> str:
        """A stop's *reason* in Ukrainian, or the empty text."""
        return next((s.reason_uk for s in self.stops if s.reason == reason), "")

    def stop_at(self, value: Any) -> str:
        """Why an answer ends the list here, or the empty text."""
        return next((s.reason for s in self.stops if s.meets(value)), "")


@dataclass(frozen=True, slots=True)
class Checklist:
    """One version. `hash` is of its text, so that it changes when anything does."""

    name: str
    title: str
    steps: tuple[Step, ...]
    text: str
    title_uk: str = ""
    version: str = ""
    applies_to: tuple[str, ...] = ()
    sign_off: int = 1
    intro: str = ""
    intro_uk: str = ""
    own: bool = False
    """Whether it is the operator's, not shipped."""

    @property
    def hash(self) -> str:
        """16 hexadecimal characters of the text's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def step(self, number: int) -> Step:
        """The step with that number. Raises AnswerError."""
        if not 1 <= number <= len(self.steps):
            raise AnswerError(f"there is no step {number}; there are {len(self.steps)}")
        return self.steps[number - 1]


def is_comparison(condition: str) -> bool:
    """Whether a stop's condition compares with a number."""
    return _COMPARED.fullmatch(condition) is not None


def checked_answer(step: Step, value: Any) -> Any:
    """*value* as the step's type, from JSON or from a command line's word. Raises AnswerError."""
    reader: Callable[[Step, Any], Any] = _READERS.get(step.kind, _tick)
    return reader(step, value)


def _tick(step: Step, value: Any) -> bool:
    if value is True or value is None or (isinstance(value, str) and value.lower() in _TRUE):
        return True
    raise AnswerError(f"step {step.number} is ticked, with true; to undo it, clear it")


def _yes_no(step: Step, value: Any) -> str:
    word = str(value).lower()
    if word in ("yes", "true", "1", "y", "так"):
        return "yes"
    if word in ("no", "n", "ні", *_FALSE):
        return "no"
    raise AnswerError(f"step {step.number} is answered by yes or no")


def _number(step: Step, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        unit = f" of {step.unit}" if step.unit else ""
        raise AnswerError(f"step {step.number} is answered by a number{unit}")
    return number


def _text(step: Step, value: Any) -> str:
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    if not text:
        raise AnswerError(f"step {step.number} is answered by some words")
    if len(text) > CHECKLIST_ANSWER_CHARS_MAX:
        raise AnswerError(f"the answer is longer than {CHECKLIST_ANSWER_CHARS_MAX} characters")
    return text


def _choice(step: Step, value: Any) -> str:
    for choice in step.choices:
        if isinstance(value, str) and choice.lower() == value.strip().lower():
            return choice
    raise AnswerError(f"step {step.number} is answered by one of: {', '.join(step.choices)}")


def _script(step: Step, value: Any) -> Any:
    """The number of the change by which the script ran, or just done."""
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdigit():
        return int(value)
    return _tick(step, value)


_READERS: Mapping[Kind, Callable[[Step, Any], Any]] = {
    Kind.YES_NO: _yes_no,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.SCRIPT: _script,
}
