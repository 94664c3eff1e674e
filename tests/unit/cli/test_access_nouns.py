"""`vezha user`, `token`, `audit`, `fleet` on a state folder's ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vezha.access import enrol_agent
from vezha.access.token import recognise_token
from vezha.cli import app
from vezha.ledger import Ledger


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    (folder / "run").mkdir(parents=True)
    ledger = Ledger.open(str(folder / "ledger.db"))
    ledger.migrate()
    ledger.close()
    monkeypatch.setenv("VEZHA_STATE", str(folder))
    return folder


@pytest.fixture
def say(state: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command: (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = app.run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_person_is_added_changed_and_removed(say: Any) -> None:
    assert say("user", "add", "root", "--role", "admin")[0] == 0
    code, out, _ = say("user", "add", "olena", "--role", "operator", "--json")
    made = json.loads(out)
    assert (code, made["role"], len(made["one_time_password"])) == (0, "operator", 19)
    assert say("user", "role", "olena", "viewer")[0] == 0
    assert say("user", "disable", "olena")[0] == 0
    people = {p["name"]: p for p in json.loads(say("user", "list", "--json")[1])}
    assert (people["olena"]["role"], people["olena"]["disabled"]) == ("viewer", True)
    assert say("user", "enable", "olena")[0] == 0
    assert "one-time password" in say("user", "list")[1]
    assert say("user", "remove", "olena")[0] == 0
    assert "olena" not in say("user", "list")[1]


def test_a_mistake_is_one_sentence_and_exit_code_two(say: Any) -> None:
    say("user", "add", "root", "--role", "admin")
    for words in (
        ("user", "add", "root"), ("user", "remove", "nobody"), ("user", "disable", "root"),
        ("token", "revoke", "x"), ("token", "create", "t", "--lifetime", "soon"),
        ("fleet", "remove", "nobody", "--yes"), ("fleet", "label", "nobody", "a=b"),
        ("fleet", "add", "--label", "job=x"), ("fleet", "add", "--label", "x"),
        ("user", "list", "--state", "/nowhere/at/all"),
    ):  # fmt: skip
        code, _, err = say(*words)
        assert code == 2, words
        assert "Traceback" not in err
        assert err.strip(), words


def test_a_token_alone_is_on_standard_output(say: Any, state: Path) -> None:
    code, out, _ = say("token", "create", "ci", "--role", "operator", "--lifetime", "90d")
    assert code == 0
    ledger = Ledger.open(str(state / "ledger.db"))
    try:
        subject = recognise_token(ledger, out.strip(), "", 0)
        assert subject is not None
        assert subject.name == "ci"
        assert out.strip() not in say("token", "list", "--json")[1]
        assert say("token", "revoke", "ci")[0] == 0
        assert recognise_token(ledger, out.strip(), "", 0) is None
    finally:
        ledger.close()
    assert "No API tokens" in say("token", "list")[1]


def test_a_host_is_invited_labelled_and_removed(say: Any, state: Path) -> None:
    assert "fleet add" in say("fleet", "list")[1]
    code, out, _ = say("fleet", "add", "--label", "site=lviv", "--json")
    made = json.loads(out)
    assert code == 0
    assert made["token"] in made["command"]
    ledger = Ledger.open(str(state / "ledger.db"))
    enrol_agent(ledger, made["token"], "db-1", {"os": "Debian [12]"}, 1)
    ledger.close()
    assert say("fleet", "label", "db-1", "role=db")[0] == 0
    shown = say("fleet", "list")[1]
    assert "role=db site=lviv" in shown
    assert "Debian [12]" in shown
    assert say("fleet", "remove", "db-1", "--yes")[0] == 0
    assert json.loads(say("fleet", "list", "--json")[1]) == []


def test_the_audit_names_the_person_at_the_command_line(say: Any, state: Path) -> None:
    say("user", "add", "root", "--role", "admin")
    rows = json.loads(say("audit", "list", "--json")[1])
    assert [r["action"] for r in rows] == ["user.add"]
    assert "command line" in rows[0]["actor"]
    assert "root" in say("audit", "list")[1]
    assert say("audit", "verify")[:2] == (0, "1 rows, the chain is whole\n")
    ledger = Ledger.open(str(state / "ledger.db"))
    with ledger.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'somebody else'")
    ledger.close()
    code, out, _ = say("audit", "verify", "--json")
    assert (code, json.loads(out)["broken_at"]) == (1, 1)
