"""`vezha release`: from keys to what agents are offered, as a person does it."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from vezha.cli import app
from vezha.ledger import Ledger
from vezha.ledger.tables import audit, release

CONFIG = "[collectors.processes]\nenabled = true\n"
SPEC = """
interpreter = ["/bin/sh"]
timeout_s = 10
arguments = ["unit"]
[[parameters]]
name = "unit"
type = "text"
pattern = "[a-z]+"
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    (folder / "run").mkdir(parents=True)
    ledger = Ledger.open(str(folder / "ledger.db"))
    ledger.migrate()
    ledger.close()
    monkeypatch.setenv("VEZHA_STATE", str(folder))
    monkeypatch.setenv("VEZHA_SECRET_KEYS", "tower")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.toml").write_text(CONFIG)
    (tmp_path / "restart.sh").write_text('echo "$1"\n')
    (tmp_path / "spec.toml").write_text(SPEC)
    return folder


@pytest.fixture
def say(state: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command: (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = app.run(["release", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def rows(state: Path) -> list[Any]:
    ledger = Ledger.open(str(state / "ledger.db"))
    try:
        with ledger.read() as connection:
            return list(connection.execute(select(release).order_by(release.c.target)).all())
    finally:
        ledger.close()


def test_from_keys_to_what_is_offered(say: Any, state: Path, tmp_path: Path) -> None:
    code, out, err = say("keygen", "keys")
    assert (code, err) == (0, "")
    assert "Take them off this machine" in out
    for key in (tmp_path / "keys").iterdir():
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_bytes().startswith(b"-----BEGIN ENCRYPTED")
        assert key.read_text().splitlines()[1] not in out
    assert say("list")[1].startswith("Nothing is published")

    assert (
        say("build", "draft", "--config", "base.toml", "--name", "base", "--version", "1")[0] == 0
    )
    code, out, _ = say(
        "build",
        "draft",
        "--script",
        "restart.sh",
        "--version",
        "1",
        "--spec",
        "spec.toml",
        "--json",
    )
    assert json.loads(out)["custom"]["arguments"] == ["unit"]
    assert say("build", "draft")[0] == 0
    assert "is not signed" in say("publish", "draft")[2]
    assert say("sign", "draft", "--keys", "keys")[0] == 0
    code, out, _ = say("publish", "draft", "--json")
    published = {entry["target"]: entry for entry in json.loads(out)}
    assert code == 0
    assert "config/base/1/agent.toml" in published
    assert "script/restart/1/restart.sh" in published
    agent = next(e for t, e in published.items() if t.startswith("agent/vezha-agent/"))
    assert set(agent["custom"]) == {"build", "version", "launcher", "python"}

    assert [r.target for r in rows(state)] == sorted(published)
    assert say("verify", "--json")[0] == 0
    assert "restart.sh" in say("list")[1]
    # the same once more changes nothing
    assert say("publish", "draft")[1] == "Published; no artifact is new.\n"
    assert len(rows(state)) == 3
    ledger = Ledger.open(str(state / "ledger.db"))
    with ledger.read() as connection:
        told = connection.execute(select(audit.c.target).where(audit.c.action == "release.publish"))
        assert {row.target for row in told} == {"keys", *published}
    ledger.close()


def test_what_is_withdrawn_is_offered_no_more(say: Any, state: Path) -> None:
    say("keygen", "keys")
    say("build", "d", "--config", "base.toml", "--version", "1")
    say("sign", "d", "--keys", "keys")
    say("publish", "d")
    target = "config/base/1/agent.toml"
    assert say("sign", "back", "--keys", "keys", "--withdraw", target)[0] == 0
    assert say("publish", "back")[0] == 0
    assert say("list")[1].startswith("Nothing is published")
    assert rows(state) == []
    assert "cannot be withdrawn" in say("sign", "x", "--keys", "keys", "--withdraw", target)[2]


def test_what_was_tampered_with_shows(say: Any, state: Path) -> None:
    say("keygen", "keys")
    say("build", "d", "--config", "base.toml", "--version", "1")
    say("sign", "d", "--keys", "keys")
    say("publish", "d")
    file = next((state / "releases" / "targets").rglob("*agent.toml"))
    file.write_text(CONFIG.replace("true", "TRUE"))
    code, _, err = say("verify")
    assert code == 1
    assert err.startswith("wrong_hash: config/base/1/agent.toml")
    file.unlink()
    assert "missing" in say("verify")[2]


def test_keys_are_replaced_and_renewed(say: Any) -> None:
    say("keygen", "keys")
    say("build", "d", "--config", "base.toml", "--version", "1")
    say("sign", "d", "--keys", "keys")
    say("publish", "d")
    code, _, err = say("keygen", "new")
    assert code == 2
    assert "--rotate" in err
    assert say("keygen", "new", "--rotate", "keys")[0] == 0
    assert say("verify")[0] == 0
    say("build", "e", "--config", "base.toml", "--version", "2")
    assert "not one of the present" in say("sign", "e", "--keys", "keys")[2]
    assert say("sign", "e", "--keys", "new")[0] == 0
    assert say("publish", "e")[0] == 0
    assert say("renew", "--keys", "new")[0] == 0
    assert say("verify")[0] == 0
    code, out, _ = say("expire-soon", "--json")
    assert code == 0
    assert {entry["role"] for entry in json.loads(out)} == {
        "root", "targets", "snapshot", "timestamp",
    }  # fmt: skip
    code, out, _ = say("expire-soon", "--days", "400")
    assert code == 1
    assert "vezha release renew" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("build", "d", "--config", "base.toml"), "--version is missing"),
        (("build", "d", "--config", "none.toml", "--version", "1"), "cannot be read"),
        (("build", "d", "--config", "restart.sh", "--version", "1"), "the configuration"),
        (
            ("build", "d", "--script", "restart.sh", "--rules", "x", "--version", "1"),
            "one artifact",
        ),
        (("build", "d", "--agent", "base.toml"), "not an agent's file"),
        (("sign", "d"), "--keys is missing"),
    ],
)
def test_a_mistake_is_one_sentence(say: Any, words: tuple[str, ...], says: str) -> None:
    say("keygen", "keys")
    code, _, err = say(*words)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_a_wrong_pass_phrase(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    say("keygen", "keys")
    monkeypatch.setenv("VEZHA_SECRET_KEYS", "moat")
    assert "pass phrase is wrong" in say("sign", "d", "--keys", "keys")[2]
    monkeypatch.delenv("VEZHA_SECRET_KEYS")
    assert "is encrypted" in say("sign", "d", "--keys", "keys")[2]


def test_plain_keys_are_warned_of(say: Any, tmp_path: Path) -> None:
    code, _, err = say("keygen", "keys", "--plain")
    assert code == 0
    assert err.startswith("Warning: the keys are not encrypted.")
    assert b"ENCRYPTED" not in (tmp_path / "keys" / "root.key").read_bytes()
