"""What scenario files may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.scenario.conftest import WALK

from vezha.alerting.ask import check_expression
from vezha.scenario.book import ScenarioBook
from vezha.scenario.errors import NoSuchScenario, ScenarioError
from vezha.scenario.file import Scenario, parse_scenario, scenario_of


def faults(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, check_expression)
    return "\n".join(caught.value.problems)


def test_a_scenario_is_read(walk: Scenario) -> None:
    assert (walk.name, walk.every_ms, len(walk.views)) == ("walk", 60_000, 3)
    assert [v.is_judged for v in walk.views] == [True, True, False]
    assert scenario_of(walk.document()).document() == walk.document()


def test_the_version_is_that_of_what_it_says(walk: Scenario) -> None:
    same = parse_scenario(WALK + "# a remark\n", check_expression)
    assert same.version == walk.version
    other = parse_scenario(WALK.replace("locked", "open"), check_expression)
    assert other.version != walk.version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not YAML"),
        ("- a", "begins with"),
        ("scenario: A B\ntitle: x\nviews: []", "small letters"),
        ("scenario: a\ntitle: x", "`views` is missing"),
        (WALK.replace("title: A walk", "title: 7"), "`title` must be text"),
        (WALK.replace("title: A walk", "titel: x"), "`titel` is not known"),
        (WALK.replace("at: /fleet\n", "at: https://elsewhere\n"), "view 1: `at` is an address"),
        (WALK.replace("at: /fleet\n", "at: //elsewhere\n"), "view 1: `at` is an address"),
        (WALK.replace("up == 0", "up =="), "view 1: `odd`: "),
        (WALK.replace("load > 0", "load[5m]"), "view 2: `expect`: "),
        (WALK.replace("1m", "1s"), "at least 60 s"),
        (WALK.replace("1m", "often"), "`every`: "),
        (WALK + "watch: 1\n", "`watch` is a number"),
        (WALK.replace("    odd: up == 0\n", "").replace("    expect: load > 0\n", ""), "cannot tick"),
    ],
)  # fmt: skip
def test_a_fault_is_said(text: str, said: str) -> None:
    assert said in faults(text)


def test_too_much_is_refused() -> None:
    assert "split it" in faults("#" * 70_000)
    many = WALK + "".join(f"  - {{title: v{i}, at: /fleet, look_for: x}}\n" for i in range(40))
    assert "more than 40 views" in faults(many)


def test_what_ships_is_good_and_speaks_both_languages() -> None:
    shelf = ScenarioBook().shelf()
    assert shelf.problems == {}
    assert set(shelf.scenarios) >= {"servers", "web", "databases", "rollouts", "hand-over"}
    for scenario in shelf.scenarios.values():
        assert scenario.builtin
        assert scenario.title_uk
        assert scenario.about_uk
        assert all(view.title_uk and view.look_for_uk for view in scenario.views)


def test_an_own_file_replaces_and_gives_back_a_built_in(tmp_path: Path) -> None:
    book = ScenarioBook(str(tmp_path / "scenarios"))
    own = WALK.replace("scenario: walk", "scenario: web")
    assert book.save(own).name == "web"
    assert not book.shelf().find("web").builtin
    (tmp_path / "scenarios" / "bad.yml").write_text("scenario: other\ntitle: x\n")
    shelf = book.shelf()
    assert list(shelf.problems) == ["bad.yml"]
    assert "servers" in shelf.scenarios
    assert book.remove("web")
    assert book.shelf().find("web").builtin
    assert not book.remove("web")
    with pytest.raises(NoSuchScenario):
        book.remove("../../settings")
