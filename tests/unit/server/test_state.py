"""One supervisor for one state folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vezha.server.errors import StateError
from vezha.server.state import StateFolder, StateLock


def test_the_folder_is_for_its_user_only(tmp_path: Path) -> None:
    state = StateFolder.at(tmp_path / "deep" / "state")
    state.make()
    state.make()
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert state.logs.is_dir()


def test_where_it_is_chosen() -> None:
    assert StateFolder.chosen("a", {"VEZHA_STATE": "b"}).path == Path.cwd() / "a"
    assert StateFolder.chosen(None, {"VEZHA_STATE": "/b"}).path == Path("/b")
    assert StateFolder.chosen(None, {}).path == Path.cwd() / "state"


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match="choose another with --state or VEZHA_STATE"):
        StateFolder.at(tmp_path / "state").make()


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    state = StateFolder.at(tmp_path)
    state.make()
    lock = StateLock(state)
    with pytest.raises(StateError, match=rf"already runs on .* \(process {os.getpid()}\)"):
        StateLock(state)
    lock.release()
    StateLock(state).release()
