"""What is made at the first start, and left alone at the second."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from vezha.ledger import Ledger
from vezha.ledger.tables import user
from vezha.server.errors import SettingError
from vezha.server.preparation import prepare
from vezha.server.prepared import Prepared
from vezha.server.settings import Settings, TlsSettings
from vezha.server.state import StateFolder
from vezha.world import World


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = StateFolder.at(tmp_path)
    state.make()
    return Settings(state)


def change_password(settings: Settings) -> None:
    ledger = Ledger.open(settings.ledger_url)
    with ledger.begin() as connection:
        changed = {"must_change_password": False, "password_changed_ms": 1}
        connection.execute(update(user).values(**changed))
    ledger.engine.dispose()


def test_the_first_password_is_shown_until_it_was_changed(settings: Settings) -> None:
    first = prepare(settings, World())
    assert first.sign_in_name == "admin"
    assert len(first.sign_in_password) >= 12
    file = settings.state.path / "first-sign-in"
    assert file.stat().st_mode & 0o777 == 0o600
    assert prepare(settings, World()).sign_in_password == first.sign_in_password
    change_password(settings)
    assert prepare(settings, World()).sign_in_password == ""
    assert not file.exists()


def test_the_agent_of_this_machine_is_invited_until_it_is_known(settings: Settings) -> None:
    assert prepare(settings, World()).agent_token
    assert len(prepare(settings, World()).fingerprint) == 64


def test_an_identity_of_a_lost_ledger_is_invited_anew(settings: Settings) -> None:
    settings.state.agent.mkdir()
    (settings.state.agent / "identity.json").write_text(json.dumps({"agent_id": "gone"}))
    assert prepare(settings, World()).agent_token


def test_the_authority_stays(settings: Settings) -> None:
    prepare(settings, World())
    before = [Path(file).read_bytes() for file in settings.tls_files]
    prepare(settings, World())
    assert [Path(file).read_bytes() for file in settings.tls_files] == before


@pytest.mark.parametrize("tls", [TlsSettings(cert="x"), TlsSettings(key="x"), TlsSettings(ca="x")])
def test_half_a_certificate_is_refused(settings: Settings, tls: TlsSettings) -> None:
    with pytest.raises(SettingError, match=r"tls\.c"):
        prepare(replace(settings, tls=tls), World())


def test_it_travels_through_a_pipe() -> None:
    told = Prepared("admin", "secret", "token", False, "ff")
    assert Prepared.from_json(told.to_json()) == told
