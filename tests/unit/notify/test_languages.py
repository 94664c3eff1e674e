"""Whatever reaches a person is said in both languages: nothing is left out, or left in English."""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import vezha
from vezha.incidents.oncall.handover import Item, Page
from vezha.notify.handing_over import message_of_page
from vezha.notify.settings import Receiver

PACKS = Path(vezha.__file__).parent / "alerting" / "packs"
ROOMS = ("incidents", "notify", "diary", "forecast", "delivery", "scenario")
CYRILLIC = re.compile("[А-ЯҐЄІЇа-яґєії]")
TEMPLATE = re.compile(r"\{\{.*?\}\}")
SPOKEN = ("summary", "vezha_title", "vezha_next", "vezha_meaning")

COUNTED = {"vezha.diary.words.TEMPLATES"}
"""Filled in with counted words, whose forms each language names by itself."""


def dictionaries() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table of words in the rooms that speak to people: it has both `en` and `uk`."""
    for room in ROOMS:
        package = importlib.import_module(f"vezha.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"vezha.{room}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, dict) and "en" in value and "uk" in value:
                    yield f"{module.name}.{name}", value


TABLES = dict(dictionaries())


def holes(text: str) -> set[str]:
    """The names that a text is filled in with."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_there_are_tables_at_all() -> None:
    names = {name.rpartition(".")[0] for name in TABLES}
    assert {"vezha.notify.words", "vezha.forecast.unusual", "vezha.diary.words"} <= names


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_says_the_same_in_both_languages(name: str) -> None:
    english, ukrainian = TABLES[name]["en"], TABLES[name]["uk"]
    if not isinstance(english, dict):
        assert type(english) is type(ukrainian)
        return
    assert set(english) <= set(ukrainian)  # a term that is missing in English is its own word
    for key, text in english.items():
        if isinstance(text, str) and isinstance(ukrainian[key], str):
            if name not in COUNTED:
                assert holes(text) == holes(ukrainian[key]), key
            words = re.sub(r"\{[^}]*\}", "", text)
            if re.search("[a-z]{3}", words) and ukrainian[key] == text:
                pytest.fail(f"{key} is left in English: {text}")


@pytest.mark.parametrize("path", sorted(PACKS.glob("*.yml")), ids=lambda p: p.stem)
def test_built_in_rules_speak_both_languages(path: Path) -> None:
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            told = rule.get("annotations", {})
            for name in SPOKEN:
                if name not in told:
                    continue
                ukrainian = told.get(f"{name}_uk", "")
                where = f"{rule.get('alert')}: {name}_uk"
                assert CYRILLIC.search(ukrainian), f"{where} is missing or left in English"
                values = [set(re.findall(r"\$labels\.\w+|\$value", t))
                          for t in (told[name], ukrainian)]  # fmt: skip
                assert values[0] == values[1], f"{where} is filled in with other values"
                assert "," not in TEMPLATE.sub("", ukrainian)[-1:], where


def test_a_hand_over_is_ukrainian_to_who_reads_ukrainian() -> None:
    page = Page(
        "db", "olena", "", 1_700_000_000_000, 0,
        open=[Item("open", 7, "db-1: disk full", "critical", "open", title_uk="db-1: диск заповнений")],
        changed=[Item("change", 3, "web 2.1", state="reverted", by="ci")],
        fragile=[Item("flapping", 0, "db-1: DiskFull", "warning")],
    )  # fmt: skip
    message = message_of_page(page, Receiver("mail", "smtp", cast(Any, None), "uk"), "")
    text = "\n".join([message.title, message.summary, *message.lines])
    assert "db-1: диск заповнений" in text
    assert "disk full" not in text
    assert "web 2.1 · зміна · відкликана · ci" in text
    assert "ніхто" in message.title
    left = re.sub(r"db-1: DiskFull|web 2\.1|db-1|db|olena|ci", "", text)
    assert not re.search("[A-Za-z]{3}", left), left
    english = message_of_page(page, Receiver("mail", "smtp", cast(Any, None), "en"), "")
    assert "• #7 db-1: disk full · critical" in english.lines
