"""The command itself: help, version, unknown nouns, errors of the operator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vezha import __version__
from vezha.access.errors import AccessError
from vezha.cli import app
from vezha.ledger.errors import LedgerError
from vezha.server.errors import StateError


def test_the_overview_lists_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 0
    told = capsys.readouterr().out
    assert "Usage: vezha NOUN" in told
    for noun in app.present_nouns():
        assert f"\n  {noun} " in told


def test_only_nouns_that_are_there_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.NOUNS, "nothing", "Is not there.")
    assert "nothing" not in app.present_nouns()
    assert app.run(["nothing"]) == app.EXIT_WRONG


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([flag]) == 0
    assert capsys.readouterr().out == f"vezha {__version__}\n"


def test_an_unknown_noun_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["serve"]) == app.EXIT_WRONG
    told = capsys.readouterr().err
    assert told.startswith("vezha: there is no command 'serve'; there are: up, server")


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["up", "--no-such-option"]) == app.EXIT_WRONG
    assert "--no-such-option" in capsys.readouterr().err


def test_the_operators_errors_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.toml").write_text("[wbe]\n")
    assert app.run(["up", "--state", str(tmp_path)]) == app.EXIT_WRONG
    told = capsys.readouterr().err
    assert told.startswith("vezha: [wbe] in ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StateError("x"), True),
        (LedgerError("x"), True),
        (AccessError("x"), True),
        (ValueError("x"), False),
        (AssertionError("x"), False),
    ],
)
def test_whose_error_it_is(error: Exception, expected: bool) -> None:
    assert app.is_for_operator(error) is expected


def test_our_own_errors_crash_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_args: list[str]) -> int:
        raise AssertionError("ours")

    monkeypatch.setattr(app, "_dispatch", crash)
    with pytest.raises(AssertionError):
        app.run(["up"])


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "_dispatch", interrupt)
    assert app.run(["up"]) == app.EXIT_INTERRUPTED


def test_a_reader_who_has_seen_enough_is_no_crash() -> None:
    text = (
        "import sys; from vezha.cli import app; from vezha.server import contour\n"
        "app.NOUNS.update({'x' * 70000: ''}); app._is_present = lambda noun: True\n"
        "sys.exit(app.run([]))"
    )
    done = subprocess.run(
        ["sh", "-c", '"$0" -P -c "$1" | head -c 1', sys.executable, text],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "V"
    assert "Traceback" not in done.stderr


def test_the_agent_is_found_without_the_servers_libraries() -> None:
    """`vezha --version` and the dispatcher must not pay for numpy and the like."""
    text = (
        "import sys; from vezha.cli import app; app.run(['--version'])\n"
        "print(sorted({'numpy', 'typer', 'structlog', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", text], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
