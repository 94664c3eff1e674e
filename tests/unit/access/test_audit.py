"""The audit's chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from vezha.access import SYSTEM, Subject, SubjectKind
from vezha.access.audit import GENESIS, append_audit, chain_hash, list_audit, verify_audit
from vezha.access.refusals import Refusals
from vezha.ledger import Ledger


def write(ledger: Ledger, count: int) -> None:
    for i in range(count):
        with ledger.begin() as connection:
            append_audit(
                connection, subject=SYSTEM, action="host.change", now_ms=i, target=f"h{i}",
                detail={"n": i},
            )  # fmt: skip


def tamper(ledger: Ledger, *statements: str) -> None:
    """What someone with the file and a database tool could do."""
    with ledger.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("DROP TRIGGER audit_no_delete"))
        for statement in statements:
            connection.execute(text(statement))


def test_a_whole_chain_is_told_so(ledger: Ledger) -> None:
    write(ledger, 5)
    with ledger.read() as connection:
        check = verify_audit(connection)
    assert (check.rows, check.broken_at) == (5, None)


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE id = 3", 3),
        ("UPDATE audit SET detail = '{}' WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE id = 5", 5),
    ],
)
def test_a_changed_or_missing_row_is_found(ledger: Ledger, statement: str, broken_at: int) -> None:
    write(ledger, 5)
    tamper(ledger, statement)
    with ledger.read() as connection:
        assert verify_audit(connection).broken_at == broken_at


def test_a_row_forged_with_its_own_hash_breaks_the_next_link(ledger: Ledger) -> None:
    write(ledger, 3)
    with ledger.read() as connection:
        row = dict(next(r for r in list_audit(connection, 3) if r["id"] == 2))
    row["actor"] = "mallory"
    forged = chain_hash(row["previous_hash"], row)
    tamper(ledger, f"UPDATE audit SET actor = 'mallory', hash = '{forged}' WHERE id = 2")
    with ledger.read() as connection:
        assert verify_audit(connection).broken_at == 3


def test_the_format_of_the_hash_is_fixed() -> None:
    row = {
        "id": 1, "at_ms": 1_700_000_000_000, "actor": "olena", "actor_kind": "user",
        "action": "host.change", "target": "db-1", "outcome": "done", "address": "192.0.2.1",
        "detail": '{"labels": {"site": "Львів"}}',
    }  # fmt: skip
    golden = "40453088fdfbd76d"
    assert chain_hash(GENESIS, row)[:16] == golden


@given(
    st.text(max_size=400), st.text(max_size=400), st.dictionaries(st.text(), st.text(), max_size=3)
)
def test_any_text_fits_a_row_and_the_chain(name: str, target: str, detail: dict[str, str]) -> None:
    ledger = Ledger.open(":memory:")
    ledger.migrate()
    subject = Subject(SubjectKind.USER, name)
    try:
        with ledger.begin() as connection:
            append_audit(
                connection, subject=subject, action="a", now_ms=1, target=target, detail=detail
            )
        with ledger.read() as connection:
            assert verify_audit(connection).broken_at is None
    finally:
        ledger.close()


def test_a_detail_beyond_its_limit_is_cut(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        append_audit(connection, subject=SYSTEM, action="a", now_ms=1, detail={"x": "y" * 100_000})
    with ledger.read() as connection:
        assert len(list_audit(connection, 1)[0]["detail"]) <= 4_000


def test_lists_are_paged_from_the_newest(ledger: Ledger) -> None:
    write(ledger, 5)
    with ledger.read() as connection:
        assert [r["id"] for r in list_audit(connection, 2)] == [5, 4]
        assert [r["id"] for r in list_audit(connection, 2, before_id=4)] == [3, 2]


def test_refusals_are_bounded_per_minute_and_subject() -> None:
    refusals = Refusals()
    written = [refusals.should_write("a", 1_000) for _ in range(100)]
    assert sum(written) == 60
    assert refusals.should_write("b", 1_000)
    assert refusals.should_write("a", 61_000)
