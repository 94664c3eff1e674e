"""From real faults to real ends: mail and Telegram get exactly what they should, whatever is killed.

One server with real ends: a mail server, and a fake of Telegram's API that enforces its rules. What a kill may
fall on is tried step by step in `tests/unit/server/test_told_once.py`; here real contours die at the two places
that only a real end can show, once alone and once all at the same time, and what arrives is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.ends import Ends, House, make_token, wait_for
from tests.running import RunningVezha
from tests.unit.notify.test_providers import Postbox, mail_server

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

RULES = """
groups:
  - name: kill
    interval: 1s
    rules:
      - alert: Broken
        expr: thing_broken == 1
        labels: {severity: critical}
        annotations: {summary: "thing {{ $labels.instance }} is broken"}
"""


@pytest.fixture(scope="module")
def house(
    vezha_up: Callable[..., RunningVezha], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    state = tmp_path_factory.mktemp("messages") / "state"
    (state / "rules").mkdir(parents=True)
    (state / "rules" / "kill.yml").write_text(RULES)
    ends = Ends()
    with mail_server(ends.box) as port:
        (state / "notify.toml").write_text(ends.settings(port))
        vezha = vezha_up("rules.builtin=false", state=state, agent=False)
        try:
            yield House(vezha, ends, make_token(state))
        finally:
            if vezha.process.poll() is None:
                vezha.stop()
            ends.stop()


class Feeder:
    """Sends the present values each half second, whatever the server does."""

    def __init__(self, house: House) -> None:
        self.values: dict[str, int] = {}
        self._house = house
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            lines = [f'thing_broken{{instance="{k}"}} {v}\n' for k, v in list(self.values.items())]
            try:
                request = urllib.request.Request(
                    self._house.vezha.url + "/api/v1/import/prometheus", "".join(lines).encode()
                )
                request.add_header("Authorization", f"Bearer {self._house.token}")
                urllib.request.urlopen(request, timeout=5).close()
            except (OSError, AssertionError):
                continue  # it is being started, and has no address yet


def tell(house: House, name: str, over: bool = False) -> None:
    """Another program tells of an alert, or of its end."""
    now_s = time.time()
    ends = now_s if over else now_s + 600
    stamps = {
        key: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        for key, at in (("startsAt", now_s - 5), ("endsAt", ends))
    }
    labels = {"alertname": name, "instance": name.lower(), "severity": "critical"}
    request = urllib.request.Request(
        house.vezha.url + "/api/v2/alerts", json.dumps([{"labels": labels, **stamps}]).encode()
    )
    request.add_header("Authorization", f"Bearer {house.token}")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=30).close()


def kill_all(house: House) -> None:
    """kill -9 for the supervisor and each contour, at once; then a new start."""
    children = house.vezha.processes()
    house.vezha.process.kill()
    for process in children.values():
        os.kill(process, signal.SIGKILL)
    house.vezha.kill()
    house.vezha.start()


class Gate:
    """Stands in the mail server's way for one host's mails."""

    def __init__(self, box: Postbox, host: str, *, keeps: bool) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._real = box.handle_DATA
        self._host = host
        self._keeps = keeps
        box.handle_DATA = self.handle  # type: ignore[method-assign,assignment]

    async def handle(self, server: Any, session: Any, envelope: Any) -> str:
        """Keeps the mail (or refuses it for now), and answers only when opened."""
        mine = f" {self._host}: ".encode() in envelope.content
        if not mine or self.open.is_set():
            return await self._real(server, session, envelope)
        if self._keeps:
            await self._real(server, session, envelope)
        self.reached.set()
        await asyncio.get_running_loop().run_in_executor(None, self.open.wait, 60)
        return "250 OK" if self._keeps else "451 come back"


def test_faults_reach_mail_and_telegram_once_and_in_order_whatever_is_killed(house: House) -> None:
    ends, box, bot = house.ends, house.ends.box, house.ends.bot
    with Feeder(house) as feeder:
        # undisturbed: a fault, a press on "acknowledge", its end
        feeder.values = {"calm": 1, "cut": 0}
        wait_for(lambda: ends.words_of("calm") == ["Open"])
        post = wait_for(lambda: next(iter(ends.posts_of("calm")), None))
        ends.press(post.id, "ack:1")
        wait_for(lambda: "🔵" in post.text)
        feeder.values["calm"] = 0
        wait_for(lambda: ends.words_of("calm") == ["Open", "Resolved"])

        # the ops contour dies while the mail server has not said yes
        gate = Gate(box, "midway", keeps=False)
        tell(house, "Midway")
        assert gate.reached.wait(60)
        house.kill("ops")
        gate.open.set()
        ends.wait_words("midway", 0, "Open")

        # everything dies when the mail server has said yes and nobody heard: the one edge at which a mail
        # comes twice; another alert was taken just now, and a fault is there of which no rule has judged
        edge = Gate(box, "edge", keeps=True)
        tell(house, "Edge")
        assert edge.reached.wait(60)
        tell(house, "Last")
        feeder.values["cut"] = 1
        kill_all(house)
        edge.open.set()
        for host in ("edge", "last", "cut"):
            ends.wait_words(host, 0, "Open")
        feeder.values["cut"] = 0
        for name in ("Midway", "Edge", "Last"):
            tell(house, name, over=True)
        hosts = ("calm", "midway", "edge", "last", "cut")
        for host in hosts:
            ends.wait_words(host, -1, "Resolved")
        wait_for(house.all_sent)
    counted: list[int] = []
    for host in hosts:
        mails = ends.mails_of(host)
        own = list(dict.fromkeys(str(m["Message-ID"]) for m in mails))
        told = {str(m["Message-ID"]): ends.words_of(host)[i] for i, m in enumerate(mails)}
        assert list(told.values()) == ["Open", "Resolved"], host
        # a kill may fall between an end's yes and ours, the one edge: then the very same mail comes
        # again, and Telegram, which knows no such name, shows a second post
        extra = len(mails) - len(own)
        most = 0 if host in ("calm", "cut") else 1
        assert extra == 1 if host == "edge" else extra <= most, (host, ends.subjects())
        posts = ends.posts_of(host)
        assert 1 <= len(posts) <= 1 + most, (host, [p.text for p in bot.posts.values()])
        assert "🟢" in posts[-1].text
        counted += len(mails), len(posts)
    # nothing else was sent to anybody
    assert sum(counted[::2]) == len(box.mails)
    assert sum(counted[1::2]) == len(bot.posts)


def put(house: House, path: str, body: Any) -> None:
    """Set something by the API."""
    request = urllib.request.Request(
        house.vezha.url + path, json.dumps(body).encode(), method="PUT"
    )
    request.add_header("Authorization", f"Bearer {house.token}")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=30).close()


def test_an_escalation_goes_up_until_somebody_presses_and_a_shift_is_handed_over(
    house: House,
) -> None:
    """The first on call says nothing, the second is asked, a button in Telegram ends it."""
    ends = house.ends
    people = ("olena", "petro", "boss")
    for name in people:
        house.ask("/api/v1/users", {"name": name, "role": "operator"})
        address = {"via": "mail", "address": f"{name}@example.org"}
        put(house, f"/api/v1/people/{name}/contacts/mail", address)
    layer = {"name": "all", "people": ["olena"], "rotation": "weekly", "start": "2026-01-05T09:00"}
    put(house, "/api/v1/oncall/schedules/esc", {"layers": [layer]})
    steps = [
        {"targets": ["schedule:esc"], "wait_s": 3},
        {"targets": ["person:petro"], "wait_s": 30},
        {"targets": ["person:boss"], "wait_s": 30},
    ]
    put(house, "/api/v1/oncall/policies/esc", {"steps": steps})
    team = {"match": ['alertname="Esc"'], "policy": "esc", "members": ["olena", "petro"]}
    put(house, "/api/v1/teams/esc", team)

    def mails_to(name: str) -> list[str]:
        return [str(m["Subject"]) for m in list(ends.box.mails) if f"{name}@" in str(m["To"])]

    tell(house, "Esc")
    wait_for(lambda: mails_to("olena"))
    assert mails_to("petro") == []
    wait_for(lambda: mails_to("petro"))
    assert all(" esc: " in subject for name in people for subject in mails_to(name))
    (row,) = [i for i in house.ask("/api/v1/incidents")["incidents"] if "esc" in i["hosts"]]
    path = f"/api/v1/incidents/{row['id']}/escalation"
    assert house.ask(path)["phase"] == "paging"
    post = wait_for(lambda: next(iter(ends.posts_of("esc")), None))
    ends.press(post.id, f"ack:{row['id']}")
    wait_for(lambda: "🔵" in post.text)
    wait_for(lambda: house.ask(path)["phase"] == "held")
    assert house.ask(path)["due_at"] is None  # nothing is due any more, the boss sleeps
    # the shift changes: who goes and who comes are told, and nobody else
    house.ask("/api/v1/oncall/schedules/esc/overrides", {"person": "petro", "minutes": 60})
    for name in ("olena", "petro"):
        wait_for(lambda n=name: any("olena → petro" in s for s in mails_to(n)))  # type: ignore[misc]
    tell(house, "Esc", over=True)
    ends.wait_words("esc", -1, "Resolved")
    wait_for(house.all_sent)
    assert mails_to("boss") == []
