"""`vezha oncall`: who is on call, schedules, overrides, hand-over, calendars, escalation policies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tomllib
import typer
from sqlalchemy import Connection

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.api.handovers import page_view
from vezha.api.oncall import everyone_now, override_view, span_view
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
    public_url_of,
    show_ms,
)
from vezha.cli.table import show_json, show_table
from vezha.incidents.oncall import feed, rows
from vezha.incidents.oncall.document import read_everything, show_everything, show_schedule
from vezha.incidents.oncall.errors import OnCallError
from vezha.incidents.oncall.handover import Page, current_page, list_handovers
from vezha.incidents.oncall.limits import DOCUMENT_BYTES_MAX
from vezha.incidents.oncall.rota import Span, instant, shifts
from vezha.incidents.oncall.toml import as_toml
from vezha.notify.errors import Refused
from vezha.notify.handing_over import message_of_page
from vezha.notify.settings import Receiver
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
ScheduleArgument = Annotated[str, typer.Argument(help="The schedule's name.", metavar="SCHEDULE")]
_DAY_MS = 86_400_000
_EXIT_GAPS = 1


def _do(state: str, action: Action, target: str, change: Callable[[Connection], str]) -> str:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            said = change(connection)
            audit(connection, action, target, {"did": said})
        nudge(settings, "incidents")
    return said


@app.command(help="Who is on call now in each schedule, who is next, and what is not covered.")
def now(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        views = everyone_now(connection, now_ms())
    if json:
        show_json(msgspec.to_builtins(views))
        return
    if not views:
        typer.echo("There are no schedules yet: see vezha oncall apply.")
        return
    table = []
    for view in views:
        after = view.next
        table.append(
            (
                view.schedule,
                (view.now.person or "nobody") + ("" if view.reachable or not view.now.person else
                                                 " (no contact)"),
                show_ms(int(view.now.ends_at * 1000)),
                after.person if after else "–",
                str(len(view.gaps)) if view.gaps else "none",
            )
        )  # fmt: skip
    show_table(("Schedule", "Now", "Until", "Next", "Gaps in 4 weeks"), table)


@app.command("list", help="Schedules, policies and teams by name.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        everything = rows.read_everything_of(connection)
    if json:
        show_json(show_everything(everything))
        return
    table = [
        ("schedule", s.name, f"{s.time_zone}: {', '.join(s.people) or 'nobody'}")
        for s in everything.schedules
    ]
    for policy in everything.policies:
        steps = " → ".join(", ".join(map(str, step.targets)) for step in policy.steps)
        table.append(("policy", policy.name, f"{steps}; repeated {policy.repeat} times"))
    for team in everything.teams:
        shown = ", ".join(map(str, team.matchers)) or "what names it"
        table.append(("team", team.name, f"{shown} → {team.policy or 'default'}"))
    show_table(("What", "Name", ""), table)


@app.command(help="Who is on call when: the shifts of a schedule, gaps included.")
def show(
    schedule: ScheduleArgument,
    days: Annotated[int, typer.Option(help="So many days from now.", min=1, max=366)] = 14,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    at_ms = now_ms()
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        one = rows.get_schedule(connection, schedule)
        overrides = rows.read_overrides(connection, at_ms, schedule).get(schedule, [])
    found = shifts(one, overrides, at_ms, at_ms + days * _DAY_MS)
    if json:
        show_json(
            {
                **show_schedule(one),
                "overrides": msgspec.to_builtins([override_view(o) for o in overrides]),
                "shifts": msgspec.to_builtins([span_view(s) for s in found]),
            }
        )
        return
    zone = one.zone
    show_table(
        ("From", "To", "Who", "By"),
        [(_in_zone(s.starts_ms, zone), _in_zone(s.ends_ms, zone), s.person or "nobody", s.source)
         for s in found],
    )  # fmt: skip
    if overrides:
        typer.echo("")
        show_table(
            ("Override", "Who", "From", "To", "Why"),
            [(str(o.id), o.person, _in_zone(o.starts_ms, zone), _in_zone(o.ends_ms, zone),
              o.comment) for o in overrides],
        )  # fmt: skip


def _in_zone(ms: int, zone: Any) -> str:
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%a %Y-%m-%d %H:%M %Z")


@app.command(help="Times at which nobody is on call; exit code 1 where there are any.")
def gaps(
    state: StateOption = "state",
    days: Annotated[int, typer.Option(help="So many days from now.", min=1, max=366)] = 28,
    json: JsonOption = False,
) -> None:
    """A table."""
    at_ms = now_ms()
    found: list[tuple[str, Span]] = []
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        overrides = rows.read_overrides(connection, at_ms)
        for one in rows.read_schedules(connection):
            spans = shifts(one, overrides.get(one.name, []), at_ms, at_ms + days * _DAY_MS)
            found += [(one.name, s) for s in spans if not s.person]
    if json:
        show_json([{"schedule": name, **_plain(s)} for name, s in found])
    elif found:
        show_table(
            ("Schedule", "From", "To"),
            [(name, show_ms(s.starts_ms), show_ms(s.ends_ms)) for name, s in found],
        )
    else:
        typer.echo(f"No gaps within {days} days.")
    if found:
        raise typer.Exit(_EXIT_GAPS)


def _plain(span: Span) -> dict[str, float]:
    return {"starts_at": span.starts_ms / 1000, "ends_at": span.ends_ms / 1000}


@app.command(help="Somebody stands in: vezha oncall override db petro --for 8h.")
def override(
    schedule: ScheduleArgument,
    name: Annotated[str, typer.Argument(help="Who stands in.", metavar="PERSON")],
    from_: Annotated[
        str, typer.Option("--from", help="When it begins, local to the schedule; now by default.")
    ] = "",
    for_: Annotated[str, typer.Option("--for", help="For how long.")] = "8h",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    state: StateOption = "state",
) -> None:
    """Overridden."""
    try:
        length_ms = parse_duration(for_)
    except ValueError as fault:
        raise OnCallError(f"--for: {fault}") from None

    def change(connection: Connection) -> str:
        starts_ms = now_ms()
        if from_:
            try:
                local = datetime.fromisoformat(from_).replace(tzinfo=None)
            except ValueError:
                raise OnCallError(f'--from: "{from_}" is not like 2026-11-02T09:00') from None
            starts_ms = instant(local, rows.get_schedule(connection, schedule).zone)
        made = rows.add_override(
            connection, schedule, name, starts_ms, starts_ms + length_ms, person(), comment,
            now_ms(),
        )  # fmt: skip
        return f"Override {made.id}: {name} stands in for {schedule} until {show_ms(made.ends_ms)}."

    typer.echo(_do(state, Action.ONCALL_OVERRIDE, schedule, change))


@app.command("end-override", help="End an override now; one that is to come never begins.")
def end_override(
    number: Annotated[int, typer.Argument(help="The override's number.", metavar="NUMBER")],
    state: StateOption = "state",
) -> None:
    """Ended."""

    def change(connection: Connection) -> str:
        schedule = rows.end_override(connection, number, person(), now_ms())
        return f"Override {number} of {schedule} has ended."

    typer.echo(_do(state, Action.ONCALL_OVERRIDE, str(number), change))


@app.command(help="Make schedules, policies and teams as a TOML file says.")
def apply(
    file: Annotated[Path, typer.Argument(help="The file; - reads standard input.", metavar="FILE")],
    prune: Annotated[bool, typer.Option(help="Remove what the file does not have.")] = False,
    state: StateOption = "state",
) -> None:
    """Applied as a whole, or not at all."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        if len(text.encode()) > DOCUMENT_BYTES_MAX:
            raise OnCallError(f"{file} is larger than {DOCUMENT_BYTES_MAX} bytes")
        wanted = read_everything(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise OnCallError(f"{file}: {fault}") from None

    def change(connection: Connection) -> str:
        changed = rows.put_everything(connection, wanted, person(), now_ms(), prune=prune)
        return "\n".join(changed) or "Nothing to change."

    typer.echo(_do(state, Action.ONCALL_CHANGE, str(file)[:200], change))


@app.command(help="Schedules, policies and teams as a file for `apply`.")
def export(state: StateOption = "state", json: JsonOption = False) -> None:
    """TOML, or JSON."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        document = show_everything(rows.read_everything_of(connection))
    if json:
        show_json(document)
        return
    typer.echo(as_toml(document), nl=False)


@app.command(help="What would be handed over now; with --past the hand-overs that were.")
def handover(
    schedule: ScheduleArgument,
    past: Annotated[bool, typer.Option(help="Past hand-overs.")] = False,
    language: Annotated[str, typer.Option(help="en or uk.")] = "en",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 5,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A page."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        if past:
            found = list_handovers(connection, schedule, limit)
            pages = [Page.from_json(row.page) for row in found]
        else:
            pages = [current_page(connection, schedule, now_ms())]
    if json:
        show_json(msgspec.to_builtins([page_view(p) for p in pages]))
        return
    if not pages:
        typer.echo("No hand-overs yet.")
    for page in pages:
        reader = Receiver("terminal", "", _Nobody(), language)
        what = message_of_page(page, reader, "")
        typer.echo(
            "\n".join([f"{show_ms(page.at_ms)}  {what.title}", what.summary, *what.lines, ""])
        )


class _Nobody:
    """A sender of nothing: a page for the terminal needs only a language."""

    edits = False
    wants: frozenset[str] = frozenset()

    async def send(self, delivery: Any) -> Any:
        raise Refused("a terminal takes no messages")

    async def close(self) -> None:
        """Nothing is held."""


@app.command(help="A schedule (or, with --person, a person) as iCalendar; --address for programs.")
def calendar(
    name: Annotated[str, typer.Argument(help="The schedule, or the person.", metavar="NAME")],
    of_person: Annotated[bool, typer.Option("--person", help="NAME is a person.")] = False,
    address: Annotated[
        bool, typer.Option(help="Make a secret address to subscribe to, shown once.")
    ] = False,
    state: StateOption = "state",
) -> None:
    """Text for a calendar program."""
    if not address:
        with opened_ledger(state) as (_, ledger), ledger.read() as connection:
            make = feed.person_calendar if of_person else feed.schedule_calendar
            typer.echo(make(connection, name, now_ms()), nl=False)
        return
    with opened_ledger(state) as (settings, ledger), ledger.begin() as connection:
        schedule, whose = ("", name) if of_person else (name, "")
        id_, secret = feed.make_feed(
            connection, schedule, whose, person(), now_ms(), World().chance
        )
        audit(connection, Action.CALENDAR_CHANGE, name, {"calendar": str(id_)})
        typer.echo(f"{public_url_of(settings)}/api/v1/oncall/calendar/{secret}.ics")
