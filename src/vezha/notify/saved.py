"""Receivers and routes that were saved while running: their rows, checked as those of the file are.

A row has the same options as a table of `notify.toml`; secrets are sealed (`vault`) and never given
back. Who saves names what was edited (`before`, empty for a new one), so that nobody overwrites unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from vezha.incidents.oncall.person import read_contacts
from vezha.incidents.oncall.policy import TargetKind
from vezha.incidents.oncall.rows import read_policies
from vezha.ledger.tables import notify_route
from vezha.ledger.tables import receiver as receiver_table
from vezha.notify.errors import NoSuchReceiver, NotifySettingsError, NotNow
from vezha.notify.limits import RECEIVERS_MAX, ROUTE_MATCHERS_MAX, ROUTES_MAX
from vezha.notify.option import COMMON, Value, check_options, check_secrets
from vezha.notify.provider import load_provider, provider_names
from vezha.notify.settings import Receiver, Route, take_receiver, take_route
from vezha.notify.vault import Vault


@dataclass(frozen=True, slots=True)
class SavedReceiver:
    """A row; `secrets` are sealed."""

    name: str
    type: str
    options: Mapping[str, Value]
    secrets: Mapping[str, str]
    changed_ms: int
    changed_by: str

    @property
    def revision(self) -> str:
        """What changes when it does."""
        return _hash(asdict(self))


@dataclass(frozen=True, slots=True)
class SavedRoute:
    """A row; the order is that of `position`."""

    receivers: tuple[str, ...]
    match: tuple[str, ...] = ()
    severity: str = "warning"
    go_on: bool = False


def _hash(document: object) -> str:
    data = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()[:16]


def revision_of(routes: Sequence[SavedRoute]) -> str:
    """What changes when the list does."""
    return _hash([asdict(r) for r in routes])


def read_receivers(connection: Connection) -> tuple[SavedReceiver, ...]:
    """All that were saved, by name."""
    rows = connection.execute(select(receiver_table).order_by(receiver_table.c.name))
    return tuple(
        SavedReceiver(r.name, r.type, r.options, r.secrets, r.changed_ms, r.changed_by)
        for r in rows
    )


def get_receiver(connection: Connection, name: str) -> SavedReceiver:
    """One that was saved. Raises NoSuchReceiver."""
    for one in read_receivers(connection):
        if one.name == name:
            return one
    raise NoSuchReceiver(f'no receiver "{name[:63]}" was saved')


def read_routes(connection: Connection) -> tuple[SavedRoute, ...]:
    """All that were saved, in their order."""
    rows = connection.execute(select(notify_route).order_by(notify_route.c.position))
    return tuple(SavedRoute(tuple(r.receivers), tuple(r.match), r.severity, r.go_on) for r in rows)


def made_of(row: SavedReceiver, vault: Vault) -> Receiver:
    """The receiver of a row. Raises NotifySettingsError."""
    raw: dict[str, object] = {"type": row.type, **row.options}
    where = f"receiver {row.name}"
    for name, sealed in row.secrets.items():
        try:
            raw[name] = vault.open(sealed, _about(row.name, name)).reveal()
        except NotifySettingsError as fault:
            raise NotifySettingsError(f"{where}: {name}: {fault}", name) from None
    return replace(take_receiver(row.name, raw, where, {}, "en", "UTC"), saved=True)


def _about(receiver: str, option: str) -> str:
    return f"receiver/{receiver}/{option}"


def save_receiver(
    connection: Connection,
    vault: Vault,
    name: str,
    type_: str,
    options: Mapping[str, object],
    secrets: Mapping[str, str | None],
    before: str,
    actor: str,
    now_ms: int,
    of_file: Collection[str],
) -> SavedReceiver:
    """Add or change a receiver, which must be one that can be used. Raises NotifySettingsError.

    A secret that is not given, or is empty, stays as it is; null takes it away.
    """
    where = f"receiver {name[:63]}"
    if name in of_file:
        raise NotNow(
            f'"{name}" stands in notify.toml: change it there, or take another name', "name"
        )
    rows = {r.name: r for r in read_receivers(connection)}
    old = rows.get(name)
    if before != (old.revision if old else ""):
        raise NotNow(f"{where} was changed meanwhile; look at it again", "before")
    if old is None and len(rows) >= RECEIVERS_MAX:
        raise NotNow(f"there are {RECEIVERS_MAX} saved receivers; remove one first")
    if type_ not in provider_names():
        known = ", ".join(provider_names())
        raise NotifySettingsError(f'type "{type_[:63]}" is not known; known are {known}', "type")
    if old is not None and old.type != type_:
        raise NotifySettingsError(f"{where} is of type {old.type}, which stays", "type")
    asked = (*COMMON, *load_provider(type_).options)
    checked = check_options(asked, options, where)
    kept = {} if old is None else {n: s for n, s in old.secrets.items() if secrets.get(n, "") == ""}
    was = {} if old is None else old.options
    moved = [
        o.name
        for o in asked
        if o.leads and _of(o.default, was.get(o.name)) != _of(o.default, checked.get(o.name))
    ]
    given = {n: text for n, text in secrets.items() if text is not None}
    fresh = check_secrets(asked, given, list(kept), moved, where)
    sealed = {n: vault.seal(text, _about(name, n)) for n, text in fresh.items()}
    row = SavedReceiver(name, type_, checked, {**kept, **sealed}, now_ms, actor)
    made_of(row, vault)
    connection.execute(delete(receiver_table).where(receiver_table.c.name == name))
    connection.execute(insert(receiver_table).values(**asdict(row)))
    return row


def seal_anew(connection: Connection, vault: Vault) -> tuple[int, list[str]]:
    """Seal all secrets of all receivers with the key that *vault* seals with now: how many, and which cannot be
    opened (they stay as they are)."""
    done, lost = 0, []
    for row in read_receivers(connection):
        secrets = {}
        for name, sealed in row.secrets.items():
            about = _about(row.name, name)
            try:
                secrets[name] = vault.seal(vault.open(sealed, about).reveal(), about)
                done += 1
            except NotifySettingsError as fault:
                secrets[name] = sealed
                lost.append(f"receiver {row.name}: {name}: {fault}")
        connection.execute(
            update(receiver_table).where(receiver_table.c.name == row.name).values(secrets=secrets)
        )
    return done, lost


def _of(default: object, value: object) -> object:
    return default if value is None else value


def remove_receiver(connection: Connection, name: str, before: str) -> None:
    """Forget a receiver that nothing names any more. Raises NotifySettingsError."""
    old = get_receiver(connection, name)
    if before != old.revision:
        raise NotNow(f"receiver {name} was changed meanwhile; look at it again", "before")
    if needs := _named_by(connection, name):
        raise NotNow(f"receiver {name} is still named by {', '.join(needs)}; change that first")
    connection.execute(delete(receiver_table).where(receiver_table.c.name == name))


def _named_by(connection: Connection, name: str) -> list[str]:
    needs = [f"route {i}" for i, r in enumerate(read_routes(connection), 1) if name in r.receivers]
    needs += [
        f"policy {policy.name}"
        for policy in read_policies(connection)
        if any(
            (t.kind, t.name) == (TargetKind.RECEIVER, name) for s in policy.steps for t in s.targets
        )
    ]
    people = {c.person for c in read_contacts(connection) if c.via == name}
    return [*needs, *(f"a contact of {person}" for person in sorted(people))]


def save_routes(
    connection: Connection,
    routes: Sequence[SavedRoute],
    before: str,
    known: Mapping[str, Receiver],
) -> None:
    """Put these in place of all saved ones; *known*: receivers that there are. Raises NotifySettingsError."""
    if before != revision_of(read_routes(connection)):
        raise NotNow("the routes were changed meanwhile; look at them again", "before")
    if len(routes) > ROUTES_MAX:
        raise NotifySettingsError(f"there are at most {ROUTES_MAX} routes", "routes")
    for i, route in enumerate(routes):
        check_route(route, f"route {i + 1}", known, f"routes[{i}]")
    connection.execute(delete(notify_route))
    if routes:
        connection.execute(
            insert(notify_route),
            [
                {
                    "position": i, "receivers": list(r.receivers), "match": list(r.match),
                    "severity": r.severity, "go_on": r.go_on,
                }
                for i, r in enumerate(routes)
            ],
        )  # fmt: skip


def check_route(
    route: SavedRoute, where: str, known: Mapping[str, Receiver], field: str = ""
) -> Route:
    """The route of a row. Raises NotifySettingsError, whose field begins with *field*."""
    if len(route.match) > ROUTE_MATCHERS_MAX:
        raise NotifySettingsError(
            f"{where}: at most {ROUTE_MATCHERS_MAX} matchers", f"{field}.match"
        )
    raw = {
        "receivers": list(route.receivers), "match": list(route.match),
        "severity": route.severity, "continue": route.go_on,
    }  # fmt: skip
    try:
        return replace(take_route(raw, where, known), saved=True)
    except NotifySettingsError as fault:
        raise NotifySettingsError(str(fault), f"{field}.{fault.field}".strip(".")) from None
