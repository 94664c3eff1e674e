"""Links resolve, and the commands that the pages tell to type exist."""

from __future__ import annotations

import importlib
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from vezha.cli.app import present_nouns

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
BLOCK = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as the usual viewers make them."""
    found = set()
    for heading in HEADING.findall(path.read_text()):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower())
        found.add(re.sub(r"\s", "-", plain.strip()))
    return found


def commands(path: Path) -> list[str]:
    """The commands in a page's `sh` blocks, continued lines joined."""
    lines = [
        line.strip().removeprefix("$ ").removeprefix("sudo ")
        for block in BLOCK.findall(path.read_text())
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for match in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        target = match[0] or match[1]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(page):
        words = command.split()
        if words[0].startswith("script/"):
            assert (ROOT / words[0]).exists(), command
        elif words[0] == "make":
            assert words[1] in targets, command
        elif words[0].endswith("vezha"):
            assert_vezha_has(words[1:], command)


def assert_vezha_has(words: list[str], command: str) -> None:
    """The noun, the verb and the options of a `vezha` command are there."""
    if not words or words[0] in ("--version", "--help", "NOUN"):
        return
    assert words[0] in present_nouns(), command
    node: Any = get_command(importlib.import_module(f"vezha.cli.{words[0]}").app)
    for before, word in pairwise(words):
        # `vezha diary --week 2026-W47`: a noun without a verb may have options with values
        is_value = before.startswith("--") and getattr(node, "invoke_without_command", False)
        if hasattr(node, "commands") and not word.startswith("-") and not is_value:
            assert word in node.commands, command
            node = node.commands[word]
    known = {option for p in node.params for option in (*p.opts, *p.secondary_opts)}
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in known | {"--help"}, command


def test_the_readme_names_the_two_commands() -> None:
    told = commands(ROOT / "README.md")
    assert "script/server" in told
    assert "script/test" in told


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for match in LINK.findall(page.read_text()):
            target = (match[0] or match[1]).partition("#")[0]
            there = (page.parent / target).resolve()
            # A link to a folder shows its list of pages.
            waiting += there.glob("*.md") if there.is_dir() and target else []
            waiting += [there] if target.endswith(".md") and there.exists() else []
    lost = {name(p) for p in PAGES} - {name(p) for p in reached}
    assert not lost, "link them from docs/index.md"
