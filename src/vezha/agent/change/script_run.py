"""One run of a signed script: as an unprivileged user, within its time and its output.

Parameters go in as environment and arguments, never by way of a shell's line. The record of a run is
on disk before it begins, so that a run that was broken off is told as such and never begins again.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vezha.agent.config import ScriptSettings
from vezha.agent.limits import RUNS_KEPT_MAX, SCRIPT_KILL_AFTER_S
from vezha.trust.artifact import Artifact
from vezha.trust.errors import Refused
from vezha.trust.limits import SCRIPT_OUTPUT_BYTES_MAX, SCRIPT_TIMEOUT_MAX_S
from vezha.trust.script import Script, script_of, values_of
from vezha.wire.directive import Directive
from vezha.world import World

FOLDER = "runs"
NOBODY = "nobody"


@dataclass(frozen=True)
class Planned:
    """How a script is going to run."""

    argv: list[str]
    environment: dict[str, str]
    user: str
    """Empty: as whoever the agent is."""
    timeout_s: float
    output_bytes_max: int


def check_allowed(settings: ScriptSettings, name: str) -> None:
    """Whether this host lets that script run. Raises Refused `opted_out`."""
    if not settings.enabled:
        raise Refused("opted_out", "agent.toml on this host does not have [scripts] enabled = true")
    if settings.allowed and name not in settings.allowed:
        raise Refused("opted_out", f"agent.toml on this host does not allow the script {name}")


def plan(
    script: Script, directive: Directive, settings: ScriptSettings, path: str, is_root: bool
) -> Planned:
    """Pure but for the user database. Raises Refused."""
    given = directive.detail.get("params", {})
    if not isinstance(given, dict):
        raise Refused("bad_params", "params must be an object")
    values = values_of(script, given)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "VEZHA_RUN": directive.run,
        **{f"VEZHA_PARAM_{name.upper()}": value for name, value in values.items()},
    }
    if directive.detail.get("dry_run") is True:
        environment["VEZHA_DRY_RUN"] = "1"
    argv = [*script.interpreter, path, *(values[name] for name in script.arguments)]
    return Planned(
        argv,
        environment,
        _user(script, settings) if is_root else "",
        _at_most(directive.detail.get("timeout_s"), script.timeout_s, SCRIPT_TIMEOUT_MAX_S),
        int(
            _at_most(
                directive.detail.get("output_bytes_max"),
                script.output_bytes_max,
                SCRIPT_OUTPUT_BYTES_MAX,
            )
        ),
    )


def _user(script: Script, settings: ScriptSettings) -> str:
    """As whom it runs where the agent is root: as the host's file says (root too, if it says so),
    else as it was signed unless that is root, else nobody."""
    wanted = settings.user or script.user or NOBODY
    try:
        known = pwd.getpwnam(wanted)
    except KeyError:
        raise Refused("opted_out", f"the user {wanted} is not known on this host") from None
    if known.pw_uid == 0 and settings.user != wanted:
        raise Refused("opted_out", "agent.toml on this host does not allow scripts as root")
    return wanted


def _at_most(asked: Any, signed: float, limit: float) -> float:
    """The directive may ask for less than was signed, never for more."""
    if isinstance(asked, (int, float)) and not isinstance(asked, bool) and asked >= 0:
        return float(min(asked, signed, limit))
    return float(min(signed, limit))


def record_of(world: World, state: str, run: str) -> dict[str, Any] | None:
    """What is kept of a run, None where it never began."""
    try:
        kept = json.loads(world.disk.read(f"{state}/{FOLDER}/{run}.json"))
        return kept if isinstance(kept, dict) else {}
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}


def run_script(
    world: World,
    state: str,
    directive: Directive,
    artifact: Artifact,
    content: bytes,
    settings: ScriptSettings,
) -> dict[str, Any]:
    """Run it, once; what to tell as the detail of `finished`. Raises Refused, OSError."""
    check_allowed(settings, artifact.name)
    script = script_of(artifact.custom)
    place = f"{state}/{FOLDER}/{directive.run}"
    file = f"{place}/{artifact.file}"
    planned = plan(script, directive, settings, file, os.geteuid() == 0)
    if record_of(world, state, directive.run) is not None:
        raise Refused("ran_already", f"the run {directive.run} began before; each runs once")
    if directive.detail.get("dry_run") is True and not script.knows_dry_run:
        return {"dry_run": True, "would_run": planned.argv, "user": planned.user}
    world.disk.make_folder(f"{state}/{FOLDER}")
    _forget_old(world, state)
    world.disk.write_whole(
        f"{state}/{FOLDER}/{directive.run}.json", json.dumps({"state": "started"}).encode()
    )
    try:
        world.disk.make_folder(place)
        world.disk.write_whole(file, content, 0o500)
        told = _execute_as(world, planned, file)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if directive.detail.get("dry_run") is True:
        told["dry_run"] = True
    kept = json.dumps({"state": "finished", "told": told}).encode()
    world.disk.write_whole(f"{state}/{FOLDER}/{directive.run}.json", kept)
    return told


def _execute_as(world: World, planned: Planned, file: str) -> dict[str, Any]:
    if not planned.user:
        return execute(world, planned)
    # its user need not see the agent's folder: it gets the open file
    known = pwd.getpwnam(planned.user)
    os.chown(file, known.pw_uid, known.pw_gid)
    script = os.open(file, os.O_RDONLY)
    try:
        argv = [f"/dev/fd/{script}" if word == file else word for word in planned.argv]
        return execute(world, replace(planned, argv=argv), (script,))
    finally:
        os.close(script)


def _forget_old(world: World, state: str) -> None:
    folder = f"{state}/{FOLDER}"
    names = [name for name in world.disk.list_names(folder) if name.endswith(".json")]
    if len(names) > 2 * RUNS_KEPT_MAX:
        names.sort(key=lambda name: os.stat(f"{folder}/{name}").st_mtime)
        for name in names[:-RUNS_KEPT_MAX]:
            world.disk.remove(f"{folder}/{name}")


def execute(world: World, planned: Planned, files: tuple[int, ...] = ()) -> dict[str, Any]:
    """Start it in a session of its own, read its output, end the whole group at the time-out (and
    whatever it left behind at its end). Raises OSError where it cannot start."""
    began = world.clock.monotonic()
    how: dict[str, Any] = {}
    if planned.user:
        known = pwd.getpwnam(planned.user)
        how = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    process = subprocess.Popen(
        planned.argv,
        env=planned.environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
        pass_fds=files,
        **how,
    )
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    output, total, timed_out, until = b"", 0, False, began + planned.timeout_s
    killed_s = 0.0
    open_ = True
    while open_ or process.poll() is None:
        now = world.clock.monotonic()
        if not timed_out and now >= until:
            timed_out, killed_s = True, now + SCRIPT_KILL_AFTER_S
            _signal(process, signal.SIGTERM)
        elif timed_out and now >= killed_s:
            _signal(process, signal.SIGKILL)
        if process.poll() is not None:
            # what it left in the background may hold the pipe: the run ends with the script
            _signal(process, signal.SIGKILL)
            piece = _drained(pipe)
            total += len(piece)
            output = (output + piece)[: planned.output_bytes_max]
            break
        if not open_:
            world.clock.sleep(0.02)
            continue
        select.select([pipe], [], [], 0.1)
        try:
            piece = os.read(pipe, 65536)
        except BlockingIOError:
            continue
        open_ = bool(piece)
        total += len(piece)
        output = (output + piece)[: planned.output_bytes_max]
    code = process.wait()
    process.stdout.close()
    return {
        "exit_code": code,
        "timed_out": timed_out,
        "output": output.decode("utf-8", "replace"),
        "truncated": total > planned.output_bytes_max,
        "duration_s": round(world.clock.monotonic() - began, 3),
        "user": planned.user,
    }


def _drained(pipe: int) -> bytes:
    found = b""
    with contextlib.suppress(OSError):
        while len(found) < 1 << 20:
            piece = os.read(pipe, 65536)
            if not piece:
                break
            found += piece
    return found


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def finished_again(kept: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Reason and detail of a run that began in another life of the agent."""
    if kept.get("state") == "finished" and isinstance(kept.get("told"), dict):
        return "", dict(kept["told"])
    return "interrupted", {"text": "the run was broken off; it is not begun again"}
