"""How new hosts reach this server: what the command that adds one is made of."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from vezha.access.certificate import fingerprint
from vezha.api.services import AgentDoor
from vezha.server.names import server_names
from vezha.server.settings import Settings
from vezha.world import World


def agent_door(settings: Settings, world: World) -> AgentDoor:
    """The channel's address as others see it, its certificate, the agent's file."""
    listen = settings.channel.listen
    names = ["127.0.0.1"] if is_loopback(listen.host) else server_names(settings)
    name = names[0] if names else "127.0.0.1"
    shown = f"[{name}]" if ":" in name else name
    certificate = settings.tls_files[1]
    known = world.disk.exists(certificate)
    return AgentDoor(
        address=f"{shown}:{listen.port}",
        fingerprint=fingerprint(world, certificate) if known else "",
        agent_hash=_AgentHash(world, str(settings.state.agent_file)),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(slots=True)
class _AgentHash:
    """SHA-256 of the agent's file as it is now, or nothing where there is none."""

    world: World
    path: str

    def __call__(self) -> str:
        if not self.world.disk.exists(self.path):
            return ""
        return hashlib.sha256(self.world.disk.read(self.path)).hexdigest()
