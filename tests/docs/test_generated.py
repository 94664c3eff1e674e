"""The generated pages say what the code says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from tests.docs.generate import pages

from vezha.server.settings import SECTIONS, Settings


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_page_is_up_to_date(path: Path) -> None:
    assert path.exists(), f"{path.name} is missing: run `make docs`"
    assert path.read_text() == pages()[path], f"{path.name} is behind the code: run `make docs`"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_says_what_it_means(section: str) -> None:
    for field in fields(SECTIONS[section]):
        help_ = field.metadata.get("help", "")
        assert help_.endswith("."), f"{section}.{field.name} needs a sentence as its help"


def test_every_section_is_part_of_the_settings() -> None:
    assert {f.name for f in fields(Settings)} - {"state"} == set(SECTIONS)
