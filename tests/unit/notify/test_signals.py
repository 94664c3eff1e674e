"""Alarm rates and the use of signals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from vezha.access import SYSTEM, Role
from vezha.access.token import create_token
from vezha.api import incidents, signals
from vezha.api.app import make_app
from vezha.api.services import Services
from vezha.incidents.usage import Handled, score_of, summarise, unused
from vezha.ledger import Ledger
from vezha.ledger.tables import (
    alert_state,
    alert_transition,
    incident,
    incident_alert,
    incident_event,
    message,
)
from vezha.notify.alarm_rate import chattering, load_word, receiver_rate
from vezha.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

MINUTE, HOUR = 60_000, 3_600_000


def test_rings_are_counted_in_ten_minutes_back_from_now() -> None:
    now = 10 * HOUR
    rings = [now - 1, now - 9 * MINUTE, *[now - 25 * MINUTE] * 12]
    rate = receiver_rate("a", np.array(rings, np.int64), now - HOUR, now)
    assert (rate.rings, rate.last_10m, rate.peak) == (14, 2, 12)
    assert (rate.average, rate.flood_share) == (2.3333, 0.1667)
    assert rate.load == "likely over-demanding"
    quiet = receiver_rate("a", np.array([], np.int64), now - HOUR, now)
    assert (quiet.average, quiet.peak, quiet.load) == (0.0, 0, "very likely acceptable")
    assert load_word(50) == "very likely unacceptable"


def test_chattering_is_three_firings_within_a_minute() -> None:
    fires = {
        ("1", "A", "h"): [0, 20_000, 59_000],
        ("2", "B", "h"): [0, 40_000, 80_000, 120_000],
        ("3", "C", "h"): [0, 1],
    }
    assert chattering(fires) == [("A", "h", 3)]


def test_what_is_acted_on_fast_rises_and_what_never_is_sinks() -> None:
    handled = (
        [Handled("Fast", 60_000, False)] * 8
        + [Handled("Slow", 2 * HOUR, False)] * 8
        + [Handled("Never", None, True, 30_000)] * 8
        + [Handled("Once", None, False)]
    )
    found = summarise(handled)
    assert [u.alert for u in found] == ["Fast", "Once", "Slow", "Never"]
    assert (found[0].score, found[-1].score) == (0.9, 0.1)
    (gone,) = unused(found)
    assert gone.evidence == ("told 8 times, nobody ever acted on it; 8 of them ended by themselves")
    assert found[0].evidence == "told 8 times, acted on 8 times, after 60 s in the middle"
    scores = {u.alert: u.score for u in found}
    assert score_of(["Never", "Fast"], scores) == 0.9
    assert score_of(["Unheard"], scores) == 0.5


class Web:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.world = World()
        self.now_ms = int(self.world.clock.now() * 1000)
        services = Services(self.ledger, self.world, lambda _: None)
        self.app = make_app(services, (*signals.ROUTES, *incidents.ROUTES))
        _, secret = create_token(self.ledger, SYSTEM, "t", Role.VIEWER, self.now_ms)
        self.client = TestClient(
            self.app, base_url="https://v.test", headers={"Authorization": f"Bearer {secret}"}
        )

    def incident(self, id_: int, alert: str, ago_ms: int, acted_ms: int | None, state: str) -> None:
        at_ms = self.now_ms - ago_ms
        over = state == "resolved"
        with self.ledger.begin() as connection:
            connection.execute(
                insert(incident).values(
                    id=id_, state=state, severity="warning", title=alert, summary="", next="",
                    team="", hosts=["h"], alert_names=[alert], silent_because="", began_ms=at_ms,
                    detected_ms=at_ms, notified_ms=at_ms + 100, active_ms=at_ms, updated_ms=at_ms,
                    revision=1, resolved_ms=at_ms + MINUTE if over else None,
                    resolved_by="vezha" if over else None,
                )
            )  # fmt: skip
            connection.execute(
                insert(incident_alert).values(
                    incident_id=id_, fingerprint=f"f{id_}", alert_name=alert, host="h",
                    severity="warning", state="firing", labels={}, annotations={},
                    silent_because="", first_ms=at_ms, changed_ms=at_ms,
                )
            )  # fmt: skip
            events = [("opened", "vezha", at_ms), ("seen", "anna", at_ms + 1)]
            if acted_ms is not None:
                events.append(("acknowledged", "anna", at_ms + acted_ms))
            for kind, actor, when in events:
                connection.execute(
                    insert(incident_event).values(
                        incident_id=id_, at_ms=when, kind=kind, actor=actor, text="", data={}
                    )
                )


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.ledger.close()


def test_signals_over_http_and_the_order_of_incidents(web: Web) -> None:
    for i in range(6):
        web.incident(10 + i, "Useful", (i + 1) * HOUR, 30_000, "resolved")
        web.incident(20 + i, "Useless", (i + 1) * HOUR, None, "resolved")
    web.incident(1, "Useful", MINUTE, None, "open")
    web.incident(2, "Useless", MINUTE, None, "open")
    found = web.client.get("/api/v1/signals").json()
    assert [(s["alert"], s["told"], s["acted"]) for s in found["signals"]] == [
        ("Useful", 7, 6), ("Useless", 7, 0),
    ]  # fmt: skip
    assert [s["alert"] for s in found["unused"]] == ["Useless"]
    listed = web.client.get("/api/v1/incidents").json()["incidents"]
    assert [i["id"] for i in listed] == [1, 2], "what people act on comes first"
    assert listed[0]["priority"] > 0.5 > listed[1]["priority"]


def test_alarm_rates_over_http(web: Web) -> None:
    now_ms = web.now_ms
    with web.ledger.begin() as connection:
        for i in range(4):
            connection.execute(
                insert(message).values(
                    receiver="hook", thread=f"incident:{i}", kind="opened" if i else "updated",
                    dedup_key=f"k{i}", payload={}, state="sent", attempts=1, next_ms=0, claim="",
                    claim_until_ms=0, created_ms=now_ms - MINUTE, sent_ms=now_ms - MINUTE, error="",
                )
            )  # fmt: skip
        row = {
            "rule_key": "r", "fingerprint": "f", "group_name": "g", "alert_name": "A", "host": "h",
            "severity": "warning", "labels": {}, "annotations": {}, "value": 1.0,
            "active_ms": now_ms - 30 * HOUR,
        }  # fmt: skip
        connection.execute(
            insert(alert_state).values(
                **row, state="firing", fired_ms=now_ms - 30 * HOUR, timer_ms=0, changed_ms=0,
                updated_ms=0, fires_ms=[],
            )
        )  # fmt: skip
        for i in range(4):
            at_ms = now_ms - HOUR + i * 15_000
            connection.execute(
                insert(alert_transition).values(
                    **row, event="fired", from_state="inactive", to_state="firing",
                    sampled_ms=at_ms, evaluated_ms=at_ms, written_ms=at_ms,
                )
            )  # fmt: skip
    found = web.client.get("/api/v1/alarm-rates?hours=2").json()
    (hook,) = found["receivers"]
    assert (hook["rings"], hook["last_10m"], hook["peak"]) == (3, 3, 3)
    assert (found["standing"], found["stale"], found["fires"], found["top_share"]) == (1, 1, 4, 1.0)
    assert [c["alert"] for c in found["chattering"]] == ["A"]
    assert found["targets"]["stale"] == 5
