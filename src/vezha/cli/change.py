"""`vezha change`: draft, plan, approve, start changes; report those made elsewhere; verdicts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import tomllib
import typer
from sqlalchemy import select

from vezha.access import Action, Role
from vezha.alerting.durations import parse_duration
from vezha.cli import drift
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
from vezha.cli.stored import rehearsed, signals_of
from vezha.cli.table import show_json, show_table
from vezha.delivery import desk, views
from vezha.delivery.change import TOPIC
from vezha.delivery.errors import SpecError
from vezha.delivery.external import from_body
from vezha.delivery.gate import recompute
from vezha.delivery.plan import plan_text
from vezha.delivery.rehearse import armed_gate
from vezha.delivery.rehearse import rehearse as rehearse_gate
from vezha.delivery.reporting import take_report
from vezha.delivery.rows import newest_plan
from vezha.delivery.selector import parse_selector
from vezha.delivery.spec import DEFAULT_WAVES, Policy, read_gates
from vezha.ledger.tables import host

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

NumberArgument = Annotated[int, typer.Argument(help="The change's number.", metavar="NUMBER")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]
_GATE = re.compile(
    r"(?:([a-z0-9][a-z0-9_.-]*): *)?(.+?) *(<=|>=|==|!=|<|>) *(-?[0-9.]+)", re.DOTALL
)
_KINDS = ("proof", "health", "budget", "predictability", "approval")


@app.command("list", help="Changes, the newest first; with --open only those that are not over.")
def list_(
    state: StateOption = "state",
    open_: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
    kind: Annotated[str, typer.Option(help="agent, config, rules, script or external.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = views.list_changes(connection, open_only=open_, kind=kind, limit=limit)
    if json:
        show_json(found)
        return
    if not found:
        typer.echo("No changes.")
        return
    rows = [
        [str(c["id"]), c["kind"], c["state"], c["outcome"] or "–", str(c["hosts_count"]),
         c["owner"] or "–", c["title"]]
        for c in found
    ]  # fmt: skip
    show_table(("#", "Kind", "State", "Outcome", "Hosts", "Owner", "What"), rows)


@app.command(help="One change with its timeline.")
def show(number: NumberArgument, state: StateOption = "state", json: JsonOption = False) -> None:
    """As text."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = views.get_change(connection, number)
    if json:
        show_json(found)
        return
    typer.echo(f"# Change {number}: {found['title']}\n")
    typer.echo(
        f"{found['kind']}, {found['state']}" + (f": {found['reason']}" if found["reason"] else "")
    )
    for name in ("why", "owner", "checklist", "risk", "selector", "target"):
        typer.echo(
            f"  {name}: {found[name] or '(missing)' if name != 'selector' else found[name] or '{}'}"
        )
    for sentence in found["lacks"]:
        typer.echo(f"  lacks: {sentence}")
    for rollout in found["rollouts"]:
        counts = ", ".join(f"{n} {s}" for s, n in rollout["counts"].items())
        typer.echo(f"  rollout {rollout['id']}: {rollout['state']}, {counts}")
    typer.echo("")
    for event in found["timeline"]:
        at = show_ms(int(event["at"] * 1000))
        typer.echo(f"- {at} {event['kind']} by {event['actor']}: {event['text']}")


def parse_wave(text: str) -> dict[str, Any]:
    """A wave as options write it: `canary=1@10m`, `tenth=10%`, `db={role="db"}@1h`, `all`."""
    head, _, bake = text.rpartition("@") if re.search(r"@[0-9.a-z]+$", text) else (text, "", "")
    name, _, how = head.partition("=")
    wave: dict[str, Any] = {"name": name.strip()}
    how = how.strip()
    if bake:
        try:
            wave["bake_s"] = parse_duration(bake) / 1000
        except ValueError as fault:
            raise SpecError(f"--wave {text}: {fault}") from None
    if how.startswith("{"):
        wave["selector"] = how
    elif how.endswith("%"):
        wave["percent"] = _number(how[:-1], text)
    elif how.isdigit():
        wave["count"] = int(how)
    elif how:
        wave["hosts"] = [h.strip() for h in how.split(",") if h.strip()]
    return wave


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise SpecError(f"--wave {text}: {digits!r} is not a number") from None


def parse_gate(text: str) -> dict[str, Any]:
    """A gate as options write it: a kind (`proof`), or `name: EXPR < 5`."""
    if text in _KINDS:
        return {"kind": text}
    match = _GATE.fullmatch(text.strip())
    if match is None:
        raise SpecError(
            f"--gate {text}: write a kind ({', '.join(_KINDS)}), or `name: EXPR < NUMBER`; the "
            "others go into a file"
        )
    gate = {"kind": "promql", "expr": match[2], "op": match[3], "threshold": float(match[4])}
    return {**gate, "name": match[1]} if match[1] else gate


@app.command(help="Write a change down, from a TOML file or options. It does nothing yet.")
def draft(
    target: Annotated[
        str, typer.Argument(help="A published artifact: agent/vezha/2.0/vezha-agent.pyz")
    ] = "",
    file: Annotated[
        str, typer.Option("--file", "-f", help="TOML: the fields of the API's body.")
    ] = "",
    why: Annotated[str, typer.Option(help="What it is good for, in a sentence.")] = "",
    owner: Annotated[str, typer.Option(help="Who supports it.")] = "",
    checklist: Annotated[str, typer.Option(help="Which checklist goes with it.")] = "",
    title: Annotated[str, typer.Option(help="What, in one line.")] = "",
    risk: Annotated[str, typer.Option(help="low, medium or high.")] = "medium",
    selector: Annotated[str, typer.Option(help='Which hosts: role="db", or instance="db-1".')] = "",
    wave: Annotated[
        list[str], typer.Option(help="In order: canary=1@10m, tenth=10%@10m, all@10m.")
    ] = [],  # noqa: B006 - Typer's own way
    gate: Annotated[
        list[str], typer.Option(help='proof, health, budget …, or "errors: EXPR < 5".')
    ] = [],  # noqa: B006
    watch: Annotated[
        str, typer.Option(help="How long an agent is watched until that is a proof (1m).")
    ] = "",
    max_in_flight: Annotated[int, typer.Option(help="So many hosts at once.")] = 0,
    param: Annotated[list[str], typer.Option(help="A script's: name=value.")] = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run a script as a dry run.")] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A draft."""
    given: dict[str, Any] = {}
    if file:
        try:
            given = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise SpecError(f"{file}: {fault}") from None
    options: dict[str, Any] = {
        "target": target, "why": why, "owner": owner, "checklist": checklist, "title": title,
        "selector": selector, "waves": [parse_wave(w) for w in wave],
        "gates": [parse_gate(g) for g in gate],
    }  # fmt: skip
    given.update({name: value for name, value in options.items() if value})
    if risk != "medium":
        given["risk"] = risk
    policy = dict(given.get("policy") or {})
    if max_in_flight:
        policy["max_in_flight"] = max_in_flight
    if dry_run:
        policy["dry_run"] = True
    if watch:
        try:
            policy["watch_s"] = parse_duration(watch) / 1000
        except ValueError as fault:
            raise SpecError(f"--watch: {fault}") from None
    given["policy"] = policy
    for one in param:
        name, equals, value = one.partition("=")
        if not equals:
            raise SpecError(f"--param {one}: write name=value")
        given["params"] = {**given.get("params", {}), name: value}
    if not given.get("target"):
        raise SpecError("name what is to be delivered: an artifact of `vezha release list`")
    given.setdefault("kind", str(given["target"]).split("/")[0])
    try:
        made = desk.Draft(**given)
    except TypeError as fault:
        raise SpecError(f"{file}: {fault}".replace("Draft.__init__() got an ", "")) from None
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            id_ = desk.draft_change(connection, made, person(), now_ms())
            audit(connection, Action.DELIVERY_DRAFT, str(id_), {"target": made.target})
            lacks = views.get_change(connection, id_)["lacks"]
        nudge(settings, TOPIC)
    if json:
        show_json({"id": id_, "lacks": lacks})
        return
    typer.echo(f"Change {id_} is drafted.")
    for sentence in lacks:
        typer.echo(f"  It cannot be started yet: {sentence}.")
    typer.echo(f"Next: vezha change plan {id_}")


@app.command(help="Show the plan that would be made now; --keep makes it.")
def plan(
    number: NumberArgument,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep it, so that it can be started.")
    ] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A diff."""
    with opened_ledger(state) as (settings, ledger), signals_of(settings) as signals:
        at_ms = now_ms()
        up = signals.up(at_ms)
        with ledger.read() as connection:
            wanted = desk.rules_to_rehearse(connection, number)
        rehearsal = None if wanted is None else rehearsed(settings, wanted, at_ms)
        if keep:
            with ledger.begin() as connection:
                made, document = desk.plan_change(
                    connection, number, up, person(), at_ms, rehearsal=rehearsal
                )
                audit(connection, Action.DELIVERY_DRAFT, str(number), {"plan": str(made)})
            nudge(settings, TOPIC)
        else:
            with ledger.read() as connection:
                made, document = desk.plan_change(
                    connection, number, up, person(), at_ms, dry_run=True, rehearsal=rehearsal
                )
    if json:
        show_json({"number": made, "kept": keep, "document": document})
        return
    typer.echo(plan_text(made, document), nl=False)
    if not keep:
        typer.echo(f"Nothing was kept. Keep it: vezha change plan {number} --keep")


def _add_answer(verb: str, word: str, answer: str) -> None:
    @app.command(verb, help=f"Say {word} to the newest plan, or (--wave) to one of its waves.")
    def say(
        number: NumberArgument,
        comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
        wave: Annotated[str, typer.Option(help="Only this wave's gate.")] = "",
        state: StateOption = "state",
        json: JsonOption = False,
    ) -> None:
        _answer(state, number, answer, comment, wave, json)


for _verb in (("approve", "yes", "approved"), ("reject", "no", "rejected")):
    _add_answer(*_verb)


def _answer(state: str, number: int, answer: str, comment: str, wave: str, json: bool) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            desk.answer_plan(
                connection, number, user=person(), role=Role.ADMIN, answer=answer,
                comment=comment, now_ms=now_ms(), wave=wave,
            )  # fmt: skip
            audit(connection, Action.DELIVERY_APPROVE, str(number), {"answer": answer})
            found = views.get_change(connection, number)
        nudge(settings, TOPIC)
    if json:
        show_json(found)
        return
    typer.echo(f"Change {number}: {answer}.")


@app.command(help="Show what would begin; --yes begins the rollout of the newest plan.")
def start(
    number: NumberArgument, yes: YesOption = False, state: StateOption = "state",
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Begin."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.read() as connection:
            found = views.get_change(connection, number)
            row = newest_plan(connection, number)
        if not yes:
            if json:
                show_json({"plan": row.number, "lacks": found["lacks"], "started": None})
            else:
                typer.echo(plan_text(row.number, row.document), nl=False)
                for sentence in found["lacks"]:
                    typer.echo(f"It cannot be started: {sentence}.")
                typer.echo(f"Nothing was started. Start it: vezha change start {number} --yes")
            raise typer.Exit(1 if found["lacks"] else 0)
        with ledger.begin() as connection:
            rollout_id = desk.start_change(connection, number, person(), now_ms())
            audit(connection, Action.DELIVERY_START, str(number), {"rollout": str(rollout_id)})
        nudge(settings, TOPIC)
    if json:
        show_json({"plan": row.number, "lacks": [], "started": rollout_id})
        return
    typer.echo(f"Rollout {rollout_id} has begun. Watch it: vezha rollout show {rollout_id}")


@app.command(help="Give up a change that was not started.")
def cancel(
    number: NumberArgument,
    why: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Cancel."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            desk.cancel_change(connection, number, person(), now_ms(), why)
            audit(connection, Action.DELIVERY_DRAFT, str(number), {"why": why})
            found = views.get_change(connection, number)
        nudge(settings, TOPIC)
    if json:
        show_json(found)
        return
    typer.echo(f"Change {number} is cancelled.")


@app.command(
    help="A verdict with what it was made of; --recompute makes it again (exit 1: differs)."
)
def verdict(
    number: Annotated[int, typer.Argument(help="The verdict's number.", metavar="VERDICT")],
    again: Annotated[bool, typer.Option("--recompute", help="Judge its samples again.")] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A verdict."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        row = views.get_verdict(connection, number)
    found = views.verdict_view(row, full=True)
    if again:
        found.update(recompute(row.spec, row.samples, row.result, row.sentence))
    if json:
        show_json(found)
    else:
        shadow = " (in shadow)" if row.shadow else ""
        typer.echo(f"{row.gate}{shadow} in wave {row.wave + 1} of rollout {row.rollout_id}, "
                   f"{show_ms(row.at_ms)}: {row.result}: {row.sentence}")  # fmt: skip
        if again:
            said = found["recomputed"]
            word = "the same" if found["agrees"] else "ANOTHER ANSWER"
            typer.echo(f"made again: {word}: {said['result']}: {said['sentence']}")
    if again and not found["agrees"]:
        raise typer.Exit(1)


@app.command(help="What a gate would have said over the past (exit 1: it would have failed).")
def rehearse(
    gate: Annotated[
        str, typer.Argument(help='A kind, or "errors: EXPR < 5"; with --change a gate\'s name.')
    ],
    change: Annotated[int, typer.Option(help="A gate of this change, over its hosts.")] = 0,
    selector: Annotated[str, typer.Option(help="Hosts that are taken for touched.")] = "",
    since: Annotated[str, typer.Option(help="How far back.")] = "1d",
    step: Annotated[str, typer.Option(help="How often it is asked.")] = "1m",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Spans of equal answers."""
    with opened_ledger(state) as (settings, ledger), signals_of(settings) as signals:
        with ledger.read() as connection:
            policy, text = Policy(), ""
            if change:
                asked, text, policy = armed_gate(connection, change, gate)
            else:
                (asked,) = read_gates([parse_gate(gate)], DEFAULT_WAVES)
            fits = parse_selector(selector or text)
            rows = connection.execute(select(host.c.name, host.c.labels)).all()
        names = [r.name for r in rows if fits.covers(r.name, r.labels)]
        end_ms = now_ms()
        try:
            start_ms, step_ms = end_ms - parse_duration(since), parse_duration(step)
        except ValueError as fault:
            raise SpecError(str(fault)) from None
        found = rehearse_gate(asked, names, signals, start_ms, end_ms, max(1_000, step_ms), policy)
    if json:
        spans = [vars_of(span) for span in found.spans]
        show_json({"counts": found.counts, "spans": spans})
    else:
        for span in found.spans:
            typer.echo(
                f"{show_ms(span.start_ms)} – {show_ms(span.end_ms)} {span.result}: {span.sentence}"
            )
        typer.echo(", ".join(f"{n} {result}" for result, n in found.counts.items()))
    if found.counts.get("fail"):
        raise typer.Exit(1)


def vars_of(span: Any) -> dict[str, Any]:
    """A span for programs."""
    return {"start_at": span.start_ms / 1000, "end_at": span.end_ms / 1000,
            "result": span.result, "sentence": span.sentence}  # fmt: skip


@app.command(help="Versions that are not offered again; --lift HASH --why … lets one go.")
def quarantine(
    lift: Annotated[str, typer.Option(help="The beginning of a hash.", metavar="HASH")] = "",
    why: Annotated[str, typer.Option(help="Why it may be offered again.")] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (settings, ledger):
        if lift:
            with ledger.begin() as connection:
                lifted = desk.lift_quarantine(connection, lift, 0, person(), why, now_ms())
                audit(connection, Action.QUARANTINE_LIFT, lift, {"why": why})
            nudge(settings, TOPIC)
            if json:
                show_json({"lifted": lifted})
            else:
                typer.echo(f"Lifted {lifted}.")
            return
        with ledger.read() as connection:
            names = {r.id: r.name for r in connection.execute(select(host.c.id, host.c.name))}
            found = views.list_quarantine(connection, names)
    if json:
        show_json(found)
        return
    if not found:
        typer.echo("Nothing is in quarantine.")
        return
    rows = [
        [q["sha256"][:12], q["host"] or "everywhere", q["target"], q["reason"], q["detail"]]
        for q in found
    ]
    show_table(("Hash", "Where", "What", "Reason", "Detail"), rows)


@app.command(help="Tell of a change that was made elsewhere; prints its number.")
def report(
    title: Annotated[str, typer.Argument(help="What changed, in one line.")],
    key: Annotated[
        str, typer.Option(help="Names it: a later report of the same moves it on.")
    ] = "",
    outcome: Annotated[str, typer.Option(help="running, done, failed or rolled_back.")] = "done",
    service: Annotated[str, typer.Option(help="What was changed.")] = "",
    environment: Annotated[str, typer.Option(help="Where.")] = "",
    version: Annotated[str, typer.Option(help="To which version.")] = "",
    why: Annotated[str, typer.Option(help="What it is good for.")] = "",
    on: Annotated[list[str], typer.Option("--host", help="A host that it touched.")] = [],  # noqa: B006
    link: Annotated[list[str], typer.Option(help="An address to look at.")] = [],  # noqa: B006
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A report."""
    body: dict[str, Any] = {"title": title, "outcome": outcome, "hosts": on, "links": link}
    options = {"key": key, "service": service, "environment": environment, "version": version,
               "why": why}  # fmt: skip
    body.update({name: value for name, value in options.items() if value})
    at_ms = now_ms()
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            id_ = take_report(connection, from_body(body, at_ms, person()), at_ms)
            audit(connection, Action.CHANGE_REPORT, str(id_), {"title": title})
        nudge(settings, TOPIC)
    if json:
        show_json({"change": id_})
        return
    typer.echo(f"Change {id_} is reported.")


app.command("drift", help=drift.DRIFT_HELP)(drift.drift)
app.command("mend", help=drift.MEND_HELP)(drift.mend)
app.command("accept", help=drift.ACCEPT_HELP)(drift.accept)
