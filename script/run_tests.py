"""Runs the test suite in three parts, fast first, and prints one summary. Used by `script/test`.

The first part runs on all cores. The second starts real servers and browsers, two files at a time,
since they mostly wait. The third loads or measures the machine (marked `alone`), so nothing runs
beside it. What failed is then tried once more by itself, since real processes on a busy machine
may be late; what passes only then is named, so that it gets mended. The last line counts
everything: "N passed, N failed, N skipped".
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

REAL = ("tests/acceptance", "tests/browser")
PARALLEL = "2"
"""Workers; more than the cores of a small machine makes real processes late."""


def main() -> int:
    """Run all parts; 0 if nothing failed and something ran."""
    began = time.monotonic()
    folders = sorted(str(p) for p in Path("tests").iterdir() if _has_tests(p))
    fast = [f for f in folders if f not in REAL]
    real = [f for f in REAL if f in folders]
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    broken = False
    with tempfile.TemporaryDirectory() as scratch:
        for title, paths, options in (
            # What failed some other day is not tried again: the cache begins empty.
            ("fast", fast, ["-n", PARALLEL, "--dist", "worksteal", "--cache-clear"]),
            ("real servers", real, ["-n", PARALLEL, "--dist", "loadfile", "-m", "not alone"]),
            ("alone", real, ["-m", "alone"]),
        ):
            if not paths:
                continue
            part = time.monotonic()
            print(f"== {title}: {' '.join(paths)}", flush=True)
            report = Path(scratch) / f"{title}.xml"
            arguments = ["-q", "--no-header", "-r", "fE", f"--junitxml={report}", *options]
            command = [sys.executable, "-P", "-m", "pytest", *arguments, *paths]
            code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
            print(f"   {round(time.monotonic() - part)} s", flush=True)
            # 5 means that the part holds no test, which is no failure of the others.
            broken = broken or code not in (0, 1, 5)
            if report.exists():
                _count(report, counts, skipped)
    if counts["failed"] and not broken:
        _try_again(Path(scratch) / "again.xml", [*fast, *real], counts)
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


def _try_again(report: Path, paths: list[str], counts: Counter[str]) -> None:
    """Run what failed once more, alone; *counts* then says what came of that."""
    print(f"== once more: the {counts['failed']} that failed", flush=True)
    options = ["--lf", "--lfnf=none", "-q", "--no-header", "-r", "fE", f"--junitxml={report}"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *paths]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if not report.exists():
        return
    again: Counter[str] = Counter()
    _count(report, again, Counter())
    if not again["passed"] + again["failed"]:
        return
    counts["failed"] = again["failed"]
    counts["passed"] += again["passed"]
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        if all(case.find(bad) is None for bad in ("failure", "error", "skipped")):
            print(f"passed at the second try only: {case.get('classname')}.{case.get('name')}")


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
