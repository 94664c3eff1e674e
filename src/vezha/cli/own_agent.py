"""The agent of the machine that `vezha up` runs on: enrolled by itself, then run beside the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vezha.agent.enrol import enrol, pin
from vezha.agent.errors import AgentError
from vezha.agent.identity import FILE, load_identity, save_identity
from vezha.cli.app import EXIT_BROKEN
from vezha.server import lifeline
from vezha.server.forked import become
from vezha.server.limits import ENROL_RETRY_WAITS_S
from vezha.server.prepared import Prepared
from vezha.server.reading import Address
from vezha.server.settings import Settings
from vezha.world import World


def enrol_and_become(why_not: Callable[[], str], argv: Sequence[str]) -> int:
    """The life of a forked child: it enrols, and becomes the agent's program *argv*.

    Where *why_not* has a reason, the supervisor is told, and starts it again like a crash.
    """
    held = lifeline.held()
    assert held is not None, "a child of the supervisor"
    if reason := why_not():
        held.failed(f"is not watching this machine: {reason}")
        return EXIT_BROKEN
    held.pass_on(os.environ)
    return become(argv)


def enrol_patiently(settings: Settings, prepared: Prepared, world: World, before: bytes) -> str:
    """See to it that the agent of this machine has an identity; why it has none, else ""."""
    for wait_s in (*ENROL_RETRY_WAITS_S, None):
        try:
            enrol_local_agent(settings, prepared, world, before)
            break
        except AgentError as error:
            if wait_s is None:
                return str(error)
        # The data contour may be on its way up again.
        world.clock.sleep(wait_s)
    return ""


def enrol_local_agent(settings: Settings, prepared: Prepared, world: World, before: bytes) -> None:
    """See to it that the agent of this machine has an identity that fits this server's settings.

    An invitation is good for once: it was used if the identity is not as *before* any more. Raises
    `AgentError`.
    """
    folder = str(settings.state.agent)
    server = _reachable(settings)
    if prepared.agent_token and identity_now(settings, world) == before:
        enrol(world, folder, server, prepared.agent_token, prepared.fingerprint)
        return
    _pin_keys(settings, world, folder)
    # The port or the authority may be others than at enrolment.
    ca = Path(settings.tls_files[0])
    identity = load_identity(world, folder)
    now = replace(identity, server=server, ca_pem=ca.read_text() if ca.exists() else "")
    if now != identity:
        save_identity(world, folder, now)


def identity_now(settings: Settings, world: World) -> bytes:
    """The agent's identity as it is filed; b"" where it has none."""
    path = f"{settings.state.agent}/{FILE}"
    return world.disk.read(path) if world.disk.exists(path) else b""


def _pin_keys(settings: Settings, world: World, folder: str) -> None:
    """An agent that was enrolled before there were keys pins them now: it is this very machine."""
    path = settings.state.releases / "metadata"
    roots = sorted(path.glob("*.root.json"), key=lambda p: int(p.name.partition(".")[0]))
    if roots and not world.disk.exists(f"{folder}/trust/root.json"):
        pin(world, folder, roots[-1].read_bytes())


def _reachable(settings: Settings) -> str:
    """`host:port` by which this machine's own agent reaches the channel, as certified."""
    listen = settings.channel.listen
    host = "127.0.0.1" if listen.host in ("0.0.0.0", "::", "") else listen.host  # noqa: S104
    if settings.tls.cert and settings.channel.public_names:
        host = settings.channel.public_names[0]
    return str(Address(host, listen.port))
