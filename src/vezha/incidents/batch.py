"""One batch of transitions over the incidents that they touch: which alert goes where.

Reads the incidents that an alert may join and writes only new ones' rows; the caller writes the rest.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, or_, select

from vezha.incidents.case import Case
from vezha.incidents.dependency import Tree, explains
from vezha.incidents.grouping import Arriving, Candidate, Grouping
from vezha.incidents.limits import RELAPSE_WINDOW_MS
from vezha.incidents.oncall.rows import read_teams
from vezha.incidents.oncall.team import named_team, team_of
from vezha.incidents.rows import create_case, read_cases, read_place
from vezha.incidents.state import OVER, State
from vezha.incidents.words import Member, Place, service_of
from vezha.ledger.tables import incident, incident_alert
from vezha.model.severity import Severity

FIRES = ("fired", "found")
"""Events of alerts that begin."""


class Work:
    """One batch of transitions over the cases that they touch."""

    def __init__(self, connection: Connection, tree: Tree, now_ms: int) -> None:
        self._connection = connection
        self._tree = tree
        self._cases: dict[int, Case] = {}
        self.touched: dict[int, Case] = {}
        self._open_in: dict[str, list[int]] = {}
        lately = now_ms - RELAPSE_WINDOW_MS
        rows = connection.execute(
            select(incident).where(
                or_(incident.c.state.not_in(OVER), incident.c.resolved_ms >= lately),
                incident.c.merged_into.is_(None),
            )
        ).all()
        candidates = [
            Candidate(
                row.id,
                row.state not in OVER,
                row.team,
                row.active_ms,
                row.resolved_ms,
                alert_names=set(row.alert_names),
            )
            for row in rows
        ]
        by_id = {c.id: c for c in candidates}
        members = select(
            incident_alert.c.incident_id, incident_alert.c.fingerprint, incident_alert.c.host
        )
        members = (
            members.where(incident_alert.c.incident_id.in_(by_id)) if by_id else members.limit(0)
        )
        for row in connection.execute(members):
            by_id[row.incident_id].members.add(row.fingerprint)
            if row.host:
                by_id[row.incident_id].hosts.add(row.host)
        self._grouping = Grouping(candidates)
        self._teams = read_teams(connection)
        self._place = read_place(connection) if self._teams else Place()

    def take(self, row: Any) -> None:
        """One transition."""
        at_ms = row.evaluated_ms
        if row.event in FIRES:
            self._fire(row, at_ms)
            return
        ids = set(self._open_in.get(row.fingerprint, ()))
        newest = self._grouping.of_member(row.fingerprint)
        if newest is not None:
            ids.add(newest)
        for id_ in sorted(ids):
            case = self._case(id_)
            if row.event == "lost":
                case.lose(row.fingerprint, at_ms)
            elif row.event == "flaps":
                case.flap(row.fingerprint, at_ms)
            else:
                case.over(row.fingerprint, at_ms, row.event == "expired")
                self._sync(case)

    def expect(self, fingerprints: set[str]) -> None:
        """Find the incidents in which these alerts are open: such as somebody resolved while an alert of
        it still fired hear of its end, too."""
        rows = self._connection.execute(
            select(incident_alert.c.fingerprint, incident_alert.c.incident_id).where(
                incident_alert.c.fingerprint.in_(fingerprints),
                incident_alert.c.state != "resolved",
            )
        )
        for row in rows:
            self._open_in.setdefault(row.fingerprint, []).append(row.incident_id)

    def _fire(self, row: Any, at_ms: int) -> None:
        team = self._team_of(row)
        member = Member(
            fingerprint=row.fingerprint,
            alert_name=row.alert_name,
            host=row.host,
            severity=Severity(row.severity),
            state="firing",
            labels=row.labels,
            annotations=row.annotations,
            first_ms=at_ms,
            changed_ms=at_ms,
            active_ms=row.active_ms,
        )
        alert = self._arriving(row, member, team)
        id_ = self._grouping.place(alert)
        if id_ is None:
            case = Case(0, State.OPEN, member.severity, team, row.active_ms or at_ms, at_ms, at_ms)
            case.service = service_of(member)
            create_case(self._connection, case)
            self._cases[case.id] = case
            self._grouping.add(Candidate(case.id, True, team, at_ms, None))
            id_ = case.id
        case = self._case(id_)
        case.fire(member, at_ms)
        self._grouping.join(id_, alert)
        self._sync(case)

    def _team_of(self, row: Any) -> str:
        if not self._teams:
            return named_team(row.labels, row.annotations)
        labels = {**self._place.labels.get(row.host, {}), **row.labels, "severity": row.severity}
        return team_of(labels, row.annotations, self._teams)

    def _arriving(self, row: Any, member: Member, team: str) -> Arriving:
        tree = self._tree
        cause = tree.cause(member)
        explained = None
        if explains(member):
            tree.add(member)
            if tree.is_parent(member):
                explained = partial(tree.explains_host, member)
        return Arriving(
            row.fingerprint,
            row.alert_name,
            row.host,
            team,
            row.evaluated_ms,
            cause.fingerprint if cause else "",
            explained,
        )

    def _sync(self, case: Case) -> None:
        """Let grouping know what became of *case*."""
        candidate = self._grouping.by_id.get(case.id)
        if candidate is None:
            return  # over for so long that nothing joins it
        candidate.open = not case.state.is_over
        candidate.resolved_ms = case.resolved_ms

    def _case(self, id_: int) -> Case:
        if id_ not in self._cases:
            self._cases.update(read_cases(self._connection, [id_]))
        case = self.touched[id_] = self._cases[id_]
        return case
