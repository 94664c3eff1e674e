"""What a rollout says is said in Ukrainian, too: each sentence is made by the code that makes it."""

from __future__ import annotations

import re

import pytest

from vezha.delivery.decide import ALL_BACK, control_plane_fault
from vezha.delivery.pace import pace
from vezha.delivery.rollout_words import rollout_said
from vezha.gateway.strain import REASONS

CYRILLIC = re.compile(r"[а-яіїєґ]", re.IGNORECASE)
ENGLISH = re.compile(r"\b(the|is|are|of|and|it|by|hosts?|gate|wave|plan)\b")


def fault(**given: object) -> str:
    usual = {
        "untouched": 10, "untouched_silent": 0, "share": 0.2, "least": 2, "settling": False,
        "strain": "",
    }  # fmt: skip
    return control_plane_fault(**usual | given)  # type: ignore[arg-type]


SENTENCES = [
    "wave canary begins",
    "all hosts of wave canary are through; it is watched",
    "wave canary held its ground",
    "nothing keeps it any more",
    "3 hosts run it",
    "plan 1: 13 hosts, 0 left out",
    "plan 1: 1 host, 0 left out",
    "rollout 2 of plan 1",
    "told again to go back: web-1, web-2 and 4 more",
    "gate failed-calls: 0.0299728 is not < 0.02 for app-kyiv-03",
    "gate proof: 2 of 5 hosts did not prove it: web-1 (crashed), web-2 (cpu)",
    "gate shop: shop: the outside has not answered yet",
    "taken back by olena",
    "taken back",
    "paused by olena",
    "ended by olena; hosts that have it keep it",
    "olena rejected the plan",
    "1 of 2 people other than olena (operator or above) approved the plan",
    fault(settling=True),
    fault(untouched_silent=5),
    *REASONS.values(),
    "60 of 100 hosts are silent at once: the network or the server is at fault",
    "did not take it 3 times each, for what is not the version's fault: h1 (no_space) and 2 more;"
    " resume it to try again, or take it back",
    "freeze 3 (friday) keeps changes out until 2026-11-30 06:00 Europe/Kyiv",
    "freeze 3 keeps changes out",
    "it changes only in maintenance 4 (nights), which opens 2026-11-30 02:00 Europe/Kyiv",
    pace(0.0, None, 0.5).sentence,
    pace(None, 0.1, 0.5).sentence,
    ALL_BACK,
    f"{ALL_BACK}; a newer rollout has 2 of them",
    f"gate proof: no host has proven it; {ALL_BACK}",
    f"taken back by olena; {ALL_BACK}",
    "what ran has ended; nothing is left to take back",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_said_in_ukrainian(sentence: str) -> None:
    said = rollout_said(sentence, "uk")
    assert CYRILLIC.search(said)
    assert not ENGLISH.search(said)
    assert rollout_said(sentence, "en") == sentence
    for figure in re.findall(r"\d[\d.:-]*\d|\d", sentence):
        assert figure in said, figure


def test_what_is_not_known_stays() -> None:
    assert rollout_said("the outside has its own words", "uk") == "the outside has its own words"
    assert rollout_said("gate web: the outside has its own words", "uk") == (
        "ворота web: the outside has its own words"
    )


def test_an_example_whole() -> None:
    said = rollout_said(f"gate proof: 6 of 7 hosts run it; {ALL_BACK}", "uk")
    assert said == (
        "ворота proof: 6 з 7 серверів працюють із цим; усі наявні сервери працюють на тому, що мали до цього"
    )
