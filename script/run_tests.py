"""Runs the test suite in two parts, fast first, and prints one summary. Used by `script/test`.

The first part runs on all cores. The second starts real servers and browsers and measures
times, so it runs alone. The last line counts everything: "N passed, N failed, N skipped".
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SERIAL = ("tests/acceptance", "tests/browser")


def main() -> int:
    """Run both parts; 0 if nothing failed and something ran."""
    began = time.monotonic()
    folders = sorted(str(p) for p in Path("tests").iterdir() if _has_tests(p))
    fast = [f for f in folders if f not in SERIAL]
    serial = [f for f in SERIAL if f in folders]
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    broken = False
    with tempfile.TemporaryDirectory() as scratch, postgresql() as url:
        environment = {**os.environ, **({"VEZHA_TEST_POSTGRESQL": url} if url else {})}
        for title, paths, options in (
            ("fast", fast, ["-n", "2", "--dist", "loadfile"]),
            ("real servers", serial, []),
        ):
            if not paths:
                continue
            print(f"== {title}: {' '.join(paths)}", flush=True)
            report = Path(scratch) / f"{title}.xml"
            arguments = ["-q", "--no-header", "-r", "fE", f"--junitxml={report}", *options]
            command = [sys.executable, "-P", "-m", "pytest", *arguments, *paths]
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, env=environment, check=False
            ).returncode
            # 5 means that the part holds no test, which is no failure of the others.
            broken = broken or code not in (0, 1, 5)
            if report.exists():
                _count(report, counts, skipped)
    print()
    for reason, number in skipped.most_common():
        print(f"skipped {number:>3}: {reason}")
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"took {minutes} min {seconds} s")
    if broken:
        print("the test runner itself broke: see above")
    passed, failed = counts["passed"], counts["failed"] + broken
    print(f"{passed} passed, {failed} failed, {counts['skipped']} skipped", flush=True)
    return 1 if failed or not passed else 0


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database where we are root, else "".

    PostgreSQL refuses to run as root, so it runs as the user that Debian's package made. Who is
    not root needs no help: the tests then start a server by themselves.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    given = os.environ.get("VEZHA_TEST_POSTGRESQL", "")
    if given or not installed or os.geteuid() != 0:
        yield given
        return
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        yield ""
        return
    binaries = installed[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="vezha-postgresql-"))
    os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(program: str, *arguments: str) -> int:
        return subprocess.run(
            [str(binaries / program), "-D", str(folder / "data"), *arguments],
            user=owner.pw_uid,
            group=owner.pw_gid,
            extra_groups=[],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode

    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    try:
        started = (
            run("initdb", "-U", "vezha", "--auth=trust", "-N") == 0
            and run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start") == 0
        )
        yield f"postgresql://vezha@/postgres?host={folder}" if started else ""
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _has_tests(folder: Path) -> bool:
    return folder.is_dir() and any(folder.rglob("test_*.py"))


def _count(report: Path, counts: Counter[str], skipped: Counter[str]) -> None:
    """Add the outcomes in a JUnit report of our own making to *counts*."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif skip is not None:
            counts["skipped"] += 1
            skipped[skip.get("message", "no reason given")] += 1
        else:
            counts["passed"] += 1


if __name__ == "__main__":
    sys.exit(main())
