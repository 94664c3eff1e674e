"""The desk over a real ledger: it follows transitions exactly once, whatever is killed when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, insert

from vezha.incidents.assign import assign_in
from vezha.incidents.errors import NoSuchIncident, OperatorError
from vezha.incidents.export import as_markdown
from vezha.incidents.loop import Desk
from vezha.incidents.oncall.rows import put_team
from vezha.incidents.oncall.team import Team
from vezha.incidents.silence import add_silence, end_silence, parse_matchers
from vezha.incidents.views import get_incident, get_members, get_timeline, list_incidents
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition
from vezha.world import World


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


def tell(
    connection: Connection,
    what: str,
    host: str,
    at_ms: int,
    name: str = "A",
    severity: str = "warning",
) -> None:
    connection.execute(
        insert(alert_transition).values(
            rule_key="r", fingerprint=f"{name}/{host}", group_name="g", alert_name=name, host=host,
            severity=severity, labels={"alertname": name, "instance": host},
            annotations={"vezha_checklist": "- [ ] look"}, event=what, from_state="inactive",
            to_state="firing", value=1.0, active_ms=at_ms, sampled_ms=at_ms, evaluated_ms=at_ms,
            written_ms=at_ms,
        )
    )  # fmt: skip


def test_an_incident_from_beginning_to_end(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", now_ms)
    assert desk.step() == 1
    assert desk.step() == 0
    desk.acknowledge(1, "alice", "on it")
    desk.note(1, "bob", "it is the raid again")
    with ledger.begin() as connection:
        tell(connection, "resolved", "db-1", now_ms + 5000)
    desk.step()
    with ledger.read() as connection:
        view = get_incident(connection, 1)
        timeline = get_timeline(connection, 1)
        text = as_markdown(view, timeline, get_members(connection, 1), lambda ms: f"{ms}")
    assert (view.state, view.acknowledged_by, view.hosts) == ("resolved", "alice", ["db-1"])
    assert [(e.kind, e.actor) for e in timeline] == [
        ("opened", "vezha"),
        ("acknowledged", "alice"),
        ("note", "bob"),
        ("resolved", "vezha"),
    ]
    assert "- [ ] look" in text
    assert "note by bob: it is the raid again" in text


def test_what_recovers_after_somebody_said_that_it_is_over_is_no_news_at_a_relapse(
    ledger: Ledger,
) -> None:
    """Two hosts fail; somebody resolves while they still do; both recover; one fails again."""
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", now_ms)
        tell(connection, "fired", "db-2", now_ms)
    desk.step()
    desk.resolve(1, "alice")
    clock.seconds += 10
    with ledger.begin() as connection:
        tell(connection, "resolved", "db-1", now_ms + 10_000)
        tell(connection, "resolved", "db-2", now_ms + 10_000)
    desk.step()
    with ledger.read() as connection:
        assert [m.state for m in get_members(connection, 1)] == ["resolved", "resolved"]
        kinds = [e.kind for e in get_timeline(connection, 1)]
        assert kinds[-1] == "resolved", "nobody waits for it any more: no line, no message"
    clock.seconds += 10
    with ledger.begin() as connection:
        tell(connection, "fired", "db-2", now_ms + 20_000)
    desk.step()
    with ledger.read() as connection:
        assert get_incident(connection, 1).state == "open"
        states = {m.host: m.state for m in get_members(connection, 1)}
        assert states == {"db-1": "resolved", "db-2": "firing"}
    with ledger.begin() as connection:
        tell(connection, "resolved", "db-2", now_ms + 25_000)
    desk.step()
    with ledger.read() as connection:
        assert get_incident(connection, 1).state == "resolved", "nothing is left that fails"


def test_people_get_one_sentence(ledger: Ledger) -> None:
    desk = Desk(ledger, World(clock=Clock()))
    with pytest.raises(NoSuchIncident, match="there is no incident 9"):
        desk.acknowledge(9, "alice")
    with pytest.raises(OperatorError, match="a note needs text"):
        desk.note(9, "alice", " ")


def test_silences_begin_and_end_without_new_alerts(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", now_ms)
    desk.step()
    with ledger.begin() as connection:
        made = add_silence(
            connection,
            parse_matchers("instance=db-1"),
            now_ms,
            now_ms + 60_000,
            "alice",
            "",
            now_ms,
        )
    assert desk.step() == 1
    with ledger.read() as connection:
        assert get_incident(connection, 1).silent_because == f"silence {made.id} by alice"
    with ledger.begin() as connection:
        assert end_silence(connection, made.id, "bob", now_ms + 1000)
    clock.seconds += 2
    assert desk.step() == 1
    with ledger.read() as connection:
        assert get_incident(connection, 1).silent_because == ""
        assert [e.kind for e in get_timeline(connection, 1)] == ["opened", "silenced", "unsilenced"]


def test_a_storm_is_one_incident(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        for i in range(5_000):
            tell(connection, "fired", f"h{i}", now_ms + i // 100, "HostSilent", "critical")
    desk.step()
    with ledger.read() as connection:
        (view,) = list_incidents(connection, True)
        assert view.title == "5,000 hosts: Host silent"
        kinds = [e.kind for e in get_timeline(connection, view.id)]
    assert kinds[0] == "opened"
    assert len(kinds) <= 5


class Killed(Exception):
    pass


@given(
    st.lists(
        st.tuples(st.sampled_from(["fired", "resolved", "lost"]), st.sampled_from("ab")),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 30), max_size=6),
)
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_killed_anywhere_the_outcome_is_the_same(
    tmp_path: Path, told: list[tuple[str, str]], kills: list[int]
) -> None:
    """The desk is killed after some number of statements, again and again, between transitions."""
    outcomes = []
    for crashes in ([], kills):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
        ledger = Ledger.open(str(path))
        ledger.migrate()
        clock = Clock()
        left = list(crashes)
        for i, (what, host) in enumerate(told):
            clock.seconds += 1
            with ledger.begin() as connection:
                tell(connection, what, host, int(clock.seconds * 1000) + i)
            if left:
                _step_killed(ledger, clock, left.pop())
            Desk(ledger, World(clock=clock)).step()
        with ledger.read() as connection:
            views = list_incidents(connection, False)
            outcomes.append(
                [
                    (v.state, v.title, [(e.kind, e.text) for e in get_timeline(connection, v.id)])
                    for v in views
                ]
            )
        ledger.close()
    assert outcomes[0] == outcomes[1]


def _step_killed(ledger: Ledger, clock: Clock, after: int) -> None:
    """A step that dies before its statement number *after* (or not at all)."""
    count = 0

    def die(*_args: object) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise Killed

    event.listen(ledger.engine, "before_cursor_execute", die)
    try:
        Desk(ledger, World(clock=clock)).step()
    except Killed:
        pass
    finally:
        event.remove(ledger.engine, "before_cursor_execute", die)


def test_words_and_why_it_is_silent_are_kept_in_ukrainian(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", now_ms)
        tell(connection, "fired", "db-1", now_ms, name="B")
        matchers = parse_matchers("instance=db-1")
        add_silence(connection, matchers, now_ms, now_ms + 60_000, "alice", "переїзд", now_ms)
    desk.step()
    with ledger.read() as connection:
        view = get_incident(connection, 1)
        assert view.title == "db-1: A and 1 more"
        assert view.words["uk"]["title"] == "db-1: A і ще 1"
        assert view.words["uk"]["silent_because"] == "тиша 1, alice: переїзд"
        assert {m.silent_because_uk for m in get_members(connection, 1)} == {
            "тиша 1, alice: переїзд"
        }
        silenced = [e for e in get_timeline(connection, 1) if e.kind == "silenced"]
        assert silenced[0].data["text_uk"] == "тиша 1, alice: переїзд"


def test_a_teams_silence_counts_for_its_incidents_alone(ledger: Ledger) -> None:
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    now_ms = int(clock.seconds * 1000)
    with ledger.begin() as connection:
        for team in ("web", "db"):
            matchers = parse_matchers(f'instance=~"{team}.*"')
            put_team(connection, Team(team, matchers), "alice", now_ms)
        tell(connection, "fired", "web-1", now_ms)
        tell(connection, "fired", "db-1", now_ms)
        matchers = parse_matchers('severity="warning"')
        add_silence(connection, matchers, now_ms, now_ms + 60_000, "alice", "", now_ms, team="web")
    desk.step()

    def silent() -> dict[str, str]:
        with ledger.read() as connection:
            return {v.team: v.silent_because for v in list_incidents(connection, True)}

    assert silent() == {"web": "silence 1 by alice", "db": ""}
    with ledger.begin() as connection:
        number = next(v.id for v in list_incidents(connection, True) if v.team == "db")
        assign_in(connection, number, "web", "alice", now_ms)
    desk.step()
    assert set(silent().values()) == {"silence 1 by alice"}, "given to the team, it is silent, too"
