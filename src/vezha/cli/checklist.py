"""`vezha checklist`: list, show, lint, run, answer, sign, figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from vezha.access import Action
from vezha.api.checklist_runs import run_detail, run_view
from vezha.api.checklists import checklist_detail, checklist_view
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
    settings_of,
    show_ms,
)
from vezha.cli.stored import signals_of
from vezha.cli.table import show_json, show_table
from vezha.incidents.checklists.book import SHIPPED, ChecklistBook, own_files, read_file
from vezha.incidents.checklists.figures import read_figures
from vezha.incidents.checklists.fill import Ask, fill, variables_of
from vezha.incidents.checklists.rows import act_in, act_on_run, begin_run, list_runs, read_run
from vezha.incidents.checklists.run import Asked, RunAct
from vezha.incidents.checklists.script import (
    ScriptAsked,
    in_lines,
    run_script_step,
    script_results,
)
from vezha.incidents.errors import AnsweredMeanwhile, ChecklistError, OperatorError
from vezha.incidents.limits import TIMES_DAYS_MAX
from vezha.incidents.views import get_incident, get_members
from vezha.ledger import Ledger
from vezha.query import Engine
from vezha.query.context import EngineOptions
from vezha.server.settings import Settings
from vezha.store.reader import StoreReader

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_EXIT_NO = 1
_SHOWN_SERIES = 5
_DAY_MS = 86_400_000

RunArgument = Annotated[int, typer.Argument(help="The run's number.", metavar="RUN")]
StepArgument = Annotated[int, typer.Argument(help="The step's number.", metavar="STEP")]


def _book(settings: Settings) -> ChecklistBook:
    return ChecklistBook(*settings.checklist_folders)


@app.command("list", help="Checklists: shipped ones and your own.")
def list_(
    alert: Annotated[str, typer.Option(help="Only those for this alert.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table."""
    book = _book(settings_of(state))
    loaded = book.loaded()
    found = book.for_alert(alert, {}) if alert else list(loaded.checklists.values())
    found.sort(key=lambda c: c.name)
    if json:
        show_json([checklist_view(c) for c in found])
    else:
        rows = [
            (c.name, c.title, "own" if c.own else "shipped", str(len(c.steps)),
             ", ".join(c.applies_to))
            for c in found
        ]  # fmt: skip
        show_table(("Name", "Title", "From", "Steps", "For"), rows)
    for texts in loaded.problems.values():
        for text in texts:
            typer.echo(text, err=True)


@app.command(help="A checklist by its name, or a run by its number.")
def show(
    what: Annotated[str, typer.Argument(help="Name, or number of a run.", metavar="NAME|RUN")],
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The text as written; of a run: steps, answers, what is open."""
    if what.isascii() and what.isdigit():
        with opened_ledger(state) as (_, ledger):
            _show_run(ledger, int(what), json)
        return
    one = _book(settings_of(state)).get(what)
    if json:
        show_json(checklist_detail(one))
    else:
        typer.echo(one.text, nl=not one.text.endswith("\n"))


@app.command(help="Look files over: every fault with its line. Without files: all in force.")
def lint(
    files: Annotated[list[Path] | None, typer.Argument(help="Files or folders.")] = None,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """Exit code 1 where there is a fault."""
    given = files or [SHIPPED, settings_of(state).state.checklists]
    paths = [p for path in given for p in ([path] if path.is_file() else own_files(path))]
    if files and not paths:
        raise ChecklistError([f"{', '.join(map(str, files))}: no checklists there"])
    steps, faults = 0, 0
    told: dict[str, list[str]] = {}
    for path in paths:
        try:
            steps += len(read_file(path, own=True).steps)
        except ChecklistError as fault:
            faults += len(fault.problems)
            told[str(path)] = fault.problems
            for text in () if json else fault.problems:
                typer.echo(text, err=True)
    if json:
        show_json({"checklists": len(paths), "steps": steps, "problems": told})
    else:
        typer.echo(f"{len(paths)} checklists with {steps} steps, {faults} faults.")
    if faults:
        raise typer.Exit(_EXIT_NO)


@app.command(help="Begin a run: for an incident, for a change, or for itself.")
def run(
    name: Annotated[str, typer.Argument(help="The checklist's name.")],
    incident: Annotated[int | None, typer.Option(help="The incident's number.")] = None,
    change: Annotated[int | None, typer.Option(help="The change's number.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="A variable: host=db-1.", metavar="NAME=VALUE")
    ] = None,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """Queries are asked at once, of the state folder's store."""
    variables: dict[str, str] = {}
    for word in given or []:
        key, sign, value = word.partition("=")
        if not sign:
            raise OperatorError(f'"{word}" is not NAME=VALUE')
        variables[key] = value
    with opened_ledger(state) as (settings, ledger):
        checklist = _book(settings).get(name)
        with ledger.begin() as connection:
            known: dict[str, str] = {}
            if incident is not None:
                view = get_incident(connection, incident)
                members = get_members(connection, incident)
                known = variables_of(members, incident, view.team)
            id_ = begin_run(
                connection, checklist, person(), now_ms(), incident=incident, change=change,
                variables=known | variables,
            )  # fmt: skip
            _audit(connection, id_, {"checklist": name})
        _fill(settings, ledger, id_)
        _nudge(settings, id_)
        _show_run(ledger, id_, json)


@app.command(help="Runs: open ones, or all.")
def runs(
    all_: Annotated[bool, typer.Option("--all", help="Ended ones, too.")] = False,
    incident: Annotated[int | None, typer.Option(help="Only of this incident.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table, the newest first."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = list_runs(connection, incident=incident, only_open=not all_, limit=limit)
    if json:
        show_json([run_view(v) for v in found])
        return
    if not found:
        typer.echo("No runs yet." if all_ else "No open runs.")
        return
    rows = [
        (str(v.id), v.title, v.state, f"{v.steps_open} of {v.steps}",
         "–" if v.incident_id is None else str(v.incident_id), v.started_by, show_ms(v.started_ms))
        for v in found
    ]  # fmt: skip
    show_table(("#", "Checklist", "State", "To do", "Incident", "Begun by", "Begun"), rows)


@app.command(help="Answer a step: a number, a word, yes or no; nothing ticks it.")
def answer(
    number: RunArgument,
    step: StepArgument,
    value: Annotated[str, typer.Argument(help="The answer.")] = "done",
    note: Annotated[str, typer.Option("--note", "-m", help="A note.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.ANSWER, step=step, value=value, text=note)


@app.command(help="Skip a step, and say why.")
def skip(
    number: RunArgument,
    step: StepArgument,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.SKIP, step=step, text=reason)


@app.command(help="Open a step again.")
def clear(
    number: RunArgument, step: StepArgument, json: JsonOption = False, state: StateOption = "state"
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.CLEAR, step=step)


@app.command("fill", help="Ask the run's queries again.")
def fill_(number: RunArgument, json: JsonOption = False, state: StateOption = "state") -> None:
    """The run as it is then."""
    with opened_ledger(state) as (settings, ledger):
        _fill(settings, ledger, number)
        with ledger.begin() as connection:
            _audit(connection, number, {"act": "fill"})
        _nudge(settings, number)
        _show_run(ledger, number, json)


@app.command(
    help="Show what running the script of a step would begin; --yes begins it, as a change."
)
def script(
    number: RunArgument,
    step: StepArgument,
    hosts: Annotated[
        list[str] | None, typer.Option("--host", help="On this host; without: the run's own.")
    ] = None,
    trying: Annotated[
        bool, typer.Option("--dry-run", help="Let the script itself only say what it would do.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it is only shown.")
    ] = False,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The plan; with --yes a change."""
    with opened_ledger(state) as (settings, ledger), signals_of(settings) as signals:
        at_ms = now_ms()
        up = signals.up(at_ms)
        asked = ScriptAsked(number, step, person(), tuple(hosts or ()), trying)
        if yes:
            with ledger.begin() as connection:
                made = run_script_step(connection, asked, up, at_ms, dry_run=False)
                detail = {"run": str(number), "step": str(step), "rollout": str(made.rollout_id)}
                audit(connection, Action.DELIVERY_START, str(made.change_id), detail)
            nudge(settings, "changes")
            _nudge(settings, number)
        else:
            with ledger.read() as connection:
                made = run_script_step(connection, asked, up, at_ms, dry_run=True)
    if json:
        show_json({**made.as_json(), "started": yes})
    elif yes:
        typer.echo(f"Change {made.change_id} runs it: vezha checklist show {number}")
    else:
        typer.echo(made.as_json()["text"], nl=False)
        typer.echo("Nothing was started. Start it with --yes.")


@app.command(help="Sign a run off: every step is answered or skipped, and you say so.")
def sign(
    number: RunArgument,
    note: Annotated[str, typer.Option("--note", "-m", help="A note.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.SIGN, text=note)


@app.command(help="Go on after a stop rule said not to, and say why.")
def resume(
    number: RunArgument,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.RESUME, text=reason)


@app.command(help="End a run that nobody will finish.")
def abandon(
    number: RunArgument,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The run as it is then."""
    _act(state, number, json, RunAct.ABANDON, text=reason)


@app.command(help="How long each step takes, and which are skipped.")
def figures(
    name: Annotated[str, typer.Argument(help="Only this checklist.")] = "",
    days: Annotated[int, typer.Option(help="So many days back.", min=1, max=TIMES_DAYS_MAX)] = 90,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table: median and 95th percentile."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_figures(connection, now_ms() - days * _DAY_MS)
    found = [f for f in found if name in ("", f.checklist)]
    if json:
        show_json(found)
        return
    if not found:
        typer.echo("No runs yet.")
    for one in found:
        typer.echo(
            f"{one.checklist}: {one.runs} runs, {one.done} done, {one.abandoned} abandoned, "
            f"{_seconds(one.median_s)} in the middle"
        )
        rows = [
            (str(s.number), s.text, str(s.answered), str(s.skipped), str(s.stopped),
             _seconds(s.median_s), _seconds(s.p95_s))
            for s in one.steps
        ]  # fmt: skip
        show_table(("#", "Step", "Done", "Skipped", "Stopped", "Median", "p95"), rows)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} s"


def _audit(connection: Connection, id_: int, detail: dict[str, str]) -> None:
    audit(connection, Action.CHECKLIST_RUN, str(id_), detail)


def _nudge(settings: Settings, id_: int) -> None:
    nudge(settings, f"checklists:{id_}")
    nudge(settings, "incidents")


def _act(state: str, number: int, json: bool, act: RunAct, **asked: Any) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            made = act_in(connection, number, Asked(act, person(), now_ms(), **asked))
            if made is None:
                raise AnsweredMeanwhile("somebody else wrote at the same moment; try again")
            _audit(connection, number, {"act": act.value})
        _nudge(settings, number)
        _show_run(ledger, number, json)


def _fill(settings: Settings, ledger: Ledger, id_: int) -> None:
    """Ask the run's queries of the state folder's store, where there is one."""
    if not settings.state.store.exists():
        return
    ask, close = _asking(settings)
    try:
        with ledger.read() as connection:
            found = read_run(connection, id_)
        for step in found.run.checklist.steps:
            if step.fills:
                at_ms = now_ms()
                value = fill(step, found.view.variables, ask, at_ms)
                one = Asked(RunAct.FILL, person(), at_ms, step=step.number, value=value)
                act_on_run(ledger, id_, one)
    finally:
        close()


def _asking(settings: Settings) -> tuple[Ask, Callable[[], None]]:
    source = StoreReader.open(str(settings.state.store))
    options = EngineOptions(lookback_ms=int(settings.query.lookback_s * 1000))
    engine = Engine(source, None, options)

    def ask(expr: str, at_ms: int) -> Any:
        result = engine.instant(expr, at_ms)
        return result.labels, result.values[:, 0]

    return ask, source.close


_MARKS = {"open": "[ ]", "answered": "[x]", "skipped": "[-]"}


def _show_run(ledger: Ledger, id_: int, json: bool) -> None:
    with ledger.read() as connection:
        found = read_run(connection, id_)
        shown = run_detail(found, script_results(connection, found))
    if json:
        show_json(shown)
        return
    of = f", incident {shown['incident']}" if shown["incident"] is not None else ""
    of += f", change {shown['change']}" if shown["change"] is not None else ""
    typer.echo(f"Run {id_}: {shown['title']} ({shown['state']}{of})")
    if shown["stopped_because"]:
        typer.echo(f"Stop: {shown['stopped_because']}")
    for step in shown["checklist_steps"]:
        _show_step(step)
    if shown["waits_for_signature"]:
        typer.echo(f"All steps are done; sign it: vezha checklist sign {id_}")
    for who in shown["signed_by"]:
        typer.echo(f"Signed by {who}")


def _show_step(step: dict[str, Any]) -> None:
    kind = "" if step["kind"] == "tick" else f"  ({step['kind']})"
    typer.echo(f"{_MARKS[step['state']]} {step['number']}. {step['text']}{kind}")
    if step["state"] == "open" and step["help"]:
        for line in step["help"].split("\n"):
            typer.echo(f"       {line}")
    if step["choices"] and step["state"] == "open":
        typer.echo(f"       one of: {', '.join(step['choices'])}")
    if step["query"]:
        typer.echo(f"       {step['query']}")
    filled = step["filled"]
    if filled is not None and "series" in filled:
        if filled.get("error"):
            typer.echo(f"       cannot be asked: {filled['error']}")
        elif not filled["series"]:
            typer.echo("       gives nothing now")
        for series in filled["series"][:_SHOWN_SERIES]:
            value = series["value"]
            number = f"{value:g}" if isinstance(value, float | int) else value
            labels = ", ".join(f"{k}={v}" for k, v in sorted(series["labels"].items()))
            typer.echo(f"       {number} {step['unit']}  {labels}".rstrip())
    if step["script"] and step["state"] == "open":
        given = " ".join(f"{k}={v}" for k, v in step["parameters"].items())
        typer.echo(f"       runs {step['script']} {given}".rstrip())
    for line in in_lines(step["went"]) if step["went"] else ():
        typer.echo(f"       {line}")
    if step["state"] != "open":
        value = "" if step["value"] in (True, None) else f"{step['value']} {step['unit']}".strip()
        said = " – ".join(t for t in (value, step["note"]) if t)
        typer.echo(f"       {said + '  ' if said else ''}({step['answered_by']})")
