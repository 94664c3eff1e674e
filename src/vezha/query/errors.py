"""What can go wrong with a query. `QueryError` is the one type that leaves this room."""

from __future__ import annotations


class QueryError(Exception):
    """A query that cannot be answered; the text is for the person who asked.

    `kind` is the Prometheus API's errorType: "bad_data", "execution", "timeout", "canceled".
    """

    kind = "execution"


class ParseError(QueryError):
    """The text is not PromQL, or its types do not fit. `start` and `end` are offsets in it."""

    kind = "bad_data"

    def __init__(self, message: str, query: str = "", start: int = 0, end: int = 0) -> None:
        self.message = message
        self.query = query
        self.start = start
        self.end = max(end, start)
        line, column = position(query, start)
        self.line = line
        self.column = column
        super().__init__(f"{line}:{column}: parse error: {message}")


class EvaluationError(QueryError):
    """The data do not allow the operation (duplicate series on a side, a bad label name…)."""


class LimitExceeded(QueryError):
    """The query asks for more than `QueryLimits` grants; names the limit."""


class QueryTimeout(QueryError):
    """The query took longer than `QueryLimits.seconds_max`."""

    kind = "timeout"


class QueryCancelled(QueryError):
    """Nobody waits for the answer any more."""

    kind = "canceled"


def position(query: str, offset: int) -> tuple[int, int]:
    """Line and column (both from 1, columns in UTF-8 bytes as Prometheus counts) of *offset*."""
    before = query[: max(0, offset)]
    line = before.count("\n") + 1
    tail = before[before.rfind("\n") + 1 :]
    return line, len(tail.encode("utf-8", "surrogatepass")) + 1
