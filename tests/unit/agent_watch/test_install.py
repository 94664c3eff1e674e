"""`install` over a made-up machine: what it writes, runs and says; and the way back."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vezha.agent.errors import AgentError
from vezha.agent.identity import Identity, load_identity, save_identity
from vezha.agent.install import System, install, uninstall, unit_text
from vezha.world import World


@dataclass
class Machine:
    """A machine below a folder; remembers what was run and said."""

    root: Path
    is_root: bool = True
    systemd: bool = True
    active: bool = True
    ran: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def system(self) -> System:
        if self.systemd:
            (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        return System(World(), str(self.root), self.run, self.is_root, self.said.append)

    def run(self, words: Sequence[str]) -> tuple[int, str]:
        self.ran.append(list(words))
        if words[0] == "/usr/bin/python3":
            return 0, "True"
        if words[0] == "useradd":
            return 1, "no such thing here"
        if "is-active" in words:
            return (0 if self.active else 3), ""
        return 0, ""

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system/vezha-agent.service"

    @property
    def code(self) -> Path:
        return self.root / "usr/local/lib/vezha-agent/vezha-agent.pyz"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Something that looks like the agent's file."""
    path = tmp_path / "vezha-agent.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", "")
        archive.writestr("vezha/agent/launcher/run.py", "# the launcher\n")
    return str(path)


class Enrolments:
    """Enrols, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: str) -> None:
        self.count += 1
        save_identity(World(), folder, Identity("a1", "secret", "db-1", "s:1"))


def test_a_service(machine: Machine, source: str, tmp_path: Path) -> None:
    folder, enrol = tmp_path / "state", Enrolments()
    assert install(machine.system(), str(folder), source, enrol) == 0
    assert load_identity(World(), str(folder)).host == "db-1"
    text = machine.unit.read_text()
    launcher = machine.code.with_name("vezha-launcher.pyz")
    started = f"/usr/bin/python3 -I -S {launcher} --state {folder} --factory {machine.code}"
    assert f"ExecStart={started}\n" in text
    with zipfile.ZipFile(launcher) as archive:
        assert archive.read("vezha/agent/launcher/run.py") == b"# the launcher\n"
        assert archive.namelist() == ["__main__.py", "vezha/agent/launcher/run.py"]
    for setting in ("Restart=always", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert f"\n{setting}\n" in text
    assert f"ReadWritePaths={folder}\n" in text
    assert machine.code.read_bytes() == Path(source).read_bytes()
    assert os.stat(machine.code).st_mode & 0o022 == 0, "nobody else may change what runs"
    control = [words[1] for words in machine.ran if words[0] == "systemctl"]
    assert control[:3] == ["daemon-reload", "enable", "restart"]
    assert "systemctl status" in machine.said[-1]


def test_again_is_an_upgrade(machine: Machine, source: str, tmp_path: Path) -> None:
    folder, enrol = str(tmp_path / "state"), Enrolments()
    install(machine.system(), folder, source, enrol)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("new.py", "")
    install(machine.system(), folder, source, enrol)
    assert enrol.count == 1
    assert machine.code.read_bytes() == Path(source).read_bytes()
    assert any("enrolled" in text and "already" in text for text in machine.said)


def test_a_service_that_does_not_stay_up_is_told(
    machine: Machine, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.active = False
    monkeypatch.setattr("vezha.agent.install.INSTALL_START_S", 0.5)
    with pytest.raises(AgentError, match="journalctl"):
        install(machine.system(), str(tmp_path / "state"), source, Enrolments())


@pytest.mark.parametrize(("is_root", "systemd"), [(True, False), (False, True), (False, False)])
def test_by_hand(
    machine: Machine, source: str, tmp_path: Path, is_root: bool, systemd: bool
) -> None:
    machine.is_root, machine.systemd = is_root, systemd
    folder = tmp_path / "state"
    assert install(machine.system(), str(folder), source, Enrolments()) == 0
    assert not machine.unit.exists()
    assert not [words for words in machine.ran if words[0] == "systemctl"]
    factory = f"{folder}/vezha-agent.pyz"
    launcher = f"{folder}/vezha-launcher.pyz"
    assert f"{launcher} --state {folder} --factory {factory}" in machine.said[-1]
    assert os.stat(folder).st_mode & 0o077 == 0
    assert (folder / "vezha-agent.pyz").exists()


def test_what_goes_wrong_is_one_sentence(machine: Machine, source: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no zip")
    with pytest.raises(AgentError, match="not the agent's file"):
        install(machine.system(), str(tmp_path / "state"), str(tmp_path / "text"), Enrolments())
    with pytest.raises(AgentError, match="--folder"):
        install(machine.system(), str(tmp_path / "text" / "state"), source, Enrolments())


def test_uninstall(machine: Machine, source: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    install(machine.system(), str(folder), source, Enrolments())
    assert uninstall(machine.system(), str(folder), purge=False) == 0
    assert not machine.unit.exists()
    assert not machine.code.exists()
    assert (folder / "identity.json").exists()
    assert ["systemctl", "disable", "--now", "vezha-agent"] in machine.ran
    assert uninstall(machine.system(), str(folder), purge=True) == 0
    assert not folder.exists()


def test_purge_removes_nothing_that_is_not_an_agents(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    uninstall(machine.system(), str(tmp_path / "precious"), purge=True)
    assert (tmp_path / "precious" / "file").exists()


def test_a_service_is_removed_by_root_only(machine: Machine, source: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "state")
    install(machine.system(), folder, source, Enrolments())
    machine.is_root = False
    with pytest.raises(AgentError, match="root"):
        uninstall(machine.system(), folder, purge=False)


def test_odd_folders_in_the_unit() -> None:
    text = unit_text("/usr/bin/python3", "/a b/x.pyz", "/srv/100%/agent", "vezha-agent")
    assert (
        '-I -S "/a b/vezha-launcher.pyz" --state /srv/100%%/agent --factory "/a b/x.pyz"\n' in text
    )
    assert "User=vezha-agent\n" in text
