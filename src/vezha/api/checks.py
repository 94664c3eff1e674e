"""`/api/v1/checks`: checks from outside, where each is looked at from, and what was found last.

A check that agents run (`from:` in checks.yml) has a row for each of its hosts. What an agent last
said counts while its host is up; of a host that is gone the target's state is unknown. Whether a host
was delivered the check as it stands now is read from the configuration that its agent says it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import tomllib
from sqlalchemy import Connection, select

from vezha.access import Action
from vezha.api.route import Call, Route
from vezha.checks.check import Check
from vezha.delivery.selector import parse_selector
from vezha.ledger.tables import host as host_table
from vezha.ledger.tables import running as running_table
from vezha.model.columns import Values
from vezha.model.labels import Labels, get_label

CHECKS = "checks"
"""Under this name `Services.extra` holds a function that gives the checks in force."""
SERVER = ""
"""Where a check is looked at from when no agent runs it."""
EVERY_HOST = "*"
Ask = Callable[[str, int], tuple[list[Labels], Values]]


class CheckView(msgspec.Struct):
    """One target of one check, as seen from one place. `seen_from` is a host, empty for the server;
    `state`: up, down or unknown; `delivered`: yes, no (its agent does not have the check), old (it
    has another version of it), or empty where the server runs it."""

    name: str
    type: str
    target: str
    seen_from: str
    state: str
    failures: int
    took_s: float | None
    expires_at: float | None
    interval_s: float
    timeout_s: float
    failures_before_down: int
    delivered: str


class ChecksView(msgspec.Struct):
    """In the order of the file. `unplaced`: checks whose selector fits no host."""

    checks: list[CheckView]
    unplaced: list[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What the store says of targets, by (check, target, where from)."""

    up: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    failures: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    took_s: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    expires_s: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    hosts_up: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host's labels, and the tables `[checks.NAME]` that its agent says it uses."""

    labels: Mapping[str, str]
    checks: Mapping[str, Any]


def hosts_of(check: Check, hosts: Mapping[str, HostSeen]) -> list[str]:
    """The hosts whose agents are to run *check*, sorted. Raises SpecError."""
    selector = parse_selector(check.seen_from)
    if selector.text == "{}":
        return sorted(hosts)
    return sorted(name for name, one in hosts.items() if selector.fits(name, one.labels))


def table_for(check: Check, names: Sequence[str]) -> dict[str, Any]:
    """The table `[checks.NAME]` of an agent's settings."""
    everyone = parse_selector(check.seen_from).text == "{}"
    return {**check.entry, "hosts": [EVERY_HOST] if everyone else list(names)}


def rows_of(
    checks: Sequence[Check], hosts: Mapping[str, HostSeen], found: Found
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows as `CheckView`, and the checks that fit no host. Pure."""
    rows, unplaced = [], []
    for check in checks:
        places = [SERVER]
        if check.seen_from:
            places = hosts_of(check, hosts)
            if not places:
                unplaced.append(check.name)
        for place in places:
            delivered = _delivered(check, place, hosts) if place else ""
            rows += [_row(check, target, place, delivered, found) for target in check.targets]
    return rows, unplaced


def _delivered(check: Check, place: str, hosts: Mapping[str, HostSeen]) -> str:
    there = hosts[place].checks.get(check.name)
    if not isinstance(there, dict):
        return "no"
    names = there.get("hosts", [EVERY_HOST])
    if place not in names and EVERY_HOST not in names:
        return "no"
    has = {k: v for k, v in there.items() if k != "hosts"}
    return "yes" if has == dict(check.entry) else "old"


def _row(check: Check, target: str, place: str, delivered: str, found: Found) -> dict[str, Any]:
    key = check.name, target, place
    up = found.up.get(key)
    is_known = up is not None and (place == SERVER or found.hosts_up.get(place) == 1.0)
    return {
        "name": check.name,
        "type": check.kind,
        "target": target,
        "seen_from": place,
        "state": "unknown" if not is_known else "up" if up else "down",
        "failures": int(found.failures.get(key, 0.0)) if is_known else 0,
        "took_s": found.took_s.get(key) if is_known else None,
        "expires_at": found.expires_s.get(key),
        "interval_s": check.interval_s,
        "timeout_s": check.timeout_s,
        "failures_before_down": check.failures_before_down,
        "delivered": delivered,
    }


def found_by(ask: Ask, now_ms: int) -> Found:
    """What the store says now."""

    def by_key(expr: str) -> dict[tuple[str, str, str], float]:
        labels, values = ask(expr, now_ms)
        return {
            (get_label(one, "job"), get_label(one, "instance"), get_label(one, "from")): float(v)
            for one, v in zip(labels, values.ravel().tolist(), strict=True)
        }

    labels, values = ask('up{job="node"}', now_ms)
    return Found(
        by_key("vezha_check_up"),
        by_key("vezha_check_failures"),
        by_key("probe_duration_seconds"),
        {
            **by_key("vezha_check_domain_expiry_timestamp_seconds"),
            **by_key("probe_ssl_earliest_cert_expiry"),
        },
        {
            get_label(one, "instance"): float(v)
            for one, v in zip(labels, values.ravel().tolist(), strict=True)
        },
    )


def hosts_seen(connection: Connection) -> dict[str, HostSeen]:
    """All hosts, with what their agents say of their configuration."""
    query = select(host_table.c.name, host_table.c.labels, running_table.c.detail).join(
        running_table, running_table.c.host_id == host_table.c.id, isouter=True
    )
    return {
        name: HostSeen(labels or {}, _checks_in((detail or {}).get("text", "")))
        for name, labels, detail in connection.execute(query)
    }


def _checks_in(text: str) -> Mapping[str, Any]:
    if "checks" not in text:
        return {}
    try:
        tables = tomllib.loads(text).get("checks", {})
    except tomllib.TOMLDecodeError:
        return {}
    return tables if isinstance(tables, dict) else {}


def list_checks(call: Call) -> dict[str, Any]:
    """`GET /api/v1/checks`."""
    services = call.services
    checks: Sequence[Check] = services.extra.get(CHECKS, tuple)()
    with services.ledger.read() as connection:
        hosts = hosts_seen(connection)
    found = Found()
    if services.querying is not None:
        found = found_by(services.querying.vector, services.now_ms())
    rows, unplaced = rows_of(checks, hosts, found)
    return {"checks": rows, "unplaced": unplaced}


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/api/v1/checks", Action.ALERT_READ, list_checks,
        "Checks from outside: each target, where it is looked at from, what was found last.",
        result=ChecksView,
    ),
)  # fmt: skip
