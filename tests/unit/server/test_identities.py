"""What the pages are told of hosts that come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vezha.access import SYSTEM
from vezha.access.enrolment import create_enrolment
from vezha.gateway.sink import EnrolmentRefused
from vezha.ledger import Ledger
from vezha.server.identities import LedgerIdentities
from vezha.world import World


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(str(tmp_path / "ledger.db"))
    made.migrate()
    yield made
    made.close()


def test_who_enrols_or_tells_of_itself_is_announced(ledger: Ledger) -> None:
    identities = LedgerIdentities(ledger, World())
    told: list[set[str]] = []
    identities.on_hosts = lambda: told.append(set(identities.hosts))
    invitation = create_enrolment(ledger, SYSTEM, int(1000 * World().clock.now()))
    with pytest.raises(EnrolmentRefused):
        identities.enrol("wrong", "db-1", {})
    assert told == []
    identity, _ = identities.enrol(invitation.token, "db-1", {})
    assert told == [{"db-1"}]  # whoever looks at that moment finds it
    identities.state_told(identity, "1.0", {"os": "Linux"})
    assert len(told) == 1
    identities.write_told({})
    assert len(told) == 2
    identities.write_told({"db-1": 5})
    assert len(told) == 2, "that it was seen again is no news"
