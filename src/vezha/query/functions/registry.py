"""Which code answers which function."""

from __future__ import annotations

from vezha.query.functions import classic_histogram, elementwise, info, labels, over_time, rate
from vezha.query.functions.elementwise import Function

FUNCTIONS: dict[str, Function] = {
    **elementwise.FUNCTIONS,
    **rate.FUNCTIONS,
    **over_time.FUNCTIONS,
    **labels.FUNCTIONS,
    **classic_histogram.FUNCTIONS,
    **info.FUNCTIONS,
}
