"""A finished page of the diary as a message in the outbox, in each receiver's own language."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Connection

from vezha.diary.facts import WeekFacts
from vezha.diary.render import page_of
from vezha.notify import outbox
from vezha.notify.message import Message
from vezha.notify.settings import Receiver
from vezha.server.limits import DIARY_LINES_MAX
from vezha.world import World

_log = structlog.get_logger("diary")


def poster(
    names: Sequence[str],
    find: Callable[[str], Receiver | None],
    public_url: str,
    world: World,
) -> Callable[[Connection, WeekFacts], None]:
    """What hands a page to the receivers of *names*; one that does not exist is logged."""

    def post(connection: Connection, facts: WeekFacts) -> None:
        now_ms = int(world.clock.now() * 1000)
        for name in names:
            receiver = find(name)
            if receiver is None or "diary" not in receiver.sender.wants:
                _log.error("diary_not_sent", receiver=name, why="no such receiver, or it cannot")
                continue
            what = message_of_week(facts, receiver.language, receiver.time_zone, public_url, now_ms)
            thread = f"diary:{facts.week}"
            outbox.put(connection, name, thread, f"{name}:{thread}", what, now_ms)

    return post


def message_of_week(
    facts: WeekFacts, language: str, time_zone: str, public_url: str, now_ms: int
) -> Message:
    """The page as lines; what is more than a message may have stands behind the link. Pure."""
    page = page_of(facts, language)
    lines: list[str] = []
    for part in page.parts:
        lines.append(f"{part.heading}:")
        lines += [f"• {line.text}" for line in part.lines]
    if len(lines) > DIARY_LINES_MAX:
        lines = [*lines[: DIARY_LINES_MAX - 1], "…"]
    return Message(
        kind="diary",
        incident=0,
        title=page.title,
        summary=" ".join((page.span, *page.lead)),
        lines=lines,
        at_ms=now_ms,
        link=f"{public_url}/diary/{facts.week.lower()}" if public_url else "",
        language=language,
        time_zone=time_zone,
    )
