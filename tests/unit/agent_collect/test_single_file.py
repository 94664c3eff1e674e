"""The agent's single file: reproducible, complete, and at home on a bare Python."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import vezha
from vezha.agent.errors import BuildError
from vezha.agent.zipapp import build, build_bytes, members
from vezha.trust.artifact import artifact_from
from vezha.trust.keys import generate
from vezha.trust.repository import OfflineKeys, begin, draft, publish, sign_targets

PACKAGE = Path(vezha.__file__).parent
# Not ours to promise on other systems: absent beyond Unix, guarded where they are used.
STANDARD = set(sys.stdlib_module_names)


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "vezha"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    assert build_bytes(copy) == build_bytes(PACKAGE)


def test_what_is_inside() -> None:
    with zipfile.ZipFile(io.BytesIO(build_bytes())) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {info.date_time for info in archive.infolist()} == {(2020, 1, 1, 0, 0, 0)}
    assert "__main__.py" in names
    assert "vezha/agent/collect/cpu.py" in names
    assert "vezha/model/columns.py" not in names
    ours = {n.split("/")[1] for n in names if n.startswith("vezha/") and n.count("/") > 1}
    assert ours == {"agent", "checks", "model", "trust", "wire", "world"}
    assert "vezha/checks/config.py" not in names
    others = {n.split("/")[0] for n in names if not n.startswith("vezha/")}
    assert others == {"__main__.py", "h11", "licenses", "securesystemslib", "tuf"}
    assert any(name.startswith("licenses/h11/") for name in names)
    assert "licenses/tuf/LICENSE" in names
    assert "licenses/securesystemslib/LICENSE" in names
    for signing in ("keys", "repository", "folder"):
        assert f"vezha/trust/{signing}.py" not in names


def test_a_build_is_named_by_its_content(tmp_path: Path) -> None:
    def named(package: Path) -> str:
        with zipfile.ZipFile(io.BytesIO(build_bytes(package))) as archive:
            return archive.read("vezha/_build.py").decode()

    copy = tmp_path / "vezha"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert named(copy) == named(PACKAGE)
    with (copy / "agent" / "run.py").open("a") as file:
        file.write("# one line more\n")
    assert named(copy) != named(PACKAGE)


def test_it_verifies_signatures_without_any_package(single_file: Path, tmp_path: Path) -> None:
    files = begin(OfflineKeys([KEY], [KEY]), KEY, time.time())
    targets = draft(files, [artifact_from("config/a/1/agent.toml", b"x", {})], time.time())
    files.update(publish(files, sign_targets(targets, [KEY]), KEY, time.time()))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    told = subprocess.run(
        [sys.executable, "-S", "-I", "-c", VERIFIES, str(single_file), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert (told.stdout, told.stderr) == ("config/a/1/agent.toml unsigned\n", "")


KEY = generate()
VERIFIES = """
import sys, time, pathlib
sys.path.insert(0, sys.argv[1])
from vezha.trust.errors import Refused
from vezha.trust.verify import Trusted, refresh
folder = pathlib.Path(sys.argv[2])
def fetch(name, bytes_max):
    return (folder / name).read_bytes() if (folder / name).exists() else None
trusted = Trusted((folder / "1.root.json").read_bytes())
refresh(trusted, fetch, time.time())
from securesystemslib.signer import _key
assert _key.CRYPTO_IMPORT_ERROR, "the pure check was meant"
try:
    changed = (folder / "timestamp.json").read_bytes().replace(b'"version": 2', b'"version": 3')
    Trusted((folder / "1.root.json").read_bytes()).update_timestamp(
        changed.replace(b'"version":2', b'"version":3'), time.time())
except Refused as error:
    print(*[a.target for a in trusted.artifacts()], error.code)
"""


def test_it_needs_nothing_but_the_standard_library_of_python_3_10() -> None:
    for name, content in members(PACKAGE):
        if not name.startswith("vezha/"):
            continue  # others' packages guard what they can do without; the test above imports them
        tree = ast.parse(content, name, feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: relative import"
                imported = [node.module or ""]
            else:
                continue
            for module in imported:
                top = module.split(".")[0]
                if top == "tuf":
                    assert name == "vezha/trust/verify.py", f"{name} imports {module}"
                    continue
                if top == "h11":
                    assert name == "vezha/checks/http.py", f"{name} imports {module}"
                    continue
                assert top == "vezha" or top in STANDARD, f"{name} imports {module}"
                assert top != "tomllib", f"{name} imports {module}"
                of_checks = name.startswith("vezha/checks/") or name == "vezha/agent/checking.py"
                assert top != "asyncio" or of_checks, f"{name} imports {module}"
                if top == "vezha" and module != "vezha":
                    room = module.split(".")[1]
                    rooms = ("agent", "checks", "model", "trust", "wire", "world")
                    assert room in rooms, (name, module)
                    # its memory is not the sampler's
                    assert room != "checks" or of_checks, (name, module)
                    assert module != "vezha.model.columns", name


def test_it_calls_nothing_that_python_3_10_does_not_have() -> None:
    """The syntax is looked at above; these are the newer calls that the checks are tempted by."""
    newer = re.compile(
        r"asyncio\.(timeout|TaskGroup|Runner)\b|except TimeoutError|suppress\(TimeoutError"
        r"|datetime\.UTC|\bStrEnum\b|(from_bytes|to_bytes)\([^,\n]*\)(?!\S*,)|except\*"
    )
    found = [
        (name, line.strip())
        for name, content in members(PACKAGE)
        if name.startswith(("vezha/checks/", "vezha/agent/check"))
        for line in content.decode().splitlines()
        if newer.search(line) and '"big"' not in line and '"little"' not in line
        and "'big'" not in line
    ]  # fmt: skip
    assert found == []


@pytest.fixture(scope="module")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "vezha-agent.pyz"
    size = build(path)
    assert size == path.stat().st_size
    assert os.access(path, os.X_OK)
    return path


def ask(single_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it on a bare interpreter: no site packages, no environment, elsewhere."""
    return subprocess.run(
        [sys.executable, "-S", "-I", str(single_file), *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )


def test_it_runs_on_a_bare_python(single_file: Path) -> None:
    told = ask(single_file, "version")
    assert told.returncode == 0
    assert told.stdout.startswith(f"vezha-agent {vezha.__version__}, Python ")


def test_it_collects(single_file: Path, tmp_path: Path) -> None:
    told = ask(single_file, "collect", "--state", str(tmp_path))
    assert (told.returncode, told.stderr) == (0, "")
    assert "# TYPE node_load1 gauge\nnode_load1 " in told.stdout
    assert "node_uname_info{" in told.stdout
    status = ask(single_file, "collect", "--status", "--state", str(tmp_path))
    assert status.returncode == 0
    assert any(
        line.startswith("loadavg ") and line.endswith("ok") for line in status.stdout.splitlines()
    )


def test_the_loop_tells_its_cost(single_file: Path, tmp_path: Path) -> None:
    told = ask(single_file, "collect", "--loop", "--seconds", "1", "--state", str(tmp_path))
    assert told.returncode == 0
    assert "us_per_sample=" in told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--state", "{folder}"], "enrol this host first"),
        (["run", "--config", "{folder}/none.toml"], "none.toml does not exist"),
        (
            ["collect", "--config", "{folder}/bad.toml"],
            "unknown setting sever; did you mean server?",
        ),
    ],
)
def test_an_operators_mistake_is_one_sentence(
    single_file: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "bad.toml").write_text('sever = "a:1"\n')
    told = ask(single_file, *(word.format(folder=tmp_path) for word in words))
    assert told.returncode == 2
    assert told.stderr.startswith("vezha-agent: ")
    assert said in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match="choose another -o"):
        build(tmp_path / "file" / "vezha-agent.pyz")
    with pytest.raises(BuildError, match="install Vezha"):
        build_bytes(tmp_path)
