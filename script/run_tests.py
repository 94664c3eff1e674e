"""Runs the test suite in three parts, fast first, and prints one summary. Used by `script/test`.

The first part runs on all cores. The second starts real servers, two at once, and, beside them, browsers
and the tutorial: all mostly wait. The third loads or measures the machine (marked `alone`), so nothing runs beside it.
What failed is then tried once more by itself, since real processes on a busy machine may be late;
what passes only then is named, so that it gets mended. The last line counts everything:
"N passed, N failed, N skipped".
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVERS, BROWSERS = "tests/acceptance", "tests/browser"
LONG = "tests/acceptance/test_first_delivery.py"
"""The tutorial, word by word: over twenty starts of the command line, so minutes of waiting."""


@dataclass(frozen=True)
class Run:
    """One pytest process; each has a cache and a report of its own in *scratch*."""

    name: str
    paths: list[str]
    options: list[str]
    scratch: Path

    def command(self, report: str, *options: str) -> list[str]:
        """What is started."""
        cache = f"cache_dir={self.scratch / self.name}"
        words = [sys.executable, "-P", "-m", "pytest", "-q", "--no-header", "-r", "fE"]
        words += ["-o", cache, f"--junitxml={self.scratch / report}"]
        return [*words, *self.options, *options, *self.paths]

    def cases(self, report: str) -> list[ET.Element]:
        """The test cases of a report that this run wrote."""
        path = self.scratch / report
        tree = ET.parse(path) if path.exists() else None  # noqa: S314 - pytest wrote it just now
        return [] if tree is None else list(tree.iter("testcase"))


def main() -> int:
    """Run all parts; 0 if nothing failed and something ran."""
    began = time.monotonic()
    folders = sorted(str(p) for p in Path("tests").iterdir() if p.is_dir() and _has_tests(p))
    fast = [f for f in folders if f not in (SERVERS, BROWSERS)]
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        parts = (
            (Run("fast", fast, ["-n", "2", "--dist", "worksteal"], scratch),),
            (
                # each file is one server's story, and mostly waits
                Run(
                    "servers",
                    [SERVERS],
                    ["-m", "not alone", f"--ignore={LONG}", "-n", "2", "--dist", "loadfile"],
                    scratch,
                ),
                Run("tutorial", [LONG], [], scratch),
                Run("browsers", [BROWSERS], ["-m", "not alone"], scratch),
            ),
            (Run("alone", [SERVERS, BROWSERS], ["-m", "alone"], scratch),),
        )
        broken = False
        again: list[Run] = []
        for part in parts:
            for run, code in _side_by_side([r for r in part if any(map(_has_tests, r.paths))]):
                # 5 means that it holds no test, which is no failure of the others.
                broken = broken or code not in (0, 1, 5)
                failed = counts["failed"]
                _count(run.cases(f"{run.name}.xml"), counts, skipped)
                if counts["failed"] > failed:
                    again.append(run)
        if again and not broken:
            _try_again(again, counts)
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


def _side_by_side(runs: list[Run]) -> Iterator[tuple[Run, int]]:
    """Run all at once; the first tells as it goes, the others when they have ended."""
    began = time.monotonic()
    started = []
    for run in runs:
        told = None if run is runs[0] else (run.scratch / f"{run.name}.out").open("w")
        process = subprocess.Popen(
            run.command(f"{run.name}.xml"), stdin=subprocess.DEVNULL, stdout=told,
            stderr=None if told is None else subprocess.STDOUT,
        )  # fmt: skip
        print(f"== {run.name}: {' '.join(run.paths)}", flush=True)
        started.append((run, process, told))
    for run, process, told in started:
        code = process.wait()
        if told is not None:
            told.close()
            print(f"== of {run.name}", Path(told.name).read_text(), sep="\n", flush=True)
        print(f"   {run.name}: {round(time.monotonic() - began)} s", flush=True)
        yield run, code


def _try_again(runs: list[Run], counts: Counter[str]) -> None:
    """Run what failed once more, alone; *counts* then says what came of that."""
    print(f"== once more: the {counts['failed']} that failed", flush=True)
    counts["failed"] = 0
    for run in runs:
        report = f"{run.name}-again.xml"
        command = run.command(report, "--lf", "--lfnf=none", "-n", "0")
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        cases = run.cases(report)
        if not cases:
            counts["failed"] += 1  # it failed and did not even begin the second time
        _count(cases, counts, Counter())
        for case in cases:
            if all(case.find(bad) is None for bad in ("failure", "error", "skipped")):
                name = f"{case.get('classname')}.{case.get('name')}"
                print(f"passed at the second try only: {name}", flush=True)


def _has_tests(folder: Path | str) -> bool:
    folder = Path(folder)
    return folder.is_file() or (folder.is_dir() and any(folder.rglob("test_*.py")))


def _count(cases: list[ET.Element], counts: Counter[str], skipped: Counter[str]) -> None:
    """Add the outcomes of *cases* to *counts*."""
    for case in cases:
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
