"""Opening, transactions, migrations."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from vezha.ledger import (
    Ledger,
    LedgerAddressError,
    LedgerTooNewError,
    LedgerUnreachableError,
)
from vezha.ledger.migrations import head
from vezha.ledger.tables import metadata, setting


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    return opened


def _put(ledger: Ledger, key: str, value: object = 1) -> None:
    with ledger.begin() as connection:
        connection.execute(
            setting.insert().values(key=key, value=value, changed_ms=0, changed_by="test")
        )


def _keys(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(select(setting.c.key).order_by(setting.c.key)).scalars())


def test_tables_and_migrations_describe_the_same_database(ledger: Ledger) -> None:
    with ledger.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == head()


def test_migrating_again_changes_nothing(ledger: Ledger) -> None:
    _put(ledger, "kept")
    ledger.migrate()
    assert _keys(ledger) == ["kept"]


def _migrate_in_process(path: str, gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]
    opened = Ledger.open(path)
    opened.migrate()
    opened.close()


def test_three_contours_that_migrate_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "ledger.db")
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    children = [context.Process(target=_migrate_in_process, args=(path, gate)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    ledger = Ledger.open(path)
    with ledger.read() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == head()
    ledger.close()


def test_a_failed_block_leaves_nothing(ledger: Ledger) -> None:
    def fail_half_way() -> None:
        with ledger.begin() as connection:
            connection.execute(
                setting.insert().values(key="lost", value=1, changed_ms=0, changed_by="t")
            )
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert _keys(ledger) == []


def test_what_is_written_through_a_reading_block_is_not_kept(ledger: Ledger) -> None:
    with ledger.read() as connection:
        connection.execute(
            setting.insert().values(key="lost", value=1, changed_ms=0, changed_by="t")
        )
    assert _keys(ledger) == []


def test_a_reader_sees_one_snapshot_while_others_write(ledger: Ledger) -> None:
    _put(ledger, "before")
    with ledger.read() as connection:
        wanted = select(setting.c.key)
        assert connection.execute(wanted).scalars().all() == ["before"]
        writer = threading.Thread(target=_put, args=(ledger, "during"))
        writer.start()
        writer.join(5)
        assert not writer.is_alive(), "the writer waited for a reader"
        assert connection.execute(wanted).scalars().all() == ["before"]
    assert _keys(ledger) == ["before", "during"]


def test_writers_that_read_first_do_not_overwrite_each_other(ledger: Ledger) -> None:
    _put(ledger, "count", 0)

    def add() -> None:
        for _ in range(20):
            with ledger.begin() as connection:
                wanted = select(setting.c.value).where(setting.c.key == "count")
                now = connection.execute(wanted).scalar_one()
                connection.execute(
                    setting.update().where(setting.c.key == "count").values(value=now + 1)
                )

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with ledger.read() as connection:
        assert connection.execute(select(setting.c.value)).scalar_one() == 80


def test_foreign_keys_are_enforced(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError, match="FOREIGN KEY"), ledger.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO agent (id, host_id, secret_hash, created_ms) VALUES ('a', 99, 'h', 0)"
            )
        )


def test_the_audit_cannot_be_rewritten(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit VALUES (1, 0, 'a', 'user', 'x', '', 'done', '', '{}', 'p', 'h')"
            )
        )
    for statement in ("UPDATE audit SET actor = 'b'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"), ledger.begin() as connection:
            connection.execute(text(statement))


def test_a_ledger_of_a_later_release_is_refused(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerTooNewError, match="revision 9999"):
        ledger.migrate()


@pytest.mark.parametrize("url", ["mysql://a/b", "http://ledger", "oracle:x", "x://"])
def test_an_address_that_is_none_is_named_with_the_fix(url: str) -> None:
    with pytest.raises(LedgerAddressError, match="setting `ledger`"):
        Ledger.open(url)


def test_a_file_that_is_no_database_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database, but it is long enough to look like a page" * 30)
    with pytest.raises(LedgerUnreachableError, match="does not open"):
        Ledger.open(str(path)).migrate()


def test_the_write_ahead_log_and_full_sync_are_on(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    with pytest.raises(OperationalError), ledger.read() as connection:
        connection.execute(text("SELECT * FROM nothing"))
