"""`Notifier`: follows the timelines, plans messages, sends them, hears what people press.

Planning is one transaction that moves its cursor; sending is one task per receiver, so that a
dead provider delays nobody else. Both are reconcilers: a step without work changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from vezha.incidents.errors import OperatorError as IncidentError
from vezha.incidents.limits import SNOOZE_MS_DEFAULT
from vezha.incidents.loop import Desk
from vezha.incidents.oncall.errors import NothingThere
from vezha.incidents.oncall.person import (
    read_contacts,
    read_preferences,
    remove_contact,
)
from vezha.incidents.rows import read_cursor, write_cursor
from vezha.ledger import Ledger
from vezha.notify import outbox
from vezha.notify.digest import make_room
from vezha.notify.errors import Gone, NotifySettingsError, Refused, TryAgain
from vezha.notify.in_force import InForce
from vezha.notify.limits import PRUNE_EVERY_MS, SEND_TIMEOUT_S
from vezha.notify.message import RINGING, Message, show_time
from vezha.notify.people import MARK, People, people_of
from vezha.notify.planner import Planner
from vezha.notify.provider import Delivery, Listener, Pressed
from vezha.notify.settings import NotifyPlan, Receiver
from vezha.notify.vault import Vault
from vezha.notify.words import word
from vezha.world import World

_log = structlog.get_logger("notify")
_NO_CONTACT = "this contact is gone, or the receiver behind it is"
_HANGS_S = 2 * SEND_TIMEOUT_S


class Notifier:
    """Messages of one server."""

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        settings_path: str,
        environment: Mapping[str, str],
        public_url: str = "",
        desk: Desk | None = None,
        vault: Vault | None = None,
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._public_url = public_url
        self._desk = desk or Desk(ledger, world)
        vault = vault or Vault(str(Path(settings_path).with_name("notify.key")), world.chance)
        self.in_force = InForce(settings_path, environment, vault)
        self._worker = f"{world.network.hostname()}:{world.chance.token(6).hex()}"
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._listening: dict[str, tuple[Receiver, asyncio.Task[None]]] = {}
        self._more: set[str] = set()
        self._pruned_ms = 0
        self._retired: list[tuple[float, Receiver]] = []
        self._people = People()
        self._people_seen: tuple[object, ...] = ()
        self._planner = Planner(ledger, world, public_url, lambda: (self.plan, self._people))
        self.on_sent: Callable[[], None] = lambda: None
        self.on_dispatched: Callable[[float], None] = lambda seconds: None
        """Called for each message that rings and was taken: seconds since it was put into the outbox."""

    @property
    def plan(self) -> NotifyPlan:
        """Receivers and routes in force, those of the file and saved ones."""
        return self.in_force.standing.plan

    @property
    def problem(self) -> str:
        """Why the settings file is not in force as it is now; empty if it is."""
        return self.in_force.standing.problem

    @property
    def people(self) -> People:
        """People's contacts as receivers, and why some cannot be used."""
        return self._people

    def find(self, name: str) -> Receiver | None:
        """A receiver of the file, one that was saved, or a person's contact."""
        return self._planner.find(name)

    def names(self) -> list[str]:
        """All that can be told, people's contacts among them."""
        return [*self.plan.receivers, *self._people.receivers]

    async def start(self) -> None:
        """Take up what a crash left; begin to listen for presses."""
        if self._ledger.kind == "sqlite":
            with self._ledger.begin() as connection:
                outbox.release_all(connection)
        await self.step()

    async def step(self) -> int:
        """Plan news and see that whoever has messages is being sent them; messages planned."""
        # one way to the thread and back: on a busy machine each waits for its turn
        planned, due = await asyncio.to_thread(lambda: (self.plan_news(), self._due()))
        await self._listen_anew()
        for name in due:
            task = self._sending.get(name)
            if task is not None and not task.done():
                self._more.add(name)  # it may have looked just before this came
            elif name.startswith(MARK) and name not in self._people.receivers:
                await self._write(partial(outbox.fail_all, receiver=name, error=_NO_CONTACT))
            elif self.find(name) is not None:
                self._sending[name] = asyncio.create_task(self._send_all(name))
        await asyncio.to_thread(self._prune)
        return planned

    async def close(self) -> None:
        """Stop; what is on its way is finished or freed by its claim's end."""
        listening = [task for _, task in self._listening.values()]
        for task in listening:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=2.0)
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*listening, *self._sending.values(), return_exceptions=True)
        for receiver in [*(r for _, r in self._retired), *self.plan.receivers.values()]:
            await receiver.sender.close()

    async def wait_idle(self) -> None:
        """Until nobody is being sent anything (for tests and one-shot commands)."""
        while tasks := [t for t in self._sending.values() if not t.done()]:
            await asyncio.wait(tasks)

    # Settings

    def _reread(self) -> None:
        """Take up what changed of receivers and routes, in the file or saved."""
        was = self.plan
        with self._ledger.read() as connection:
            plan = self.in_force.look(connection).plan
        if plan is was:
            return
        now_s = self._world.clock.monotonic()
        for name, receiver in was.receivers.items():
            if plan.receivers.get(name) is not receiver:
                self._retired.append((now_s, receiver))

    async def _listen_anew(self) -> None:
        """Hear presses for the receivers in force; let go of those that nobody can be sending to."""
        wanted = {
            name: receiver
            for name, receiver in self.plan.receivers.items()
            if hasattr(receiver.sender, "listen") and getattr(receiver.sender, "buttons", False)
        }
        over = [n for n, (r, _) in self._listening.items() if wanted.get(n) is not r]
        ended = [self._listening.pop(name)[1] for name in over]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for name, receiver in wanted.items():
            if name not in self._listening:
                self._listening[name] = (receiver, asyncio.create_task(self._listen(receiver)))
        now_s = self._world.clock.monotonic()
        while self._retired and now_s - self._retired[0][0] > _HANGS_S:
            await self._retired.pop(0)[1].sender.close()

    def _reread_people(self) -> None:
        """Take up what changed of people's contacts, or of the accounts behind them."""
        with self._ledger.read() as connection:
            contacts, preferences = read_contacts(connection), read_preferences(connection)
        seen = (id(self.plan), contacts, preferences)
        if seen != self._people_seen:
            self._people_seen = seen
            self._people = people_of(contacts, preferences, self.plan)
            for name, problem in self._people.problems.items():
                _log.error("a contact cannot be used", contact=name, reason=problem)

    # Planning

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)

    def plan_news(self) -> int:
        """Turn new timeline entries and hand-overs into messages; how many."""
        self._reread()
        self._reread_people()
        return self._planner.step()

    def _prune(self) -> None:
        """Now and then, forget what is long over."""
        now_ms = self._now_ms()
        if now_ms - self._pruned_ms < PRUNE_EVERY_MS:
            return
        self._pruned_ms = now_ms
        with self._ledger.begin() as connection:
            outbox.prune(connection, now_ms)

    # Sending

    def _due(self) -> list[str]:
        with self._ledger.read() as connection:
            return outbox.due_receivers(connection, self._now_ms())

    async def _send_all(self, name: str) -> None:
        """Send what *name* has until nothing may leave now."""
        try:
            while (receiver := self.find(name)) is not None:
                self._more.discard(name)
                if not await self._send_one(receiver) and name not in self._more:
                    return
        except SQLAlchemyError as fault:
            _log.error("the outbox is not reachable", receiver=name, error=str(fault))
            await asyncio.sleep(1.0)

    async def _send_one(self, receiver: Receiver) -> bool:
        taken = await asyncio.to_thread(self._claim, receiver)
        if taken is None:
            return False
        delivery = Delivery(taken.id, taken.key, taken.message, taken.thread, taken.reference)
        try:
            async with asyncio.timeout(_HANGS_S):
                sent = await receiver.sender.send(delivery)
        except TryAgain as fault:
            await self._again(taken, str(fault), fault.after_ms)
            return True
        except TimeoutError:
            await self._again(taken, f"no answer within {_HANGS_S:.0f} s", None)
            return True
        except Gone as fault:
            await self._write(lambda c: self._forget(c, taken, receiver))
            _log.warning("a contact is gone", receiver=receiver.name, reason=str(fault))
            return True
        except Refused as fault:
            _log.error("a message is refused", receiver=receiver.name, reason=str(fault))
            reason = str(fault)
            await self._write(lambda c: outbox.fail(c, taken, self._worker, reason))
            return True
        except Exception as fault:  # a provider's fault is its receiver's only
            _log.exception("a provider broke", receiver=receiver.name, type=receiver.type)
            await self._again(taken, f"the provider broke: {type(fault).__name__}", None)
            return True
        now_ms = self._now_ms()
        if taken.kind in RINGING:
            self.on_dispatched((now_ms - taken.created_ms) / 1000)
        await self._write(
            lambda c: outbox.done(c, taken, self._worker, sent.reference, sent.note, now_ms)
        )
        self.on_sent()
        return True

    def _forget(self, connection: Connection, taken: outbox.Claimed, receiver: Receiver) -> None:
        """The address is no more: its message fails, and a person's contact goes."""
        outbox.fail(connection, taken, self._worker, "the address is no more")
        if receiver.name.startswith(MARK):
            person, _, name = receiver.name.removeprefix(MARK).rpartition("/")
            with contextlib.suppress(NothingThere):
                remove_contact(connection, person, name)

    async def _again(self, taken: outbox.Claimed, reason: str, after_ms: int | None) -> None:
        now_ms = self._now_ms()
        wait_ms = outbox.backoff_ms(taken.attempts, self._world.chance)
        if after_ms is not None:
            wait_ms = after_ms + int(self._world.chance.uniform(0, 250))
        _log.warning(
            "a message waits", receiver=taken.receiver, message=taken.id, reason=reason,
            attempts=taken.attempts, wait_s=wait_ms / 1000,
        )  # fmt: skip
        await self._write(
            lambda c: outbox.try_again(c, taken, self._worker, reason, now_ms + wait_ms, now_ms)
        )

    async def _write(self, change: Callable[[Connection], Any]) -> None:
        def run() -> None:
            with self._ledger.begin() as connection:
                change(connection)

        await asyncio.to_thread(run)

    def _claim(self, receiver: Receiver) -> outbox.Claimed | None:
        with self._ledger.begin() as connection:
            now_ms = self._now_ms()
            make_room(connection, receiver, now_ms)
            return outbox.claim(connection, receiver.name, self._worker, now_ms)

    # Tests and presses

    def put_test(self, name: str, actor: str) -> int:
        """Put a test message into the outbox; its row's number. Raises NotifySettingsError."""
        receiver = self.find(name)
        if receiver is None:
            known = ", ".join(self.names()) or "none"
            raise NotifySettingsError(f'there is no receiver "{name}"; there are: {known}')
        with self._ledger.begin() as connection:
            return put_test(connection, receiver, actor, self._now_ms(), self._world)

    async def _listen(self, receiver: Receiver) -> None:
        name = f"presses.{receiver.name}"

        def load() -> int:
            with self._ledger.read() as connection:
                return read_cursor(connection, name)

        def save(position: int) -> None:
            with self._ledger.begin() as connection:
                write_cursor(connection, name, position)

        async def on_pressed(pressed: Pressed) -> str:
            return await asyncio.to_thread(self._press, pressed, receiver)

        while True:
            try:
                await cast(Listener, receiver.sender).listen(on_pressed, load, save)
            except asyncio.CancelledError:
                raise
            except Exception:  # listening must not end by one odd answer
                _log.exception("listening for presses broke", receiver=receiver.name)
                await asyncio.sleep(5.0)

    def _press(self, pressed: Pressed, receiver: Receiver) -> str:
        language = receiver.language
        said = word(language, "done")
        try:
            if pressed.action == "snooze":
                self._desk.snooze(pressed.incident, pressed.actor, SNOOZE_MS_DEFAULT)
                until = show_time(self._now_ms() + SNOOZE_MS_DEFAULT, receiver.time_zone)
                said = word(language, "put_off", time=until)
            else:
                self._desk.acknowledge(pressed.incident, pressed.actor)
        except IncidentError as fault:
            return word(language, "not_done", why=str(fault))
        self.on_sent()
        return said


def put_test(
    connection: Connection, receiver: Receiver, actor: str, now_ms: int, world: World
) -> int:
    """Put a test message for *receiver* into the outbox; its row's number."""
    language = receiver.language
    what = Message(
        kind="test",
        incident=0,
        title=word(language, "test"),
        summary=word(language, "test_text", receiver=receiver.name),
        lines=[word(language, "by", actor=actor)],
        at_ms=now_ms,
        language=language,
        time_zone=receiver.time_zone,
    )
    token = world.chance.token(8).hex()
    key = f"{receiver.name}:test:{token}"
    # a thread of its own: no earlier test that waits may hold it up
    outbox.put(connection, receiver.name, f"test:{token}", key, what, now_ms)
    return outbox.id_of(connection, key)
