"""Logs are filed by size and never lose a line."""

from __future__ import annotations

from pathlib import Path

from vezha.server.limits import LOG_LINE_BYTES_MAX
from vezha.server.log_file import LogFile


def test_lines_are_given_back_when_they_are_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", 1 << 20, 2)
    assert log.write(b"one\ntw") == [b"one"]
    assert log.write(b"o\n") == [b"two"]
    assert log.write(b"left") == []
    log.close()
    assert (tmp_path / "x.log").read_bytes() == b"one\ntwo\nleft\n"


def test_full_files_are_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", LOG_LINE_BYTES_MAX, 3)
    line = b"%06d " + b"x" * 992 + b"\n"
    for number in range(100):
        log.write(line % number)
    log.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2"]
    whole = b"".join((tmp_path / n).read_bytes() for n in ("x.log.2", "x.log.1", "x.log"))
    numbers = [int(text[:6]) for text in whole.splitlines()]
    assert numbers == list(range(numbers[0], 100))
    assert (tmp_path / "x.log.1").stat().st_size <= LOG_LINE_BYTES_MAX + len(line)


def test_one_file_is_begun_anew(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", LOG_LINE_BYTES_MAX, 1)
    for _ in range(40):
        log.write(b"x" * 999 + b"\n")
    log.close()
    assert [p.name for p in tmp_path.iterdir()] == ["x.log"]
    assert (tmp_path / "x.log").stat().st_size < 2 * LOG_LINE_BYTES_MAX


def test_a_line_without_end_is_broken(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", 1 << 20, 2)
    assert [len(line) for line in log.write(b"x" * (LOG_LINE_BYTES_MAX + 1))] == [
        LOG_LINE_BYTES_MAX + 1
    ]
    log.close()


def test_an_old_file_is_continued(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "x.log", 1 << 20, 2)
        log.write(text)
        log.close()
    assert (tmp_path / "x.log").read_bytes() == b"one\ntwo\n"


def test_a_disk_without_room_loses_lines_and_says_so_later(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    log = LogFile(folder / "x.log", 1 << 20, 2)
    assert log.write(b"one\ntwo\n") == [b"one", b"two"]  # there is no such folder yet
    folder.mkdir()
    log.write(b"three\n")
    log.write(b"four\n")
    log.close()
    assert (folder / "x.log").read_text().splitlines() == [
        "(2 lines were lost: no room for them)",
        "three",
        "four",
    ]
    assert (folder / "x.log").stat().st_mode & 0o777 == 0o600
