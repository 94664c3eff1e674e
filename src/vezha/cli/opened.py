"""What commands about signals share: the ledger of a state folder, a nudge, how things print."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Connection

from vezha.access import Action, Role, Subject, SubjectKind
from vezha.access.audit import append_audit
from vezha.ledger import Ledger
from vezha.server.bus import socket_path
from vezha.server.contour import CONTOURS
from vezha.server.settings import Settings, load_settings
from vezha.server.state import StateFolder
from vezha.world import World

StateOption = Annotated[
    str, typer.Option("--state", help="The state folder.", envvar="VEZHA_STATE", metavar="FOLDER")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings_of(state: str) -> Settings:
    """The settings of the server in that folder. Raises SettingError."""
    return load_settings(StateFolder.at(state), os.environ)


def public_url_of(settings: Settings) -> str:
    """Where the pages are: what the settings say, else where the server that runs (or ran last) was."""
    if settings.web.public_url:
        return settings.public_url
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return settings.state.address_file.read_text().strip() or settings.public_url
    return settings.public_url


@contextlib.contextmanager
def opened_ledger(state: str) -> Iterator[tuple[Settings, Ledger]]:
    """The ledger of a state folder, which must be there."""
    settings = settings_of(state)
    if not settings.ledger.url and not settings.state.ledger_file.exists():
        typer.echo(
            f"vezha: there is no ledger in {settings.state.path}: name the state folder with "
            "--state or VEZHA_STATE, or start the server once",
            err=True,
        )
        raise typer.Exit(2)
    ledger = Ledger.open(settings.ledger_url)
    try:
        ledger.migrate()
        yield settings, ledger
    finally:
        ledger.close()


def person() -> str:
    """Who is at the command line, as timelines name them."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"


def now_ms() -> int:
    """The time of day in ms since the epoch."""
    return int(World().clock.now() * 1000)


def audit(connection: Connection, action: Action, target: str, detail: dict[str, str]) -> None:
    """The audit row of what a command changes."""
    subject = Subject(SubjectKind.SYSTEM, person(), Role.ADMIN)
    append_audit(
        connection, subject=subject, action=action.value, now_ms=now_ms(), target=target,
        detail=dict(detail),
    )  # fmt: skip


def nudge(settings: Settings, topic: str) -> None:
    """Tell running contours to look at the ledger; nobody there is fine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        for contour in CONTOURS:
            with contextlib.suppress(OSError):
                channel.sendto(topic.encode(), socket_path(settings.state.run, contour))


def show_ms(ms: int | None) -> str:
    """A time in this machine's zone, to the second; a dash for none."""
    if ms is None:
        return "–"
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
