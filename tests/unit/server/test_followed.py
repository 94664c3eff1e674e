"""A followed file: what runs is what it says, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from vezha.server import followed
from vezha.server.followed import follow


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    monkeypatch.setattr(followed, "FOLLOWED_FILE_LOOK_S", 0.01)
    with capture_logs() as logs:
        yield logs


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_work_follows_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "it.yml"
    begun: list[str] = []
    running: set[str] = set()

    async def work(text: str) -> None:
        running.add(text)
        try:
            if text == "breaks" and begun.count("breaks") == 1:
                raise RuntimeError("ours")
            if text:
                await asyncio.Event().wait()
        finally:
            running.discard(text)

    def start(text: str) -> Coroutine[Any, Any, None]:
        if text == "bad":
            raise ValueError("line 1")
        begun.append(text)
        return work(text)

    async def story() -> None:
        task = asyncio.create_task(follow(file, start, ValueError, structlog.get_logger("it")))
        await asyncio.sleep(0.05)
        assert begun == []  # no file, no work
        file.write_text("one")
        await until(lambda: running == {"one"})
        file.write_text("bad")
        await until(lambda: any(entry["event"] == "file_refused" for entry in logs))
        assert running == {"one"}
        file.write_text("breaks")
        await until(lambda: begun.count("breaks") == 2 and running == {"breaks"})
        file.unlink()
        await until(lambda: begun[-1] == "")
        await asyncio.sleep(0.05)
        assert begun.count("") == 1  # nothing to run is no fault
        file.write_text("last")
        await until(lambda: running == {"last"})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert running == set()

    with quick(monkeypatch) as logs:
        asyncio.run(story())
    told = [entry["event"] for entry in logs]
    assert (told.count("file_refused"), told.count("file_work_broke")) == (1, 1)


def test_work_that_breaks_as_its_file_changes_does_not_keep_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "it.yml"
    file.write_text("one")
    running: set[str] = set()

    async def work(text: str) -> None:
        running.add(text)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(text)
            if text == "one":
                raise RuntimeError("at its end")

    async def story() -> None:
        task = asyncio.create_task(follow(file, work, ValueError, structlog.get_logger("it")))
        await until(lambda: running == {"one"})
        file.write_text("two")
        await until(lambda: running == {"two"})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with quick(monkeypatch):
        asyncio.run(story())
