"""Enrolment: a one-time token becomes this host's own identity."""

from __future__ import annotations

from typing import Any

from vezha.agent.dial import dial, proxy_of, server_of
from vezha.agent.errors import AgentError
from vezha.agent.identity import Identity, save_identity
from vezha.agent.link import proxies
from vezha.wire import message as m
from vezha.wire import websocket as ws
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import ENROL_PATH
from vezha.world import World


def enrol(
    world: World,
    folder: str,
    server: str,
    token: str,
    fingerprint: str,
    name: str = "",
    facts: dict[str, Any] | None = None,
    proxy: str = "",
    plaintext: bool = False,
) -> Identity:
    """Ask *server* (`host:port`) for an identity, and keep it in *folder*.

    *fingerprint* is the SHA-256 of the server's certificate in hex; without it the certificate
    must be good by this machine's trust store. Raises AgentError in one sentence.
    """
    where = server_of(server, fingerprint=fingerprint, plaintext=plaintext)
    where = server_of(
        server,
        fingerprint=fingerprint,
        plaintext=plaintext,
        proxy=proxy_of(proxy, where.host, proxies()),
    )
    try:
        channel = dial(world, where, ENROL_PATH, token)
        try:
            host = name or world.network.hostname()
            channel.send(m.pack(m.Enrol(host, facts or {})))
            answer = _answer(world, channel)
        finally:
            channel.close()
    except ws.Refused as error:
        raise AgentError(f"{server} refused the enrolment: {error}") from None
    except ProtocolError as error:
        raise AgentError(f"{server} does not speak Vezha's protocol: {error}") from None
    except OSError as error:
        raise AgentError(f"{server} cannot be reached: {error}") from None
    if isinstance(answer, m.Error):
        raise AgentError(f"{server} refused the enrolment: {answer.text}")
    identity = Identity(answer.agent_id, answer.secret, answer.host, server, answer.ca_pem)
    try:
        save_identity(world, folder, identity)
        if answer.root:
            pin(world, folder, answer.root.encode())
    except OSError as error:
        raise AgentError(f"{folder} cannot be written: {error.strerror}") from None
    return identity


def pin(world: World, folder: str, root: bytes) -> None:
    """Trust the keys of *root* from now on, and forget what others signed. Raises OSError."""
    place = f"{folder}/trust"
    world.disk.make_folder(place)
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        world.disk.remove(f"{place}/{name}")
    world.disk.write_whole(f"{place}/root.json", root)


def _answer(world: World, channel: Any) -> m.Enrolled | m.Error:
    until = world.clock.monotonic() + 30.0
    while world.clock.monotonic() < until:
        for data in channel.receive(channel.fileno(), 1.0):
            said = m.unpack(data)
            if isinstance(said, (m.Enrolled, m.Error)):
                return said
            raise ProtocolError("unexpected", type(said).__name__)
    raise TimeoutError("no answer in 30 s")
