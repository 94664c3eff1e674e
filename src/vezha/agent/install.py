"""`install` and `uninstall`: from the one file to a service that stays.

Where systemd runs and we are root: the file goes to a place that only root writes, a user of its
own is made, a hardened unit is written and started, which starts the agent by its launcher. Elsewhere everything lands in the folder, and
the commands for starting by hand are printed. Both may be repeated: an identity that is there is
kept, so that installing a newer file over an older one is an upgrade.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vezha import __version__
from vezha.agent.errors import AgentError
from vezha.agent.identity import FILE as IDENTITY_FILE
from vezha.agent.identity import load_identity
from vezha.agent.launcher_file import launcher_bytes
from vezha.agent.limits import INSTALL_START_S, INSTALL_TOOL_TIMEOUT_S
from vezha.world import World

SERVICE = "vezha-agent"
USER = "vezha-agent"
FOLDER = "/var/lib/vezha-agent"
NAME = "vezha-agent.pyz"
LAUNCHER = "vezha-launcher.pyz"
_UNIT = "etc/systemd/system/vezha-agent.service"
_CODE = "usr/local/lib/vezha-agent"
_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")

Run = Callable[[Sequence[str]], "tuple[int, str]"]
"""Runs a program: its exit code and what it said."""
Enrol = Callable[[str], None]
"""Enrols this host, with its identity in the folder that is given."""


def run_program(words: Sequence[str]) -> tuple[int, str]:
    """Run a program of the system; one that is not there has the exit code 127."""
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_TOOL_TIMEOUT_S,
            check=False,
            text=True,
        )
    except FileNotFoundError:
        return 127, f"{words[0]} is not there"
    except subprocess.TimeoutExpired:
        return 124, f"{words[0]} did not end within {INSTALL_TOOL_TIMEOUT_S:.0f} s"
    return done.returncode, done.stdout.strip()


@dataclass
class System:
    """The machine as `install` sees it. *root* is where its file systems begin."""

    world: World = field(default_factory=World)
    root: str = "/"
    run: Run = run_program
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    say: Callable[[str], None] = print

    def path(self, below: str) -> str:
        """The path of what lies at *below* (without a leading slash)."""
        return os.path.join(self.root, below)

    @property
    def has_systemd(self) -> bool:
        """Whether systemd is what runs this machine (as sd_booted(3) decides it)."""
        return os.path.isdir(self.path("run/systemd/system"))

    def must(self, *words: str) -> None:
        """Run a program that must succeed. Raises AgentError."""
        code, said = self.run(words)
        if code:
            raise AgentError(f"`{shlex.join(words)}` failed ({code}): {said[-300:]}")


def command_line(python: str, code: str, folder: str) -> list[str]:
    """How the agent is started: by the launcher that lies beside its file *code*."""
    launcher = os.path.join(os.path.dirname(code), LAUNCHER)
    # -S: neither needs a package, and looking for them costs 5 MB
    return [python, "-I", "-S", launcher, "--state", folder, "--factory", code]


def unit_text(python: str, code: str, folder: str, user: str) -> str:
    """The unit. What it leaves open has a reason: /home and /tmp stay visible because their file
    systems are measured, adjtimex because the clock is, the address families because sockets are
    counted and systemd is asked."""
    command = " ".join(_quoted(word) for word in command_line(python, code, folder))
    who = f"User={user}\nGroup={user}\nCapabilityBoundingSet=\n" if user else ""
    return f"""# Written by `vezha-agent install`; `uninstall` removes it.
[Unit]
Description=Vezha agent
Documentation=file://{code}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=1
TimeoutStopSec=30
KillMode=mixed
{who}UMask=0077
Nice=-5
OOMScoreAdjust=-500
MemoryMax=256M
TasksMax=128
LimitNOFILE=4096
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={_quoted(folder)}
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    """A word as systemd's units quote it."""
    word = word.replace("\\", "\\\\").replace("%", "%%")
    return word if not set(word) & set(" \t\"'") else '"' + word.replace('"', '\\"') + '"'


def install(system: System, folder: str, source: str, enrol: Enrol) -> int:
    """Make this host watched for good; the exit code. *source* is the agent's file.

    Raises AgentError in one sentence.
    """
    folder = os.path.abspath(folder)
    as_service = system.is_root and system.has_systemd
    if not zipfile.is_zipfile(source):
        raise AgentError(f"{source} is not the agent's file: run install from {NAME}")
    try:
        # Private from the beginning: secrets will lie in it.
        system.world.disk.make_folder(folder)
        os.chmod(folder, 0o750 if as_service else 0o700)
    except OSError as error:
        raise AgentError(
            f"{folder} cannot be made ({error.strerror}): run this as root, or name another folder "
            "with --folder"
        ) from None
    _enrol_once(system, folder, enrol)
    code_folder = system.path(_CODE) if as_service else folder
    code = f"{code_folder}/{NAME}"
    _copy(source, code)
    _put_launcher(source, f"{code_folder}/{LAUNCHER}")
    if as_service:
        return _install_service(system, folder, code)
    _say_by_hand(system, folder, code)
    return 0


def _enrol_once(system: System, folder: str, enrol: Enrol) -> None:
    if not system.world.disk.exists(f"{folder}/{IDENTITY_FILE}"):
        enrol(folder)
        return
    identity = load_identity(system.world, folder)
    system.say(
        f"{identity.host} is enrolled with {identity.server} already, and stays so. "
        f"(To enrol anew: uninstall --purge first.)"
    )


def _copy(source: str, code: str) -> None:
    try:
        os.makedirs(os.path.dirname(code), mode=0o755, exist_ok=True)
        if os.path.realpath(source) != os.path.realpath(code):
            shutil.copyfile(source, f"{code}.new")
            os.chmod(f"{code}.new", 0o755)  # noqa: S103  nothing secret, and who runs it must read it
            os.replace(f"{code}.new", code)
    except OSError as error:
        raise AgentError(f"{code} cannot be written: {error.strerror}") from None


def _put_launcher(source: str, path: str) -> None:
    """The launcher, out of the agent's file: only an installation by hand ever changes it."""
    try:
        with zipfile.ZipFile(source) as archive:
            names = sorted(archive.namelist())
            content = launcher_bytes((name, archive.read(name)) for name in names)
        if content is None:
            raise AgentError(f"{source} has no launcher in it: run install from {NAME}")
        with open(f"{path}.new", "wb") as file:
            file.write(content)
        os.chmod(f"{path}.new", 0o755)  # noqa: S103  nothing secret, and who runs it must read it
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror}") from None


def _install_service(system: System, folder: str, code: str) -> int:
    python = _python(system)
    user = "" if _is_private(python) else _user(system, folder)
    if user:
        _hand_over(folder, user)
    unit = system.path(_UNIT)
    try:
        os.makedirs(os.path.dirname(unit), exist_ok=True)
        with open(f"{unit}.new", "w", encoding="utf-8") as file:
            file.write(unit_text(python, code, folder, user))
        os.chmod(f"{unit}.new", 0o644)
        os.replace(f"{unit}.new", unit)
    except OSError as error:
        raise AgentError(f"{unit} cannot be written: {error.strerror}") from None
    system.must("systemctl", "daemon-reload")
    system.must("systemctl", "enable", SERVICE)
    system.must("systemctl", "restart", SERVICE)
    until = system.world.clock.monotonic() + INSTALL_START_S
    steady = 0
    while system.world.clock.monotonic() < until and steady < 3:
        code_, _ = system.run(["systemctl", "is-active", "--quiet", SERVICE])
        steady = steady + 1 if code_ == 0 else 0
        system.world.clock.sleep(0.3)
    if steady < 3:
        raise AgentError(
            f"the service does not stay up: read `journalctl -u {SERVICE} -n 30`, then install again"
        )
    system.say(
        f"vezha-agent {__version__} runs as the service {SERVICE}"
        f"{f' and the user {user}' if user else ''}, from {folder}.\n"
        f"  look:   systemctl status {SERVICE}; journalctl -u {SERVICE} -f\n"
        f"  remove: python3 {code} uninstall"
    )
    return 0


def _python(system: System) -> str:
    """The interpreter for the unit: the system's own where it is new enough, else this one."""
    for path in _PYTHONS:
        code, said = system.run([path, "-c", "import sys; print(sys.version_info >= (3, 10))"])
        if code == 0 and said == "True":
            return path
    return os.path.realpath(sys.executable)


def _is_private(python: str) -> bool:
    """Whether only its owner can run that interpreter (one in somebody's home)."""
    return python.startswith(("/root/", "/home/"))


def _user(system: System, folder: str) -> str:
    """The agent's own user, made where it is not there; empty where that cannot be done."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(USER).pw_name
    shell = next((path for path in _SHELLS if os.path.exists(path)), "/bin/false")
    words = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", folder]
    code, said = system.run([*words, "--shell", shell, USER])
    if code:
        system.say(f"No user of its own could be made ({said[-200:]}); the agent runs as root.")
        return ""
    return USER


def _hand_over(folder: str, user: str) -> None:
    """Give the state folder and what is in it to *user*."""
    try:
        known = pwd.getpwnam(user)
        for place, folders, files in os.walk(folder):
            os.chown(place, known.pw_uid, known.pw_gid)
            for name in (*folders, *files):
                os.chown(
                    os.path.join(place, name), known.pw_uid, known.pw_gid, follow_symlinks=False
                )
    except (KeyError, OSError) as error:
        raise AgentError(f"{folder} cannot be given to the user {user}: {error}") from None


def _say_by_hand(system: System, folder: str, code: str) -> None:
    run = shlex.join(command_line(sys.executable, code, folder))
    log = shlex.quote(f"{folder}/agent.log")
    if not system.has_systemd:
        why = "systemd does not run here, so nothing starts the agent by itself."
    else:
        why = "You are not root, so no service was made; run install as root for one, or:"
    system.say(
        f"Installed in {folder}. {why}\n"
        f"  in front:   {run}\n"
        f"  behind:     nohup {run} >>{log} 2>&1 &\n"
        f"  at boot:    (crontab -l; echo {shlex.quote(f'@reboot {run} >>{log} 2>&1')}) | crontab -\n"
        f"  remove:     {shlex.join([sys.executable, code, 'uninstall', '--folder', folder])}"
    )


def uninstall(system: System, folder: str, purge: bool) -> int:
    """Stop the service and remove it with its file; with *purge* also identity, settings, spool
    and user. Raises AgentError."""
    folder = os.path.abspath(folder)
    unit, code_folder = system.path(_UNIT), system.path(_CODE)
    is_service = os.path.exists(unit)
    if is_service:
        if not system.is_root:
            raise AgentError("the agent is a service of this machine: run uninstall as root")
        if system.has_systemd:
            system.run(["systemctl", "disable", "--now", SERVICE])
        os.unlink(unit)
        if system.has_systemd:
            system.run(["systemctl", "daemon-reload"])
        shutil.rmtree(code_folder, ignore_errors=True)
    for name in (NAME, LAUNCHER):
        with contextlib.suppress(OSError):
            os.unlink(f"{folder}/{name}")
    has_identity = os.path.exists(f"{folder}/{IDENTITY_FILE}")
    if not is_service and not has_identity and not purge:
        system.say(f"There is no agent in {folder}.")
        return 0
    if not purge:
        system.say(f"Removed. Identity and settings are still in {folder}: --purge removes them.")
        return 0
    if has_identity:
        # Only what is an agent's folder is removed whole, whatever --folder says.
        shutil.rmtree(folder, ignore_errors=True)
    if is_service:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(USER)
            system.run(["userdel", USER])
    system.say("Removed, with identity and settings. Remove the host on the Fleet page, too.")
    return 0
