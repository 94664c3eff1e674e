"""The thread that follows directives: one thing at a time, each in a child process.

It decides by `book.due`, has the child verify and stage, asks the launcher for the switch, and tells
the server what became of it. It holds no state of its own that is not on disk: whatever is killed,
the directives come again at the next connection, and what was dealt with is known.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from vezha.agent.build import Build
from vezha.agent.change.book import due, load_book, save_book
from vezha.agent.change.launched import Launched
from vezha.agent.change.progress import ProgressBook
from vezha.agent.limits import CHANGE_AGAIN_S, CHANGE_LOOK_S, CHILD_STOP_S
from vezha.agent.remote_config import Effective
from vezha.trust.errors import CODES
from vezha.wire import message as m
from vezha.wire.directive import REFUSED, Directive, directive_of
from vezha.wire.errors import ProtocolError
from vezha.world import World

if TYPE_CHECKING:
    import subprocess

NO_LAUNCHER = (
    "the agent was started without the launcher, so its file cannot be changed from here: install "
    "it anew with `vezha-agent install`"
)


class Line(Protocol):
    """The link, as this thread needs it."""

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk: ...
    def tell_state(self) -> None: ...
    def tell_progress(self) -> None: ...


class Desk:
    """Follows what the server directs."""

    def __init__(
        self,
        world: World,
        line: Line,
        say: Callable[[str], None],
        *,
        state: str,
        config_path: str,
        effective: Effective,
        build: Build,
        by: Launched | None,
        probe: Mapping[str, Any],
        failing: Callable[[], list[str]],
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self.progress = ProgressBook(world, state)
        self.is_trial = by is not None and by.trial
        """Whether the pair that this process is has still to be proven."""
        self._world = world
        self._line = line
        self._say = say
        self._state = state
        self._config_path = config_path
        self._effective = effective
        self._build = build
        self._by = by
        self._probe = dict(probe)
        self._failing = failing
        self._facts = facts
        self._book = load_book(world, state)
        self._wanted: list[Directive] = []
        self._wake = threading.Event()
        self._stopping = False
        self._again_s = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: tuple[int, Any] | None = None

    # what it says of itself ---------------------------------------------------------------------------

    @property
    def capabilities(self) -> list[str]:
        """Kinds of directives that this agent acts on."""
        kinds = [] if self._by is None else ["release", "config"]
        return kinds + (["script"] if self._effective.config.scripts.enabled else [])

    def state(self) -> m.State:
        """Everything that the agent tells of itself."""
        effective, launcher = self._effective, self._launcher_state()
        release: dict[str, Any] = {
            "build": self._build.build,
            "version": self._build.version,
            "launcher": self._by is not None,
            "generation": self._book.kinds.get("release", (0, ""))[0],
        }
        if self._by is None:
            release["why_not"] = NO_LAUNCHER
        else:
            release["slot"] = self._by.slot
            release["sha256"] = self._by.sha256
        return m.State(
            facts=self._facts(),
            config={
                "sha256": effective.signed_sha256,
                "effective_sha256": effective.sha256,
                "text": effective.text,
                "generation": self._book.kinds.get("config", (0, ""))[0],
                "drift": list(effective.drift),
                "trouble": effective.trouble,
            },
            release=release,
            quarantined=sorted(launcher.get("quarantine", {})),
            capabilities=self.capabilities,
        )

    # called by other threads -----------------------------------------------------------------------------

    def told(self, desired: m.Desired) -> None:
        """The server says what this host should run. What cannot be read is left out: it must not
        cost the connection, over which samples go."""
        wanted = []
        for entry in desired.directives:
            try:
                wanted.append(directive_of(entry))
            except ProtocolError as error:
                self._say(f"change: a directive is left out: {error}")
        self._wanted = wanted
        self._again_s = 0.0
        self._wake.set()

    def stop(self) -> None:
        """End `run`, and the child with it: what it did is taken up again later."""
        self._stopping = True
        self._wake.set()
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                child.terminate()

    # the thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until stopped."""
        while not self._stopping:
            try:
                self._follow_launcher()
                if self._world.clock.monotonic() >= self._again_s:
                    self._turn()
            except OSError as error:
                self._say(f"change: {error}")
                self._again_s = self._world.clock.monotonic() + CHANGE_AGAIN_S
            self._wake.wait(CHANGE_LOOK_S)
            self._wake.clear()

    def _launcher_state(self) -> dict[str, Any]:
        if self._by is None:
            return {}
        try:
            found = json.loads(self._world.disk.read(f"{self._state}/launcher/state.json"))
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def _follow_launcher(self) -> None:
        """What the launcher did becomes progress."""
        state = self._launcher_state()
        mark = (state.get("next_event", 0), state.get("trial"))
        if not state or mark == self._seen:
            return
        if self.progress.add_events(state):
            self._line.tell_progress()
        if self.is_trial and state.get("trial") is None:
            self.is_trial = False
        if self._seen is not None:
            self._line.tell_state()
        self._seen = mark

    def _turn(self) -> None:
        launcher = self._launcher_state()
        is_trying = launcher.get("trial") is not None or self._world.disk.exists(
            f"{self._state}/launcher/request.json"
        )
        take, older = due(self._wanted, self._book, is_trying)
        for directive in older:
            self._refuse(directive, "older_generation", "a newer one was taken before")
        if not take:
            return
        for directive in take:
            why = self._refusal(directive, launcher)
            if why is not None:
                for each in take:
                    self._refuse(each, *why)
                return
        self._take(take, launcher)
        if any(not self._book.is_known(d) for d in self._wanted):
            self._wake.set()

    def _refusal(self, directive: Directive, launcher: Mapping[str, Any]) -> tuple[str, str] | None:
        """What can be said without looking at anything signed."""
        if directive.kind not in self.capabilities:
            if directive.kind == "script":
                return "opted_out", "agent.toml on this host does not have [scripts] enabled = true"
            return "no_launcher", NO_LAUNCHER
        quarantine = launcher.get("quarantine", {})
        if directive.sha256 in quarantine and directive.detail.get("forced") is not True:
            why = quarantine[directive.sha256]["reason"]
            return "quarantined", f"this host went back from it before ({why})"
        return None

    def _refuse(self, directive: Directive, code: str, text: str) -> None:
        assert code in CODES, code
        self._tell(directive, REFUSED, code, {"text": text})
        self._note(directive)

    def _tell(
        self, directive: Directive, step: str, reason: str, detail: Mapping[str, Any]
    ) -> None:
        d = directive
        self.progress.add(d.kind, d.generation, d.sha256, step, d.run, reason, detail)
        self._line.tell_progress()
        self._say(
            f"{d.kind} {d.target or '(own)'}: {step} {reason} {detail.get('text', '')}".strip()
        )

    def _note(self, directive: Directive) -> None:
        self._book.note(directive)
        save_book(self._world, self._state, self._book)

    # the child -----------------------------------------------------------------------------------------

    def _take(self, take: list[Directive], launcher: Mapping[str, Any]) -> None:
        current = launcher.get("current", {})
        if not self._effective.trouble and runs_already(take, current):
            # told to stay as it is (the usual end of a way back): nothing is fetched or started
            self._ask_launcher(take, None, current)
            for directive in take:
                self._note(directive)
            return
        slot = "b" if current.get("slot") == "a" else "a"
        job = {
            "directives": [d.as_json() for d in take],
            "state": self._state,
            "config": self._config_path,
            "own_config": self._effective.signed_sha256,
            "slot": slot,
        }
        staged = self._run_child(job, {(d.kind, d.run): d for d in take})
        if staged is None:  # broken off: the same again, later
            self._again_s = self._world.clock.monotonic() + CHANGE_AGAIN_S
            return
        if staged and not take[0].run:
            self._ask_launcher(take, staged, current)
        for directive in take:
            self._note(directive)

    def _run_child(
        self, job: Mapping[str, Any], by_kind: Mapping[tuple[str, str], Directive]
    ) -> dict[str, Any] | None:
        """What the child staged; None where it was broken off."""
        import subprocess  # only who takes a change pays for it

        self._child = child = subprocess.Popen(
            child_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        assert child.stdout is not None
        staged: dict[str, Any] | None = None
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            for line in child.stdout:
                said = json.loads(line)
                if "fetch" in said:
                    child.stdin.write(self._piece(*said["fetch"]))
                    child.stdin.flush()
                elif "progress" in said:
                    kind, _, _, step, run = said["progress"]
                    self._tell(by_kind[kind, run], step, said["reason"], said["detail"])
                elif "staged" in said:
                    staged = said["staged"]
                elif "broken" in said:
                    self._say(f"change: broken off: {said['broken']}")
        except (BrokenPipeError, ValueError) as error:
            self._say(f"change: the child process broke: {error}")
        finally:
            with contextlib.suppress(OSError):
                child.stdin.close()
            try:
                child.wait(CHILD_STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()
            self._child = None
        return staged

    def _piece(self, path: str, offset: int, length: int) -> bytes:
        try:
            chunk = self._line.fetch(path, offset, length)
        except OSError as error:
            return json.dumps({"broken": str(error)}).encode() + b"\n"
        told = {
            "status": chunk.status,
            "offset": chunk.offset,
            "total": chunk.total,
            "bytes": len(chunk.data),
        }
        return json.dumps(told).encode() + b"\n" + chunk.data

    def _ask_launcher(
        self, take: list[Directive], staged: Mapping[str, Any] | None, current: Mapping[str, Any]
    ) -> None:
        """Ask for the switch, or (without *staged*) for what runs to be taken as what is meant. The
        launcher decides, and writes what it did."""
        pair = {key: current[key] for key in ("slot", "sha256", "config")}
        build = self._build.build
        for directive in take if staged is not None else ():
            assert staged is not None
            if directive.kind == "config":
                pair["config"] = "" if directive.is_own else staged["config"]["sha256"]
            elif directive.is_own:
                factory = self._launcher_state().get("factory", "")
                pair.update(slot="factory", sha256=factory)
                build = ""
            else:
                found = staged["release"]
                pair.update(slot=found["slot"], sha256=found["sha256"])
                build = found["build"]
        watch_s = max(float(d.detail.get("watch_s") or 0.0) for d in take)
        request = {
            "id": "-".join(f"{d.kind}-{d.generation}" for d in take),
            "parts": [
                {"kind": d.kind, "generation": d.generation, "sha256": d.sha256} for d in take
            ],
            "pair": pair,
            "build": build,
            "watch_s": watch_s,
            "as_is": staged is None,
            "forced": any(d.detail.get("forced") is True for d in take),
            "failing": self._failing(),
            "probe": self._probe,
        }
        self._world.disk.write_whole(
            f"{self._state}/launcher/request.json", json.dumps(request).encode()
        )
        assert self._by is not None
        self._by.nudge()


def runs_already(take: Sequence[Directive], current: Mapping[str, Any]) -> bool:
    """Whether the launcher's *current* pair is what all of *take* want."""
    for directive in take:
        if directive.run or not current:
            return False
        if directive.kind == "config":
            same = current.get("config") == ("" if directive.is_own else directive.sha256)
        elif directive.is_own:
            same = current.get("slot") == "factory"
        else:
            same = current.get("sha256") == directive.sha256
        if not same:
            return False
    return True


def child_command() -> list[str]:
    """This same agent as the child that takes a change."""
    file = sys.argv[0]
    if file.endswith(".pyz"):
        return [sys.executable, "-I", "-S", file, "take"]
    safe = ["-P"] if getattr(sys.flags, "safe_path", False) else []
    return [sys.executable, *safe, "-m", "vezha.agent.command", "take"]
