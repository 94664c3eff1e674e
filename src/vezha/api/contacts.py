"""`/api/v1/people/{name}/contacts` and `/preferences`: how a person is reached.

Everybody changes their own (`me` is who asks); an admin changes anybody's.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection

from vezha.access import Action, Role
from vezha.access.subject import SubjectKind
from vezha.api.duty_rows import change
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.api.incident_views import sentence
from vezha.api.oncall import DutyWindowBody
from vezha.api.receiver_views import TestView
from vezha.api.receivers import plan_in_force
from vezha.api.route import Call, Route
from vezha.incidents.oncall.document import read_window, show_window
from vezha.incidents.oncall.errors import NothingThere, OnCallError
from vezha.incidents.oncall.limits import ADDRESS_CHARS_MAX
from vezha.incidents.oncall.person import (
    Contact,
    Preference,
    add_contact,
    check_person,
    get_contact,
    get_preference,
    put_preference,
    read_contacts,
    remove_contact,
)
from vezha.model.severity import Severity
from vezha.notify.errors import NotifySettingsError
from vezha.notify.loop import put_test
from vezha.notify.people import personal
from vezha.notify.settings import check_language, check_zone


class ContactBody(msgspec.Struct, forbid_unknown_fields=True):
    """An address behind a receiver's account."""

    via: str
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)]


class ContactView(msgspec.Struct):
    """A contact. `problem` says why it cannot be used, or is empty."""

    name: str
    via: str
    address: str
    problem: str


class PushView(msgspec.Struct):
    """A receiver by which browsers are reached, and the key to subscribe with.

    A page puts the subscription (as JSON text) as the `address` of a contact `via` this receiver.
    """

    via: str
    public_key: str


class ContactsView(msgspec.Struct):
    """A person's contacts, and receivers whose account can be used for one."""

    contacts: list[ContactView]
    accounts: list[str]
    push: list[PushView]


class PreferenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a person wants: contacts by severity, quiet hours for what is milder than `quiet_below`."""

    language: str = ""
    time_zone: str = ""
    rules: dict[str, list[str]] = {}
    quiet: list[DutyWindowBody] = []
    quiet_below: str = "critical"


def _person(call: Call) -> str:
    """Whom it is about. Raises ApiError where it is not the caller's business."""
    asked, subject = call.path["name"], call.subject
    own = subject.name if subject.kind is SubjectKind.USER else ""
    name = own if asked == "me" and own else asked
    if name != own and subject.role is not Role.ADMIN:
        raise ApiError(403, "not_yours", "Only an admin sees or changes how others are reached.")
    return name


def contact_view(contact: Contact, problem: str) -> ContactView:
    """A contact as the API shows it; of a browser's only the service behind it."""
    address = contact.address
    if address.startswith("{"):
        try:
            endpoint = msgspec.json.decode(address)["endpoint"]
            address = f"browser ({urlsplit(str(endpoint)).hostname})"
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            address = "browser"
    return ContactView(contact.name, contact.via, address, problem)


def _problem(contact: Contact, preference: Preference, call: Call) -> str:
    plan, problem = plan_in_force(call)
    if problem:
        return problem
    try:
        personal(contact, preference, plan)
    except NotifySettingsError as fault:
        return str(fault)
    return ""


def contacts(call: Call) -> ContactsView:
    """How a person is reached."""
    name = _person(call)
    plan, _ = plan_in_force(call)
    with call.services.ledger.read() as connection:
        _check(connection, name)
        found, preference = read_contacts(connection, name), get_preference(connection, name)
    accounts = [n for n, r in plan.receivers.items() if hasattr(r.sender, "to")]
    push = [
        PushView(name, key)
        for name, r in plan.receivers.items()
        if (key := getattr(r.sender, "public_key", ""))
    ]
    return ContactsView(
        [contact_view(c, _problem(c, preference, call)) for c in found], accounts, push
    )


def _check(connection: Connection, name: str) -> None:
    try:
        check_person(connection, name)
    except NothingThere as fault:
        raise NotFoundError(sentence(fault)) from None


def put_contact(call: Call) -> ContactView:
    """Add or change a contact, which must be one that can be used."""
    body: ContactBody = call.body
    name, contact = _person(call), call.path["contact"]
    wanted = Contact(0, name, contact, body.via, body.address)
    if problem := _problem(wanted, Preference(), call):
        raise InvalidError(f"{problem}.", "address")
    now_ms = call.services.now_ms()

    def do(connection: Connection) -> Contact:
        return add_contact(connection, name, contact, body.via, body.address, now_ms)

    return contact_view(change(call, do, name, {"contact": contact, "via": body.via}), "")


def drop_contact(call: Call) -> None:
    """Forget a contact."""
    name, contact = _person(call), call.path["contact"]
    change(call, lambda c: remove_contact(c, name, contact), name, {"removed": contact})


def test_contact(call: Call) -> dict[str, Any]:
    """Send a test message by a contact."""
    name = _person(call)
    plan, problem = plan_in_force(call)
    if problem:
        raise ConflictError(f"The settings of receivers cannot be used: {problem}.")
    services = call.services

    def do(connection: Connection) -> int:
        contact = get_contact(connection, name, call.path["contact"])
        try:
            receiver = personal(contact, get_preference(connection, name), plan)
        except NotifySettingsError as fault:
            raise OnCallError(str(fault)) from None
        return put_test(connection, receiver, call.subject.name, services.now_ms(), services.world)

    id_ = change(call, do, name, {"contact": call.path["contact"]})
    services.nudge("outbox")
    return {"message": id_}


def preference_view(preference: Preference) -> dict[str, Any]:
    """A person's preferences as the API shows them."""
    return {
        "language": preference.language,
        "time_zone": preference.time_zone,
        "rules": {severity: list(names) for severity, names in preference.rules.items()},
        "quiet": [show_window(w) for w in preference.quiet],
        "quiet_below": preference.least.value,
    }


def preferences(call: Call) -> dict[str, Any]:
    """What a person wants."""
    name = _person(call)
    with call.services.ledger.read() as connection:
        _check(connection, name)
        return preference_view(get_preference(connection, name))


def put_preferences(call: Call) -> dict[str, Any]:
    """Change what a person wants."""
    body: PreferenceBody = call.body
    name = _person(call)
    words = [s.value for s in Severity]
    for given in (body.quiet_below, *body.rules):
        if given not in words:
            raise InvalidError(f'"{given[:50]}" is not one of {", ".join(words)}.', "rules")
    try:
        if body.language:
            check_language(body.language, "language")
        if body.time_zone:
            check_zone(body.time_zone, "time_zone")
    except NotifySettingsError as fault:
        raise InvalidError(f"{fault}.") from None

    def do(connection: Connection) -> Preference:
        quiet = tuple(read_window(w.days, w.start, w.minutes, "quiet") for w in body.quiet)
        if any(not 1 <= w.minutes <= 10_080 for w in quiet):
            raise OnCallError("quiet: minutes must be from 1 to 10080")
        wanted = Preference(
            body.language, body.time_zone, body.rules, quiet, Severity(body.quiet_below)
        )
        put_preference(connection, name, wanted, call.services.now_ms())
        return wanted

    return preference_view(change(call, do, name, {}))


_PERSON = "/api/v1/people/{name}"
ROUTES = (
    Route("GET", f"{_PERSON}/contacts", Action.CONTACT_READ, contacts,
          "How a person is reached (`me`: who asks).", result=ContactsView),
    Route("PUT", f"{_PERSON}/contacts/{{contact}}", Action.CONTACT_CHANGE, put_contact,
          "Add or change a contact.", body=ContactBody, result=ContactView),
    Route("DELETE", f"{_PERSON}/contacts/{{contact}}", Action.CONTACT_CHANGE, drop_contact,
          "Forget a contact.", status=204),
    Route("POST", f"{_PERSON}/contacts/{{contact}}/test", Action.CONTACT_CHANGE, test_contact,
          "Send a test message by a contact.", result=TestView, status=202),
    Route("GET", f"{_PERSON}/preferences", Action.CONTACT_READ, preferences,
          "What a person wants: contacts by severity, quiet hours.", result=PreferenceBody),
    Route("PUT", f"{_PERSON}/preferences", Action.CONTACT_CHANGE, put_preferences,
          "Change what a person wants.", body=PreferenceBody, result=PreferenceBody),
)  # fmt: skip
