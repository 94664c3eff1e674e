"""Range functions over native histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vezha.query.ast import Call
from vezha.query.block import Mask, Samples, Value
from vezha.query.errors import EvaluationError
from vezha.query.window import Windows

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


def rate(ev: Evaluator, call: Call, windows: Windows, counter: bool, per_second: bool) -> Value:
    raise EvaluationError("native histograms")


def instant_rate(ev: Evaluator, call: Call, windows: Windows, rate: bool) -> Value:
    raise EvaluationError("native histograms")


def sum_or_mean(ev: Evaluator, call: Call, windows: Windows, mean: bool) -> Value:
    raise EvaluationError("native histograms")


def reset_flags(samples: Samples, flags: Mask) -> Mask:
    raise EvaluationError("native histograms")


def change_flags(samples: Samples, flags: Mask) -> Mask:
    raise EvaluationError("native histograms")
