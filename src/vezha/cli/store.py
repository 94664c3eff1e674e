"""The stored samples: what there is, is it whole, mend it, make it smaller, in, out and away.

`stat`, `check` and `export` only read and may run beside a server; `repair`, `compact`, `import`
and `delete` write, so the server must be stopped.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from vezha.alerting.durations import parse_duration
from vezha.cli.opened import JsonOption, StateOption, settings_of
from vezha.cli.table import show_json, show_table
from vezha.model.columns import Matcher, MatchOp
from vezha.server.retention import GENERAL, store_settings
from vezha.store import Store, StoreInUse, StoreReader, StoreSettings
from vezha.store.check import Problem, check, repair, stat
from vezha.store.matching import value_test
from vezha.store.transfer import ImportRefused, export_lines, import_lines
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
EXIT_DAMAGED, EXIT_WRONG = 1, 2


@app.callback()
def _store() -> None:
    """What the store has to say of damage goes beside the answer, not into it."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _folder(state: str) -> str:
    folder = Path(state) / "store"
    if not any((folder / name).exists() for name in ("catalog.db", "names.log", "days")):
        _wrong(
            f"there is no store in {folder}: name the state folder with --state or VEZHA_STATE, "
            "or start the server once"
        )
    return str(folder)


def _wrong(text: str, code: int = EXIT_WRONG) -> NoReturn:
    typer.echo(f"vezha: {text}", err=True)
    raise typer.Exit(code)


def _opened(state: str, folder: str = "") -> Store:
    """The store for writing. Retention is the server's business: nothing expires here."""
    settings = replace(store_settings(settings_of(state).retention).for_ever(), background=False)
    try:
        return Store.open(folder or _folder(state), World(), settings)
    except StoreInUse:
        _wrong("the server is running and writes to this store: stop it first")


_TIERS = ("10s", "60s", "3600s")
"""Roll-ups, the finest first."""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


@app.command("stat", help="Days, samples, bytes, roll-ups; how long each policy keeps them.")
def stat_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A row per day and policy, and the sum; then the policies. In JSON: a list of the days."""
    folder = _folder(state)
    days = stat(folder)
    if json:
        show_json([asdict(d) for d in days])
        return
    retention = settings_of(state).retention
    settings = store_settings(retention)
    rows = [
        (
            d.day,
            d.policy or GENERAL,
            "damaged" if d.damaged else f"{d.samples:,}",
            "" if d.damaged else f"{d.tiles:,}",
            _size(d.disk_bytes),
            f"{d.tile_bytes / d.samples:.2f}" if d.samples else "",
            *(_size(d.rolled_bytes[t]) if t in d.rolled_bytes else "" for t in _TIERS),
        )
        for d in days
    ]
    samples, size = sum(d.samples for d in days), sum(d.disk_bytes for d in days)
    tiles = sum(d.tiles for d in days)
    per_sample = f"{sum(d.tile_bytes for d in days) / samples:.2f}" if samples else ""
    rolled = [sum(d.rolled_bytes.get(t, 0) for d in days) for t in _TIERS]
    rows.append(
        ("all", "", f"{samples:,}", f"{tiles:,}", _size(size), per_sample, *map(_size, rolled))
    )
    titles = ("Day", "Policy", "Samples", "Tiles", "Disk", "Bytes/sample", "10 s", "1 min", "1 h")
    show_table(titles, rows)
    typer.echo("")
    show_table(
        ("Policy", "Series", "Samples", "10 s", "1 min", "1 h"),
        [
            (
                p.name or GENERAL,
                series,
                *map(_age, (p.samples_s, p.ten_seconds_s, p.minutes_s, p.hours_s)),
            )
            for p, series in zip(
                (*settings.policies, settings.general),
                (*(written.match for written in retention.policies), "all others"),
                strict=True,
            )
        ],
    )


def _age(seconds: float) -> str:
    if not seconds:
        return "none"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@app.command(help="The sources, metrics and labels with the most series.")
def top(
    state: StateOption = "state",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many of each.")] = 10,
    json: JsonOption = False,
) -> None:
    """What the limits on series are about. May run beside a server."""
    reader = StoreReader.open(_folder(state))
    found = reader.cardinality(count)
    reader.close()
    if json:
        show_json(asdict(found))
        return
    limit = StoreSettings().series_per_source_max
    show_table(
        ("Instance", "Job", "Series", "Of its limit", "Widest label", "Its values"),
        [
            (s.instance, s.job, f"{s.series:,}", f"{s.series / limit:.0%}", s.label,
             f"{s.values:,}" if s.values else "")
            for s in found.sources
        ],
    )  # fmt: skip
    typer.echo("")
    show_table(("Metric", "Series"), [(name, f"{n:,}") for name, n in found.metrics])
    typer.echo("")
    show_table(("Label", "Values"), [(name, f"{n:,}") for name, n in found.labels])
    typer.echo(f"\n{found.series:,} series in all")


def _show_problems(problems: list[Problem], json: bool, nothing: str) -> None:
    if json:
        show_json([asdict(p) for p in problems])
    elif problems:
        show_table(("File", "What", "Why"), [(p.file, p.kind, p.text) for p in problems])
    else:
        typer.echo(nothing)


@app.command("check", help="Read everything and verify it. Exit code 1 if something is damaged.")
def check_(state: StateOption = "state", json: JsonOption = False) -> None:
    """May run beside a server."""
    problems = list(check(_folder(state), World()))
    _show_problems(problems, json, "Everything is whole.")
    if problems:
        raise typer.Exit(EXIT_DAMAGED)


@app.command(
    "repair",
    help="Mend what is damaged, remove what cannot be mended, and say what it was. What is replaced "
    "stays beside it, as `….damaged` or `….unreadable`.",
)
def repair_(state: StateOption = "state", json: JsonOption = False) -> None:
    """The catalog from its register, a day from its tiles; a tile, a record of the WAL goes."""
    try:
        problems = repair(_folder(state), World())
    except StoreInUse:
        _wrong("the server is running and writes to this store: stop it first")
    _show_problems(problems, json, "Nothing to repair.")


@app.command(help="Merge small tiles and give space back to the disk.")
def compact(state: StateOption = "state", json: JsonOption = False) -> None:
    """What the server does by itself some time after each hour."""
    folder = _folder(state)
    before = sum(d.disk_bytes for d in stat(folder))
    store = _opened(state)
    try:
        merged = store.compact()
    finally:
        store.close()
    after = sum(d.disk_bytes for d in stat(folder))
    if json:
        show_json({"merged_tiles": merged, "bytes_before": before, "bytes_after": after})
    else:
        typer.echo(f"{merged:,} tiles merged; {_size(before)} before, {_size(after)} now.")


def _moment(text: str, otherwise: float, now_s: float) -> int:
    """Milliseconds of Unix seconds, an ISO time, or a time before now."""
    if not text:
        return int(otherwise * 1000)
    with contextlib.suppress(ValueError):
        return int(float(text) * 1000)
    if text.startswith("-"):
        with contextlib.suppress(ValueError):
            return int(now_s * 1000) - parse_duration(text[1:])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _wrong(f"{text!r} is no time: give Unix seconds, 2026-11-23T10:00:00, or -2h")
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return int(moment.timestamp() * 1000)


def _span(start: str, end: str, oldest_s: float, now_s: float) -> tuple[int, int]:
    """The first and the last millisecond."""
    low, high = _moment(start, oldest_s, now_s), _moment(end, now_s, now_s)
    if low > high:
        _wrong("--end lies before --start")
    return low, high


_OPERATORS = (("!~", MatchOp.NRE), ("=~", MatchOp.RE), ("!=", MatchOp.NE), ("=", MatchOp.EQ))


def _matchers(texts: list[str]) -> list[Matcher]:
    """What series must fit, all of it."""
    return [matcher for text in texts for matcher in _parsed(text)]


def _parsed(text: str) -> list[Matcher]:
    if "{" in text:
        from vezha.query.errors import ParseError
        from vezha.query.parser import parse_selector

        try:
            return list(parse_selector(text))
        except ParseError as error:
            _wrong(f"--match {text!r}: {error}")
    for sign, op in _OPERATORS:
        name, found, value = text.partition(sign)
        if found and name:
            matcher = Matcher(name, op, value)
            try:
                value_test(matcher)
            except (ValueError, re.error) as error:
                _wrong(f"--match {text!r}: the expression cannot be read: {error}")
            return [matcher]
    return [Matcher("__name__", MatchOp.EQ, text)]


@app.command(help="Write samples as lines of JSON to standard output or a file.")
def export(
    match: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric's name, a selector, or label=value, !=, =~, !~. May be repeated."
        ),
    ] = None,
    start: Annotated[str, typer.Option(help="Unix seconds, an ISO time, or -2h.")] = "",
    end: Annotated[str, typer.Option(help="The same; default: now.")] = "",
    output: Annotated[str, typer.Option(help="A file instead of standard output.")] = "-",
    state: StateOption = "state",
) -> None:
    """May run beside a server."""
    folder = _folder(state)
    days = stat(folder)
    now_s = World().clock.now()
    oldest = now_s - 86_400.0
    if days:
        first = datetime.fromisoformat(days[0].day).replace(tzinfo=timezone.utc)
        oldest = min(oldest, first.timestamp())
    low, high = _span(start, end, oldest, now_s)
    wanted = _matchers(match or [])
    reader = StoreReader.open(folder)
    count = 0
    try:
        with contextlib.ExitStack() as stack:
            file = sys.stdout.buffer
            if output != "-":
                file = stack.enter_context(Path(output).open("wb"))
            for count, line in enumerate(export_lines(reader, wanted, low, high), 1):  # noqa: B007
                file.write(line)
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except OSError as error:
        _wrong(f"{output} cannot be written: {error.strerror}")
    finally:
        reader.close()
    if not count:
        typer.echo("vezha: no series fits in that span of time", err=True)


@app.command(help="Delete samples for good: of the series that fit, in a span of time.")
def delete(
    match: Annotated[
        list[str],
        typer.Option(
            help="A metric's name, a selector, or label=value, !=, =~, !~. May be repeated."
        ),
    ],
    start: Annotated[
        str, typer.Option(help="Unix seconds, an ISO time, or -2h; default: all.")
    ] = "",
    end: Annotated[str, typer.Option(help="The same; default: now.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state: StateOption = "state",
) -> None:
    """Hidden at once; `compact` gives the bytes back."""
    matchers = _matchers(match)
    now_s = World().clock.now()
    low, high = _span(start, end, 0.0, now_s)
    store = _opened(state, _folder(state))
    try:
        count = len(store.series(matchers, low, high))
        if count and not yes:
            typer.confirm(f"Delete samples of {count:,} series?", abort=True)
        if count:
            store.delete(matchers, low, high)
    finally:
        store.close()
    typer.echo(f"Samples of {count:,} series deleted.")


def _lines(path: str) -> Iterator[bytes]:
    if path == "-":
        yield from sys.stdin.buffer
        return
    with Path(path).open("rb") as file:
        yield from file


@app.command("import", help="Read samples from such lines. Samples that are there already stay.")
def import_(
    path: Annotated[str, typer.Argument(help="The file, or - for standard input.")],
    state: StateOption = "state",
) -> None:
    """The state folder is made if absent."""
    folder = Path(state) / "store"
    store = _opened(state, str(folder))
    try:
        count = import_lines(store, _lines(path))
        refused = store.counts["future_samples"] + store.counts["refused_series"]
    except FileNotFoundError:
        _wrong(f"there is no file {path}")
    except OSError as error:
        _wrong(f"{path} cannot be read: {error.strerror}")
    except ImportRefused as error:
        _wrong(str(error))
    finally:
        store.close()
    typer.echo(f"{count:,} samples read.")
    if refused:
        typer.echo(f"{refused:,} were refused: times in the future, or too many series.")
