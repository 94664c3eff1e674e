"""Databases for tests that run on both.

`VEZHA_TEST_POSTGRESQL` may name an empty database; else a server is started from Debian's
packages in a temporary folder, where they and psycopg are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import text

from vezha.ledger import Ledger


def _postgresql_binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    given = os.environ.get("VEZHA_TEST_POSTGRESQL")
    if given:
        yield given
        return
    binaries = _postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: set VEZHA_TEST_POSTGRESQL or install Debian's postgresql")
    # The server refuses to run as root; Debian's packages bring an account for it.
    account = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="vezha-pg-") as folder:
        if account is not None:
            shutil.chown(folder, account)

        def run(*words: str) -> None:
            subprocess.run(
                words, check=True, stdout=subprocess.DEVNULL, user=account, cwd=folder, timeout=60
            )

        data = f"{folder}/data"
        run(f"{binaries}/initdb", "-D", data, "-U", "vezha", "--auth=trust", "-N")
        control = (f"{binaries}/pg_ctl", "-D", data, "-w")
        options = f"-k {folder} -c listen_addresses=''"
        run(*control, "-o", options, "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql://vezha@/postgres?host={folder}"
        finally:
            run(*control, "-m", "fast", "stop")


def make_empty(ledger: Ledger) -> None:
    """Take away all that an earlier test left in a PostgreSQL database."""
    with ledger.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
