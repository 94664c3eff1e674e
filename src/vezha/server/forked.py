"""Children that are forked from this process instead of started anew. Linux.

They share all that this one has loaded: a child's memory is what it writes itself, and it need not
import anything. Nothing else is shared: a child has a session, streams, descriptors, signals and a
name of its own. Who forks has no thread and holds nothing that must not be in two hands.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from vezha.server.titles import name_process

Main = Callable[[Sequence[int]], int]
"""What a child does: called with the descriptors that it was handed; its exit code."""
_FIRST_FREE = 10
"""Descriptors that a child keeps are moved up here first, out of the way of its streams."""


def can_fork() -> bool:
    """Whether this system is one where forking without exec is sound and ends can be watched."""
    if sys.platform != "linux":  # macOS: its frameworks do not live through it
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class Forked:
    """A child, with what the supervisor uses of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code (negative: the signal) once it has ended."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Block until it has ended; its exit code."""
        code = self._wait(0)
        assert code is not None
        return code

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # who started us has SIGCHLD ignored: the kernel took it
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def terminate(self) -> None:
        """SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Its number is its own until we have waited for it.
        if self.poll() is None:
            os.kill(self.pid, number)


def fork(
    main: Main, streams: tuple[int, int, int], handed: Sequence[int], words: Sequence[str]
) -> Forked:
    """Start *main* in a child called *words*.

    *streams* become its standard ones; it has duplicates of *handed*, and no other descriptor.
    Raises OSError where there is no room for one more process.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be closed, or None
            stream.flush()  # else both would write it
    # A signal that comes before the child has its own handlers must not be taken by ours.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(main, streams, handed, words, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Forked(pid)


def open_streams() -> None:
    """Have 0, 1 and 2 open, whoever started us: what is opened later must not become one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def output_of(main: Callable[[], int], timeout_s: float, words: Sequence[str]) -> tuple[int, bytes]:
    """What *main* prints in a child, and its exit code. Raises TimeoutError and OSError."""
    read, write = os.pipe()
    with _devnull() as nothing:
        try:
            child = fork(lambda _: main(), (nothing, write, 2), (), words)
        finally:
            os.close(write)
    parts: list[bytes] = []
    until_s = time.monotonic() + timeout_s
    try:
        while True:
            ready, _, _ = select.select([read], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                raise TimeoutError
            if not (part := os.read(read, 64 << 10)):
                return child.wait(), b"".join(parts)
            parts.append(part)
    finally:
        os.close(read)
        child.kill()
        child.wait()


@contextlib.contextmanager
def _devnull() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by a program, which keeps its number."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them; programs do not expect that
    os.execv(argv[0], list(argv))  # noqa: S606


# in the child ----------------------------------------------------------------------------------------


def _live(
    main: Main,
    streams: tuple[int, int, int],
    handed: Sequence[int],
    words: Sequence[str],
    mask: set[int],
) -> None:
    """All of the child's life. Never returns: the frames below are its parent's."""
    code = 1
    try:
        os.setsid()  # keeps the terminal's Ctrl-C from reaching it before our SIGTERM
        kept = _own_descriptors(streams, handed)
        _own_signals(mask)
        _own_chance()
        name_process(words)
        code = main(kept)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _own_descriptors(streams: tuple[int, int, int], handed: Sequence[int]) -> list[int]:
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in (*streams, *handed)]
    kept = moved[len(streams) :]
    for number, fd in enumerate(moved[: len(streams)]):
        os.dup2(fd, number)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a list, read before any is closed
        if int(name) >= len(streams) and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    return kept


def _own_signals(mask: set[int]) -> None:
    """As after exec: what our parent handled is as the system has it, what it ignored is ignored."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            ours = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, ours)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _own_chance() -> None:
    """`random` reseeds itself after a fork, OpenSSL too, and `secrets` asks the system."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _end(code: int) -> None:
    """What the interpreter does at its end, as far as it concerns this process."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        traceback.print_exc()
        code = code or 1
    finally:
        os._exit(code)
