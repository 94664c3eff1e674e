"""Preparation: what must be there before the contours start. Idempotent; each start does it.

The ledger's migrations, the channel's certificates, the first admin, and an invitation for the
agent of this machine. It runs in a process of its own, so that the supervisor, which lives for
months, carries neither the database's nor the certificates' libraries.
"""

from __future__ import annotations

import json

from sqlalchemy import select

from vezha.access.certificate import check_given, ensure_certificates, fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.access.user import FIRST_ADMIN, SYSTEM, first_start
from vezha.ledger import Ledger
from vezha.ledger.tables import agent, user
from vezha.server.errors import SettingError
from vezha.server.limits import AGENT_INVITATION_LIFETIME_S
from vezha.server.names import server_names
from vezha.server.prepared import Prepared
from vezha.server.releases import ensure_development_keys
from vezha.server.settings import Settings
from vezha.world import World

FIRST_SIGN_IN = "first-sign-in"
"""File in the state folder that holds the first password until somebody has changed it."""
IDENTITY = "identity.json"
"""Where the agent keeps who it is (`vezha.agent.identity`, which the server must not import)."""


def prepare(settings: Settings, world: World) -> Prepared:
    """Do it. Raises errors for the operator: of the ledger, of certificates, of settings."""
    _prepare_certificates(settings, world)
    development = ensure_development_keys(settings.state, world)
    ledger = Ledger.open(settings.ledger_url)
    try:
        ledger.migrate()
        now_ms = int(world.clock.now() * 1000)
        password = _first_password(ledger, settings, world, now_ms)
        standing = _agent_standing(ledger, settings, world)
        token = ""
        if standing == "unknown":
            token = create_enrolment(
                ledger, SYSTEM, now_ms, lifetime_s=AGENT_INVITATION_LIFETIME_S
            ).token
    finally:
        ledger.engine.dispose()
    return Prepared(
        sign_in_name=FIRST_ADMIN if password else "",
        sign_in_password=password,
        agent_token=token,
        agent_revoked=standing == "revoked",
        fingerprint=fingerprint(world, settings.tls_files[1]),
        development_keys=development,
    )


def _prepare_certificates(settings: Settings, world: World) -> None:
    own = settings.tls
    if bool(own.cert) != bool(own.key):
        raise SettingError("tls.cert and tls.key go together: set both or neither")
    if own.ca and not own.cert:
        raise SettingError("tls.ca is set without tls.cert and tls.key: set all three or none")
    if own.cert:
        check_given(world, own.cert, own.key)
    else:
        ensure_certificates(world, str(settings.state.tls), server_names(settings))


def _first_password(ledger: Ledger, settings: Settings, world: World, now_ms: int) -> str:
    """The first admin's password while it is still the one that we made, else nothing.

    Whoever starts Vezha may miss it the first time, so it is kept until it was changed.
    """
    file = str(settings.state.path / FIRST_SIGN_IN)
    fresh = first_start(ledger, now_ms)
    if fresh is not None:
        world.disk.write_whole(file, fresh.encode())
        return fresh
    if not world.disk.exists(file):
        return ""
    with ledger.read() as connection:
        row = connection.execute(
            select(user.c.must_change_password, user.c.password_changed_ms).where(
                user.c.name == FIRST_ADMIN
            )
        ).first()
    if row is None or not row.must_change_password or row.password_changed_ms is not None:
        world.disk.remove(file)
        return ""
    return world.disk.read(file).decode()


def _agent_standing(ledger: Ledger, settings: Settings, world: World) -> str:
    """Whether this machine's agent is `known` to the ledger, `revoked`, or `unknown`.

    An identity that the ledger never heard of belongs to a ledger that is gone: the agent is
    enrolled anew. A revoked one stays revoked, since somebody decided so.
    """
    try:
        told = json.loads(world.disk.read(str(settings.state.agent / IDENTITY)))
        agent_id = str(told["agent_id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return "unknown"
    with ledger.read() as connection:
        row = connection.execute(select(agent.c.revoked_ms).where(agent.c.id == agent_id)).first()
    if row is None:
        return "unknown"
    return "known" if row.revoked_ms is None else "revoked"
