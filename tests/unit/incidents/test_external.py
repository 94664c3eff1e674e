"""Alerts from elsewhere: what each message means, whatever is repeated, late or lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from vezha.alerting.instances import fingerprint
from vezha.incidents import external
from vezha.incidents.external import BadAlert, Known, Sent, decide
from vezha.incidents.limits import EXTERNAL_KEPT_MS, EXTERNAL_RESOLVE_MS, EXTERNAL_SETTLE_MS
from vezha.incidents.loop import Desk
from vezha.incidents.views import get_members, list_incidents
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, external_alert
from vezha.model.labels import labels_of
from vezha.world import World

LABELS = {"alertname": "DiskFull", "instance": "db-1:9100", "severity": "critical"}
NOW = 1_700_000_000_000
MINUTE = 60_000


class Clock:
    def __init__(self) -> None:
        self.seconds = NOW / 1000

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


def sent(starts_ms: int | None = NOW, ends_ms: int | None = None, now_ms: int = NOW) -> Sent:
    return external.check(LABELS, {"summary": "full"}, starts_ms, ends_ms, "http://p/g", now_ms)


def tell(ledger: Ledger, *messages: Sent, now_ms: int = NOW, source: str = "prometheus") -> int:
    with ledger.begin() as connection:
        return external.take(connection, messages, source, now_ms)


def events(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(select(alert_transition.c.event)).scalars())


def test_an_alert_fires_once_and_resolves_once(ledger: Ledger) -> None:
    assert tell(ledger, sent(ends_ms=NOW + 4 * MINUTE), sent(ends_ms=NOW + 4 * MINUTE)) == 1
    later = NOW + MINUTE
    assert tell(ledger, sent(ends_ms=NOW + 5 * MINUTE), now_ms=later, source="other") == 0
    over = sent(ends_ms=later)
    assert tell(ledger, over, now_ms=later) == 1
    assert tell(ledger, over, over, now_ms=later) == 0
    assert events(ledger) == ["fired", "resolved"]
    with ledger.read() as connection:
        row = connection.execute(select(alert_transition)).first()
    assert row is not None
    assert (row.host, row.alert_name, row.severity) == ("db-1", "DiskFull", "critical")
    assert row.labels == {**LABELS, "source": "prometheus"}
    assert row.rule_key == external.RULE_KEY


def test_a_late_message_does_not_fire_again_but_a_relapse_and_a_replica_do() -> None:
    over = Known("resolved", NOW, NOW + MINUTE, NOW + 4 * MINUTE, False, NOW + MINUTE)
    at = NOW + MINUTE + 1_000
    assert decide(over, sent(ends_ms=NOW + 4 * MINUTE), at).event == ""
    assert decide(over, sent(ends_ms=NOW + 5 * MINUTE), at).event == ""
    relapse = sent(NOW + MINUTE + 500, NOW + 6 * MINUTE)
    assert decide(over, relapse, at).event == "fired"
    replica = sent(NOW, NOW + 7 * MINUTE)
    assert decide(over, replica, NOW + 3 * MINUTE).event == "fired"
    assert decide(over, sent(NOW, NOW + 4 * MINUTE), NOW + 3 * MINUTE).event == ""


def test_what_was_only_not_heard_of_fires_again_with_its_old_beginning() -> None:
    expired = Known("resolved", NOW, NOW + MINUTE, NOW + MINUTE, True, NOW + MINUTE)
    assert decide(expired, sent(ends_ms=NOW + 2 * MINUTE), NOW + MINUTE + 1).event == "fired"


def test_the_end_of_an_episode_before_does_not_end_this_one() -> None:
    firing = Known("firing", NOW, NOW + 4 * MINUTE, NOW + 4 * MINUTE, False, NOW)
    old = sent(NOW - 9 * MINUTE, NOW - 5 * MINUTE)
    assert decide(firing, old, NOW + 1).known is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 3)), max_size=30))
def test_events_alternate_and_repeating_a_message_changes_nothing(
    messages: list[tuple[int, int, int]],
) -> None:
    known, told, now_ms = None, [], NOW
    for starts, lasts, passed in messages:
        now_ms += passed * MINUTE
        begin = NOW + starts * MINUTE
        message = sent(begin, begin + lasts * MINUTE, now_ms)
        verdict = decide(known, message, now_ms)
        if verdict.event:
            told.append(verdict.event)
        known = verdict.known or known
        assert decide(known, message, now_ms).event == ""
    assert all(a != b for a, b in pairwise(told))
    assert not told or told[0] == "fired"


@pytest.mark.parametrize(
    ("labels", "starts", "ends", "said"),
    [
        ({}, None, None, "at least one label"),
        ({"a": ""}, None, None, "at least one label"),
        (LABELS, NOW, NOW - 1, "ends before it starts"),
        ({"a": "x" * 2_000}, None, None, "longer than"),
        ({f"l{i}": "x" for i in range(99)}, None, None, "more than 64"),
        ({"a": "\x00"}, None, None, "NUL"),
    ],
)
def test_what_cannot_be_taken_is_said(
    labels: dict[str, str], starts: int | None, ends: int | None, said: str
) -> None:
    with pytest.raises(BadAlert, match=said):
        external.check(labels, {}, starts, ends, "", NOW)


def test_what_a_message_leaves_out_is_filled_in() -> None:
    assert sent(None).starts_ms == NOW
    assert sent(None).ends_ms == NOW + EXTERNAL_RESOLVE_MS
    assert sent(None, NOW - MINUTE).starts_ms == NOW - MINUTE


def test_an_incident_of_ours_is_not_ended_by_an_alert_of_theirs(ledger: Ledger) -> None:
    ours = fingerprint(labels_of(LABELS))
    assert ours != sent().fingerprint
    clock = Clock()
    desk = Desk(ledger, World(clock=clock))
    with ledger.begin() as connection:
        connection.execute(
            insert(alert_transition).values(
                rule_key="0" * 32, fingerprint=ours, group_name="g", alert_name="DiskFull",
                host="db-1", severity="critical", labels=LABELS, annotations={}, event="fired",
                from_state="inactive", to_state="firing", active_ms=NOW, evaluated_ms=NOW,
                written_ms=NOW,
            )
        )  # fmt: skip
    tell(ledger, sent(ends_ms=NOW + MINUTE))
    desk.step()
    tell(ledger, sent(ends_ms=NOW + 1), now_ms=NOW + 1)
    desk.step()
    with ledger.read() as connection:
        (view,) = list_incidents(connection, only_open=True)
        states = {m.fingerprint: m.state for m in get_members(connection, view.id)}
    assert states == {ours: "firing", sent().fingerprint: "resolved"}


def test_no_word_ends_it_but_not_just_after_a_start(ledger: Ledger) -> None:
    tell(ledger, sent(ends_ms=NOW + MINUTE))
    clock = Clock()
    clock.sleep(MINUTE / 1000)
    desk = Desk(ledger, World(clock=clock))
    desk.step()
    assert events(ledger) == ["fired"]
    clock.sleep(EXTERNAL_SETTLE_MS / 1000)
    desk.step()
    desk.step()
    assert events(ledger) == ["fired", "expired"]
    with ledger.read() as connection:
        (view,) = list_incidents(connection, only_open=False)
    assert view.state == "resolved"
    clock.sleep(EXTERNAL_KEPT_MS / 1000 + 1)
    desk.step()
    with ledger.read() as connection:
        assert connection.execute(select(external_alert)).first() is None


def test_a_failed_batch_leaves_nothing_and_room_is_bounded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "EXTERNAL_FIRING_MAX", 1)
    more = [external.check({"alertname": n}, {}, None, None, "", NOW) for n in ("A", "B")]
    with pytest.raises(BadAlert, match="more than 1 alerts"):
        tell(ledger, *more)
    assert events(ledger) == []
    assert tell(ledger, more[0]) == 1
