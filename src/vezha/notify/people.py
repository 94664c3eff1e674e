"""People as receivers: each contact is a receiver `@PERSON/CONTACT` by the account of another.

Accounts are receivers; addresses, languages and quiet hours are the person's rows. A
contact that cannot be used (its account is gone, its address is none) is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from vezha.incidents.oncall.person import Contact, Preference
from vezha.notify.errors import NotifySettingsError
from vezha.notify.provider import Addressable
from vezha.notify.quiet import Quiet
from vezha.notify.settings import NotifyPlan, Receiver

MARK = "@"
"""How the name of a person's receiver begins; no other does."""


@dataclass(frozen=True, slots=True)
class People:
    """Everybody's receivers by name, and contacts of each person with what they prefer."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    contacts: Mapping[str, list[Contact]] = field(default_factory=dict)
    preferences: Mapping[str, Preference] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def receiver_name(contact: Contact) -> str:
    """The name under which a contact stands in the outbox."""
    return f"{MARK}{contact.person}/{contact.name}"


def personal(contact: Contact, preference: Preference, plan: NotifyPlan) -> Receiver:
    """A contact as a receiver. Raises NotifySettingsError."""
    name = receiver_name(contact)
    base = plan.receivers.get(contact.via)
    if base is None:
        known = ", ".join(n for n, r in plan.receivers.items() if hasattr(r.sender, "to")) or "none"
        raise NotifySettingsError(
            f'{name}: there is no receiver "{contact.via}"; these can be used: {known}'
        )
    if not hasattr(base.sender, "to"):
        raise NotifySettingsError(
            f'{name}: receiver "{contact.via}" ({base.type}) reaches one address only'
        )
    sender = cast(Addressable, base.sender).to(contact.address, name)
    zone = preference.time_zone or base.time_zone
    quiet = Quiet(preference.quiet, zone, preference.least) if preference.quiet else None
    language = preference.language or base.language
    return replace(base, name=name, sender=sender, language=language, time_zone=zone, quiet=quiet)


def people_of(
    contacts: Iterable[Contact], preferences: Mapping[str, Preference], plan: NotifyPlan
) -> People:
    """All contacts as receivers."""
    receivers: dict[str, Receiver] = {}
    by_person: dict[str, list[Contact]] = {}
    problems: dict[str, str] = {}
    for contact in contacts:
        try:
            made = personal(contact, preferences.get(contact.person, Preference()), plan)
        except NotifySettingsError as fault:
            problems[receiver_name(contact)] = str(fault)
            continue
        receivers[made.name] = made
        by_person.setdefault(contact.person, []).append(contact)
    return People(receivers, by_person, preferences, problems)
