"""The supervisor: starts the children, files what they say, starts them again, stops them all.

What to do is decided in `vezha.server.children`; here it is done. One thread, one selector.
A child's standard output and error go to `logs/<name>.log`; its lifeline says when it is ready.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from vezha.server.children import Action, Child, Phase, Plan, decide, has_settled
from vezha.server.errors import ContourError
from vezha.server.lifeline import FAILED, READY, WORKER
from vezha.server.limits import SUPERVISOR_POLL_S
from vezha.server.log_file import LogFile
from vezha.server.nursery import REQUEST_DESCRIPTORS, Nursery, WorkerMain
from vezha.server.settings import Settings
from vezha.server.starting import Process, start
from vezha.world import World

_READ_BYTES = 64 << 10

Tell = Callable[[str, str], None]
"""Called with a child's name and a sentence about it, or a line that it wrote."""


@dataclass(slots=True)
class Supervisor:
    """Keeps *plans* running until asked to stop.

    *tell* gets news ("ended with code 1, starting again in 0.5 s"), *hear* each line that a
    child wrote. `on_ready` is called once, when all serve or the rest has failed several times.
    `run` blocks; `stop` may be called from a signal handler. With *forks*, plans that have a `main`
    are forked from this process, which must run no thread, and the contours get *workers* on
    request. When *own_lifeline* ends, so does all.
    """

    settings: Settings
    plans: Sequence[Plan]
    world: World
    tell: Tell
    hear: Tell
    on_ready: Callable[[], None]
    on_stopping: Callable[[], None] = lambda: None
    forks: bool = False
    workers: Mapping[str, WorkerMain] = field(default_factory=dict)
    own_lifeline: socket.socket | None = None
    _children: dict[str, Child] = field(default_factory=dict)
    _processes: dict[str, Process] = field(default_factory=dict)
    _logs: dict[str, LogFile] = field(default_factory=dict)
    _added: queue.SimpleQueue[Plan] = field(default_factory=queue.SimpleQueue)
    _stops: int = 0
    _stopping: bool = False
    _settled: bool = False
    _failure: str = ""
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _nursery: Nursery = field(init=False)

    def __post_init__(self) -> None:
        self._nursery = Nursery(self.workers, self._worker_ended)

    def stop(self) -> None:
        """Ask to stop; a second time kills."""
        self._stops += 1

    def add(self, plan: Plan) -> None:
        """Keep one more child running, from now on. From any thread."""
        self._added.put(plan)

    def run(self) -> None:
        """Run until stopped.

        Raises `ContourError` where a child gave up at the first start for a reason that the
        operator can mend; the others are stopped by then.
        """
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        # Who starts us under nohup means it. SIGINT is heeded even so: shells ignore it in what
        # they start in the background, where it is still the way to stop us.
        heeded = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            heeded.append(signal.SIGHUP)
        before = {n: signal.signal(n, self._on_signal) for n in heeded}
        wakeup = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, None)
        if self.own_lifeline is not None:
            self._selector.register(self.own_lifeline, selectors.EVENT_READ, None)
        try:
            self._children = {plan.name: Child(plan) for plan in self.plans}
            while not self._is_over():
                self._turn()
        finally:
            self._kill_all()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            for log in self._logs.values():
                log.close()
            woken.close()
            wake.close()
        if self._failure:
            raise ContourError(self._failure)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def _is_over(self) -> bool:
        return all(c.phase is Phase.GONE for c in self._children.values())

    def _turn(self) -> None:
        """One pass: read what came, notice who went, do what is decided."""
        for key, _ in self._selector.select(SUPERVISOR_POLL_S):
            if key.fileobj is self.own_lifeline:
                self._selector.unregister(key.fileobj)  # nothing is ever said there
                self.stop()
            elif key.data is None:
                _drain(key.fileobj)
            else:
                self._read(*key.data)
        now = self.world.clock.monotonic()
        for name in list(self._processes):
            code = self._processes[name].running.poll()
            if code is not None:
                self._on_exit(name, code, now)
        self._nursery.look()
        while not self._added.empty():
            plan = self._added.get()
            self._children[plan.name] = Child(plan)
        if self._stops:
            if not self._stopping:
                self._stopping = True
                self.on_stopping()
            for name in list(self._children):
                self._ask_to_stop(name, now)
        for name, child in list(self._children.items()):
            action = decide(child, now)
            if action is Action.START:
                self._start(name, now)
            elif action is Action.KILL or (self._stops > 1 and name in self._processes):
                self._processes[name].running.kill()
        if not self._settled and not self._stops and has_settled(self._children.values()):
            self._settled = True
            self.on_ready()

    def _start(self, name: str, now: float) -> None:
        try:
            process = start(self._children[name].plan, forks=self.forks)
        except OSError as error:
            # No memory, no processes left: tried again like a crash.
            child = self._children[name] = self._children[name].started(now).exited(now)
            self.tell(name, f"cannot be started ({error}); trying again in {child.delay_s:g} s")
            return
        self._processes[name] = process
        if name not in self._logs:
            log = self.settings.log
            path = self.settings.state.logs / f"{name}.log"
            self._logs[name] = LogFile(path, log.file_bytes_max, log.files_max)
        self._selector.register(process.lifeline, selectors.EVENT_READ, (name, "lifeline"))
        self._selector.register(process.output, selectors.EVENT_READ, (name, "output"))
        self._children[name] = self._children[name].started(now)

    def _read(self, name: str, what: str) -> None:
        process = self._processes.get(name)
        if process is None:
            return
        if what == "output":
            self._read_output(name, process)
            return
        data, descriptors = _received(process.lifeline)
        if not data:
            self._forget(process.lifeline)
            return
        *lines, process.said = (process.said + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == READY:
                now = self.world.clock.monotonic()
                self._children[name] = self._children[name].became_ready(now)
            elif word == FAILED:
                process.reason = rest
            elif word == WORKER:
                # The kernel parts what comes with descriptors from what comes after: they are its.
                self._nursery.start(name, rest, descriptors)
                descriptors = []
        for descriptor in descriptors:
            os.close(descriptor)

    def _read_output(self, name: str, process: Process) -> bool:
        try:
            data = os.read(process.output, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._forget(process.output)
            return False
        for raw in self._logs[name].write(data):
            line = raw.decode(errors="replace")
            process.last_line = line.strip() or process.last_line
            self.hear(name, line)
        return True

    def _on_exit(self, name: str, code: int, now: float) -> None:
        process = self._processes[name]
        while process.output in self._selector.get_map() and self._read_output(name, process):
            pass
        if process.lifeline in self._selector.get_map():
            self._read(name, "lifeline")
        self._close(name)
        before = self._children[name]
        child = self._children[name] = before.exited(now)
        if child.phase is Phase.GONE:
            return
        why = process.reason or _how(code, process.last_line)
        if process.reason and not self._settled:
            self._failure = self._failure or process.reason
            self.stop()
            return
        log = self.settings.state.logs / f"{name}.log"
        self.tell(name, f"{why}; starting again in {child.delay_s:g} s (its log: {log})")

    def _ask_to_stop(self, name: str, now: float) -> None:
        child = self._children[name]
        if child.phase in (Phase.STARTING, Phase.READY):
            self._processes[name].running.terminate()
        self._children[name] = child.asked_to_stop(now)

    def _kill_all(self) -> None:
        for name in list(self._processes):
            process = self._processes[name]
            process.running.kill()
            process.running.wait()
            self._close(name)
        self._nursery.close()

    def _worker_ended(self, whose: str, name: str, code: int) -> None:
        if code and not self._stopping and whose in self._logs:
            self._logs[whose].write(f"vezha: a {name} worker {_how(code, '')}\n".encode())

    def _close(self, name: str) -> None:
        process = self._processes.pop(name)
        self._forget(process.lifeline)
        self._forget(process.output)
        process.lifeline.close()
        os.close(process.output)

    def _forget(self, channel: socket.socket | int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(channel)


def _received(lifeline: socket.socket) -> tuple[bytes, list[int]]:
    """What a child said, and the descriptors with it; b"" when it has said all."""
    try:
        data, descriptors, _, _ = socket.recv_fds(lifeline, _READ_BYTES, REQUEST_DESCRIPTORS)
    except OSError:
        return b"", []
    return data, descriptors


def _drain(channel: object) -> None:
    assert isinstance(channel, socket.socket)
    with contextlib.suppress(BlockingIOError):
        while channel.recv(_READ_BYTES):
            pass


def _how(code: int, last_line: str) -> str:
    """An exit code in words, with what the child wrote last where it crashed."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}" + (f" ({last_line[:200]})" if code and last_line else "")
