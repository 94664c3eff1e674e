"""`/api/v1/tokens`: tokens by which programs use the API. Admins only."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vezha.access import Action, Role
from vezha.access.token import create_token, list_tokens, revoke_token
from vezha.api.route import Call, Route, path_id, seconds
from vezha.api.users import RoleName


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new token; without `lifetime_s` it lives until it is revoked."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    role: RoleName = "viewer"
    lifetime_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None


class TokenView(msgspec.Struct):
    """A token, without its secret."""

    id: int
    name: str
    role: str
    created_by: str
    created_at: float | None
    expires_at: float | None
    used_at: float | None


class TokensView(msgspec.Struct):
    """All tokens."""

    tokens: list[TokenView]


class TokenMadeView(msgspec.Struct):
    """A new token: `token` is shown this once."""

    id: int
    name: str
    role: str
    token: str


def list_all(call: Call) -> TokensView:
    """All tokens."""
    rows = list_tokens(call.services.ledger)
    return TokensView(
        [
            TokenView(
                r.id,
                r.name,
                r.role,
                r.created_by,
                seconds(r.created_ms),
                seconds(r.expires_ms),
                seconds(r.used_ms),
            )
            for r in rows
        ]
    )


def create(call: Call) -> TokenMadeView:
    """Make a token."""
    given: TokenBody = call.body
    number, secret = create_token(
        call.services.ledger,
        call.subject,
        given.name,
        Role(given.role),
        call.services.now_ms(),
        lifetime_s=given.lifetime_s,
        chance=call.services.world.chance,
    )
    call.audited = True
    return TokenMadeView(number, given.name, given.role, secret)


def revoke(call: Call) -> None:
    """Make a token worthless."""
    revoke_token(call.services.ledger, call.subject, path_id(call), call.services.now_ms())
    call.audited = True


ROUTES = (
    Route("GET", "/api/v1/tokens", Action.TOKEN_READ, list_all, "All API tokens.",
          result=TokensView),
    Route("POST", "/api/v1/tokens", Action.TOKEN_CHANGE, create,
          "Make an API token; its secret is shown this once.", body=TokenBody,
          result=TokenMadeView, status=201),
    Route("DELETE", "/api/v1/tokens/{id}", Action.TOKEN_CHANGE, revoke, "Revoke an API token.",
          status=204),
)  # fmt: skip
