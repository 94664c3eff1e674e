"""The outbox: at least once, in order, whatever dies when; nobody is held up by another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, update
from tests.unit.notify.conftest import Office

from vezha.incidents.case import Case
from vezha.incidents.state import State
from vezha.incidents.words import Member
from vezha.ledger.tables import message
from vezha.model.severity import Severity
from vezha.notify import outbox
from vezha.notify.errors import Refused, TryAgain
from vezha.notify.limits import (
    BACKOFF_MOST_MS,
    CLAIM_MS,
    GIVE_UP_MS,
    RATE_WINDOW_MS,
    SENT_KEPT_MS,
)
from vezha.notify.loop import Notifier
from vezha.notify.message import Message
from vezha.notify.plan import Told, kind_for, news_of
from vezha.notify.provider import Delivery, Sent
from vezha.notify.settings import NotifyPlan, Receiver, Route
from vezha.world import Chance


class Killed(BaseException):
    """The process ends here."""


class FakeSender:
    """Takes messages as its script says."""

    def __init__(self, edits: bool = False) -> None:
        self.edits = edits
        self.wants = frozenset(
            {"opened", "worse", "grew", "reopened", "resolved", "digest", "test"}
            | ({"updated", "acknowledged"} if edits else set())
        )
        self.taken: list[Delivery] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.hangs: asyncio.Event | None = None

    async def send(self, delivery: Delivery) -> Sent:
        self.before()
        if self.hangs is not None:
            await self.hangs.wait()
        self.taken.append(delivery)
        self.after()
        return Sent({"message_id": len(self.taken)}, "taken")

    async def close(self) -> None:
        pass


def plan(**senders: FakeSender) -> NotifyPlan:
    receivers = {name: Receiver(name, "fake", sender) for name, sender in senders.items()}
    return NotifyPlan(receivers, (Route(tuple(receivers)),))


def notifier(office: Office, **senders: FakeSender) -> Notifier:
    made = office.notifier()
    made.in_force.pretend(plan(**senders))
    return made


async def drain(made: Notifier) -> None:
    await made.step()
    await made.wait_idle()


def rows(office: Office) -> list[tuple[str, str, str]]:
    with office.ledger.read() as connection:
        found = outbox.list_messages(connection, 500)
    return [(r.receiver, r.kind, r.state) for r in reversed(found)]


def test_a_dead_provider_holds_nobody_up(office: Office) -> None:
    dead, hung, well = FakeSender(), FakeSender(), FakeSender()

    def fail() -> None:
        raise TryAgain("nobody at home")

    dead.before = fail
    office.tell("fired", "a")

    async def main() -> None:
        made = notifier(office, dead=dead, hung=hung, well=well)
        hung.hangs = asyncio.Event()
        await made.step()
        for _ in range(100):
            if well.taken:
                break
            await asyncio.sleep(0.01)
        assert [d.message.title for d in well.taken] == ["a: Disk full"]
        await made.close()

    asyncio.run(main())
    assert ("dead", "opened", "waiting") in rows(office)
    assert ("well", "opened", "sent") in rows(office)
    assert ("hung", "opened", "claimed") in rows(office)


def test_a_provider_that_breaks_is_its_receivers_trouble_only(office: Office) -> None:
    broken, well = FakeSender(), FakeSender()

    def fail() -> None:
        raise ZeroDivisionError

    broken.before = fail
    office.tell("fired", "a")
    asyncio.run(drain(notifier(office, broken=broken, well=well)))
    assert rows(office) == [("broken", "opened", "waiting"), ("well", "opened", "sent")]


def test_one_claim_at_a_time(office: Office) -> None:
    with office.ledger.begin() as connection:
        outbox.put(connection, "r", "incident:1", "k", Message("opened", 1, "t"), 0)
        first = outbox.claim(connection, "r", "one", 0)
        assert first is not None
        assert outbox.claim(connection, "r", "two", CLAIM_MS - 1) is None
        again = outbox.claim(connection, "r", "two", CLAIM_MS)
        assert again is not None
        assert again.attempts == 2
        assert not outbox.done(connection, first, "one", None, "", CLAIM_MS)
        assert outbox.done(connection, again, "two", None, "", CLAIM_MS)


def test_a_thread_leaves_in_order(office: Office) -> None:
    with office.ledger.begin() as connection:
        for n, kind in enumerate(["opened", "worse"]):
            outbox.put(connection, "r", "incident:1", f"k{n}", Message(kind, 1, "t"), 0)
        outbox.put(connection, "r", "incident:2", "k9", Message("opened", 2, "t"), 0)
        first = outbox.claim(connection, "r", "w", 0)
        assert first is not None
        outbox.try_again(connection, first, "w", "later", 5000, 0)
        other = outbox.claim(connection, "r", "w", 0)
        assert other is not None
        assert other.message.incident == 2
        assert outbox.claim(connection, "r", "w", 0) is None
        back = outbox.claim(connection, "r", "w", 5000)
        assert back is not None
        assert back.kind == "opened"


def test_the_same_decision_makes_one_message(office: Office) -> None:
    with office.ledger.begin() as connection:
        assert outbox.put(connection, "r", "incident:1", "k", Message("opened", 1, "t"), 0)
        assert not outbox.put(connection, "r", "incident:1", "k", Message("opened", 1, "t"), 0)


def test_quiet_changes_that_wait_give_way_to_newer_ones(office: Office) -> None:
    with office.ledger.begin() as connection:
        for n, kind in enumerate(["opened", "updated", "acknowledged", "updated"]):
            outbox.put(connection, "r", "incident:1", f"k{n}", Message(kind, 1, "t"), 0)
    assert [s for _, _, s in rows(office)] == ["waiting", "superseded", "superseded", "waiting"]


def test_too_old_is_given_up_and_says_so(office: Office) -> None:
    with office.ledger.begin() as connection:
        outbox.put(connection, "r", "incident:1", "k", Message("opened", 1, "t"), 0)
        taken = outbox.claim(connection, "r", "w", GIVE_UP_MS)
        assert taken is not None
        outbox.try_again(connection, taken, "w", "no route", GIVE_UP_MS + 1, GIVE_UP_MS)
        (row,) = outbox.list_messages(connection)
    assert (row.state, row.error) == ("failed", "given up: no route")


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_back_off_grows_and_is_bounded(attempts: int, seed: int) -> None:
    wait_ms = outbox.backoff_ms(attempts, Chance(seed))
    assert 50 <= wait_ms <= min(BACKOFF_MOST_MS, 1000 * 2**attempts)


def test_beyond_the_rate_one_digest_leaves(office: Office) -> None:
    sender = FakeSender()
    made = notifier(office, r=sender)
    made.in_force.pretend(
        replace(made.plan, receivers={"r": replace(made.plan.receivers["r"], rate=3)})
    )
    for i in range(10):
        office.tell("fired", f"h{i}", f"Kind{i}")
    asyncio.run(drain(made))
    assert len(sender.taken) == 3
    asyncio.run(drain(made))
    assert len(sender.taken) == 3
    office.clock.seconds += RATE_WINDOW_MS / 1000 + 1
    asyncio.run(drain(made))
    assert [d.message.kind for d in sender.taken[3:]] == ["digest"]
    assert len(sender.taken[3].message.lines) == 7
    assert sum(s == "superseded" for _, _, s in rows(office)) == 7


def test_a_refused_message_is_not_tried_again(office: Office) -> None:
    sender = FakeSender()

    def refuse() -> None:
        raise Refused("bad words")

    sender.before = refuse
    office.tell("fired", "a")
    asyncio.run(drain(notifier(office, r=sender)))
    assert rows(office) == [("r", "opened", "failed")]


def test_settings_that_break_leave_the_old_ones_in_force(office: Office) -> None:
    good = '[receivers.r]\ntype = "webhook"\nurl = "http://127.0.0.1:9/"'
    made = office.notifier(good)

    async def main() -> None:
        await made.step()
        assert list(made.plan.receivers) == ["r"]
        office.settings.write_text("[receivers.r]\ntype = 'pigeon'")
        await made.step()
        assert list(made.plan.receivers) == ["r"]
        assert "pigeon" in made.problem
        office.settings.write_text(good.replace(".r]", ".other]"))
        await made.step()
        assert (list(made.plan.receivers), made.problem) == (["other"], "")
        await made.close()

    asyncio.run(main())


@given(
    told=st.lists(
        st.tuples(st.sampled_from(["fired", "resolved"]), st.sampled_from("ab")),
        min_size=1,
        max_size=8,
    ),
    kills=st.lists(st.integers(0, 60), max_size=5),
    kill_between=st.sets(st.integers(0, 6), max_size=3),
)
@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_killed_anywhere_nothing_is_lost_and_little_is_doubled(
    tmp_path: Path, told: list[tuple[str, str]], kills: list[int], kill_between: set[int]
) -> None:
    """Killed before any statement, or between the provider's yes and ours.

    Every message of an undisturbed run arrives, threads stay in order, and a message arrives
    twice only where the kill fell into the one documented gap.
    """
    office = Office(tmp_path / f"{len(list(tmp_path.iterdir()))}")
    office.folder.mkdir(exist_ok=True)
    sender = FakeSender()
    doubled = 0

    def gap() -> None:
        if len(sender.taken) in kill_between:
            kill_between.discard(len(sender.taken))
            raise Killed

    def in_the_gap() -> int:
        """Messages that a provider has taken and that we do not know to be sent."""
        with office.ledger.read() as connection:
            known = {
                r.dedup_key for r in outbox.list_messages(connection, 500) if r.state == "sent"
            }
        return len({d.key for d in sender.taken} - known)

    sender.after = gap
    left = list(kills)
    for what, host in told:
        office.clock.seconds += 1
        office.tell(what, host)
        if left:
            _run_killed(office, sender, left.pop())
            doubled += in_the_gap()
    for _ in range(20):
        office.clock.seconds += CLAIM_MS / 1000 + 1
        _run_killed(office, sender, 10**9)
        doubled += in_the_gap()
        if all(s in ("sent", "superseded") for _, _, s in rows(office)):
            break
    sent = {d.key for d in sender.taken}
    with office.ledger.read() as connection:
        kept = {r.dedup_key for r in outbox.list_messages(connection, 500)}
        final = outbox.list_messages(connection, 500)
    assert sent == kept
    assert all(r.state == "sent" for r in final)
    assert len(sender.taken) - len(sent) <= doubled
    ids = [d.id for d in sender.taken]
    assert ids == sorted(ids)
    office.ledger.close()


def _run_killed(office: Office, sender: FakeSender, after: int) -> None:
    """Start, step, die before statement number *after*; a new process each time."""
    count = 0

    def die(*_args: object) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise Killed

    async def main() -> None:
        made = notifier(office, r=sender)
        await made.start()
        await made.wait_idle()
        for task in made._sending.values():
            task.result()

    event.listen(office.ledger.engine, "before_cursor_execute", die)
    try:
        asyncio.run(main())
    except Killed:
        pass
    finally:
        event.remove(office.ledger.engine, "before_cursor_execute", die)


def case(state: State = State.OPEN, silent: str = "") -> Case:
    return Case(1, state, Severity.WARNING, "", 0, 0, 0, silent_because=silent)


def crowd(hosts: int) -> Case:
    made = case()
    for i in range(hosts):
        one = Member(f"f{i}", "A", f"h{i}", Severity.WARNING, "firing", {}, {}, 0, 0)
        made.members[one.fingerprint] = one
    return made


@pytest.mark.parametrize(
    ("kinds", "state", "wanted"),
    [
        (["opened"], State.OPEN, "opened"),
        (["opened", "joined", "worse"], State.OPEN, "opened"),
        (["opened", "resolved"], State.RESOLVED, "resolved"),
        (["resolved", "reopened"], State.OPEN, "reopened"),
        (["joined", "worse"], State.OPEN, "worse"),
        (["acknowledged"], State.ACKNOWLEDGED, "acknowledged"),
        (["acknowledged", "worse"], State.OPEN, "worse"),
        (["joined", "lost"], State.OPEN, "joined"),
        (["recovered", "lost"], State.OPEN, "updated"),
        (["note"], State.RESOLVED, "updated"),
        (["eased"], State.OPEN, "eased"),
        (["eased", "resolved"], State.RESOLVED, "resolved"),
        (["eased", "worse"], State.OPEN, "worse"),
        ([], State.OPEN, ""),
    ],
)
def test_news(kinds: list[str], state: State, wanted: str) -> None:
    assert news_of(kinds, state) == wanted


NEVER, ONCE = Told(), Told(1, 1, 0, "opened")


@pytest.mark.parametrize(
    ("news", "one", "told", "wanted"),
    [
        ("opened", case(), NEVER, "opened"),
        ("opened", case(silent="silence 1"), NEVER, ""),
        ("unsilenced", case(), NEVER, "opened"),
        ("unsilenced", case(), ONCE, "updated"),
        ("resolved", case(State.RESOLVED), NEVER, ""),
        ("resolved", case(State.RESOLVED), ONCE, "resolved"),
        ("resolved", case(State.RESOLVED, "silence 1"), ONCE, "resolved"),
        ("resolved", case(State.RESOLVED), Told(1, 1, 0, "resolved"), ""),
        ("worse", case(), ONCE, "worse"),
        ("worse", case(silent="silence 1"), ONCE, "updated"),
        ("reopened", case(), Told(1, 1, 0, "resolved"), "reopened"),
        ("updated", case(), ONCE, "updated"),
        ("joined", case(), ONCE, "updated"),
        ("eased", case(), ONCE, "eased"),
        ("joined", crowd(3), ONCE, "grew"),
        ("joined", crowd(2), ONCE, "updated"),
        ("joined", crowd(3), Told(1, 1, 10**9 - 1000, "opened"), "updated"),
        ("updated", crowd(9), ONCE, "updated"),
    ],
)
def test_what_a_receiver_is_told(news: str, one: Case, told: Told, wanted: str) -> None:
    assert kind_for(news, one, told, 10**9) == wanted


def test_dropped_messages_stay_dropped(office: Office) -> None:
    sender = FakeSender()
    office.tell("fired", "a")
    made = notifier(office, r=sender)
    made.plan_news()
    with office.ledger.begin() as connection:
        connection.execute(update(message).values(state="failed", error="dropped by alice"))
    asyncio.run(drain(made))
    assert sender.taken == []


def test_what_is_long_over_is_forgotten(office: Office) -> None:
    with office.ledger.begin() as connection:
        for n, state in enumerate(["sent", "waiting"]):
            outbox.put(connection, "r", f"incident:{n}", f"k{n}", Message("opened", n, "t"), 0)
            connection.execute(
                update(message).where(message.c.dedup_key == f"k{n}").values(state=state)
            )
        assert outbox.prune(connection, SENT_KEPT_MS) == 0
        assert outbox.prune(connection, SENT_KEPT_MS + 1) == 1
    assert rows(office) == [("r", "opened", "waiting")]
