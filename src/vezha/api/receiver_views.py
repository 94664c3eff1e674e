"""What the API shows of receivers and routes, and what it takes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from vezha.api.route import seconds
from vezha.notify.limits import OPTION_CHARS_MAX, ROUTE_MATCHERS_MAX, ROUTES_MAX
from vezha.notify.option import Option
from vezha.notify.saved import SavedReceiver, SavedRoute, revision_of


class QuietView(msgspec.Struct):
    """Quiet hours: days (mon … sun), `start` as HH:MM by the receiver's time zone, their length."""

    days: list[str]
    start: str
    minutes: int


class ReceiverView(msgspec.Struct):
    """A receiver with how it fares.

    `saved`: it can be changed here; else it stands in `notify.toml`. `problem` says why a saved one is
    not in force, or is empty. `addressable`: people's own addresses can be reached by it.
    """

    name: str
    type: str
    saved: bool
    problem: str
    addressable: bool
    language: str
    time_zone: str
    rate: int
    quiet: list[QuietView]
    quiet_below: str
    waiting: int
    failed: int
    last_sent_at: float | None
    last_error: str


class RouteView(msgspec.Struct):
    """A route: incidents that fit go to its receivers. `saved`: it can be changed here."""

    saved: bool

    receivers: list[str]
    match: list[str]
    severity: str
    go_on: bool


class ReceiversView(msgspec.Struct):
    """Receivers and routes in the order in which they are asked.

    `implied`: nobody wrote a route, so everyone is told everything. `problem` says why `notify.toml` is
    not in force as it is, or is empty; `route_problems` why saved routes are not.
    """

    receivers: list[ReceiverView]
    routes: list[RouteView]
    implied: bool
    problem: str
    route_problems: list[str]


OptionValue = str | int | bool | list[str] | None


class OptionView(msgspec.Struct):
    """What a receiver's form asks for. `kind`: text, texts, number, flag, choice, secret.

    Where an option that `leads` is changed, secrets are given again. `made`: a secret that the server
    makes where none is given.
    """

    name: str
    kind: str
    needed: bool
    default: OptionValue
    choices: list[str]
    leads: bool
    made: bool


class ReceiverTypeView(msgspec.Struct):
    """A way to reach people, with its own options."""

    type: str
    options: list[OptionView]


class ReceiverTypesView(msgspec.Struct):
    """All ways, and the options that every receiver has."""

    types: list[ReceiverTypeView]
    common: list[OptionView]


class SavedReceiverView(msgspec.Struct):
    """A saved receiver as it is edited; of its secrets only the names."""

    name: str
    type: str
    options: dict[str, OptionValue]
    secrets: list[str]
    revision: str
    changed_at: float | None
    changed_by: str


class ReceiverBody(msgspec.Struct, forbid_unknown_fields=True):
    """Save a receiver. `before`: the revision that was edited, empty for a new one.

    A secret that is left out stays; null takes it away.
    """

    type: str
    options: dict[str, OptionValue] = {}
    secrets: dict[str, Annotated[str, msgspec.Meta(max_length=OPTION_CHARS_MAX)] | None] = {}
    before: str = ""


class BeforeQuery(msgspec.Struct):
    """The revision of what is to go."""

    before: str = ""


class NotifyRouteBody(msgspec.Struct, forbid_unknown_fields=True):
    """A route: `match` (matchers, all must fit one alert), least `severity`; `go_on`: ask the next, too."""

    receivers: list[str]
    match: Annotated[list[str], msgspec.Meta(max_length=ROUTE_MATCHERS_MAX)] = []
    severity: str = "warning"
    go_on: bool = False


class NotifyRoutesBody(msgspec.Struct, forbid_unknown_fields=True):
    """All saved routes in their order, in place of those of the revision `before`."""

    routes: Annotated[list[NotifyRouteBody], msgspec.Meta(max_length=ROUTES_MAX)]
    before: str


class NotifyRoutesView(msgspec.Struct):
    """The saved routes."""

    routes: list[NotifyRouteBody]
    revision: str


class TestView(msgspec.Struct):
    """The test message's number in the outbox, where its fate can be watched."""

    message: int


def unusable_view(row: SavedReceiver, why: str) -> dict[str, Any]:
    """A saved receiver that is not in force."""
    return {
        "name": row.name, "type": row.type, "saved": True, "problem": why, "addressable": False,
        "language": str(row.options.get("language", "en")),
        "time_zone": str(row.options.get("time_zone", "UTC")),
        "rate": row.options.get("rate", 0), "quiet": [], "quiet_below": "", "waiting": 0,
        "failed": 0, "last_sent_at": None, "last_error": "",
    }  # fmt: skip


def option_view(option: Option) -> dict[str, Any]:
    return {
        "name": option.name, "kind": option.kind, "needed": option.needed,
        "default": option.default, "choices": list(option.choices), "leads": option.leads,
        "made": option.make is not None,
    }  # fmt: skip


def saved_view(row: SavedReceiver) -> dict[str, Any]:
    """A saved receiver without its secrets."""
    return {
        "name": row.name, "type": row.type, "options": dict(row.options),
        "secrets": sorted(row.secrets), "revision": row.revision,
        "changed_at": seconds(row.changed_ms), "changed_by": row.changed_by,
    }  # fmt: skip


def routes_view(routes: tuple[SavedRoute, ...]) -> dict[str, Any]:
    return {
        "routes": [
            {
                "receivers": list(r.receivers),
                "match": list(r.match),
                "severity": r.severity,
                "go_on": r.go_on,
            }
            for r in routes
        ],
        "revision": revision_of(routes),
    }
