"""A Bot API that enforces the real one's rules, as its documentation states them.

- 404 for an unknown token's path, 400 for unknown chats, unknown entities, empty or overlong texts
  (4,096 characters after the markup is taken out), callback data over 64 bytes;
- 429 with retry_after beyond `per_second` messages to one chat;
- editing: "message is not modified" where nothing changes, "message to edit not found" where the
  message is not the bot's, and no editing of another chat's;
- getUpdates: long polling by offset, an update is given again until a higher offset confirms it.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

TOKEN = "123456:" + "A" * 35
CHAT = -1001234


@dataclass
class Post:
    """A message in the chat."""

    id: int
    text: str
    markup: dict[str, Any] | None
    silent: bool
    reply_to: int | None
    edits: int = 0


class _Markup(HTMLParser):
    """Checks Telegram's HTML: known tags, closed in order; counts what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown = ""
        self.fault = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("b", "i", "u", "s", "a", "code", "pre"):
            self.fault = f"Unsupported start tag {tag!r}"
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.fault = f"Unmatched end tag {tag!r}"

    def handle_data(self, data: str) -> None:
        self.shown += data


class Fault(Exception):
    """An answer other than ok."""

    def __init__(self, code: int, text: str, **parameters: object) -> None:
        super().__init__(text)
        self.code, self.text, self.parameters = code, text, parameters


@dataclass
class FakeTelegram:
    """One bot in one chat, over real HTTP on a free port."""

    per_second: int = 1000
    retry_after_s: float = 0.2
    posts: dict[int, Post] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    broken: int = 0
    _times: list[float] = field(default_factory=list)
    _closed_until: float = 0.0
    _presses: int = 0
    _server: asyncio.Server | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> str:
        """Serve; the API's address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._news.set()
        await self._server.wait_closed()

    def press(self, post: int, data: str, chat: int = CHAT, name: str = "alice") -> None:
        """A person presses a button."""
        # Telegram's numbers only rise, also after what was read is forgotten.
        self._presses += 1
        number = self._presses
        query = {
            "id": f"q{number}",
            "from": {"id": 5, "username": name},
            "message": {"message_id": post, "chat": {"id": chat}},
            "data": data,
        }
        self.updates.append({"update_id": 1000 + number, "callback_query": query})
        self._news.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                length = 0
                while (header := await reader.readline()).strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                body = json.loads(await reader.readexactly(length) or b"{}")
                code, document = await self._answer(path, body)
                data = json.dumps(document).encode()
                head = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\n"
                writer.write(head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match = re.fullmatch(r"/bot([^/]+)/(\w+)", path)
        method = match[2] if match else ""
        self.calls.append(method)
        try:
            if match is None or match[1] != TOKEN:
                raise Fault(404, "Not Found")
            if self.broken:
                self.broken -= 1
                raise Fault(502, "Bad Gateway")
            result = await getattr(self, f"_{method}")(body)
        except Fault as fault:
            document = {"ok": False, "error_code": fault.code, "description": fault.text}
            if fault.parameters:
                document["parameters"] = fault.parameters
            return fault.code, document
        return 200, {"ok": True, "result": result}

    def _text(self, body: dict[str, Any]) -> str:
        if str(body.get("chat_id")) != str(CHAT):
            raise Fault(400, "Bad Request: chat not found")
        text = body.get("text", "")
        markup = _Markup()
        markup.feed(text)
        markup.close()
        if markup.fault or markup.open:
            raise Fault(400, f"Bad Request: can't parse entities: {markup.fault}")
        if not markup.shown.strip():
            raise Fault(400, "Bad Request: message text is empty")
        if len(markup.shown) > 4096:
            raise Fault(400, "Bad Request: message is too long")
        for row in (body.get("reply_markup") or {}).get("inline_keyboard", []):
            for button in row:
                if len(button.get("callback_data", "").encode()) > 64:
                    raise Fault(400, "Bad Request: BUTTON_DATA_INVALID")
        return str(text)

    def _limit(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._closed_until:
            raise Fault(429, "Too Many Requests", retry_after=self._closed_until - now)
        self._times = [t for t in self._times if t > now - 1.0]
        if len(self._times) >= self.per_second:
            self._closed_until = now + self.retry_after_s
            raise Fault(429, "Too Many Requests: retry later", retry_after=self.retry_after_s)
        self._times.append(now)

    async def _sendMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        text = self._text(body)
        self._limit()
        reply = (body.get("reply_parameters") or {}).get("message_id")
        post = Post(
            len(self.posts) + 1, text, body.get("reply_markup"),
            bool(body.get("disable_notification")), reply,
        )  # fmt: skip
        self.posts[post.id] = post
        return {"message_id": post.id, "chat": {"id": CHAT}}

    async def _editMessageText(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        text = self._text(body)
        self._limit()
        post = self.posts.get(body["message_id"])
        if post is None:
            raise Fault(400, "Bad Request: message to edit not found")
        if (text, body.get("reply_markup")) == (post.text, post.markup):
            raise Fault(400, "Bad Request: message is not modified: specified new message content")
        post.text, post.markup = text, body.get("reply_markup")
        post.edits += 1
        return {"message_id": post.id}

    async def _editMessageReplyMarkup(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        post = self.posts.get(body["message_id"])
        if post is None:
            raise Fault(400, "Bad Request: message to edit not found")
        if post.markup == body.get("reply_markup"):
            raise Fault(400, "Bad Request: message is not modified")
        post.markup = body.get("reply_markup")
        return {"message_id": post.id}

    async def _getUpdates(self, body: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: N802
        self.updates = [u for u in self.updates if u["update_id"] >= body["offset"]]
        if not self.updates:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(body["timeout"], 1.0))
            except TimeoutError:
                return []
        return self.updates

    async def _answerCallbackQuery(self, body: dict[str, Any]) -> bool:  # noqa: N802
        self.answered.append(body)
        return True
