"""The `anchored` and `smoothed` modifiers: windows that look beyond their edges."""

from __future__ import annotations

from vezha.model.columns import Times
from vezha.query.ast import Extension
from vezha.query.block import Block, Samples
from vezha.query.errors import EvaluationError
from vezha.query.window import Windows


def smoothed_instant(samples: Samples, times: Times, lookback_ms: int) -> Block:
    """Values interpolated between the samples around each step."""
    raise EvaluationError("smoothed")


def windows(
    samples: Samples, ends: Times, range_ms: int, lookback_ms: int, extension: Extension
) -> Windows:
    """Windows with their edges filled in."""
    raise EvaluationError("extended")
