"""`vezha rollout`: watch, pause, end, take back rollouts; what became of each host."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
    show_ms,
)
from vezha.cli.table import show_json, show_table
from vezha.delivery import desk, views
from vezha.delivery.change import TOPIC
from vezha.delivery.errors import SpecError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

NumberArgument = Annotated[int, typer.Argument(help="The rollout's number.", metavar="NUMBER")]
WhyOption = Annotated[str, typer.Option("--why", "-m", help="Why, for the timeline.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only said.")]
_OVER = ("done", "reverted", "aborted")
_LOOK_EVERY_S = 0.5


@app.command("list", help="Rollouts, the newest first.")
def list_(
    state: StateOption = "state",
    open_: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = views.list_rollouts(connection, open_only=open_, limit=limit)
    if json:
        show_json(found)
        return
    if not found:
        typer.echo("No rollouts.")
        return
    rows = [
        [str(r["id"]), str(r["change_id"]), r["state"], f"{r['wave'] + 1} {r['phase']}",
         _counts(r["counts"]), r["reason"] or "–"]
        for r in found
    ]  # fmt: skip
    show_table(("#", "Change", "State", "Wave", "Hosts", "Why"), rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "–"


@app.command(help="One rollout: waves, gates and what they said last.")
def show(number: NumberArgument, state: StateOption = "state", json: JsonOption = False) -> None:
    """As text."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = views.get_rollout(connection, number)
    if json:
        show_json(found)
        return
    typer.echo(f"# Rollout {number} of change {found['change_id']}: {found['title']}\n")
    why = f": {found['reason']}" if found["reason"] else ""
    typer.echo(f"{found['state']}{why}")
    if found["state"] in ("running", "held"):
        pace = "it waits" if found["pace"] is None else f"{found['pace']:.2g} of the usual time"
        typer.echo(f"wave {found['wave'] + 1} is {found['phase']}; pace: {pace}")
    typer.echo("")
    for at, wave in enumerate(found["waves"]):
        mark = "→" if wave["is_active"] else " "
        typer.echo(f"{mark} {at + 1} {wave['name']}: {_counts(wave['counts'])}")
    typer.echo("")
    for verdict in found["verdicts"]:
        shadow = " (in shadow)" if verdict["shadow"] else ""
        typer.echo(
            f"  #{verdict['id']} wave {verdict['wave'] + 1} {verdict['gate']}{shadow}: "
            f"{verdict['result']}: {verdict['sentence']}"
        )


@app.command(help="Hosts of a rollout, with scripts' results; one host with its history.")
def hosts(
    number: NumberArgument,
    host: Annotated[str, typer.Argument(help="Only this one, with its history.")] = "",
    in_state: Annotated[str, typer.Option("--in", help="Only those in these states.")] = "",
    output: Annotated[bool, typer.Option("--output", help="What scripts wrote, too.")] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        if host:
            found: list[dict[str, Any]] = [views.get_attempt(connection, number, host)]
        else:
            states = [s for s in in_state.split(",") if s]
            found = views.list_attempts(connection, number, states=states)
    if json:
        show_json(found)
        return
    rows = []
    for one in found:
        result = one["result"] or {}
        exit_code = "" if "exit_code" not in result else f"exit {result['exit_code']}"
        why = one["detail"] or one["reason"] or exit_code or "–"
        rows.append([one["host"], str(one["wave"] + 1), one["state"], why])
    show_table(("Host", "Wave", "State", "Why"), rows)
    for one in found:
        for step in one.get("history", ()):
            at = show_ms(int(step["at"] * 1000))
            why = f" ({step['reason']}: {step['detail']})" if step["reason"] else ""
            typer.echo(f"- {at} {step['from_state']} → {step['to_state']}{why}")
        if output and one["result"]:
            typer.echo(f"\n== {one['host']}\n{one['result'].get('output', '')}")


def _steer(state: str, number: int, act: str, why: str, said: str, json: bool) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            desk.wish(connection, number, act, person(), now_ms(), why)
            audit(connection, Action.DELIVERY_STEER, str(number), {"act": act, "why": why})
            found = views.get_rollout(connection, number)
        nudge(settings, TOPIC)
    if json:
        show_json(found)
        return
    typer.echo(f"Rollout {number} {said}.")


_STEERED = (
    ("pause", "waits", "Let a rollout wait; hosts that are in flight arrive."),
    ("resume", "goes on, as far as its gates let it", "Let a rollout go on."),
)
_ENDED = (
    (
        "abort",
        "ends; hosts that have it keep it",
        "keep it",
        "End a rollout; hosts that have it keep it.",
    ),
    ("revert", "is taken back", "go back", "Take a rollout back: hosts that have it go back."),
)


def _add_steered(act: str, said: str, about: str) -> None:
    @app.command(act, help=about)
    def steer(
        number: NumberArgument, why: WhyOption = "", state: StateOption = "state",
        json: JsonOption = False,
    ) -> None:  # fmt: skip
        _steer(state, number, act, why, said, json)


def _add_ended(act: str, said: str, having: str, about: str) -> None:
    @app.command(act, help=f"{about} Only said without --yes.")
    def end(
        number: NumberArgument,
        why: WhyOption = "",
        yes: YesOption = False,
        state: StateOption = "state",
        json: JsonOption = False,
    ) -> None:
        if not yes:
            _only_said(state, number, having, "would not get it", json)
        _steer(state, number, act, why, said, json)


for _one in _STEERED:
    _add_steered(*_one)
for _other in _ENDED:
    _add_ended(*_other)


def _only_said(state: str, number: int, having: str, waiting: str, json: bool) -> None:
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        counts = views.get_rollout(connection, number)["counts"]
    have = sum(counts.get(s, 0) for s in ("proven", "offered", "downloaded", "staged", "started"))
    if json:
        show_json({"done": False, "have_it": have, "waiting": counts.get("waiting", 0)})
        raise typer.Exit(0)
    typer.echo(f"{have} hosts that have it would {having}; {counts.get('waiting', 0)} {waiting}.")
    typer.echo("Nothing was done. Do it with --yes.")
    raise typer.Exit(0)


@app.command("break-glass", help="Let a rollout go on in spite of windows. Stands in the audit.")
def break_glass(
    number: NumberArgument,
    why: Annotated[str, typer.Option("--why", "-m", help="Why; must be given.")],
    for_: Annotated[str, typer.Option("--for", help="For how long.")] = "1h",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Break."""
    try:
        length_ms = parse_duration(for_)
    except ValueError as fault:
        raise SpecError(f"--for: {fault}") from None
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            desk.break_glass(connection, number, person(), why, length_ms, now_ms())
            audit(connection, Action.DELIVERY_BREAK_GLASS, str(number), {"why": why, "for": for_})
            found = views.get_rollout(connection, number)
        nudge(settings, TOPIC)
    if json:
        show_json(found)
        return
    typer.echo(f"Windows do not keep rollout {number} for {for_}; its gates stay armed.")


@app.command(help="Wait for the end: exit 0 done, 1 taken back or ended, 3 still under way.")
def wait(
    number: NumberArgument,
    timeout: Annotated[str, typer.Option(help="For how long.")] = "1h",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """For scripts and CI."""
    try:
        end_s = time.monotonic() + parse_duration(timeout) / 1000
    except ValueError as fault:
        raise SpecError(f"--timeout: {fault}") from None
    said = ""
    with opened_ledger(state) as (_, ledger):
        while True:
            with ledger.read() as connection:
                found = views.get_rollout(connection, number)
            line = f"{found['state']}, wave {found['wave'] + 1} {found['phase']}"
            line += f": {found['reason']}" if found["reason"] else ""
            if line != said and not json:
                typer.echo(line)
            said = line
            over = found["state"] in _OVER
            if over or time.monotonic() >= end_s:
                break
            time.sleep(_LOOK_EVERY_S)
    if json:
        show_json(found)
    if found["state"] != "done":
        raise typer.Exit(1 if over else 3)
