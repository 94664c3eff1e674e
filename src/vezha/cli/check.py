"""`vezha check`: list, run, lint, token: checks from outside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vezha.access.secret import make_secret
from vezha.checks.config import Check, parse_checks
from vezha.checks.errors import CheckConfigError
from vezha.checks.heartbeat import HeartbeatProbe, token_hash
from vezha.checks.outcome import Outcome
from vezha.checks.probe import run_probe
from vezha.cli.opened import JsonOption, StateOption, now_ms, settings_of
from vezha.cli.table import show_json, show_table
from vezha.model.labels import format_labels, get_label, metric, with_labels
from vezha.query import Engine
from vezha.query.context import EngineOptions
from vezha.store.reader import StoreReader
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_EXIT_NO = 1
_FILE = "checks.yml"
_TOKEN_PREFIX = "vzh_"  # noqa: S105 - not a secret, but its mark
_STATES = {None: "unknown", 1.0: "up", 0.0: "DOWN"}


@app.command("list", help="The checks in force, each target with what the server last found.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """State of a target: up, DOWN, or unknown while nothing was stored."""
    settings = settings_of(state)
    checks = _load(settings.state.path / _FILE)
    known: dict[tuple[str, str], float] = {}
    if settings.state.store.exists():
        source = StoreReader.open(str(settings.state.store))
        options = EngineOptions(lookback_ms=int(settings.query.lookback_s * 1000))
        try:
            found = Engine(source, None, options).instant("vezha_check_up", now_ms())
        finally:
            source.close()
        for labels, row in zip(found.labels, found.values, strict=True):
            key = get_label(labels, "job"), get_label(labels, "instance")
            known[key] = float(row[0])
    rows = [
        {
            "name": check.name,
            "type": check.kind,
            "target": target,
            "state": _STATES[known.get((check.name, target))],
            "interval_s": check.interval_s,
            "timeout_s": check.timeout_s,
            "failures_before_down": check.failures_before_down,
        }
        for check in checks
        for target in check.targets
    ]
    if json:
        show_json(rows)
        return
    if not rows:
        typer.echo(f"There are no checks: write {settings.state.path / _FILE}.")
        return
    show_table(
        ["NAME", "TYPE", "TARGET", "STATE", "EVERY"],
        [
            [str(r["name"]), str(r["type"]), str(r["target"]), str(r["state"]),
             f"{r['interval_s']:g}s"]
            for r in rows
        ],
    )  # fmt: skip


@app.command("run", help="Run one check now, from here, and show what it finds. Stores nothing.")
def run_(
    name: Annotated[str, typer.Argument(help="The check's name.")],
    state: StateOption = "state",
    file: Annotated[str, typer.Option(help="Another file than the state folder's.")] = "",
    json: JsonOption = False,
) -> None:
    """Exit code 1 where a target fails."""
    path = Path(file) if file else settings_of(state).state.path / _FILE
    found = [check for check in _load(path) if check.name == name]
    if not found:
        raise CheckConfigError(f"{path} has no check {name!r}; see `vezha check list`")
    check = found[0]
    if isinstance(check.probe, HeartbeatProbe):
        raise CheckConfigError(
            f"{name} is a heartbeat, which the job runs, not we; `vezha check list` shows its state"
        )
    outcomes = asyncio.run(_run(check))
    if json:
        show_json([_document(t, o) for t, o in zip(check.targets, outcomes, strict=True)])
    else:
        for target, outcome in zip(check.targets, outcomes, strict=True):
            _show(target, outcome)
    if not all(outcome.success for outcome in outcomes):
        raise typer.Exit(_EXIT_NO)


@app.command(help="Check a file: the first fault with its place and fix.")
def lint(file: Annotated[str, typer.Argument(help="The file.")]) -> None:
    """Exit code 2 where it cannot be used."""
    path = Path(file)
    if not path.exists():
        raise CheckConfigError(f"{path} is not there; name a file such as state/{_FILE}")
    checks = _load(path)
    typer.echo(f"{path}: {len(checks)} checks of {sum(len(c.targets) for c in checks)} targets.")


@app.command(help="Make a token for a heartbeat: the line for checks.yml and the URL to call.")
def token(
    name: Annotated[str, typer.Argument(help="The heartbeat's name.")], state: StateOption = "state"
) -> None:
    """The token itself is kept nowhere."""
    secret = make_secret(_TOKEN_PREFIX, World().chance)
    web = settings_of(state).web
    host = f"[{web.listen.host}]" if ":" in web.listen.host else web.listen.host
    base = web.public_url.rstrip("/") or f"http://{host}:{web.listen.port}"
    typer.echo(f"In {_FILE}:\n")
    typer.echo(f"  - name: {name}\n    type: heartbeat\n    period: 1d")
    typer.echo(f"    token_sha256: {token_hash(secret)}\n")
    typer.echo("At the end of the job (the token is shown this once):\n")
    typer.echo(f'  curl -fsS -X POST "{base}/api/v1/heartbeats/{name}?token={secret}&exit=$?"')


async def _run(check: Check) -> list[Outcome]:
    world = World()
    probes = (run_probe(check.probe, t, check.timeout_s, world) for t in check.targets)
    return list(await asyncio.gather(*probes))


def _show(target: str, outcome: Outcome) -> None:
    verdict = "ok" if outcome.success else f"FAILED: {outcome.why}"
    typer.echo(f"{target}: {verdict} ({outcome.took_s * 1000:.1f} ms)")
    for (name, labels), value in sorted(outcome.report.figures.items()):
        typer.echo(f"  {format_labels(with_labels(labels, dict(metric(name))))} {value:.10g}")


def _document(target: str, outcome: Outcome) -> dict[str, object]:
    figures = [
        {"name": name, "labels": dict(labels), "value": value}
        for (name, labels), value in sorted(outcome.report.figures.items())
    ]
    return {
        "target": target,
        "success": outcome.success,
        "why": outcome.why,
        "took_s": outcome.took_s,
        "figures": figures,
    }


def _load(path: Path) -> list[Check]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CheckConfigError(f"{path} cannot be read: {why}") from None
    return parse_checks(text, lambda name: (path.parent / name).read_bytes(), str(path))
