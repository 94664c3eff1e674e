"""What a provider is: one folder under `providers/` whose package has a `PROVIDER`.

Adding one edits nothing else: the registry finds it by its folder's name, which is the `type` of
its receivers in `notify.toml`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vezha.notify.message import Message
from vezha.notify.option import Option

Reference = dict[str, Any]
"""What a provider needs later to edit or answer a message; kept in the ledger, no secrets."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to send. `id` is the outbox row's number: equal for retries of one message."""

    id: int
    key: str
    message: Message
    thread: str
    reference: Reference | None


@dataclass(frozen=True, slots=True)
class Sent:
    """It was taken. `reference`, if any, becomes the thread's; `note` is for the outbox."""

    reference: Reference | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody pressed a button on a message."""

    action: str
    incident: int
    actor: str


OnPressed = Callable[[Pressed], Awaitable[str]]
"""Does what was pressed; returns a sentence for the person who pressed."""


class Sender(Protocol):
    """A receiver that is set up and can be sent to."""

    edits: bool
    """Whether it can change what it has sent: then quiet changes are sent, too."""
    wants: frozenset[str]
    """Kinds of messages that it is sent."""

    async def send(self, delivery: Delivery) -> Sent:
        """Hand over. Raises TryAgain or Refused."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Listener(Protocol):
    """A sender that hears what people press."""

    async def listen(
        self, on_pressed: OnPressed, load: Callable[[], int], save: Callable[[int], None]
    ) -> None:
        """Until cancelled; *load* and *save* keep a durable position."""
        ...


class Addressable(Protocol):
    """A sender whose account reaches other addresses, too: people's own."""

    def to(self, address: str, where: str) -> Sender:
        """The same account to *address*. Raises NotifySettingsError for one that is none."""
        ...


class Provider(Protocol):
    """A way to reach people. `options`: what a form asks for, secrets among them."""

    options: tuple[Option, ...]

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """A sender from a receiver's table in the settings, of which it takes its own keys.

        What it leaves in *raw* is unknown to it. Raises NotifySettingsError.
        """
        ...


def provider_names() -> list[str]:
    """All providers, by their folders."""
    from vezha.notify import providers

    return sorted(m.name for m in pkgutil.iter_modules(providers.__path__) if m.ispkg)


def load_provider(name: str) -> Provider:
    """The provider *name*, imported now, so that nobody pays for those that are not used."""
    assert name in provider_names(), name
    provider: Provider = importlib.import_module(f"vezha.notify.providers.{name}").PROVIDER
    return provider
