"""The goals of the store's benchmark: figure, ours, theirs, met or not, and what bounds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.store_scene import Table

VM, PROM = "VictoriaMetrics", "Prometheus"
COLUMNS = ["figure", "Vezha", VM, PROM, "goal", "met", "if not: the bound"]
SMALL = "a request costs about 0.4 ms in Python before anything is read"
FLEET = "one call of numpy for each tile and step; a tile holds 32 hosts"
_BOUNDS = {
    "q1": SMALL,
    "q5": "25 tiles and the JSON of 12,000 numbers, in Python",
    "24 h": "the samples of an hour are in 32 tiles; 5 minutes lie on no edge of a longer bucket",
    "high": "tiles of series that live for seconds are small",
}
SIZES = (
    "two minutes of data are one tile of 120 columns each; an hour's packs better",
    "0.3 of it are the names of 443 series, once for all time: 12 minutes are few samples",
)
MEMORY = "four interpreters, 50 MB each with nothing to do: counting references unshares what they were forked with"


def goals(figures: dict[str, Any], parts: Iterable[str] = ()) -> Table:
    """One row for each goal of which there are figures; those of *parts* that have none say so."""
    table = Table("Goals", COLUMNS)
    if "ingest" in figures:
        _ingest(table, figures["ingest"])
    for way, answers in figures.get("query", {}).items():
        for name, cells in answers.items():
            found = {who: cell["median"] for who, cell in cells.items()}
            bound = next((text for head, text in _BOUNDS.items() if name.startswith(head)), FLEET)
            _below(table, f"{name}, {way}, ms", found, "below both", bound, 1)
    if "memory" in figures:
        late = figures["memory"]["late_s"]
        found = {who: mb for who, mb in figures["memory"].items() if who != "late_s"}
        named = "memory, MB" + (f" (feeder {late:.0f} s late)" if late > 1 else "")
        _below(table, named, found, "below both", MEMORY, 0)
    if "start" in figures:
        first = figures["start"]["Vezha"][1]
        peers = [f"{figures['start'][p]:.2f}" if p in figures["start"] else "-" for p in (VM, PROM)]
        _row(table, "first answer, 30 d, s", [f"{first:.2f}", *peers], "< 1", first < 1,
             "Python's imports take half of it")  # fmt: skip
    if "kill" in figures:
        lost = {who: str(sum(one[1] for one in runs)) for who, runs in figures["kill"].items()}
        _row(table, "acknowledged, lost by kill -9", [lost["Vezha"], lost.get(VM, "-"), lost.get(PROM, "-")], "0", lost["Vezha"] == "0", "")  # fmt: skip
    for at, what in enumerate(("generated", "recorded, one host")):
        sizes = {who: found[at] for who, found in figures.get("size", {}).items() if found[at:]}
        if sizes:
            _below(table, f"bytes per sample, {what}", sizes, "below both", SIZES[at], 2)
    for part in sorted(parts):
        if not figures.get(part):
            table.rows.append(
                [part, "-", "-", "-", "", "not run", "it failed, or the time was over"]
            )
    return table


def _ingest(table: Table, ingest: dict[str, Any]) -> None:
    rates = {
        who: got["samples"] / got.get("cpu_with_flush_s", got["cpu_s"]) / 1e6
        for who, got in ingest.items()
    }
    theirs = [f"{rates[p]:.2f}" if p in rates else "-" for p in (VM, PROM)]
    native, written, yardstick = rates["native"], rates["remote_write"], rates.get(VM, 0.0)
    got = ingest["native"]
    whole = got["cpu_with_flush_s"]
    shares = {
        "zlib": got["inflate_s"],
        "log and sync": got["commit_s"],
        "tiles": whole - got["cpu_s"],
    }
    frames = ", ".join(f"{name} {used / whole:.0%}" for name, used in shares.items())
    frames += "; the rest is Python, once per frame of 100 samples"
    _row(table, "native frames, M samples per CPU-s", [f"{native:.2f}", *theirs], ">= 3",
         native >= 3, frames)  # fmt: skip
    _row(table, "the same, x VictoriaMetrics", [f"{native / yardstick:.1f}" if yardstick else "-", "1", ""], ">= 5", not yardstick or native >= 5 * yardstick, frames)  # fmt: skip
    _row(table, "remote write 1.0, M samples per CPU-s", [f"{written:.2f}", *theirs], ">= 1.5",
         written >= max(1.5, yardstick), "snappy, and comparing each request with the one before")  # fmt: skip


def _below(
    table: Table, figure: str, found: dict[str, float], goal: str, bound: str, digits: int
) -> None:
    if "Vezha" not in found:
        table.rows.append([figure, "-", "-", "-", goal, "not run", "there is no figure of ours"])
        return
    others = [value for who, value in found.items() if who != "Vezha"]
    shown = [f"{found[who]:.{digits}f}" if who in found else "-" for who in ("Vezha", VM, PROM)]
    _row(table, figure, shown, goal, all(found["Vezha"] < other for other in others), bound)


def _row(table: Table, figure: str, shown: list[str], goal: str, met: bool, bound: str) -> None:
    table.rows.append([figure, *shown, goal, "yes" if met else "NO", "" if met else bound])
