"""A supervisor that forks, as a program of its own: `python forking_house.py FOLDER SCENE`.

pytest runs threads and so must not fork. What the supervisor hears and tells goes to standard output.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from vezha.server import image, lifeline
from vezha.server.children import Plan
from vezha.server.forked import fork, open_streams, output_of
from vezha.server.settings import load_settings
from vezha.server.state import StateFolder
from vezha.server.supervisor import Supervisor
from vezha.server.worker_process import start_worker
from vezha.world import World

FOLDER = Path(sys.argv[1])


def ready() -> None:
    held = lifeline.held()
    assert held is not None
    held.ready()


def serve() -> int:
    print("serves", os.getpid(), flush=True)
    ready()
    time.sleep(600)
    return 0


def crash_once() -> int:
    flag = FOLDER / "flag"
    first = not flag.exists()
    flag.touch()
    ready()
    if first:
        raise RuntimeError("broken on purpose")
    return serve()


def exit_once() -> int:
    flag = FOLDER / "flag"
    first = not flag.exists()
    flag.touch()
    ready()
    if first:
        sys.exit(3)
    return serve()


def polite() -> int:
    def bye(*_: object) -> None:
        (FOLDER / "farewell").write_text("stopped")
        sys.exit(0)

    signal.signal(signal.SIGTERM, bye)
    return serve()


def hand_over() -> int:
    """Asks for workers: one that answers, one that is killed, one that nobody knows."""
    ours, theirs = socket.socketpair()
    worker = start_worker(("echo", "a b"), theirs)
    theirs.close()
    ours.sendall(b"hello")
    print("echo", ours.recv(64).decode(), flush=True)
    worker.kill()
    worker.wait()
    print("end", ours.recv(64) == b"", flush=True)
    try:
        other, far = socket.socketpair()
        start_worker(("sh", "-c", "true"), far)
    except OSError as error:
        print("refused", error, flush=True)
    other.close()
    return serve()


def echo(arguments: Sequence[str]) -> None:
    connection = socket.socket(fileno=int(arguments[-1]))
    heard = connection.recv(64).decode()
    held = lifeline.held()
    connection.sendall(f"{heard} {arguments[0]} {held}".encode())
    time.sleep(600)


def huge_pages_in_heap() -> bool:
    """Whether the kernel may make huge pages of what is shared."""
    heap = Path("/proc/self/smaps").read_text().partition("[heap]")[2]
    return " nh" not in heap.partition("VmFlags:")[2].partition("\n")[0]


def show() -> int:
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # that of the list itself
    shown = {
        "descriptors": descriptors,
        "environment": {n: os.environ.get(n) for n in ("MALLOC_ARENA_MAX", "OF_PLAN")},
        "cmdline": Path("/proc/self/cmdline").read_text().split("\0")[:3],
        "comm": Path("/proc/self/comm").read_text().strip(),
        "session": os.getsid(0) == os.getpid(),
        "ignored": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
        "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "threads": threading.active_count(),
        "chance": random.random(),
        "huge": huge_pages_in_heap(),
    }
    print(json.dumps(shown), flush=True)
    return serve()


def arenas() -> int:
    """How many arenas glibc has after eight threads held memory at the same time."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    together = threading.Barrier(8)

    def hold() -> None:
        for _ in range(200):
            libc.malloc(4000)
        together.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    libc.fopen.restype = ctypes.c_void_p
    path = FOLDER / "malloc.xml"
    file = ctypes.c_void_p(libc.fopen(str(path).encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    print("arenas", path.read_text().count("<heap nr="), flush=True)
    return serve()


SCENES = {
    "serve": [Plan("data", (), main=serve), Plan("web", (), main=serve)],
    "crash": [Plan("data", (), main=serve), Plan("web", (), main=crash_once)],
    "exit": [Plan("data", (), main=serve), Plan("web", (), main=exit_once)],
    "polite": [Plan("data", (), main=polite), Plan("web", (), main=serve)],
    "show": [
        Plan("data", (), main=serve),
        Plan("ops", (), main=show, environment={"OF_PLAN": "1"}),
        Plan("web", (), main=show),
    ],
    "workers": [Plan("web", (), main=hand_over)],
    "arenas": [Plan("data", (), main=arenas)],
}


def supervise(scene: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    image.load(os.environ)
    print("threads", threading.active_count(), len(os.listdir("/proc/self/task")), flush=True)
    state = StateFolder.at(FOLDER)
    state.make()
    lifeline.take(os.environ, watched=False)
    held = lifeline.held()
    supervisor = Supervisor(
        settings=load_settings(state, {}),
        plans=SCENES[scene],
        world=World(),
        tell=lambda name, text: print("told", name, text, flush=True),
        hear=lambda name, line: print("heard", name, line, flush=True),
        on_ready=lambda: print("ready", flush=True),
        forks=True,
        workers={"echo": echo},
        own_lifeline=held.connection if held else None,
    )
    supervisor.run()
    print("over", flush=True)


def outputs() -> None:
    """What `output_of` gives, and how ends are told."""

    def answer() -> int:
        print("answer", end="")
        return 4

    def hang() -> int:
        time.sleep(600)
        return 0

    print(output_of(answer, 30, ("vezha", "t")))
    try:
        output_of(hang, 0.2, ("vezha", "t"))
    except TimeoutError:
        print("too long")
    nothing = os.open(os.devnull, os.O_RDWR)
    child = fork(lambda _: hang(), (nothing, 1, 2), (), ("vezha", "t"))
    print(child.poll())
    child.kill()
    print(child.wait(), child.poll())
    child.terminate()  # it is over, and its number may be another's


def closed() -> None:
    """What a child has for streams where we were given none."""
    open_streams()

    def answer() -> int:
        print("answer", end="")
        return 0

    code, said = output_of(answer, 30, ("vezha", "t"))
    streams = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
    (FOLDER / "opened").write_text(" ".join([*streams, said.decode()]))
    sys.exit(code)


if __name__ == "__main__":
    if sys.argv[2] == "outputs":
        outputs()
    elif sys.argv[2] == "closed":
        closed()
    else:
        supervise(sys.argv[2])
