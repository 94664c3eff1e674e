"""API tokens: how programs sign in. Bound to one role, shown once, kept as a hash."""

from __future__ import annotations

from sqlalchemy import delete, select

from vezha.access import limits
from vezha.access.audit import append_audit
from vezha.access.errors import AccessError, NameTakenError, UnknownError
from vezha.access.secret import API_TOKEN_PREFIX, SECRET_CHARS, hash_secret, make_secret
from vezha.access.subject import Role, Subject, SubjectKind
from vezha.access.user import check_name
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import api_token
from vezha.world import Chance


def create_token(
    ledger: Ledger,
    actor: Subject,
    name: str,
    role: Role,
    now_ms: int,
    *,
    lifetime_s: float | None = None,
    chance: Chance | None = None,
) -> tuple[int, str]:
    """Make a token: its id and its secret, which is shown this once.

    Nobody makes a token above the own role. Raises `AccessError`, `NameTakenError`.
    """
    check_name(name)
    if actor.role is None or role.rank > actor.role.rank:
        raise AccessError("A token cannot have a higher role than its maker.", "role")
    if lifetime_s is not None and not 0 < lifetime_s <= limits.TOKEN_LIFETIME_S_MAX:
        raise AccessError(
            "A token lives for more than zero seconds, at most ten years.", "lifetime_s"
        )
    secret = make_secret(API_TOKEN_PREFIX, chance or Chance())
    expires_ms = None if lifetime_s is None else now_ms + int(lifetime_s * 1000)
    with ledger.begin() as connection:
        taken = connection.execute(select(api_token.c.id).where(api_token.c.name == name)).first()
        if taken is not None:
            raise NameTakenError(f"There is a token {name!r} already.")
        made = connection.execute(
            api_token.insert().values(
                name=name,
                token_hash=hash_secret(secret),
                role=role.value,
                created_by=actor.name,
                created_ms=now_ms,
                expires_ms=expires_ms,
            )
        )
        append_audit(
            connection,
            subject=actor,
            action="token.create",
            now_ms=now_ms,
            target=name,
            detail={"role": role.value, "expires_ms": expires_ms},
        )
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0]), secret


def list_tokens(ledger: Ledger) -> list[AnyRow]:
    """All tokens by name, without their hashes."""
    columns = [c for c in api_token.c if c.name != "token_hash"]
    with ledger.read() as connection:
        return list(connection.execute(select(*columns).order_by(api_token.c.name)))


def revoke_token(ledger: Ledger, actor: Subject, token_id: int, now_ms: int) -> str:
    """Make a token worthless at once; its name. Raises `UnknownError`."""
    with ledger.begin() as connection:
        row = connection.execute(select(api_token.c.name).where(api_token.c.id == token_id)).first()
        if row is None:
            raise UnknownError(f"There is no token with the id {token_id}.")
        connection.execute(delete(api_token).where(api_token.c.id == token_id))
        append_audit(
            connection, subject=actor, action="token.revoke", now_ms=now_ms, target=row.name
        )
        return str(row.name)


def recognise_token(ledger: Ledger, secret: str, address: str, now_ms: int) -> Subject | None:
    """Whose token *secret* is, or None. Notes the use, at most once a minute."""
    if not secret.startswith(API_TOKEN_PREFIX) or len(secret) != SECRET_CHARS:
        return None
    # Looking up by the hash tells an attacker's clock nothing about any secret's characters.
    wanted = select(api_token).where(api_token.c.token_hash == hash_secret(secret))
    with ledger.read() as connection:
        row = connection.execute(wanted).first()
    if row is None or (row.expires_ms is not None and now_ms >= row.expires_ms):
        return None
    if row.used_ms is None or now_ms - row.used_ms >= limits.SESSION_TOUCH_S * 1000:
        with ledger.begin() as connection:
            connection.execute(
                api_token.update().where(api_token.c.id == row.id).values(used_ms=now_ms)
            )
    return Subject(SubjectKind.TOKEN, row.name, Role(row.role), address=address)
