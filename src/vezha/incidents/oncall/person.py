"""How a person is reached: contacts, which of them for what, in which language, and when not.

A contact is an address behind a receiver ("by the account of receiver `mail`, to
olena@example.org"): accounts and their secrets stay in the file, addresses are rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from vezha.incidents.oncall.errors import NothingThere, OnCallError
from vezha.incidents.oncall.limits import ADDRESS_CHARS_MAX, CONTACTS_MAX, QUIET_WINDOWS_MAX
from vezha.incidents.oncall.rota import Window
from vezha.ledger.tables import contact as contact_table
from vezha.ledger.tables import person_preference, user
from vezha.model.severity import Severity


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach *person*."""

    id: int
    person: str
    name: str
    via: str
    address: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Preference:
    """What a person wants: contacts by severity, quiet hours for what is milder than *least*.

    An empty language or time zone is the receiver's.
    """

    language: str = ""
    time_zone: str = ""
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    quiet: tuple[Window, ...] = ()
    least: Severity = Severity.CRITICAL


def chosen(
    contacts: Sequence[Contact], preference: Preference, severity: Severity
) -> list[Contact]:
    """The contacts for news of that severity: those that the person named, else all."""
    named = preference.rules.get(severity.value, ())
    wanted = [c for c in contacts if c.name in named]
    return sorted(wanted or contacts, key=lambda c: (c.position, c.id))


def read_contacts(connection: Connection, person: str | None = None) -> list[Contact]:
    """Contacts of one person, or of everybody."""
    query = select(contact_table).order_by(contact_table.c.position, contact_table.c.id)
    if person is not None:
        query = query.where(contact_table.c.person == person)
    return [
        Contact(r.id, r.person, r.name, r.via, r.address, r.position)
        for r in connection.execute(query)
    ]


def get_contact(connection: Connection, person: str, name: str) -> Contact:
    """One contact. Raises NothingThere."""
    for one in read_contacts(connection, person):
        if one.name == name:
            return one
    raise NothingThere(f'{person} has no contact "{name}"')


def add_contact(
    connection: Connection, person: str, name: str, via: str, address: str, now_ms: int
) -> Contact:
    """Keep a contact (one of that name is replaced). Raises OnCallError."""
    check_person(connection, person)
    if not name or len(name) > 63 or "/" in name:
        raise OnCallError('a contact\'s name has 1 to 63 characters, without "/"')
    if not address or len(address) > ADDRESS_CHARS_MAX:
        raise OnCallError(f"an address has 1 to {ADDRESS_CHARS_MAX} characters")
    there = read_contacts(connection, person)
    if len(there) >= CONTACTS_MAX:
        raise OnCallError(f"a person has at most {CONTACTS_MAX} contacts")
    position = next((c.position for c in there if c.name == name), len(there))
    connection.execute(
        delete(contact_table).where(contact_table.c.person == person, contact_table.c.name == name)
    )
    made = connection.execute(
        insert(contact_table).values(
            person=person, name=name, via=via, address=address, position=position,
            created_ms=now_ms,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    return Contact(int(made[0]), person, name, via, address, position)


def remove_contact(connection: Connection, person: str, name: str) -> None:
    """Forget a contact. Raises NothingThere."""
    gone = connection.execute(
        delete(contact_table).where(contact_table.c.person == person, contact_table.c.name == name)
    )
    if not gone.rowcount:
        raise NothingThere(f'{person} has no contact "{name}"')


def check_person(connection: Connection, person: str) -> None:
    """Raises NothingThere where nobody of that name may sign in."""
    known = select(user.c.id).where(user.c.name == person)
    if connection.execute(known).first() is None:
        raise NothingThere(f'there is no person "{person}"')


def read_preferences(connection: Connection) -> dict[str, Preference]:
    """Everybody's preferences, by name."""
    return {row.person: _preference(row) for row in connection.execute(select(person_preference))}


def get_preference(connection: Connection, person: str) -> Preference:
    """One person's preferences; who never said anything has none."""
    row = connection.execute(
        select(person_preference).where(person_preference.c.person == person)
    ).one_or_none()
    return Preference() if row is None else _preference(row)


def put_preference(
    connection: Connection, person: str, preference: Preference, now_ms: int
) -> None:
    """Keep a person's preferences. Raises OnCallError."""
    check_person(connection, person)
    names = {c.name for c in read_contacts(connection, person)}
    for severity, wanted in preference.rules.items():
        missing = [name for name in wanted if name not in names]
        if missing:
            raise OnCallError(f'{severity}: {person} has no contact "{missing[0]}"')
    if len(preference.quiet) > QUIET_WINDOWS_MAX:
        raise OnCallError(f"a person has at most {QUIET_WINDOWS_MAX} quiet windows")
    values: dict[str, Any] = {
        "language": preference.language,
        "time_zone": preference.time_zone,
        "rules": {severity: list(wanted) for severity, wanted in preference.rules.items()},
        "quiet": {
            "least": preference.least.value,
            "windows": [[list(w.days), w.start_minute, w.minutes] for w in preference.quiet],
        },
        "changed_ms": now_ms,
    }
    done = connection.execute(
        update(person_preference).where(person_preference.c.person == person).values(values)
    )
    if not done.rowcount:
        connection.execute(insert(person_preference).values(person=person, **values))


def _preference(row: Any) -> Preference:
    windows = tuple(Window(tuple(days), at, length) for days, at, length in row.quiet["windows"])
    return Preference(row.language, row.time_zone, row.rules, windows, Severity(row.quiet["least"]))
