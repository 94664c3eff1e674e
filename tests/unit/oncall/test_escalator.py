"""Escalation over a real ledger: each step once, whatever is killed when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, update
from tests.unit.oncall.conftest import House

from vezha.incidents.oncall.escalation import Escalator
from vezha.incidents.oncall.handover import HandoverClerk, Page, current_page, list_handovers
from vezha.incidents.oncall.person import remove_contact
from vezha.incidents.oncall.rows import add_override
from vezha.incidents.views import EventView, get_incident, get_timeline
from vezha.ledger.tables import change, escalation, host, incident_alert
from vezha.notify import outbox
from vezha.world import World


def asked(house: House, id_: int = 1) -> list[tuple[int, list[str]]]:
    """Whom each step asked."""
    with house.ledger.read() as connection:
        lines = get_timeline(connection, id_)
    return [(e.data["step"], e.data["people"]) for e in lines if e.kind == "escalated"]


def test_a_team_has_its_incidents_and_its_policy(house: House) -> None:
    with house.ledger.begin() as connection:
        connection.execute(
            insert(host).values(name="db-1", labels={"role": "db"}, facts={}, created_ms=0)
        )
    house.tell("fired", "db-1")
    house.escalator.step()
    with house.ledger.read() as connection:
        assert get_incident(connection, 1).team == "db"
        row = connection.execute(select(escalation)).one()
    assert (row.policy, row.phase, row.step) == ("db", "paging", 1)
    assert asked(house) == [(1, ["olena"])]


def test_without_a_policy_nobody_is_asked(house: House) -> None:
    house.tell("fired", "web-1")
    assert house.escalator.step() == 0
    assert asked(house) == []


def test_two_escalators_take_a_step_once(house: House) -> None:
    house.tell("fired", "db-1", team="db")
    other = Escalator(house.ledger, house.world)
    house.escalator.step()
    other.step()
    assert asked(house) == [(1, ["olena"])]
    house.clock.seconds += 300
    assert [other.step(), house.escalator.step()] == [1, 0]
    assert asked(house) == [(1, ["olena"]), (2, ["boss"])]


def test_a_step_that_another_process_took_is_not_taken(house: House) -> None:
    """The claim is the revision: who saw an older one writes nothing."""
    house.tell("fired", "db-1", team="db")
    house.escalator.step()
    house.clock.seconds += 300
    real = house.escalator._one

    def late(connection, row, case, book, now_ms):  # type: ignore[no-untyped-def]
        connection.execute(update(escalation).values(revision=escalation.c.revision + 1))
        return real(connection, row, case, book, now_ms)

    house.escalator._one = late  # type: ignore[method-assign]
    assert house.escalator.step() == 0
    assert asked(house) == [(1, ["olena"])]


def test_rounds_end_and_say_so(house: House) -> None:
    house.tell("fired", "db-1", team="db")
    for _ in range(40):
        house.escalator.step()
        house.clock.seconds += 60
    assert [step for step, _ in asked(house)] == [1, 2, 1, 2]
    with house.ledger.read() as connection:
        kinds = [e.kind for e in get_timeline(connection, 1)]
    assert kinds.count("exhausted") == 1


def test_whoever_was_asked_last_has_time_to_answer(house: House) -> None:
    house.tell("fired", "db-1", team="db")
    while len(asked(house)) < 4:
        house.escalator.step()
        house.clock.seconds += 10
    last_s = house.clock.seconds - 10
    while not (told := [e for e in timeline(house) if e.kind == "exhausted"]):
        house.escalator.step()
        house.clock.seconds += 10
        assert house.clock.seconds < last_s + 3600
    assert told[0].at_ms / 1000 - last_s >= 300, "as long as the last step waits"


def timeline(house: House) -> list[EventView]:
    with house.ledger.read() as connection:
        return get_timeline(connection, 1)


def test_who_has_no_contact_is_named(house: House) -> None:
    with house.ledger.begin() as connection:
        remove_contact(connection, "olena", "mail")
    house.tell("fired", "db-1", team="db")
    house.escalator.step()
    with house.ledger.read() as connection:
        (line,) = [e for e in get_timeline(connection, 1) if e.kind == "escalated"]
    assert "olena has no contact" in line.text
    house.clock.seconds += 1
    house.escalator.step()
    assert asked(house)[1:] == [(2, ["boss"])]


class Killed(BaseException):
    """The process ends here."""


@given(
    kills=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), max_size=6),
    acknowledge_at=st.integers(0, 12),
)
@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_killed_anywhere_the_story_is_the_same(
    tmp_path: Path, kills: list[tuple[int, int]], acknowledge_at: int
) -> None:
    """Killed before any statement of any step: each step is taken once, in order."""
    stories = []
    for crashes in ([], kills):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        house = House(folder)
        house.tell("fired", "db-1", team="db")
        for minute in range(14):
            for when, statements in crashes:
                if when == minute:
                    _step_killed(house, statements)
            Escalator(house.ledger, house.world).step()
            if minute == acknowledge_at:
                house.desk.acknowledge(1, "olena")
            house.clock.seconds += 100
        with house.ledger.read() as connection:
            stories.append([(e.at_ms, e.kind, e.text) for e in get_timeline(connection, 1)])
        house.ledger.close()
    assert stories[0] == stories[1]


def _step_killed(house: House, after: int) -> None:
    count = 0

    def die(*_args: object) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise Killed

    event.listen(house.ledger.engine, "before_cursor_execute", die)
    try:
        Escalator(house.ledger, World(clock=house.clock)).step()
    except Killed:
        pass
    finally:
        event.remove(house.ledger.engine, "before_cursor_execute", die)


def test_a_hand_over_is_written_once_with_its_page(house: House) -> None:
    assert house.clerk.step() == 0
    house.tell("fired", "db-1", team="db")
    house.tell("fired", "db-9", "Other", team="db")
    house.tell("resolved", "db-9", "Other", team="db")
    house.tell("fired", "web-1", "Odd", "critical")
    house.desk.acknowledge(1, "olena")
    with house.ledger.begin() as connection:
        add_override(
            connection, "db", "petro", house.now_ms(), house.now_ms() + 3_600_000, "boss", "ill",
            house.now_ms(),
        )  # fmt: skip
    house.clock.seconds += 1
    assert house.clerk.step() == 1
    assert HandoverClerk(house.ledger, house.world).step() == 0
    with house.ledger.read() as connection:
        (row,) = list_handovers(connection, "db", 10)
        page = current_page(connection, "db", house.now_ms())
    assert (row.from_person, row.to_person) == ("olena", "petro")
    assert [i["title"] for i in row.page["open"]] == ["db-1: Disk full"]
    assert row.page["open"][0]["by"] == "olena"
    assert page.from_person == "petro"
    assert [i.id for i in page.open] == [1]


def test_who_stands_in_at_once_takes_over_from_somebody(house: House) -> None:
    """The schedule was made a moment ago: the clerk has not looked yet."""
    with house.ledger.begin() as connection:
        now_ms = house.now_ms()
        add_override(connection, "db", "petro", now_ms, now_ms + 3_600_000, "boss", "", now_ms)
    assert house.clerk.step() == 1
    with house.ledger.read() as connection:
        (row,) = list_handovers(connection, "db", 10)
    assert (row.from_person, row.to_person) == ("olena", "petro")


@pytest.mark.parametrize("language", ["en", "uk"])
def test_a_hand_over_reaches_both(house: House, language: str) -> None:
    house.clerk.step()
    house.tell("fired", "db-1", team="db")
    house.clock.seconds += 7 * 86_400
    assert house.clerk.step() == 1
    notifier = house.notifier(f'language = "{language}"\n' + house.settings.read_text())
    notifier.plan_news()
    notifier.plan_news()
    with house.ledger.read() as connection:
        rows = [r for r in outbox.list_messages(connection) if r.kind == "handover"]
    assert sorted(r.receiver for r in rows) == ["@olena/mail", "@petro/mail"]
    text = rows[0].payload["summary"]
    assert text.startswith({"en": "1 open, 0 silenced", "uk": "відкрито 1"}[language])
    assert any("#1 db-1: Disk full" in line for line in rows[0].payload["lines"])


def test_who_cannot_be_told_stands_in_the_timeline(house: House) -> None:
    """The contact is there, but the account behind it is gone from notify.toml."""
    house.tell("fired", "db-1", team="db")
    house.escalator.step()
    other = house.settings.read_text().replace("[receivers.mail]", "[receivers.post]")
    notifier = house.notifier(other)
    notifier.plan_news()
    notifier.plan_news()
    with house.ledger.read() as connection:
        lines = [e for e in get_timeline(connection, 1) if e.kind == "untold"]
    assert len(lines) == 1
    assert 'no receiver "mail"' in lines[0].text


def test_what_was_changed_is_handed_over(house: House) -> None:
    with house.ledger.begin() as connection:
        connection.execute(
            insert(change).values(
                kind="external", state="done", title="web 1.2", target="", sha256="", why="",
                owner="petro", checklist="", risk="low", selector="", gates=[], waves=[],
                policy={}, params={}, reason="", source="ci", external_key="7", links=[],
                labels={}, hosts=["web-1"], outcome="success", began_ms=house.now_ms(),
                ended_ms=house.now_ms(), created_ms=house.now_ms(), created_by="ci",
                updated_ms=house.now_ms(), revision=1,
            )
        )  # fmt: skip
        page = current_page(connection, "db", house.now_ms())
    assert [(i.kind, i.title, i.state) for i in page.changed] == [("change", "web 1.2", "success")]


def test_a_hand_over_page_has_ukrainian_words(house: House) -> None:
    house.clerk.step()
    house.tell("fired", "db-1", team="db")
    words = {"vezha_title": "disk full", "vezha_title_uk": "диск заповнений",
             "vezha_next": "Free room.", "vezha_next_uk": "Звільніть місце."}  # fmt: skip
    with house.ledger.begin() as connection:
        connection.execute(update(incident_alert).values(annotations=words))
        page = current_page(connection, "db", house.now_ms())
    (item,) = page.open
    assert (item.titled("uk"), item.advised("uk")) == ("db-1: диск заповнений", "Звільніть місце.")
    assert item.titled("en") == item.title
    kept = Page.from_json(json.loads(json.dumps(page.to_json())))
    assert kept.open[0].titled("uk") == "db-1: диск заповнений"
