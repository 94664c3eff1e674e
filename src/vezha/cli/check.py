"""`vezha check`: list, run, lint, token: checks from outside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vezha.access.secret import make_secret
from vezha.api.checks import Found, HostSeen, found_by, hosts_of, hosts_seen, rows_of, table_for
from vezha.checks.check import Check
from vezha.checks.errors import CheckConfigError
from vezha.checks.heartbeat import HeartbeatProbe, token_hash
from vezha.checks.outcome import Outcome
from vezha.checks.probe import run_probe
from vezha.cli.opened import JsonOption, StateOption, now_ms, public_url_of, settings_of
from vezha.cli.table import show_json, show_table
from vezha.ledger import Ledger
from vezha.model.columns import Values
from vezha.model.labels import Labels, format_labels, metric, with_labels
from vezha.query import Engine
from vezha.query.context import EngineOptions
from vezha.server.checking import parse_file
from vezha.server.settings import Settings
from vezha.store.reader import StoreReader
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_EXIT_NO = 1
_FILE = "checks.yml"
_TOKEN_PREFIX = "vzh_"  # noqa: S105 - not a secret, but its mark


@app.command("list", help="The checks in force, where each is looked at from, and its state.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """State of a target: up, DOWN, or unknown while nothing was stored, or its agent is gone."""
    settings = settings_of(state)
    checks = _load(settings.state.path / _FILE)
    found = Found()
    if settings.state.store.exists():
        source = StoreReader.open(str(settings.state.store))
        options = EngineOptions(lookback_ms=int(settings.query.lookback_s * 1000))
        engine = Engine(source, None, options)
        try:
            found = found_by(lambda expr, at_ms: _vector(engine, expr, at_ms), now_ms())
        finally:
            source.close()
    rows, unplaced = rows_of(checks, _hosts(settings), found)
    if json:
        show_json(rows)
        return
    if not rows and not unplaced:
        typer.echo(f"There are no checks: write {settings.state.path / _FILE}.")
        return
    show_table(
        ["NAME", "TYPE", "TARGET", "FROM", "STATE", "EVERY", "DELIVERED"],
        [
            [r["name"], r["type"], r["target"], r["seen_from"] or "server",
             "DOWN" if r["state"] == "down" else r["state"], f"{r['interval_s']:g}s",
             r["delivered"] or "-"]
            for r in rows
        ],
    )  # fmt: skip
    for name in unplaced:
        typer.echo(f"{name}: no host fits its `from`, so nobody runs it.")
    if any(r["delivered"] in ("no", "old") for r in rows):
        typer.echo(
            "\nDeliver to agents: `vezha check config`, then sign and publish what it writes."
        )


@app.command("config", help="Write the agents' part of checks.yml as a configuration to sign.")
def config_(
    state: StateOption = "state",
    base: Annotated[str, typer.Option(help="A configuration to which the checks are added.")] = "",
    out: Annotated[str, typer.Option("--out", "-o", help="The file; else it is printed.")] = "",
) -> None:
    """Which hosts run a check is resolved now and stands in it."""
    from vezha.agent import toml
    from vezha.agent.config import parse_config
    from vezha.agent.limits import CONFIG_BYTES_MAX
    from vezha.agent.remote_config import check_whole

    settings = settings_of(state)
    hosts = _hosts(settings)
    tables: toml.Table = {}
    for check in _load(settings.state.path / _FILE):
        if check.seen_from:
            names = hosts_of(check, hosts)
            if not names:
                raise CheckConfigError(
                    f"check {check.name}: no host fits from: {check.seen_from}; `vezha fleet list` shows "
                    "hosts and their labels"
                )
            tables[check.name] = table_for(check, names)
    if not tables:
        raise CheckConfigError("no check in checks.yml has `from`, so agents have nothing to run")
    table: toml.Table = {}
    if base:
        try:
            text = Path(base).read_text()
        except OSError as error:
            raise CheckConfigError(f"{base} cannot be read: {error.strerror}") from None
        parse_config(text, base)
        table = toml.parse(text)
    table["checks"] = tables
    written = toml.dump(table)
    check_whole(written.encode())
    if len(written.encode()) > CONFIG_BYTES_MAX:
        raise CheckConfigError(
            f"the configuration would have {len(written.encode())} bytes, over {CONFIG_BYTES_MAX}: "
            "write `from: '{}'` for checks of all hosts, or a change for each group"
        )
    if not out:
        typer.echo(written, nl=False)
        return
    Path(out).write_text(written)
    places = {name for table in tables.values() for name in table["hosts"]}  # type: ignore[index,call-overload,union-attr]
    typer.echo(
        f"{out}: {len(tables)} checks for {len(places)} hosts. Next: "
        f"vezha release build draft --config {out} --version N, sign, publish, and a change."
    )


def _hosts(settings: Settings) -> dict[str, HostSeen]:
    if not settings.ledger.url and not settings.state.ledger_file.exists():
        return {}
    ledger = Ledger.open(settings.ledger_url)
    try:
        with ledger.read() as connection:
            return hosts_seen(connection)
    finally:
        ledger.close()


def _vector(engine: Engine, expr: str, at_ms: int) -> tuple[list[Labels], Values]:
    found = engine.instant(expr, at_ms)
    return found.labels, found.filled()[:, 0]


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
    base = public_url_of(settings_of(state))
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
    return parse_file(text, lambda name: (path.parent / name).read_bytes(), str(path))
