"""What the scripts say on a machine that lacks something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "dirname", "rm", "mkdir", "tail")

FAKE_PYTHON = """#!/bin/sh
case "$2" in
*version_info*print* | *print*version_info*) echo 3.12 ;;
*sys.exit*) exit {version} ;;
*ensurepip*) exit {venv} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a space in its name, with the script and a PATH of a few tools only."""
    project = tmp_path / "my project"
    (project / "script").mkdir(parents=True)
    shutil.copy(ROOT / "script" / "install", project / "script" / "install")
    (project / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (project / "bin" / tool).symlink_to(found)
    return project


def install(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(machine / "script" / "install"), "server"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"HOME": str(machine), "PATH": str(machine / "bin"), **environment},
        check=False,
        timeout=60,
    )


def add_python(machine: Path, name: str, *, version: int = 0, venv: int = 0) -> None:
    fake = machine / "bin" / name
    fake.write_text(FAKE_PYTHON.format(version=version, venv=venv))
    os.chmod(fake, 0o755)


def test_no_python_is_told(machine: Path) -> None:
    done = install(machine)
    assert done.returncode == 2
    assert done.stderr.startswith("vezha: Python 3.11 to 3.14 is needed and none was found")
    assert "apt-get install python3" in done.stderr


def test_an_old_python_is_not_taken(machine: Path) -> None:
    add_python(machine, "python3", version=1)
    done = install(machine)
    assert done.returncode == 2
    assert "none was found" in done.stderr


def test_a_python_without_venv_names_the_package(machine: Path) -> None:
    add_python(machine, "python3", venv=1)
    done = install(machine)
    assert done.returncode == 2
    assert "apt-get install python3.12-venv" in done.stderr


def test_the_next_python_is_taken_where_the_first_is_old(machine: Path) -> None:
    add_python(machine, "python3", version=1)
    add_python(machine, "python3.12", venv=1)
    assert "bin/python3.12 has no venv" in install(machine).stderr
