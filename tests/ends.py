"""What a server tells people, caught at real ends: a mail server and Telegram's rules."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running import RunningVezha
from tests.unit.notify.fake_telegram import CHAT, TOKEN, FakeTelegram
from tests.unit.notify.test_providers import Postbox


class Ends:
    """A mail server and Telegram, on a thread of their own."""

    def __init__(self, telegram_per_s: int = 1000) -> None:
        self.box = Postbox()
        self.bot = FakeTelegram(per_second=telegram_per_s)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.url = self._loop.run_until_complete(self.bot.start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        await self.bot.stop()
        # A poll that still waits would be collected in some later test, which would be blamed.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def press(self, post: int, data: str) -> None:
        """Somebody presses a button."""
        self._loop.call_soon_threadsafe(self.bot.press, post, data)

    def stop(self) -> None:
        """End Telegram."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def settings(self, mail_port: int) -> str:
        """A notify.toml whose receivers are the two."""
        return f"""
[receivers.mail]
type = "smtp"
host = "127.0.0.1"
port = {mail_port}
security = "none"
from = "vezha@example.org"
to = ["all@example.org"]
[receivers.tg]
type = "telegram"
token = "{TOKEN}"
chat_id = {CHAT}
api_url = "{self.url}"
"""

    def subjects(self) -> list[str]:
        """Subjects of the mails, in the order in which they came."""
        return [str(m["Subject"]) for m in list(self.box.mails)]

    def mails_of(self, host: str) -> list[Any]:
        """The mails about a host, in order."""
        return [m for m in list(self.box.mails) if f" {host}: " in str(m["Subject"])]

    def words_of(self, host: str) -> list[str]:
        """Open, Again, Resolved …: what the mails about a host say, in order."""
        return [str(m["Subject"]).split("] ")[1].split(":")[0] for m in self.mails_of(host)]

    def posts_of(self, host: str) -> list[Any]:
        """The posts about a host, in order."""
        return [p for p in list(self.bot.posts.values()) if f"{host}: " in p.text]

    def wait_words(self, host: str, at: int, word: str, seconds: float = 60.0) -> None:
        """Until the first (0) or the last (-1) mail about *host* says *word*."""

        def there() -> bool:
            words = self.words_of(host)
            return bool(words) and words[at] == word

        wait_for(there, seconds, lambda: f"{host}: {word}; came: {self.subjects()}")


@dataclass
class House:
    """A server with its ends."""

    vezha: RunningVezha
    ends: Ends
    token: str

    def ask(self, path: str, body: Any = None) -> Any:
        """What the API answers. Raises OSError."""
        request = urllib.request.Request(self.vezha.url + path, method="POST" if body else "GET")
        request.add_header("Authorization", f"Bearer {self.token}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return json.load(answer)

    def outbox(self) -> list[dict[str, Any]]:
        """All messages, the oldest first."""
        found: list[dict[str, Any]] = self.ask("/api/v1/outbox?limit=500")["messages"]
        return found[::-1]

    def all_sent(self) -> bool:
        """Whether nothing waits to be sent."""
        return all(m["state"] in ("sent", "superseded") for m in self.outbox())

    def kill(self, contour: str) -> None:
        """kill -9, if it is there just now; the supervisor starts it again."""
        process = self.vezha.processes().get(contour)
        if process is not None:
            os.kill(process, signal.SIGKILL)


def make_token(state: Path) -> str:
    """An admin's token."""
    made = subprocess.run(
        [sys.executable, "-m", "vezha", "token", "create", "t", "--role", "admin",
         "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return str(json.loads(made.stdout)["token"])


def wait_for(
    what: Callable[[], Any], seconds: float = 60.0, told: Callable[[], str] = lambda: "nothing"
) -> Any:
    """What *what* gives as soon as it is true; a server that is being started is waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := what():
                return found
        except OSError:
            pass  # the web contour is being started
        time.sleep(0.1)
    raise AssertionError(f"{told()} within {seconds} s")
