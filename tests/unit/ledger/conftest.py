"""The ledger's own tests migrate and sync as a server does."""

from __future__ import annotations

import pytest
from tests import ledgers


@pytest.fixture(autouse=True)
def _as_a_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers.take_time(monkeypatch)
