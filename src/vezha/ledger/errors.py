"""Errors of the ledger that an operator can mend. The message is one sentence with the fix."""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be used as it is set up."""


class LedgerAddressError(LedgerError):
    """The setting `ledger` is neither a path, a sqlite: nor a postgresql: address."""

    def __init__(self, url: str) -> None:
        scheme = url.split(":", 1)[0]
        super().__init__(
            f"setting `ledger` starts with {scheme!r}: give a file path, sqlite:///path or "
            "postgresql://user@host/database"
        )


class LedgerDriverError(LedgerError):
    """PostgreSQL is asked for, but its driver is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "setting `ledger` names PostgreSQL, whose driver is not installed: "
            "run `pip install 'psycopg[binary]'` in Vezha's environment"
        )


class LedgerUnreachableError(LedgerError):
    """The database does not open."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"setting `ledger` ({where}) does not open: {why}")


class LedgerTooNewError(LedgerError):
    """The database was migrated by a later release."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the ledger is at revision {revision}, which this release does not know: "
            "start the newer Vezha that wrote it, or restore the ledger from before"
        )
