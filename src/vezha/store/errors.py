"""What can go wrong in the store."""

from __future__ import annotations

import msgspec


class StoreError(Exception):
    """Anything of the store's own."""


class StoreInUse(StoreError):
    """Another process has this store open for writing."""


class StoreCorrupt(StoreError):
    """A tile or record does not fit its checksum or its format."""


class WrongFormat(StoreCorrupt):
    """A file of the store was written by another version of the program."""


class StoreUnwritable(StoreError, OSError):
    """The WAL could not be written; everything sealed is kept for the next commit."""


class TooManySeries(StoreError):
    """A source would own more series than its limit."""

    def __init__(self, source: str, limit_name: str, limit: int) -> None:
        super().__init__(
            f"{source or 'the store'} would own more than {limit} series; raise "
            f"`{limit_name}` or drop the label that multiplies them"
        )
        self.source = source
        self.limit_name = limit_name
        self.limit = limit


class UnknownSchema(StoreError):
    """A layout was asked for a schema that nobody put."""


DAMAGE = (
    StoreCorrupt, msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError,
    ArithmeticError, AssertionError,
)  # fmt: skip
"""What reading a damaged catalog raises, beside what `salvage.is_damage` says of SQLite's errors."""
