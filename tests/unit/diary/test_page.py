"""From facts to sentences: each is true, each cites, in both languages."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.diary.entry import SECTIONS, sections_of, trend
from vezha.diary.facts import (
    ChangeFact,
    DeliveryFact,
    DueFact,
    HostFact,
    IncidentFact,
    LoadFact,
    RuleFact,
    TimesFact,
    WeekFacts,
    from_json,
    to_json,
)
from vezha.diary.render import as_html, as_markdown, as_text, page_of
from vezha.diary.week import week_named
from vezha.diary.words import LANGUAGES, TEMPLATES, counted, duration, share

WEEK = week_named("2026-W47")
DAY = 86_400_000


def facts(**given: Any) -> WeekFacts:
    over: dict[str, Any] = {"week": WEEK.name, "begin_ms": WEEK.begin_ms, "end_ms": WEEK.end_ms}
    return WeekFacts(**over, made_ms=given.pop("made_ms", WEEK.end_ms + DAY), **given)


def full() -> WeekFacts:
    at = WEEK.begin_ms + DAY
    return facts(
        hosts=40,
        hosts_with_incidents=3,
        hosts_new=["web-9"],
        changes=[
            ChangeFact(7, "Agent 1.2", "agent", "done", owner="olena", hosts=40, ended_ms=at),
            ChangeFact(8, "shop v3", "external", "done", "failed", ended_ms=at),
            ChangeFact(9, "Disk limits", "config", "held", reason="Load is off its model."),
        ],
        planned=[ChangeFact(10, "Agent 1.3", "agent", "planned", owner="taras")],
        incidents=[
            IncidentFact(
                12, "db-1: disk [full]*", "critical", "db", "open", 1, at, at + 800,
                alert_names=["DiskFull"], caused_by=8,
            ),
            IncidentFact(
                13, "web-1: silent", "warning", "web", "resolved", 1, at, at + 900, at + 60_000,
                at + 600_000, ["HostSilent"], suspected=7,
            ),
        ],
        rules=[RuleFact("NetworkErrors", 5, 0, [12, 13])],
        times=TimesFact(2, 0.85, 59.1, 600.0),
        times_before=TimesFact(5, 0.9, 300.0, None),
        delivery=DeliveryFact(2, 7200.0, 0.5, 900.0, 0.1),
        incomplete=[HostFact("web-3", 0.985)],
        completeness=0.985,
        loads=[LoadFact("db-1", "cpu", 0.2)],
        predictability=0.83,
        due=[
            DueFact("certificate", "https://example.org", "", 5 * 86_400.0),
            DueFact("disk", "/var", "db-1", 40 * 3600.0),
            DueFact("trust", "root", "", -5.0),
            DueFact("domain", "example.org", "", 9 * 86_400.0),
        ],
        freezes=["year's end"],
        checklists_done=3,
        rounds_done=1,
        unused_scenarios=["databases"],
        quarantined=["agent 1.1"],
        unknown=["samples"],
    )  # fmt: skip


def test_every_code_has_its_words_in_both_languages() -> None:
    assert TEMPLATES["en"].keys() == TEMPLATES["uk"].keys()
    for one in (full(), facts()):
        codes = {entry.code for section in sections_of(one) for entry in section.entries}
        assert codes <= TEMPLATES["en"].keys()


@pytest.mark.parametrize("one", [full(), facts(), facts(hosts=3)])
def test_each_sentence_cites_the_rows_that_it_was_made_from(one: WeekFacts) -> None:
    for section in sections_of(one):
        assert section.entries, section.name
        for entry in section.entries:
            assert entry.cites, entry
            assert all(re.fullmatch(r"[a-z]+:.+", cite) for cite in entry.cites)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_page_reads_well(language: str) -> None:
    page = page_of(full(), language)
    assert [part.name for part in page.parts] == list(SECTIONS)
    for text in [li.text for part in page.parts for li in part.lines]:
        assert "{" not in text, text
        assert "None" not in text, text
        assert not re.search(r" [.,;]|\.\.|  ", text), text
        assert text[-1] in ".", text


def test_what_a_person_would_check_by_hand() -> None:
    text = as_text(page_of(full(), "en")).replace("\u00a0", " ")
    assert "2 changes came to an end, 1 of them as meant." in text
    assert "“shop v3” (external) did not hold; blamed for incident 12." in text
    assert "“Disk limits” is held: Load is off its model." in text
    assert "37 of 40 hosts had no incident." in text
    assert "From detection to somebody taking it: 59 s (median, shorter than 5 min)." in text
    assert "/var on db-1 will be full in 1 d 16 h." in text
    assert "The signature “root” has expired" in text
    assert "Nobody acted on NetworkErrors (5 times)" in text
    assert "The data of 1 host is incomplete; the worst is web-3 with 98%." in text.replace(
        " %", "%"
    )


def test_an_empty_week_says_so() -> None:
    text = as_text(page_of(facts(), "en"))
    assert "Nothing was delivered, nothing broke, and nothing is due." in text
    assert "So far" not in text
    assert "not over" in as_text(page_of(facts(made_ms=WEEK.begin_ms + 5), "en"))


def test_titles_from_outside_are_text_and_never_markup() -> None:
    one = facts(
        incidents=[
            IncidentFact(1, "<script>x</script> [a](javascript:b)", "critical", "", "open", 1, 1, 1)
        ]
    )
    page = page_of(one, "en")
    assert "<script>" not in as_html(page, "https://vezha.example.org")
    assert html.escape("<script>") in as_html(page)
    assert "[a](" not in as_markdown(page)


def test_links_are_whole_addresses_where_the_server_knows_its_own() -> None:
    page = page_of(full(), "uk")
    assert "[change:7](https://v.example.org/change/7)" in as_markdown(
        page, "https://v.example.org"
    )
    assert 'href="https://v.example.org/incident/12"' in as_html(page, "https://v.example.org")
    assert "`change:7`" in as_markdown(page)


def test_facts_survive_the_ledger() -> None:
    one = full()
    assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(one)))) == one
    assert from_json({**to_json(facts()), "later_field": 1}) == facts()


@given(st.floats(0.0, 1.0))
def test_a_share_never_claims_more_than_there_is(ratio: float) -> None:
    assert (share(ratio) == "100\u00a0%") == (ratio == 1.0)


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(1, "changes", "1 зміна"), (3, "changes", "3 зміни"), (11, "changes", "11 змін"),
     (22, "hosts", "22 сервери"), (1_005, "hosts", "1 005 серверів")],
)  # fmt: skip
def test_ukrainian_counts(count: int, noun: str, said: str) -> None:
    assert counted(count, noun, "uk").replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.85, "0.8 s"),
        (59.6, "1 min"),
        (3_599.0, "59 min"),
        (125.0, "2 min 5 s"),
        (90_000.0, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds, "en").replace("\u00a0", " ") == said


def test_trends() -> None:
    assert [trend(10, None), trend(10, 10.5), trend(5, 10), trend(10, 5)] == [
        "new", "same", "shorter", "longer",
    ]  # fmt: skip
