"""Writes results of scripts, and the language's tables, into a page of the reference.

Only what stands between a pair of `<!-- begin: name -->` and `<!-- end: name -->` is replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

from vezha.query.functions.signatures import (
    AGGREGATIONS,
    EXPERIMENTAL_AGGREGATIONS,
    SIGNATURES,
    Signature,
)
from vezha.query.script.exceptions import Exceptions
from vezha.query.script.runner import Report
from vezha.query.script.series_text import ScriptError


def write_results(path: Path, reports: list[Report], known: Exceptions) -> None:
    """Put the tables into the page at *path*. Raises ScriptError where a marker is missing."""
    text = path.read_text(encoding="utf-8")
    text = replaced(text, "functions", functions_table())
    text = replaced(text, "aggregations", aggregations_table())
    text = replaced(text, "conformance", results_table(reports, known))
    path.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, content: str) -> str:
    """*text* with the part called *name* replaced. Raises ScriptError without markers."""
    pattern = re.compile(
        rf"(<!-- begin: {re.escape(name)} -->\n).*?(<!-- end: {re.escape(name)} -->)", re.DOTALL
    )
    if not pattern.search(text):
        raise ScriptError(f"the page has no part called {name!r}")
    return pattern.sub(lambda match: f"{match.group(1)}{content}{match.group(2)}", text)


def functions_table() -> str:
    """All functions with their arguments."""
    rows = [
        f"| `{_call(s)}` | {s.returns.value} | {'experimental' if s.experimental else ''} |\n"
        for _, s in sorted(SIGNATURES.items())
    ]
    return "| Function | Gives | |\n|---|---|---|\n" + "".join(rows)


def _call(signature: Signature) -> str:
    args = [kind.value for kind in signature.args]
    if signature.variadic > 0:
        args[-1] = f"[{args[-1]}]"
    elif signature.variadic < 0:
        args[-1] = f"{args[-1]}…"
    return f"{signature.name}({', '.join(args)})"


def aggregations_table() -> str:
    """All aggregations."""
    names = [f"`{n}`{' (experimental)' if n in EXPERIMENTAL_AGGREGATIONS else ''}"
             for n in sorted(AGGREGATIONS)]  # fmt: skip
    return ", ".join(names) + ".\n"


def results_table(reports: list[Report], known: Exceptions) -> str:
    """What came of each script, then each exception with its reason."""
    rows = ["| Script | Evaluations | As expected | Exceptions |\n|---|---|---|---|\n"]
    rows += [f"| {r.name} | {r.evals} | {r.passed} | {len(r.failed_lines)} |\n" for r in reports]
    total, passed = sum(r.evals for r in reports), sum(r.passed for r in reports)
    rows.append(f"| **all** | {total} | {passed} | {total - passed} |\n")
    differing = [(r.name, line) for r in reports for line in sorted(r.failed_lines)]
    if not differing:
        rows.append("\nThere are no exceptions.\n")
    else:
        rows.append("\n| Script | Line | Why it differs |\n|---|---|---|\n")
        rows += [f"| {n} | {line} | {known.reason(n, line) or '?'} |\n" for n, line in differing]
    return "".join(rows)
