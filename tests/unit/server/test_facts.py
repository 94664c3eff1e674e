"""What agents tell is written for many hosts at once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from vezha.access.host import note_facts_of
from vezha.ledger import Ledger
from vezha.ledger.tables import host


def test_facts_of_many_hosts_in_one_go(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.migrate()
    with ledger.begin() as connection:
        for name, seen in (("a", None), ("b", 5)):
            connection.execute(
                host.insert().values(
                    name=name, labels={}, facts={}, created_ms=1, first_seen_ms=seen
                )
            )
    told = {"a": {"os": "x"}, "b": {"os": "y" * 10}, "gone": {"os": "z"}, "c": {"os": "x" * 10**6}}
    note_facts_of(ledger, told, 9)
    with ledger.read() as connection:
        rows = connection.execute(select(host).order_by(host.c.name)).all()
    assert [(r.name, r.facts, r.first_seen_ms) for r in rows] == [
        ("a", {"os": "x"}, 9),
        ("b", {"os": "y" * 10}, 5),
    ]
    ledger.close()
