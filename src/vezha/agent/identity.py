"""Who this agent is: its id, its secret, and the authority that it trusts. One file, mode 0600."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from vezha.agent.errors import ConfigError
from vezha.world import World

FILE = "identity.json"


@dataclass(frozen=True)
class Identity:
    """What enrolment gave. `ca_pem` empty: the machine's own trust store is meant."""

    agent_id: str
    secret: str
    host: str
    server: str
    ca_pem: str = ""

    def __repr__(self) -> str:
        # a secret must not reach a log by way of a traceback
        return f"Identity(agent_id={self.agent_id!r}, host={self.host!r}, server={self.server!r})"


def save_identity(world: World, folder: str, identity: Identity) -> None:
    """Write the identity, durable and 0600. Raises OSError."""
    world.disk.make_folder(folder)
    body = json.dumps(asdict(identity), indent=1).encode()
    world.disk.write_whole(f"{folder}/{FILE}", body, 0o600)


def load_identity(world: World, folder: str) -> Identity:
    """The identity of this host. Raises ConfigError in one sentence."""
    path = f"{folder}/{FILE}"
    try:
        body = json.loads(world.disk.read(path))
        return Identity(
            **{k: str(body[k]) for k in ("agent_id", "secret", "host", "server", "ca_pem")}
        )
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: enrol this host first (`vezha agent enrol`)"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is damaged: enrol this host again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
