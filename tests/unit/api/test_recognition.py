"""Callers are known again without the ledger, and strangers at once when it changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.unit.api.conftest import Tower

from vezha.access import SYSTEM, Role
from vezha.access.token import list_tokens, revoke_token
from vezha.api.limits import RECOGNISED_MS
from vezha.ledger import Ledger


def _asked(tower: Tower) -> list[str]:
    """Texts of the statements about tokens and sessions that the ledger gets from now on."""
    texts: list[str] = []

    def note(_c: Any, _k: Any, text: str, *_: Any) -> None:
        if "api_token" in text or "session" in text:
            texts.append(text)

    event.listen(tower.services.ledger.engine, "before_cursor_execute", note)
    return texts


def test_the_next_request_of_a_known_caller_does_not_ask_the_ledger(tower: Tower) -> None:
    client = tower.client(Role.VIEWER)
    # the first notes the token's use, which changes the ledger; the second is remembered
    assert client.get("/api/v1/query?query=1").status_code == 200
    assert client.get("/api/v1/query?query=1").status_code == 200
    asked = _asked(tower)
    assert client.get("/api/v1/query?query=1").status_code == 200
    assert asked == []
    tower.clock.ahead_s += RECOGNISED_MS / 1000
    assert client.get("/api/v1/query?query=1").status_code == 200
    assert asked


def test_what_another_process_revokes_is_refused_at_once(tower: Tower) -> None:
    client = tower.client(Role.VIEWER)
    for _ in range(3):
        assert client.get("/api/v1/query?query=1").status_code == 200
    other = Ledger.open(tower.services.ledger.engine.url.render_as_string(hide_password=False))
    (token,) = list_tokens(other)
    revoke_token(other, SYSTEM, token.id, tower.services.now_ms())
    other.close()
    assert client.get("/api/v1/query?query=1").status_code == 401


def test_who_signs_out_is_a_stranger_with_the_next_request(tower: Tower) -> None:
    browser = tower.browser()
    for _ in range(3):
        assert browser.get("/api/v1/hosts").status_code == 200
    cookies = dict(browser.cookies)
    assert browser.delete("/api/v1/session").status_code == 204
    browser.cookies.update(cookies)
    assert browser.get("/api/v1/hosts").status_code == 401


def test_a_ledger_tells_of_changes_of_others_and_its_own(
    tmp_path: Path, prepared_ledger: Path
) -> None:
    shutil.copy(prepared_ledger, tmp_path / "ledger.db")
    ledger, other = (Ledger.open(str(tmp_path / "ledger.db")) for _ in range(2))
    first = ledger.version()
    assert first is not None
    assert ledger.version() == first
    for one in (ledger, other):
        with one.begin() as connection:
            connection.exec_driver_sql("UPDATE user SET created_ms = created_ms + 1")
        assert ledger.version() != first
        first = ledger.version()
    ledger.close()
    other.close()


@pytest.mark.parametrize("url", ["sqlite:///:memory:"])
def test_where_the_database_cannot_tell_nothing_is_remembered(url: str) -> None:
    assert Ledger.open(url).version() is None
