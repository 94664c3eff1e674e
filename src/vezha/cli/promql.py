"""PromQL: ask a running server or a store folder, explain, run test scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from vezha.cli.app import EXIT_BROKEN, EXIT_WRONG
from vezha.world import World

if TYPE_CHECKING:
    from vezha.query import Result

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

TIMEOUT_S = 150.0
SHOWN_MISMATCHES_MAX = 1_000

UrlOption = Annotated[
    str, typer.Option("--url", help="A server's address.", envvar="VEZHA_URL", metavar="URL")
]
TokenOption = Annotated[
    str, typer.Option("--token", help="An API token.", envvar="VEZHA_TOKEN", metavar="TOKEN")
]
StoreOption = Annotated[
    str, typer.Option("--store", help="Read this store's folder instead.", metavar="FOLDER")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The API's JSON.")]


@app.command()
def query(
    expression: Annotated[str, typer.Argument(help="PromQL.", metavar="QUERY")],
    url: UrlOption = "http://127.0.0.1:8470",
    token: TokenOption = "",
    store: StoreOption = "",
    time: Annotated[str, typer.Option(help="When: Unix seconds or -5m; default: now.")] = "",
    start: Annotated[str, typer.Option(help="Begin of a range: Unix seconds or -1h.")] = "",
    end: Annotated[str, typer.Option(help="Its end; default: now.")] = "",
    step: Annotated[str, typer.Option(help="Its step; default: a 250th of the range.")] = "",
    as_json: JsonOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="What it did, and what it cost.")
    ] = False,
) -> None:
    """Ask for the value of an expression, now or over a range."""
    now_s = World().clock.now()
    asked: dict[str, str] = {"query": expression}
    if start:
        begin, until = _moment(start, now_s), _moment(end, now_s) if end else now_s
        width = _duration(step) if step else max((until - begin) / 250, 1.0)
        asked |= {"start": f"{begin:.3f}", "end": f"{until:.3f}", "step": f"{width:.3f}"}
    else:
        asked["time"] = f"{_moment(time, now_s) if time else now_s:.3f}"
    if explain:
        asked["explain"] = "1"
    if store:
        answer = _ask_store(store, asked)
    else:
        answer = _ask_server(url, token, asked)
    if answer.get("status") != "success":
        _wrong(str(answer.get("error") or answer), EXIT_BROKEN)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    _show(answer, explain)


@app.command()
def explain(
    expression: Annotated[str, typer.Argument(help="PromQL.", metavar="QUERY")],
) -> None:
    """Check an expression and show how it is understood, without asking anyone."""
    from vezha.query.ast import Node, walk
    from vezha.query.errors import ParseError
    from vezha.query.parser import parse

    try:
        root = parse(expression)
    except ParseError as error:
        _wrong_query(expression, error.start, error.end, str(error))
    depths: dict[int, int] = {id(root): 0}
    for node in walk(root):
        depth = depths[id(node)]
        for child in node.children():
            depths[id(child)] = depth + 1
        assert isinstance(node, Node)
        text = " ".join(expression[node.start : node.end].split())
        print(f"{'  ' * depth}{text}   [{type(node).__name__}, {node.type.value}]")


@app.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Scripts.", metavar="FILE…")],
    exceptions: Annotated[
        str,
        typer.Option("--exceptions", help="TOML table of known exceptions.", metavar="FILE"),
    ] = "",
    write: Annotated[
        str,
        typer.Option("--write", help="Write the results into this page.", metavar="PAGE"),
    ] = "",
) -> None:
    """Run PromQL test scripts; print each mismatch; exit code 1 if there is any."""
    from vezha.query.script.exceptions import Exceptions
    from vezha.query.script.page import write_results
    from vezha.query.script.runner import Report, run_script
    from vezha.query.script.series_text import ScriptError

    known = Exceptions.read(Path(exceptions)) if exceptions else Exceptions.none()
    reports: list[Report] = []
    for file in files:
        try:
            report = run_script(file.name, file.read_text(encoding="utf-8"))
        except OSError as error:
            _wrong(f"{file} cannot be read: {error.strerror}")
        except ScriptError as error:
            _wrong(f"{file}: {error}")
        reports.append(report)
        unexpected = [m for m in report.mismatches if not known.reason(report.name, m.line)]
        for mismatch in unexpected[:SHOWN_MISMATCHES_MAX]:
            print(f"{file}:{mismatch.line}: {mismatch.query}  (asked as {mismatch.asked})")
            print(f"    expected: {mismatch.expected}")
            print(f"    got:      {mismatch.got}")
        excused = len(report.failed_lines) - len({m.line for m in unexpected})
        words = f", {excused} known exceptions" if excused else ""
        print(f"{file.name}: {report.passed} of {report.evals} as expected{words}")
    if write:
        write_results(Path(write), reports, known)
    wrong = sum(1 for r in reports for line in r.failed_lines if not known.reason(r.name, line))
    total = sum(r.evals for r in reports)
    print(f"{total - sum(len(r.failed_lines) for r in reports)} of {total} as expected")
    if wrong:
        raise typer.Exit(EXIT_BROKEN)


# Asking.


def _ask_server(url: str, token: str, asked: dict[str, str]) -> dict[str, Any]:
    import httpx

    verb = "query_range" if "start" in asked else "query"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/api/v1/{verb}", data=asked, headers=headers, timeout=TIMEOUT_S
        )
    except httpx.HTTPError as error:
        _wrong(f"no answer from {url}: {error}; is the server up, and is --url right?")
    if response.status_code == 401:
        _wrong("the server wants to know who asks: give an API token with --token", EXIT_BROKEN)
    try:
        answer = response.json()
    except ValueError:
        _wrong(f"{url} answered {response.status_code}, but not as PromQL's API does", EXIT_BROKEN)
    if not isinstance(answer, dict):
        _wrong(f"{url} answered {response.status_code}, but not as PromQL's API does", EXIT_BROKEN)
    told = answer.get("error")
    if isinstance(told, dict):
        answer["error"] = told.get("message")
    return answer


def _ask_store(folder: str, asked: dict[str, str]) -> dict[str, Any]:
    from vezha.query import Engine, ParseError, QueryError
    from vezha.query.encode import encode_result
    from vezha.store.reader import StoreReader

    if not Path(folder).is_dir():
        _wrong(f"there is no store in {folder}")
    engine = Engine(StoreReader.open(folder))
    text, detailed = asked["query"], "explain" in asked
    try:
        result: Result
        if "start" in asked:
            times = [round(float(asked[name]) * 1000) for name in ("start", "end", "step")]
            result = engine.range(text, times[0], times[1], times[2], explain=detailed)
        else:
            result = engine.instant(text, round(float(asked["time"]) * 1000), explain=detailed)
    except ParseError as error:
        _wrong_query(text, error.start, error.end, str(error))
    except QueryError as error:
        _wrong(str(error), EXIT_BROKEN)
    answer = json.loads(encode_result(result, explain=detailed))
    assert isinstance(answer, dict)
    return answer


def _moment(text: str, now_s: float) -> float:
    if text[:1] == "-":
        return now_s - _duration(text[1:])
    try:
        return float(text)
    except ValueError:
        _wrong(f"{text!r} is no time: give Unix seconds, or -5m for five minutes ago")


def _duration(text: str) -> float:
    from vezha.query.script.series_text import ScriptError
    from vezha.query.script.start_text import duration_ms

    try:
        return duration_ms(text) / 1000
    except ScriptError:
        _wrong(f"{text!r} is no duration: give 30s, 5m, 1h or seconds")


# Showing.


def _show(answer: dict[str, Any], explain: bool) -> None:
    from vezha.model.labels import format_labels, labels_of

    data = answer["data"]
    kind, result = data["resultType"], data["result"]
    if kind in ("scalar", "string"):
        print(result[1])
    else:
        if not result:
            print("nothing", file=sys.stderr)
        for series in result:
            name = format_labels(labels_of(series["metric"])) or "{}"
            points = series.get("values") or ([series["value"]] if "value" in series else [])
            histograms = series.get("histograms") or (
                [series["histogram"]] if "histogram" in series else []
            )
            if kind == "vector" and points:
                print(f"{name} {points[0][1]}")
                continue
            print(name)
            for stamp, value in points:
                print(f"  {stamp} {value}")
            for stamp, value in histograms:
                print(f"  {stamp} {json.dumps(value)}")
    for word in ("warnings", "infos"):
        for text in answer.get(word) or []:
            print(text, file=sys.stderr)
    if explain:
        _show_explain(data.get("explain") or [], 0)


def _show_explain(nodes: list[dict[str, Any]], depth: int) -> None:
    for node in nodes:
        print(
            f"{node['ms']:10.3f} ms {node['series']:8d} series {node['samples']:10d} samples  "
            f"{'  ' * depth}{node['expr']}",
            file=sys.stderr,
        )
        _show_explain(node["children"], depth + 1)


def _wrong_query(text: str, start: int, end: int, message: str) -> NoReturn:
    line_start = text.rfind("\n", 0, start) + 1
    line = text[line_start:].split("\n", 1)[0]
    width = max(1, min(end, line_start + len(line)) - start)
    print(f"  {line}\n  {' ' * (start - line_start)}{'^' * width}", file=sys.stderr)
    _wrong(message)


def _wrong(message: str, code: int = EXIT_WRONG) -> NoReturn:
    print(f"vezha: {message}", file=sys.stderr)
    raise typer.Exit(code)
