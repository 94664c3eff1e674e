"""Routes: the one table from which the API is served, authorised, audited and described.

Each `api/<noun>.py` exports `ROUTES: tuple[Route, ...]`; `api/app.py` composes them. How to
write one:

    class NoteBody(msgspec.Struct, forbid_unknown_fields=True):
        text: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]

    def add_note(call: Call) -> IncidentView:
        body: NoteBody = call.body
        with call.services.ledger.begin() as connection:
            ...                                          # raise NotFoundError("…") and so on
            call.audit(connection, target=call.path["id"], detail={"text": body.text})
        call.services.nudge("incidents")
        return view

    ROUTES = (
        Route("POST", "/api/v1/incidents/{id}/note", Action.INCIDENT_NOTE, add_note,
              "Write a note on an incident.", body=NoteBody, result=IncidentView),
    )

Rules:

- A plain function runs on a worker thread and may block on the ledger; an `async` function
  runs on the event loop and must not block.
- The subject was authenticated and `decide` allowed the action before the handler is called.
- The answer is a `msgspec.Struct`, dict, list, a Starlette `Response`, or None (204).
- Times in JSON are numbers: seconds since the epoch, with fractions (`seconds(ms)`); absent
  times are null. Durations end in `_s`, sizes in `_bytes`.
- Query parameters come by `query=<Struct>`: each field from one parameter, converted.
- An action that changes something writes its audit row in the same transaction
  (`call.audit(connection, …)`); one that forgot gets a row after it succeeded.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request

from vezha.access import Action, Subject
from vezha.access.audit import append_audit
from vezha.api import limits
from vezha.api.errors import NotFoundError
from vezha.api.services import Services

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(slots=True)
class Call:
    """One authorised request, as a handler sees it.

    `body` and `query` are instances of the route's types (None where it has none), `path` the
    path's parameters.
    """

    route: Route
    request: Request
    services: Services
    subject: Subject
    request_id: str
    path: dict[str, str]
    body: Any = None
    query: Any = None
    audited: bool = False
    session_secret: str = ""

    def audit(
        self, connection: Connection, *, target: str = "", detail: dict[str, Any] | None = None
    ) -> None:
        """Add this action's audit row in the handler's own transaction. No secrets in *detail*."""
        append_audit(
            connection,
            subject=self.subject,
            action=self.route.action.value,
            now_ms=self.services.now_ms(),
            target=target,
            detail=detail,
        )
        self.audited = True


Handler = Callable[..., Any]
"""`(call) -> result`, plain or async; of a WebSocket: async `(services, caller, socket)`."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row: what is asked for, who may, who answers, and how it is described.

    *path* is written as Starlette does, `{name}` being a parameter. *body* and *result* are
    msgspec types. *status* is the answer's on success. *body_bytes_max* bounds the body.
    *websocket* marks a stream. *form* says that a form body is taken like query parameters.
    *prometheus* says that errors are shown as Prometheus shows them, *plain_errors* that they are
    one JSON text, as Alertmanager's clients read them.
    """

    method: str
    path: str
    action: Action
    handler: Handler
    summary: str
    body: type[Any] | None = None
    result: Any = None
    query: type[Any] | None = None
    status: int = 200
    body_bytes_max: int = limits.BODY_BYTES_MAX
    form: bool = False
    websocket: bool = False
    prometheus: bool = False
    plain_errors: bool = False
    is_async: bool = field(init=False, compare=False)
    """Whether the handler runs on the event loop."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.handler))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def tag(self) -> str:
        """The group in the description: the first word of the path after the version."""
        parts = [p for p in self.path.split("/") if p and not p.startswith("{")]
        return parts[2] if len(parts) > 2 else parts[-1]


def path_id(call: Call, name: str = "id") -> int:
    """A number in the path. Raises `NotFoundError` where it is none that a row could have."""
    text = call.path[name]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFoundError(f"There is nothing with the id {text[:32]!r}.")
    return int(text)


def seconds(time_ms: int | None) -> float | None:
    """A ledger's time (ms) as the API shows it: seconds since the epoch, or null."""
    return None if time_ms is None else time_ms / 1000
