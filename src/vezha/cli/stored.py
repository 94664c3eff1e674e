"""What a state folder's store tells commands of changes: who is up, gates, what rules would have done.

The query engine is loaded where it is asked, since most commands of changes ask nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from vezha.delivery.desk import RulesToTry
from vezha.delivery.signals import NoStore, Signals
from vezha.server.settings import Settings
from vezha.trust.folder import ReleaseFolder
from vezha.world import World


@contextlib.contextmanager
def signals_of(settings: Settings) -> Iterator[Signals]:
    """The hosts' signals out of the state folder's store."""
    if not settings.state.store.exists():
        yield NoStore()
        return
    from vezha.delivery.engine_signals import EngineSignals
    from vezha.query.engine import Engine
    from vezha.store.reader import StoreReader

    source = StoreReader.open(str(settings.state.store))
    try:
        yield EngineSignals(Engine(source))
    finally:
        source.close()


def rehearsed(settings: Settings, wanted: RulesToTry, at_ms: int) -> dict[str, Any]:
    """What the rules of a change would have done, for its plan."""
    if not settings.state.store.exists():
        return {"sha256": wanted.to.sha256, "problem": "there is no store to ask here"}
    from vezha.api.rules_rehearsal import asking, rehearse_rules
    from vezha.query.context import EngineOptions
    from vezha.query.engine import Engine
    from vezha.store.reader import StoreReader

    world = World()
    source = StoreReader.open(str(settings.state.store))
    try:
        options = EngineOptions(lookback_ms=int(settings.query.lookback_s * 1000))
        ask = asking(Engine(source, None, options))
        folder = ReleaseFolder(world, str(settings.state.releases))
        return rehearse_rules(folder, world, wanted, ask, at_ms // 1000 * 1000)
    finally:
        source.close()
