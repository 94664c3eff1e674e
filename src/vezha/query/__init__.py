"""PromQL: parse, check, evaluate.

Owns the language. Comes in: query text, a time or a range, a `SampleSource`. Goes out: a
`Result` (numpy columns, annotations, statistics) or a `QueryError` that a person can read;
`vezha.query.encode` writes results as the Prometheus API does. Refuses: text that is too long,
too deep or not PromQL (`ParseError` with position) and queries beyond `QueryLimits`. It never
loops over samples in Python, but for native histograms.
"""

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
