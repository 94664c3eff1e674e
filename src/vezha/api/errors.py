"""Errors that a handler raises and a client sees: {"error": {"code", "message", "field"?}}."""

from __future__ import annotations

from vezha.access.decision import Decision


class ApiError(Exception):
    """An answer other than success. *code* is for programs, *message* one sentence for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
        error_type: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers or {}
        self.error_type = error_type
        """Prometheus's word for the kind of error, where it is not the status's usual one."""


class InvalidError(ApiError):
    """400: a field of the request is wrong; the message says what it should be."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(400, "invalid", message, field=field)


class RefusedError(ApiError):
    """403 of a handler: whose a thing is, is known only where it is read. Noted as every refusal is."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(403, decision.reason.value, decision.sentence)
        self.decision = decision


class NotFoundError(ApiError):
    """404: there is no such thing."""

    def __init__(self, message: str) -> None:
        super().__init__(404, "not_found", message)


class ConflictError(ApiError):
    """409: the thing is not in a state in which this can be done (already used, name taken …)."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(409, "conflict", message, field=field)


class UnavailableError(ApiError):
    """503: something that the answer needs is not there now; worth trying again."""

    def __init__(self, message: str) -> None:
        super().__init__(503, "unavailable", message, headers={"Retry-After": "1"})
