"""What people do with incidents: put off, merge, split, undo; nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.unit.incidents.test_desk import Clock, tell

from vezha.incidents.assign import assign_in
from vezha.incidents.errors import OperatorError, WrongState
from vezha.incidents.loop import Desk, act_in
from vezha.incidents.merge import merge_in, split_in
from vezha.incidents.rows import read_case
from vezha.incidents.snooze import snooze_in
from vezha.incidents.state import Act, State, table_as_markdown
from vezha.incidents.undo import UNDO, undo_in
from vezha.incidents.views import get_incident, get_timeline, list_incidents
from vezha.ledger import Ledger
from vezha.ledger.tables import incident, incident_alert
from vezha.world import World

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "incidents.md"


class Room:
    """A desk over a ledger, and short words for what happens."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.clock = Clock()
        self.desk = Desk(self.ledger, World(clock=self.clock))

    @property
    def now_ms(self) -> int:
        return int(self.clock.seconds * 1000)

    def alert(self, what: str, host: str, name: str = "A", severity: str = "warning") -> None:
        self.clock.seconds += 1
        with self.ledger.begin() as connection:
            tell(connection, what, host, self.now_ms, name, severity)
        self.desk.step()

    def apart(self, *alerts: tuple[str, str]) -> None:
        """Alerts so far apart in time that each is an incident."""
        for host, name in alerts:
            self.alert("fired", host, name)
            self.clock.seconds += 3600

    def merge(self, into: int, *others: int) -> None:
        with self.ledger.begin() as connection:
            merge_in(connection, into, others, "alice", "", self.now_ms)

    def split(self, id_: int, *fingerprints: str) -> int:
        with self.ledger.begin() as connection:
            return split_in(connection, id_, fingerprints, "alice", "", self.now_ms)[1].id

    def act(self, id_: int, act: Act) -> None:
        with self.ledger.begin() as connection:
            act_in(connection, id_, act, "alice", "", self.now_ms)

    def undo(self, id_: int, kind: str) -> None:
        with self.ledger.begin() as connection:
            line = [e for e in get_timeline(connection, id_) if e.kind == kind][-1]
            undo_in(connection, id_, line.id, "alice", self.now_ms)

    def states(self) -> dict[int, str]:
        with self.ledger.read() as connection:
            rows = connection.execute(select(incident.c.id, incident.c.state))
            return {row.id: row.state for row in rows}

    def alerts(self) -> dict[int, set[str]]:
        out: dict[int, set[str]] = {}
        with self.ledger.read() as connection:
            for row in connection.execute(select(incident_alert)):
                out.setdefault(row.incident_id, set()).add(row.fingerprint)
        return out

    def kinds(self, id_: int) -> list[str]:
        with self.ledger.read() as connection:
            return [e.kind for e in get_timeline(connection, id_)]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_the_documentation_has_the_tables() -> None:
    text = REFERENCE.read_text()
    assert table_as_markdown() in text
    assert all(f"`{kind}`" in text for kind in UNDO)


def test_snoozed_asks_again_when_the_time_is_over(room: Room) -> None:
    room.alert("fired", "a")
    with room.ledger.begin() as connection:
        snooze_in(connection, 1, 600_000, "alice", "later", room.now_ms)
    room.clock.seconds += 599
    assert room.desk.step() == 0
    assert room.states() == {1: "snoozed"}
    room.clock.seconds += 1
    assert room.desk.step() == 1
    assert room.desk.step() == 0
    assert room.states() == {1: "open"}
    assert room.kinds(1) == ["opened", "snoozed", "woke"]
    with room.ledger.read() as connection:
        view = get_incident(connection, 1)
    assert (view.snoozed_until_ms, view.seen_by) == (None, "alice")


def test_what_gets_worse_does_not_wait_and_what_recovers_is_over(room: Room) -> None:
    room.alert("fired", "a")
    room.desk.snooze(1, "alice", 600_000)
    room.alert("fired", "a", "B", "critical")
    assert room.states() == {1: "open"}
    room.desk.snooze(1, "alice", 600_000)
    room.alert("resolved", "a", "B", "critical")
    room.alert("resolved", "a")
    assert room.states() == {1: "resolved"}
    room.clock.seconds += 1000
    assert room.desk.step() == 0


@pytest.mark.parametrize("for_ms", [0, -5, 59_999, 8 * 86_400_000])
def test_a_snooze_has_bounds(room: Room, for_ms: int) -> None:
    room.alert("fired", "a")
    with pytest.raises(OperatorError, match="1 minute to 7 days"):
        room.desk.snooze(1, "alice", for_ms)


def test_mitigated_is_said_or_seen_and_gone_when_it_gets_worse(room: Room) -> None:
    room.alert("fired", "a", "B", "critical")
    room.alert("fired", "a")
    room.alert("resolved", "a", "B", "critical")
    with room.ledger.read() as connection:
        view = get_incident(connection, 1)
    assert (view.mitigated_ms, view.mitigated_by) == (room.now_ms, "vezha")
    room.undo(1, "eased")
    room.clock.seconds += 5
    room.act(1, Act.MITIGATE)
    with room.ledger.read() as connection:
        view = get_incident(connection, 1)
    assert (view.state, view.mitigated_ms, view.mitigated_by) == (
        "acknowledged", room.now_ms, "alice",
    )  # fmt: skip
    room.alert("fired", "a", "B", "critical")
    with room.ledger.read() as connection:
        assert get_incident(connection, 1).mitigated_ms is None


def test_merged_alerts_move_and_go_on_in_the_other_incident(room: Room) -> None:
    room.apart(("a", "A"), ("b", "B"))
    room.merge(1, 2)
    assert room.states() == {1: "open", 2: "merged"}
    assert room.alerts() == {1: {"A/a", "B/b"}}
    with room.ledger.read() as connection:
        assert [v.id for v in list_incidents(connection, False)] == [1]
        assert get_incident(connection, 2).merged_into == 1
        assert get_incident(connection, 2).title == "b: B"
    room.alert("resolved", "a", "A")
    assert room.states()[1] == "open"
    room.alert("resolved", "b", "B")
    assert room.states() == {1: "resolved", 2: "merged"}
    room.alert("fired", "b", "B")
    assert room.states() == {1: "open", 2: "merged"}


def test_a_merge_is_undone_from_either_side(room: Room) -> None:
    room.apart(("a", "A"), ("b", "B"))
    room.desk.acknowledge(2, "bob")
    for id_, kind in ((1, "merged"), (2, "merged_into")):
        room.merge(1, 2)
        room.undo(id_, kind)
        assert room.states() == {1: "open", 2: "acknowledged"}
        assert room.alerts() == {1: {"A/a"}, 2: {"B/b"}}
    with pytest.raises(WrongState, match="undone already"):
        room.undo(2, "merged_into")
    with pytest.raises(WrongState, match="not part of incident 1 any more"):
        room.undo(1, "merged")


def test_a_merge_is_refused_where_it_makes_no_sense(room: Room) -> None:
    room.apart(("a", "A"), ("b", "B"), ("c", "C"))
    with pytest.raises(OperatorError, match="into itself"):
        room.merge(1, 1)
    with pytest.raises(OperatorError, match="there is no incident 9"):
        room.merge(1, 9)
    room.merge(1, 2)
    with pytest.raises(WrongState, match="part of incident 1"):
        room.merge(2, 3)
    with pytest.raises(WrongState, match="merged already"):
        room.merge(3, 2)
    assert room.alerts() == {1: {"A/a", "B/b"}, 3: {"C/c"}}


def test_a_worse_incident_that_is_merged_in_asks_again(room: Room) -> None:
    room.alert("fired", "a", "A")
    room.clock.seconds += 3600
    room.alert("fired", "b", "B", "critical")
    room.desk.acknowledge(1, "bob")
    room.merge(1, 2)
    assert room.states()[1] == "open"
    assert room.kinds(1)[-2:] == ["merged", "worse"]


def test_split_alerts_stay_apart(room: Room) -> None:
    for host in "abc":
        room.alert("fired", host)
    assert room.states() == {1: "open"}
    made = room.split(1, "A/b")
    assert room.alerts() == {1: {"A/a", "A/c"}, made: {"A/b"}}
    room.alert("resolved", "b")
    assert room.states() == {1: "open", made: "resolved"}
    room.alert("fired", "b")
    assert room.states() == {1: "open", made: "open"}
    room.undo(1, "split_off")
    assert room.alerts() == {1: {"A/a", "A/b", "A/c"}}
    assert room.states() == {1: "open", made: "merged"}


def test_not_everything_is_split_off(room: Room) -> None:
    room.alert("fired", "a")
    with pytest.raises(OperatorError, match="nothing would be left"):
        room.split(1, "A/a")
    with pytest.raises(OperatorError, match="none of these"):
        room.split(1, "ghost")


def test_an_alert_that_was_put_here_can_be_put_out(room: Room) -> None:
    room.alert("fired", "a")
    room.alert("fired", "b")
    room.undo(1, "joined")
    assert room.alerts() == {1: {"A/a"}, 2: {"A/b"}}


def test_a_relapse_that_was_none(room: Room) -> None:
    room.alert("fired", "a")
    room.alert("resolved", "a")
    room.alert("fired", "a")
    assert room.states() == {1: "open"}
    room.undo(1, "reopened")
    assert room.states() == {1: "resolved", 2: "open"}
    room.alert("resolved", "a")
    assert room.states() == {1: "resolved", 2: "resolved"}


def test_every_automatic_change_of_state_can_be_undone(room: Room) -> None:
    room.alert("fired", "a")
    room.alert("resolved", "a")
    room.undo(1, "resolved")
    assert room.states() == {1: "open"}
    room.act(1, Act.ACKNOWLEDGE)
    room.undo(1, "acknowledged")
    assert room.states() == {1: "open"}
    room.undo(1, "unacknowledged")
    assert room.states() == {1: "acknowledged"}
    room.undo(1, "opened")
    assert room.states() == {1: "resolved"}
    with room.ledger.begin() as connection:
        assign_in(connection, 1, "db", "alice", room.now_ms)
    room.undo(1, "assigned")
    with room.ledger.read() as connection:
        assert read_case(connection, 1).team == ""


def test_facts_are_not_undone(room: Room) -> None:
    room.alert("fired", "a")
    room.alert("lost", "a")
    with pytest.raises(OperatorError, match="nothing to undo"):
        room.undo(1, "lost")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("fired"), st.integers(0, 3)),
            st.tuples(st.just("resolved"), st.integers(0, 3)),
            st.tuples(st.just("merge"), st.integers(1, 5), st.integers(1, 5)),
            st.tuples(st.just("split"), st.integers(1, 5), st.integers(0, 3)),
            st.tuples(st.just("undo"), st.integers(1, 5), st.integers(0, 9)),
            st.tuples(st.just("snooze"), st.integers(1, 5)),
        ),
        min_size=2,
        max_size=14,
    )
)
@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_people_do_no_firing_alert_is_without_an_open_incident(
    tmp_path: Path, steps: list[tuple[str, int] | tuple[str, int, int]]
) -> None:
    """And none is open in two; merged incidents have no alerts."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    room = Room(folder)
    firing: set[str] = set()
    closed_by_hand = False
    for what, first, *rest in steps:
        try:
            if what in ("fired", "resolved"):
                room.clock.seconds += 700
                room.alert(what, f"h{first}", f"K{first}")
                (firing.add if what == "fired" else firing.discard)(f"K{first}/h{first}")
            elif what == "merge":
                room.merge(first, *rest)
            elif what == "split":
                room.split(first, f"K{rest[0]}/h{rest[0]}")
            elif what == "undo":
                with room.ledger.begin() as connection:
                    lines = get_timeline(connection, first)
                    if lines:
                        line = lines[rest[0] % len(lines)]
                        undo_in(connection, first, line.id, "alice", room.now_ms)
                        closed_by_hand |= line.kind in ("opened", "reopened")
            else:
                room.desk.snooze(first, "alice", 600_000)
        except OperatorError:
            continue
    states = room.states()
    alerts = room.alerts()
    assert not [i for i, state in states.items() if state == "merged" and alerts.get(i)]
    with room.ledger.read() as connection:
        rows = connection.execute(
            select(incident_alert.c.fingerprint).where(incident_alert.c.state == "firing")
        ).scalars()
        held = list(rows)
    assert set(held) >= firing
    if not closed_by_hand:
        for fingerprint in firing:
            homes = [i for i, has in alerts.items() if fingerprint in has and states[i] in
                     ("open", "acknowledged", "snoozed")]  # fmt: skip
            assert len(homes) >= 1, (fingerprint, states, alerts)
    room.ledger.close()
    assert State.MERGED.is_over
