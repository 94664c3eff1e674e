"""`vezha notify`: receivers, a test message, the outbox."""

from __future__ import annotations

import asyncio
from typing import Annotated

import orjson
import typer

from vezha.access import Action
from vezha.api.outbox import message_view
from vezha.cli import receivers
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
from vezha.cli.receivers import standing_of
from vezha.cli.table import show_table
from vezha.notify import outbox
from vezha.notify.errors import NotifySettingsError, SendError
from vezha.notify.loop import put_test
from vezha.notify.message import Message
from vezha.notify.provider import Delivery
from vezha.notify.settings import NotifyPlan, Receiver
from vezha.notify.words import word
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.registered_commands += receivers.app.registered_commands
_EXIT_NO = 1


def _receiver(plan: NotifyPlan, name: str, path: str) -> Receiver:
    if name not in plan.receivers:
        known = ", ".join(plan.receivers) or "none"
        raise NotifySettingsError(
            f'there is no receiver "{name}" in {path} or saved; there are: {known}'
        )
    return plan.receivers[name]


@app.command("list", help="Receivers and routes, of the settings file and saved ones.")
def list_(state: StateOption = "state") -> None:
    """Also checks the file."""
    standing, path = standing_of(state)
    plan = standing.plan
    if not plan.receivers and not standing.problems:
        typer.echo(
            f"Nobody is told anything yet: {path} has no receivers, and none was saved "
            "(vezha notify set, or the page Settings)."
        )
        return
    for receiver in plan.receivers.values():
        quiet = f"  quiet hours, but for {receiver.quiet.least.value}" if receiver.quiet else ""
        where = "saved" if receiver.saved else "file"
        typer.echo(
            f"{receiver.name}  {receiver.type}  {where}  language {receiver.language}{quiet}"
        )
    for number, route in enumerate(plan.routes, 1):
        matchers = ", ".join(str(m) for m in route.matchers) or "everything"
        more = ", and further routes" if route.go_on else ""
        names = ", ".join(route.receivers) or "nobody"
        where = "saved" if route.saved else "implied" if plan.implied else "file"
        typer.echo(f"route {number} ({where}): {matchers} from {route.least.value} → {names}{more}")
    for problem in standing.problems.values():
        typer.echo(f"not in force: {problem}", err=True)


@app.command("test", help="Send a receiver a test message and say what became of it.")
def try_receiver(
    name: Annotated[str, typer.Argument(help="The receiver's name.", metavar="RECEIVER")],
    through_outbox: Annotated[
        bool, typer.Option("--outbox", help="Leave it to the running server, as alerts are.")
    ] = False,
    state: StateOption = "state",
) -> None:
    """Directly by default, so that it works before the server runs."""
    standing, path = standing_of(state)
    receiver = _receiver(standing.plan, name, path)
    if through_outbox:
        with opened_ledger(state) as (settings, ledger):
            with ledger.begin() as connection:
                id_ = put_test(connection, receiver, person(), now_ms(), World())
                audit(connection, Action.RECEIVER_TEST, name, {})
            nudge(settings, "outbox")
        typer.echo(f"Message {id_} is in the outbox; see vezha notify outbox.")
        return
    what = Message(
        kind="test",
        incident=0,
        title=word(receiver.language, "test"),
        summary=word(receiver.language, "test_text", receiver=name),
        lines=[word(receiver.language, "by", actor=person())],
        at_ms=now_ms(),
        language=receiver.language,
        time_zone=receiver.time_zone,
    )
    key = f"{name}:test:{World().chance.token(8).hex()}"
    try:
        note = asyncio.run(_send(receiver, Delivery(0, key, what, "test", None)))
    except SendError as fault:
        typer.echo(f"{name} did not take it: {fault}", err=True)
        raise typer.Exit(_EXIT_NO) from None
    typer.echo(f"{name} took it ({note}).")


async def _send(receiver: Receiver, delivery: Delivery) -> str:
    try:
        return (await receiver.sender.send(delivery)).note
    finally:
        await receiver.sender.close()


@app.command("outbox", help="Messages and what became of each, the newest first.")
def outbox_(
    state: StateOption = "state",
    only: Annotated[
        str, typer.Option("--only", help="waiting, claimed, sent, failed or superseded.")
    ] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        rows = outbox.list_messages(connection, limit, only)
    if json:
        document = [message_view(row) for row in rows]
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    if not rows:
        typer.echo("The outbox is empty.")
        return
    lines = [
        (str(row.id), row.receiver, row.kind, row.state, str(row.attempts),
         show_ms(row.created_ms), show_ms(row.sent_ms),
         row.payload.get("title", "") + (f" – {row.error}" if row.error else ""))
        for row in rows
    ]  # fmt: skip
    show_table(("#", "Receiver", "Kind", "State", "Tries", "Made", "Sent", "What"), lines)
