"""`/api/v2` as Alertmanager answers it: other programs send alerts here, and read ours.

Prometheus, vmalert and amtool send to `POST /api/v2/alerts`; what they send becomes incidents
(`incidents.external`). Readers such as amtool and karma get our own rules' alerts and those
from elsewhere alike. Shapes: Alertmanager's OpenAPI description of its API v2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from vezha import __version__
from vezha.access import Action
from vezha.alerting.book import active_alerts
from vezha.api.errors import InvalidError
from vezha.api.limits import EXTERNAL_BODY_BYTES_MAX
from vezha.api.receivers import plan_in_force
from vezha.api.route import Call, Route
from vezha.api.rules import rfc3339
from vezha.incidents import external
from vezha.incidents.errors import SilenceError
from vezha.incidents.limits import EXTERNAL_RESOLVE_MS
from vezha.incidents.rows import read_place
from vezha.incidents.silence import (
    LabelMatcher,
    Silence,
    make_matcher,
    read_matchers,
    read_silences,
)
from vezha.incidents.state import OVER
from vezha.incidents.words import Member, Place
from vezha.ledger.tables import incident, incident_alert
from vezha.model.severity import Severity
from vezha.notify.plan import receivers_of
from vezha.notify.settings import NotifyPlan

BEGAN = "web_began_ms"
"""Under this name `Services.extra` holds when the web contour began (ms)."""
_NEVER = datetime(1, 1, 1, tzinfo=timezone.utc)


class PostableAlert(msgspec.Struct, rename="camel"):
    """An alert as a sender tells it. Without `endsAt` its word holds for five minutes."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")


class NameView(msgspec.Struct):
    """A receiver by its name."""

    name: str


class AlertStatusView(msgspec.Struct, rename="camel"):
    """`state`: active or suppressed; which silences hold for it."""

    state: str
    silenced_by: list[str]
    inhibited_by: list[str]


class GettableAlert(msgspec.Struct, rename="camel"):
    """An alert that fires, from our own rules or from elsewhere."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    updated_at: str
    fingerprint: str
    receivers: list[NameView]
    status: AlertStatusView
    generator_url: str = msgspec.field(name="generatorURL")


class AlertGroupView(msgspec.Struct):
    """The alerts of one incident for one receiver; the label `incident` is its number."""

    labels: dict[str, str]
    receiver: NameView
    alerts: list[GettableAlert]


class StatusView(msgspec.Struct, rename="camel"):
    """Who answers. There is no cluster, and receivers are told of elsewhere."""

    cluster: dict[str, Any]
    version_info: dict[str, str]
    config: dict[str, str]
    uptime: str


class AlertsFilter(msgspec.Struct):
    """Which alerts; `filter` has matchers, `receiver` is a regular expression."""

    filter: list[str] = []
    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    unprocessed: bool = True
    receiver: str = ""


class GroupsFilter(msgspec.Struct):
    """Which alerts; `filter` has matchers, `receiver` is a regular expression."""

    filter: list[str] = []
    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    receiver: str = ""


# Taking in


def post_alerts(call: Call) -> Response:
    """Take in what a sender tells. What is wrong is refused with 400, the rest taken."""
    now_ms = call.services.now_ms()
    alerts, problems = _checked(call.body, now_ms)
    try:
        changes = _take(call, alerts, now_ms)
    except IntegrityError:
        # another sender told the same new alert at the same instant: now it is known
        changes = _take(call, alerts, now_ms)
    except external.BadAlert as fault:
        raise InvalidError(f"{fault}.") from None
    if changes:
        call.services.nudge("alerts")
    if problems:
        raise InvalidError("; ".join(problems[:10]))
    return Response(status_code=200)


def _checked(sent: Sequence[PostableAlert], now_ms: int) -> tuple[list[external.Sent], list[str]]:
    alerts, problems = [], []
    for one in sent:
        try:
            alerts.append(
                external.check(
                    one.labels, one.annotations, time_ms(one.starts_at), time_ms(one.ends_at),
                    one.generator_url, now_ms,
                )
            )  # fmt: skip
        except external.BadAlert as fault:
            problems.append(str(fault))
    return alerts, problems


def _take(call: Call, alerts: Sequence[external.Sent], now_ms: int) -> int:
    with call.services.ledger.begin() as connection:
        return external.take(connection, alerts, call.subject.name, now_ms)


def time_ms(moment: datetime | None) -> int | None:
    """A time in ms; absent, and Go's zero time, are None. A time without a zone is UTC."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return None if moment <= _NEVER else int(moment.timestamp() * 1000)


# Giving out


@dataclass(frozen=True, slots=True)
class _Shown:
    """What readers' questions are answered from."""

    place: Place
    silences: list[Silence]
    plan: NotifyPlan
    now_ms: int

    def view(self, row: Any, starts_ms: int, ends_ms: int, url: str) -> GettableAlert:
        member = Member(
            row.fingerprint, row.alert_name, row.host, Severity(row.severity), "firing",
            row.labels, row.annotations, starts_ms, row.changed_ms,
        )  # fmt: skip
        seen = self.place.labels_of(member)
        by = [silence_id(s.id) for s in self.silences if s.fits(seen)]
        receivers = receivers_of(self.plan, [member], member.severity, self.place)
        return GettableAlert(
            labels=row.labels,
            annotations=row.annotations,
            starts_at=rfc3339(starts_ms),
            ends_at=rfc3339(ends_ms),
            updated_at=rfc3339(row.updated_ms),
            fingerprint=row.fingerprint,
            receivers=[NameView(r.name) for r in receivers],
            status=AlertStatusView("suppressed" if by else "active", by, []),
            generator_url=url,
        )


def silence_id(id_: int) -> str:
    """A silence's number as a UUID, which is what strict clients of the API take."""
    return f"00000000-0000-4000-8000-{id_:012d}"


def _alerts(call: Call, connection: Connection) -> Iterator[GettableAlert]:
    now_ms = call.services.now_ms()
    silences = [s for s in read_silences(connection, now_ms) if s.holds(now_ms)]
    shown = _Shown(read_place(connection), silences, plan_in_force(call)[0], now_ms)
    for row in active_alerts(connection):
        if row.state != "pending":
            began_ms = row.fired_ms or row.active_ms
            yield shown.view(row, began_ms, now_ms + EXTERNAL_RESOLVE_MS, "")
    for row in external.firing(connection):
        yield shown.view(row, row.starts_ms, row.ends_ms, row.generator_url)


def matchers_of(texts: Sequence[str]) -> list[LabelMatcher]:
    """The matchers of `filter` parameters. Raises `InvalidError`."""
    try:
        return [matcher for text in texts for matcher in read_matchers(text)]
    except SilenceError as fault:
        raise InvalidError(f"{fault}.", "filter") from None


def _wanted(
    query: AlertsFilter | GroupsFilter, alerts: Iterator[GettableAlert]
) -> list[GettableAlert]:
    matchers = matchers_of(query.filter)
    named = _receiver(query.receiver)
    out = []
    for alert in alerts:
        silenced = alert.status.state == "suppressed"
        if not (query.silenced if silenced else query.active):
            continue
        if not all(m.fits(alert.labels) for m in matchers):
            continue
        if named and not any(named.fits({"receiver": r.name}) for r in alert.receivers):
            continue
        out.append(alert)
    return out


def _receiver(pattern: str) -> LabelMatcher | None:
    try:
        return make_matcher("receiver", "=~", pattern) if pattern else None
    except SilenceError as fault:
        raise InvalidError(f"{fault}.", "receiver") from None


def get_alerts(call: Call) -> list[GettableAlert]:
    """Alerts that fire."""
    with call.services.ledger.read() as connection:
        return _wanted(call.query, _alerts(call, connection))


def get_groups(call: Call) -> list[AlertGroupView]:
    """Alerts by incident and receiver; those that no route takes are not there."""
    query: GroupsFilter = call.query
    named = _receiver(query.receiver)
    open_members = (
        select(incident_alert.c.fingerprint, incident_alert.c.incident_id)
        .join(incident, incident.c.id == incident_alert.c.incident_id)
        .where(incident.c.state.not_in(OVER))
    )
    with call.services.ledger.read() as connection:
        alerts = _wanted(query, _alerts(call, connection))
        of_incident = {r.fingerprint: r.incident_id for r in connection.execute(open_members)}
    groups: dict[tuple[str, int], list[GettableAlert]] = {}
    for alert in alerts:
        for receiver in alert.receivers:
            if named is None or named.fits({"receiver": receiver.name}):
                key = (receiver.name, of_incident.get(alert.fingerprint, 0))
                groups.setdefault(key, []).append(alert)
    return [
        AlertGroupView({"incident": str(id_)} if id_ else {}, NameView(name), alerts)
        for (name, id_), alerts in sorted(groups.items())
    ]


def get_receivers(call: Call) -> list[NameView]:
    """Receivers by name."""
    return [NameView(name) for name in plan_in_force(call)[0].receivers]


def get_status(call: Call) -> StatusView:
    """Who answers, and since when."""
    names = "".join(f"- name: {name}\n" for name in plan_in_force(call)[0].receivers)
    original = f"# Vezha: see /api/v1/receivers for receivers and routes\nreceivers:\n{names}"
    began_ms = call.services.extra.get(BEGAN, call.services.now_ms())
    version = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
    return StatusView(
        {"status": "disabled", "peers": []},
        {"version": __version__, **version},
        {"original": original},
        rfc3339(began_ms),
    )


ROUTES = (
    Route("POST", "/api/v2/alerts", Action.ALERT_WRITE, post_alerts,
          "Alerts from other programs, as Alertmanager takes them.",
          body=list[PostableAlert], body_bytes_max=EXTERNAL_BODY_BYTES_MAX, plain_errors=True),
    Route("GET", "/api/v2/alerts", Action.ALERT_READ, get_alerts,
          "Alerts that fire, as Alertmanager answers.", query=AlertsFilter,
          result=list[GettableAlert], plain_errors=True),
    Route("GET", "/api/v2/alerts/groups", Action.ALERT_READ, get_groups,
          "Alerts by incident and receiver, as Alertmanager answers.", query=GroupsFilter,
          result=list[AlertGroupView], plain_errors=True),
    Route("GET", "/api/v2/receivers", Action.RECEIVER_READ, get_receivers,
          "Names of receivers, as Alertmanager answers.", result=list[NameView],
          plain_errors=True),
    Route("GET", "/api/v2/status", Action.ALERT_READ, get_status,
          "Who answers, as Alertmanager does.", result=StatusView, plain_errors=True),
)  # fmt: skip
