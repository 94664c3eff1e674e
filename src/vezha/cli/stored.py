"""The hosts' signals out of a state folder's store, for commands that ask gates or who is up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vezha.delivery.signals import EngineSignals, NoStore, Signals
from vezha.query.engine import Engine
from vezha.server.settings import Settings
from vezha.store.reader import StoreReader


@contextlib.contextmanager
def signals_of(settings: Settings) -> Iterator[Signals]:
    """The hosts' signals out of the state folder's store."""
    if not settings.state.store.exists():
        yield NoStore()
        return
    source = StoreReader.open(str(settings.state.store))
    try:
        yield EngineSignals(Engine(source))
    finally:
        source.close()
