"""`vezha contact`: how people are reached, and when not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from vezha.access import Action
from vezha.api.contacts import contact_view, preference_view
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
)
from vezha.cli.receivers import standing_of
from vezha.cli.table import show_json, show_table
from vezha.incidents.oncall.person import (
    Contact,
    Preference,
    add_contact,
    get_contact,
    get_preference,
    put_preference,
    read_contacts,
    read_preferences,
    remove_contact,
)
from vezha.model.recurrence import DAYS
from vezha.model.severity import Severity
from vezha.notify.errors import SendError
from vezha.notify.message import Message
from vezha.notify.people import people_of, personal
from vezha.notify.provider import Delivery
from vezha.notify.quiet import hours
from vezha.notify.settings import Receiver, check_language, check_zone
from vezha.notify.words import word
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
PersonArgument = Annotated[str, typer.Argument(help="Who.", metavar="PERSON")]
ContactArgument = Annotated[str, typer.Argument(help="The contact's name.", metavar="CONTACT")]
_EXIT_NO = 1


@app.command("list", help="How people are reached, and whether that can be used.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    plan = standing_of(state)[0].plan
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        contacts, preferences = read_contacts(connection), read_preferences(connection)
    problems = people_of(contacts, preferences, plan).problems
    views = [
        (c.person, contact_view(c, problems.get(f"@{c.person}/{c.name}", ""))) for c in contacts
    ]
    if json:
        show_json(
            {
                "contacts": [{"person": who, **_plain(view)} for who, view in views],
                "preferences": {p: preference_view(v) for p, v in preferences.items()},
            }
        )
        return
    if not contacts:
        typer.echo("Nobody has a contact yet: see vezha contact add.")
        return
    show_table(
        ("Person", "Contact", "Via", "Address", ""),
        [(who, v.name, v.via, v.address, v.problem) for who, v in views],
    )
    for who, preference in preferences.items():
        typer.echo(f"{who}: {_described(preference)}")


def _plain(view: object) -> dict[str, str]:
    return {name: getattr(view, name) for name in ("name", "via", "address", "problem")}


def _described(preference: Preference) -> str:
    parts = [f"{s} by {', '.join(names)}" for s, names in preference.rules.items()]
    for window in preference.quiet:
        begin, length = window.start_minute, window.minutes
        end = (begin + length) % 1440
        parts.append(
            f"quiet {begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d} "
            f"below {preference.least.value}"
        )
    parts += [text for text in (preference.language, preference.time_zone) if text]
    return "; ".join(parts) or "no preferences"


@app.command(help="Add a contact: vezha contact add olena mail mail olena@example.org.")
def add(
    name: PersonArgument,
    contact: ContactArgument,
    via: Annotated[
        str, typer.Argument(help="The receiver whose account is used.", metavar="RECEIVER")
    ],
    address: Annotated[str, typer.Argument(help="Mail address, chat number …", metavar="ADDRESS")],
    state: StateOption = "state",
) -> None:
    """Added, if it can be used."""
    plan = standing_of(state)[0].plan
    personal(Contact(0, name, contact, via, address), Preference(), plan)
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            add_contact(connection, name, contact, via, address, now_ms())
            audit(connection, Action.CONTACT_CHANGE, name, {"contact": contact, "via": via})
        nudge(settings, "outbox")
    typer.echo(
        f"{name} is reached by {contact} ({via}) now; try vezha contact test {name} {contact}."
    )


@app.command(help="Forget a contact.")
def remove(name: PersonArgument, contact: ContactArgument, state: StateOption = "state") -> None:
    """Removed."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            remove_contact(connection, name, contact)
            audit(connection, Action.CONTACT_CHANGE, name, {"removed": contact})
        nudge(settings, "outbox")
    typer.echo(f"{name} is not reached by {contact} any more.")


@app.command("test", help="Send a test message by a contact and say what became of it.")
def try_contact(
    name: PersonArgument, contact: ContactArgument, state: StateOption = "state"
) -> None:
    """Directly, so that it works before the server runs."""
    plan = standing_of(state)[0].plan
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        receiver = personal(
            get_contact(connection, name, contact), get_preference(connection, name), plan
        )
    try:
        note = asyncio.run(_send(receiver))
    except SendError as fault:
        typer.echo(f"{receiver.name} did not take it: {fault}", err=True)
        raise typer.Exit(_EXIT_NO) from None
    typer.echo(f"{receiver.name} took it ({note}).")


async def _send(receiver: Receiver) -> str:
    what = Message(
        kind="test",
        incident=0,
        title=word(receiver.language, "test"),
        summary=word(receiver.language, "test_text", receiver=receiver.name),
        lines=[word(receiver.language, "by", actor=person())],
        at_ms=now_ms(),
        language=receiver.language,
        time_zone=receiver.time_zone,
    )
    key = f"{receiver.name}:test:{World().chance.token(8).hex()}"
    try:
        return (await receiver.sender.send(Delivery(0, key, what, "test", None))).note
    finally:
        await receiver.sender.close()


@app.command(help="What a person wants: contacts by severity, quiet hours, language, time zone.")
def prefer(
    name: PersonArgument,
    critical: Annotated[list[str] | None, typer.Option(help="Contact for critical news.")] = None,
    warning: Annotated[list[str] | None, typer.Option(help="Contact for warnings.")] = None,
    info: Annotated[list[str] | None, typer.Option(help="Contact for the rest.")] = None,
    quiet: Annotated[
        str | None, typer.Option(help='Hours such as 22:00-07:00; "" for none.')
    ] = None,
    quiet_days: Annotated[str, typer.Option(help="Days on which they begin.")] = ",".join(DAYS),
    quiet_below: Annotated[
        Severity, typer.Option(help="What is milder waits.")
    ] = Severity.CRITICAL,
    language: Annotated[str | None, typer.Option(help="en or uk.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Such as Europe/Kyiv.")] = None,
    state: StateOption = "state",
) -> None:
    """Only what is named changes."""
    if language:
        check_language(language, "--language")
    if time_zone:
        check_zone(time_zone, "--time-zone")
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            before = get_preference(connection, name)
            named = {"critical": critical, "warning": warning, "info": info}
            rules: dict[str, Sequence[str]] = {
                **before.rules, **{s: n for s, n in named.items() if n is not None},
            }  # fmt: skip
            after = replace(before, rules={s: n for s, n in rules.items() if n})
            if quiet is not None:
                windows = (hours(quiet, quiet_days.split(","), "--quiet"),) if quiet else ()
                after = replace(after, quiet=windows, least=quiet_below)
            if language is not None:
                after = replace(after, language=language)
            if time_zone is not None:
                after = replace(after, time_zone=time_zone)
            put_preference(connection, name, after, now_ms())
            audit(connection, Action.CONTACT_CHANGE, name, {"preferences": _described(after)})
        nudge(settings, "outbox")
    typer.echo(f"{name}: {_described(after)}")
