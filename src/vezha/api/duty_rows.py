"""How routes about duty read rows and change them: one transaction, its audit row, a fault in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection

from vezha.api.errors import InvalidError, NotFoundError
from vezha.api.incident_acts import refusal
from vezha.api.incident_views import sentence
from vezha.api.route import Call
from vezha.incidents.errors import OperatorError
from vezha.incidents.oncall.errors import NothingThere


def read(call: Call, look: Callable[[Connection], Any]) -> Any:
    """What *look* finds. Raises NotFoundError or InvalidError where the rows say no."""
    try:
        with call.services.ledger.read() as connection:
            return look(connection)
    except NothingThere as fault:
        raise NotFoundError(sentence(fault)) from None
    except OperatorError as fault:
        raise InvalidError(sentence(fault)) from None


def change(call: Call, do: Callable[[Connection], Any], target: str, detail: dict[str, Any]) -> Any:
    """Change something within one transaction with its audit row; what *do* gives."""
    try:
        with call.services.ledger.begin() as connection:
            done = do(connection)
            call.audit(connection, target=target, detail=detail)
    except NothingThere as fault:
        raise NotFoundError(sentence(fault)) from None
    except OperatorError as fault:
        raise refusal(fault) from None
    call.services.nudge("incidents")
    return done


def given(call: Call, name: str) -> dict[str, Any]:
    """The body as a document of that *name*. Raises InvalidError where it names another."""
    document: dict[str, Any] = msgspec.to_builtins(call.body)
    if document.get("name") not in (None, "", name):
        # who may change one name must not reach another by it
        raise InvalidError(f"The name in the body is not {name}, which the path says.", "name")
    document["name"] = name
    return document


def time_ms(value: float, field: str) -> int:
    """A time in seconds since the epoch as milliseconds. Raises InvalidError out of range."""
    if not 0 <= value < 7e9:
        raise InvalidError(f"{field} is a time in seconds since 1970.", field)
    return int(value * 1000)
