"""`/api/v1/hosts`: the machines that are watched."""

from __future__ import annotations

from typing import Any

import msgspec

from vezha.access import Action
from vezha.access.host import find_host, label_host, list_hosts, remove_host
from vezha.api.errors import NotFoundError
from vezha.api.fleet import host_view, host_views
from vezha.api.route import Call, Route


class HostView(msgspec.Struct):
    """A host; `behind_s` is the age of its newest sample, null where nothing is known."""

    name: str
    state: str
    connected: bool
    behind_s: float | None
    complete_ratio: float | None
    labels: dict[str, str]
    agent_version: str
    os: str
    cores: int | None
    memory_bytes: int | None
    first_seen: float | None
    last_seen: float | None


class HostsView(msgspec.Struct):
    """All hosts by name."""

    hosts: list[HostView]


class HostDetailView(HostView):
    """One host with what its agent said of it."""

    facts: dict[str, Any] = {}


class HostChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Labels to set; an empty value removes one."""

    labels: dict[str, str]


def list_all(call: Call) -> dict[str, Any]:
    """All hosts by name."""
    fleet = call.services.fleet
    if fleet is None:
        return {"hosts": [host_view(r, None, -1) for r in list_hosts(call.services.ledger)]}
    snapshot = fleet.snapshot()
    return {"hosts": host_views(fleet.hosts(), snapshot)}


def read(call: Call) -> dict[str, Any]:
    """One host."""
    return _detail(call, call.path["name"])


def change(call: Call) -> dict[str, Any]:
    """Set labels."""
    given: HostChangeBody = call.body
    name = call.path["name"]
    label_host(call.services.ledger, call.subject, name, given.labels, call.services.now_ms())
    _told(call)
    return _detail(call, name)


def remove(call: Call) -> None:
    """Forget a host; its agent is refused from now on."""
    remove_host(call.services.ledger, call.subject, call.path["name"], call.services.now_ms())
    _told(call)


def _told(call: Call) -> None:
    call.audited = True
    if call.services.fleet is not None:
        call.services.fleet.forget()
    call.services.nudge("hosts")


def _detail(call: Call, name: str) -> dict[str, Any]:
    row = find_host(call.services.ledger, name)
    if row is None:
        raise NotFoundError(f"There is no host {name!r}.")
    snapshot = None if call.services.fleet is None else call.services.fleet.snapshot()
    names = [] if snapshot is None else snapshot.names
    index = names.index(name) if name in names else -1
    return {**host_view(row, snapshot, index), "facts": row.facts}


ROUTES = (
    Route("GET", "/api/v1/hosts", Action.HOST_READ, list_all, "All hosts by name.",
          result=HostsView),
    Route("GET", "/api/v1/hosts/{name}", Action.HOST_READ, read, "One host, with its facts.",
          result=HostDetailView),
    Route("PATCH", "/api/v1/hosts/{name}", Action.HOST_CHANGE, change,
          "Set a host's labels; an empty value removes one.", body=HostChangeBody,
          result=HostDetailView),
    Route("DELETE", "/api/v1/hosts/{name}", Action.HOST_REMOVE, remove,
          "Forget a host and revoke its agent; its samples stay.", status=204),
)  # fmt: skip
