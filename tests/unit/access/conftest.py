"""A ledger, cheap passwords, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vezha.access.password import Passwords
from vezha.access.session import Sessions
from vezha.ledger import Ledger
from vezha.world import Chance


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    return Passwords(passes=1, memory_kib=8, lanes=1)


@pytest.fixture
def sessions(ledger: Ledger, passwords: Passwords) -> Sessions:
    return Sessions(ledger, passwords=passwords, chance=Chance(7))
