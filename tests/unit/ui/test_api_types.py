"""The pages' types of the API say what the API says: same fields, null where it may be null."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vezha.api import (
    audit,
    charts,
    enrolments,
    hosts,
    incident_views,
    incidents,
    notify,
    session,
    tokens,
    users,
)

TYPES = (Path(__file__).parents[3] / "frontend" / "src" / "api" / "types.ts").read_text("utf-8")

VIEWS: dict[str, type[msgspec.Struct]] = {
    "User": session.UserView,
    "Host": hosts.HostDetailView,
    "ChartSeries": charts.ChartSeriesView,
    "ChartPlan": charts.ChartView,
    "HistorySeries": charts.HistorySeriesView,
    "History": charts.HistoryView,
    "Incident": incident_views.IncidentView,
    "TimelineEntry": incident_views.EventView,
    "IncidentAlert": incident_views.MemberView,
    "Matcher": incidents.MatcherBody,
    "Recurrence": incidents.RecursBody,
    "Silence": incidents.SilenceView,
    "Silences": incidents.SilencesView,
    "Invitation": enrolments.InvitationView,
    "Enrolment": enrolments.EnrolmentView,
    "Person": users.PersonView,
    "PersonChanged": users.PersonChangedView,
    "Token": tokens.TokenView,
    "TokenMade": tokens.TokenMadeView,
    "AuditRow": audit.AuditRowView,
    "Receiver": notify.ReceiverView,
    "Receivers": notify.ReceiversView,
}


def interface(name: str) -> dict[str, str]:
    """The fields of a TypeScript interface and their types, as they are written."""
    found = re.search(rf"export interface {name}(?: extends \w+)? {{\n(.*?)\n}}", TYPES, re.DOTALL)
    assert found is not None, f"types.ts has no interface {name}"
    fields = re.findall(r"^  (\w+)(\??): (.+)$", found[1], re.MULTILINE)
    return {field: written for field, _, written in fields}


def may_be_null(type_: Any) -> bool:
    return typing.get_origin(type_) in (typing.Union, types.UnionType) and types.NoneType in (
        typing.get_args(type_)
    )


@pytest.mark.parametrize("name", VIEWS)
def test_fields(name: str) -> None:
    ours = interface(name)
    hints = typing.get_type_hints(VIEWS[name])
    assert ours, name
    assert set(ours) - set(hints) == set(), "the pages read what the API does not send"
    for field, written in ours.items():
        if may_be_null(hints[field]):
            assert "null" in written or written == "Moment", f"{name}.{field} may be null"


def test_every_interface_is_compared() -> None:
    named = set(re.findall(r"export interface (\w+)", TYPES))
    assert named - VIEWS.keys() == {"IncidentDetail"}
