"""`vezha rule`: check, test, rehearse, list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import orjson
import typer

from vezha.access import Action
from vezha.alerting.ask import check_expression
from vezha.alerting.book import RuleBook, active_alerts
from vezha.alerting.durations import parse_duration
from vezha.alerting.errors import EvaluationError, OperatorError, RuleError
from vezha.alerting.rehearse import Block, RangeAsk, Rehearsal, as_document, in_words, rehearse
from vezha.alerting.rule import AlertRule
from vezha.alerting.rule_tests import run_test_file
from vezha.alerting.rulefile import BUILTIN_FOLDER, find_rule_files, load_rule_files
from vezha.alerting.saved import checked_name, hash_of, list_versions, parse_text, save_file
from vezha.alerting.tripwire import compile_groups
from vezha.api.rules_rehearsal import asking, step_of
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    opened_ledger,
    person,
    settings_of,
    show_ms,
)
from vezha.cli.table import show_table
from vezha.model.labels import labels_of
from vezha.query import Engine
from vezha.query.context import EngineOptions
from vezha.store.reader import StoreReader

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_EXIT_NO = 1
_QUERY_TIMEOUT_S = 120.0


@app.command(help="Check rule files: every fault with its place. Without files: all in force.")
def check(
    files: Annotated[list[str] | None, typer.Argument(help="Files or folders.")] = None,
    state: StateOption = "state",
) -> None:
    """Exit code 1 where there is a fault."""
    folders = files or [BUILTIN_FOLDER, *settings_of(state).rule_folders]
    paths = find_rule_files(folders)
    if files and not paths:
        raise RuleError([f"{', '.join(files)}: no rule files there"])
    loaded = load_rule_files(paths, check_expression)
    for texts in loaded.problems.values():
        for text in texts:
            typer.echo(text, err=True)
    rules = [rule for group in loaded.groups for rule in group.rules]
    alerts = sum(isinstance(rule, AlertRule) for rule in rules)
    faults = sum(len(t) for t in loaded.problems.values())
    wires, refused = compile_groups(loaded.groups)
    typer.echo(
        f"{len(paths)} files: {alerts} alerts and {len(rules) - alerts} recording rules "
        f"in {len(loaded.groups)} groups, {faults} faults"
        + (f", {len(refused)} that cannot be tripwires." if refused else ".")
    )
    for name, why in refused.items():
        typer.echo(f'rule "{name}" cannot be a tripwire because {why}.', err=True)
    if wires:
        typer.echo(f"{len(wires)} of the alerts are tripwires, which agents watch at 10 Hz.")
    if loaded.problems or refused:
        raise typer.Exit(_EXIT_NO)


@app.command("test", help="Run unit tests of rules (the format of promtool).")
def run_tests(files: Annotated[list[str], typer.Argument(help="Test files.")]) -> None:
    """Exit code 1 where one fails."""
    failed = 0
    for path in files:
        outcomes = run_test_file(path)
        bad = [o for o in outcomes if o.failures]
        failed += len(bad)
        typer.echo(f"{path}: {len(outcomes) - len(bad)} of {len(outcomes)} passed")
        for outcome in bad:
            for failure in outcome.failures:
                typer.echo(f"  {outcome.name}: {failure}")
    if failed:
        raise typer.Exit(_EXIT_NO)


@app.command("rehearse", help="Say what the alerts of a file would have done on stored samples.")
def rehearse_(
    file: Annotated[str, typer.Argument(help="A rule file, or a folder.")],
    last: Annotated[str, typer.Option(help="How far back from now.")] = "1d",
    step: Annotated[str, typer.Option(help="Between evaluations; default: each group's own.")] = "",
    url: Annotated[
        str, typer.Option(help="Ask this Prometheus-compatible API instead of the state folder.")
    ] = "",
    token_file: Annotated[str, typer.Option(help="Bearer token for --url.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The samples stay untouched."""
    groups = load_rule_files(find_rule_files([file]), check_expression).or_raise()
    if not groups:
        raise RuleError([f"{file}: no rules there"])
    try:
        span_ms, step_ms = parse_duration(last), parse_duration(step) if step else 0
    except ValueError as fault:
        raise OperatorError(str(fault)) from None
    end_ms = now_ms() // 1000 * 1000
    ask, close = _remote(url, token_file) if url else _local(state)
    try:
        found = rehearse(groups, ask, end_ms - span_ms, end_ms, step_ms)
    finally:
        close()
    if json:
        typer.echo(
            orjson.dumps([as_document(r, end_ms) for r in found], option=orjson.OPT_INDENT_2)
        )
        return
    for one in found:
        typer.echo(_sentence(one, end_ms, last))


def _sentence(one: Rehearsal, end_ms: int, last: str) -> str:
    newest = show_ms(one.firings[-1].start_ms) if one.firings else ""
    name = f"{one.rule.name} ({one.rule.severity.value})"
    return f"{name}: {in_words(one, end_ms, last, newest)}."


def _local(state: str) -> tuple[RangeAsk, Callable[[], None]]:
    settings = settings_of(state)
    if not settings.state.store.exists():
        raise OperatorError(f"there is no store in {settings.state.path}: name it with --state")
    source = StoreReader.open(str(settings.state.store))
    options = EngineOptions(lookback_ms=int(settings.query.lookback_s * 1000))
    engine = Engine(source, None, options)
    return asking(engine), source.close


def _remote(url: str, token_file: str) -> tuple[RangeAsk, Callable[[], None]]:
    headers = {}
    if token_file:
        headers["Authorization"] = f"Bearer {Path(token_file).read_text().strip()}"
    client = httpx.Client(timeout=_QUERY_TIMEOUT_S, headers=headers)

    def ask(expr: str, start_ms: int, end_ms: int, step_ms: int) -> Block:
        form = {
            "query": expr,
            "start": f"{start_ms / 1000:.3f}",
            "end": f"{end_ms / 1000:.3f}",
            "step": f"{step_ms / 1000:.3f}",
        }
        try:
            answer = client.post(f"{url.rstrip('/')}/api/v1/query_range", data=form)
            document = answer.json()
        except (httpx.HTTPError, ValueError) as fault:
            raise OperatorError(f"{url} does not answer as Prometheus does: {fault}") from None
        if document.get("status") != "success":
            raise EvaluationError(str(document.get("error", f"HTTP {answer.status_code}")))
        series = document["data"]["result"]
        steps = (end_ms - start_ms) // step_ms + 1
        values = np.full((len(series), steps), np.nan)
        present = np.zeros((len(series), steps), np.bool_)
        for row, one in enumerate(series):
            for at, text in one.get("values", []):
                column = round((at * 1000 - start_ms) / step_ms)
                values[row, column], present[row, column] = float(text), True
        return [labels_of(one["metric"]) for one in series], values, present

    return ask, client.close


@app.command(help="Check a file, say what it would have done, put it into the rules folder.")
def save(
    file: Annotated[Path, typer.Argument(help="The rule file.")],
    name: Annotated[str, typer.Option(help="Its name there; default: as it is called.")] = "",
    last: Annotated[str, typer.Option(help="Rehearse over so long; 0s does without.")] = "1d",
    note: Annotated[str, typer.Option("--note", "-m", help="Why.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, save nothing.")] = False,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """Each version is kept in the ledger."""
    name = name or file.name
    try:
        text = file.read_text("utf-8")
        span_ms = parse_duration(last)
    except (OSError, ValueError) as fault:
        raise OperatorError(str(fault)) from None
    groups = parse_text(text, name)
    end_ms = now_ms() // 1000 * 1000
    found: list[Rehearsal] = []
    if span_ms and settings_of(state).state.store.exists():
        ask, close = _local(state)
        try:
            found = rehearse(groups, ask, end_ms - span_ms, end_ms, step_of(groups, span_ms))
        finally:
            close()
    documents = [as_document(r, end_ms) for r in found]
    if not json:
        for one in found:
            typer.echo(_sentence(one, end_ms, last))
    if not dry_run:
        brief = [{k: v for k, v in d.items() if k != "firings"} for d in documents]
        with opened_ledger(state) as (settings, ledger), ledger.begin() as connection:
            folder = settings.state.rules
            standing = folder / checked_name(name)
            before = hash_of(standing.read_text("utf-8")) if standing.exists() else ""
            save_file(connection, folder, name, text, before, person(), now_ms(), note, brief)
            audit(connection, Action.RULE_CHANGE, name, {"hash": hash_of(text)})
    if json:
        document = {"name": name, "saved": not dry_run, "rehearsal": documents}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        typer.echo(f"{name} is {'sound; nothing is saved' if dry_run else 'saved'}.")


@app.command(help="Versions of a rule file that were saved through Vezha.")
def versions(
    name: Annotated[str, typer.Argument(help="The file's name.")],
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table, the newest first."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = list_versions(connection, name)
    if json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    for one in found:
        what = one.hash or "removed"
        typer.echo(
            f"{one.id:>4}  {show_ms(one.at_ms)}  {what:<16}  {one.author}  {one.note}".rstrip()
        )


@app.command("list", help="Rules in force, with their state.")
def list_(state: StateOption = "state") -> None:
    """A table."""
    settings = settings_of(state)
    book = RuleBook(settings.rule_folders, settings.rules.builtin)
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        views = book.views(connection)
        counts: dict[str, dict[str, int]] = {}
        for row in active_alerts(connection):
            of_rule = counts.setdefault(row.rule_key, {})
            of_rule[row.state] = of_rule.get(row.state, 0) + 1
    rows: list[tuple[str, ...]] = []
    for view in views:
        for rule in view.group.rules:
            health = view.health.get(rule.key, {})
            cost = f"{health['duration_s'] * 1000:.2f} ms" if health else "–"
            severity = rule.severity.value if isinstance(rule, AlertRule) else "record"
            states = ", ".join(f"{n} {s}" for s, n in sorted(counts.get(rule.key, {}).items()))
            said = health.get("error") or health.get("health", "not evaluated yet")
            rows.append((view.group.name, rule.name, severity, states or "–", cost, said))
    show_table(("Group", "Rule", "Severity", "State", "Cost", "Health"), rows)
    for texts in book.loaded().problems.values():
        for text in texts:
            typer.echo(text, err=True)
