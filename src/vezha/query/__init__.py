"""PromQL: parse, check, evaluate.

Owns the language. Comes in: query text, a time or a range, a `SampleSource`. Goes out: a
`Result` (numpy columns, annotations, statistics) or a `QueryError` that a person can read;
`vezha.query.encode` writes results as the Prometheus API does. Refuses: text that is too long,
too deep or not PromQL (`ParseError` with position) and queries beyond `QueryLimits`. It never
loops over samples in Python, but for native histograms.

The engine is loaded when one of its names is first asked for: whoever only parses (selectors,
regular expressions, durations) does not pay for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vezha.query.context import EngineOptions
    from vezha.query.engine import Engine, Prepared
    from vezha.query.errors import (
        EvaluationError,
        LimitExceeded,
        ParseError,
        QueryCancelled,
        QueryError,
        QueryTimeout,
    )
    from vezha.query.limits import QueryLimits
    from vezha.query.result import Result, ResultKind

_HOMES = {
    "EngineOptions": "context",
    "Engine": "engine",
    "Prepared": "engine",
    "QueryLimits": "limits",
    "Result": "result",
    "ResultKind": "result",
}

__all__ = [
    "Engine",
    "EngineOptions",
    "EvaluationError",
    "LimitExceeded",
    "ParseError",
    "Prepared",
    "QueryCancelled",
    "QueryError",
    "QueryLimits",
    "QueryTimeout",
    "Result",
    "ResultKind",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
