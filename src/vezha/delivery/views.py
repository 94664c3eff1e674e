"""Changes, rollouts, attempts, verdicts as people look at them. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, or_, select

from vezha.delivery import limits
from vezha.delivery.change import Kind, lacking
from vezha.delivery.errors import NoSuchChange
from vezha.delivery.freeze import Window
from vezha.delivery.gate_words import gate_said
from vezha.delivery.plan import rehearsal_lacking
from vezha.delivery.rollout_words import rollout_said
from vezha.delivery.rows import read_change, read_plan, read_rollout
from vezha.ledger import AnyRow
from vezha.ledger.tables import (
    approval,
    attempt,
    attempt_event,
    change,
    change_event,
    plan,
    quarantine,
    release,
    rollout,
    running,
    verdict,
)
from vezha.model.recurrence import DAYS

_HOSTS_SHOWN_MAX = 100
OPEN_CHANGES = ("draft", "planned", "running", "held", "reverting", "reported")


def seconds(ms: int | None) -> float | None:
    """A ledger's time as JSON shows it."""
    return None if ms is None else ms / 1000


def change_view(row: AnyRow) -> dict[str, Any]:
    """A change in a list. `hosts` are the first of `hosts_count`."""
    hosts = list(row.hosts)
    return {
        "id": row.id, "kind": row.kind, "state": row.state, "title": row.title,
        "target": row.target, "sha256": row.sha256, "why": row.why, "owner": row.owner,
        "checklist": row.checklist, "risk": row.risk, "selector": row.selector,
        "reason": row.reason, "reason_uk": rollout_said(row.reason or "", "uk"), "mends": row.mends,
        "source": row.source,
        "external_key": row.external_key, "links": list(row.links), "labels": dict(row.labels),
        "hosts": hosts[:_HOSTS_SHOWN_MAX], "hosts_count": len(hosts), "outcome": row.outcome,
        "ready_at": seconds(row.ready_ms), "began_at": seconds(row.began_ms),
        "ended_at": seconds(row.ended_ms), "created_at": seconds(row.created_ms),
        "created_by": row.created_by, "updated_at": seconds(row.updated_ms),
        "revision": row.revision,
    }  # fmt: skip


def list_changes(
    connection: Connection, *, open_only: bool = False, kind: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Changes, the newest first."""
    wanted = select(change).order_by(change.c.id.desc()).limit(limit)
    if open_only:
        wanted = wanted.where(change.c.state.in_(OPEN_CHANGES))
    if kind:
        wanted = wanted.where(change.c.kind == kind)
    return [change_view(row) for row in connection.execute(wanted)]


def get_change(connection: Connection, id_: int) -> dict[str, Any]:
    """One change with its timeline, plans, rollouts. Raises NoSuchChange."""
    row = read_change(connection, id_)
    events = connection.execute(
        select(change_event)
        .where(change_event.c.change_id == id_)
        .order_by(change_event.c.id.desc())
        .limit(limits.EVENTS_SHOWN_MAX)
    ).all()
    plans = connection.execute(
        select(plan.c.id, plan.c.number, plan.c.sha256, plan.c.created_ms, plan.c.created_by)
        .where(plan.c.change_id == id_)
        .order_by(plan.c.number)
    ).all()
    answers = connection.execute(
        select(approval, plan.c.number)
        .join(plan, plan.c.id == approval.c.plan_id)
        .where(plan.c.change_id == id_)
        .order_by(approval.c.id)
    ).all()
    rollouts = connection.execute(
        select(rollout).where(rollout.c.change_id == id_).order_by(rollout.c.id)
    ).all()
    missing: list[str] = []
    if row.kind != Kind.EXTERNAL.value:
        missing = lacking(row.why, row.owner, row.checklist, row.gates)
    if row.kind == Kind.RULES.value and row.state == "planned" and plans:
        unsaid = rehearsal_lacking(read_plan(connection, plans[-1].id).document)
        missing += [unsaid] if unsaid else []
    return {
        **change_view(row),
        "gates": list(row.gates), "waves": list(row.waves), "policy": dict(row.policy),
        "params": dict(row.params), "lacks": missing,
        "timeline": [
            {"at": seconds(e.at_ms), "kind": e.kind, "actor": e.actor, "text": e.text,
             "text_uk": rollout_said(e.text, "uk"), "data": e.data}
            for e in reversed(events)
        ],
        "plans": [
            {"number": p.number, "sha256": p.sha256, "created_at": seconds(p.created_ms),
             "created_by": p.created_by}
            for p in plans
        ],
        "approvals": [
            {"plan": a.number, "wave": a.wave, "user": a.user_name, "role": a.role,
             "answer": a.answer, "comment": a.comment, "at": seconds(a.at_ms)}
            for a in answers
        ],
        "rollouts": [rollout_view(r, row) for r in rollouts],
    }  # fmt: skip


def rollout_view(row: AnyRow, change_row: AnyRow) -> dict[str, Any]:
    """A rollout in a list."""
    counts = dict(row.counts)
    total = sum(counts.values())
    return {
        "id": row.id, "change_id": row.change_id, "kind": change_row.kind,
        "title": change_row.title, "target": change_row.target, "state": row.state,
        "wave": row.wave, "phase": row.phase, "phase_since": seconds(row.phase_since_ms),
        "reason": row.reason, "reason_uk": rollout_said(row.reason or "", "uk"),
        "reason_code": row.reason_code, "wish": row.wish,
        "wish_by": row.wish_by, "break_glass_until": seconds(row.break_glass_until_ms),
        "break_glass_by": row.break_glass_by, "break_glass_why": row.break_glass_why,
        "pace": row.pace, "forced": row.forced, "generation": row.generation, "counts": counts,
        "hosts_count": total, "created_at": seconds(row.created_ms),
        "created_by": row.created_by, "ended_at": seconds(row.ended_ms),
        "updated_at": seconds(row.updated_ms), "revision": row.revision,
    }  # fmt: skip


def list_rollouts(
    connection: Connection, *, open_only: bool = False, limit: int = 100
) -> list[dict[str, Any]]:
    """Rollouts, the newest first."""
    wanted = (
        select(rollout, change.c.kind, change.c.title, change.c.target)
        .join(change, change.c.id == rollout.c.change_id)
        .order_by(rollout.c.id.desc())
        .limit(limit)
    )
    if open_only:
        wanted = wanted.where(rollout.c.state.in_(("running", "held", "reverting")))
    return [rollout_view(row, row) for row in connection.execute(wanted)]


def get_rollout(connection: Connection, id_: int) -> dict[str, Any]:
    """One rollout with its waves, gates and their latest verdicts. Raises NoSuchChange."""
    row = read_rollout(connection, id_)
    change_row = read_change(connection, row.change_id)
    document = connection.execute(
        select(plan.c.document).where(plan.c.id == row.plan_id)
    ).scalar_one()
    number = connection.execute(select(plan.c.number).where(plan.c.id == row.plan_id)).scalar_one()
    by_wave: dict[int, dict[str, int]] = {}
    for a in connection.execute(
        select(attempt.c.wave, attempt.c.state).where(attempt.c.rollout_id == id_)
    ):
        states = by_wave.setdefault(a.wave, {})
        states[a.state] = states.get(a.state, 0) + 1
    waves = []
    for at, wave in enumerate(document["waves"]):
        waves.append(
            {"name": wave["name"], "hosts_count": len(wave["members"]), "bake_s": wave["bake_s"],
             "counts": by_wave.get(at, {}),
             "is_active": at == row.wave and row.state in ("running", "held")}
        )  # fmt: skip
    late = by_wave.get(len(document["waves"]))
    if late:
        waves.append({"name": "late", "hosts_count": sum(late.values()), "bake_s": 0.0,
                      "counts": late, "is_active": False})  # fmt: skip
    newest: dict[tuple[int, str], AnyRow] = {}
    for v in connection.execute(
        select(verdict).where(verdict.c.rollout_id == id_).order_by(verdict.c.id)
    ):
        newest[(v.wave, v.gate)] = v
    return {
        **rollout_view(row, change_row),
        "plan": number, "policy": document["policy"], "waves": waves,
        "gates": list(document["gates"]),
        "verdicts": [verdict_view(v) for v in newest.values()],
    }  # fmt: skip


def verdict_view(row: AnyRow, *, full: bool = False) -> dict[str, Any]:
    """A verdict; with what it was made of where *full*."""
    out = {
        "id": row.id, "rollout_id": row.rollout_id, "wave": row.wave, "gate": row.gate,
        "kind": row.kind, "shadow": row.shadow, "result": row.result, "sentence": row.sentence,
        "sentence_uk": gate_said(row.sentence, "uk"),
        "measured": row.measured, "allowed": row.allowed, "at": seconds(row.at_ms),
    }  # fmt: skip
    if full:
        out.update(spec=row.spec, samples=row.samples)
    return out


def get_verdict(connection: Connection, id_: int) -> AnyRow:
    """One verdict's row. Raises NoSuchChange."""
    found = connection.execute(select(verdict).where(verdict.c.id == id_)).first()
    if found is None:
        raise NoSuchChange(f"there is no verdict {id_}; see `vezha rollout show`")
    return found


def list_verdicts(connection: Connection, rollout_id: int) -> list[dict[str, Any]]:
    """All verdicts of a rollout, the oldest first."""
    rows = connection.execute(
        select(verdict).where(verdict.c.rollout_id == rollout_id).order_by(verdict.c.id)
    )
    return [verdict_view(row) for row in rows]


def list_attempts(
    connection: Connection, rollout_id: int, *, states: Sequence[str] = (), wave: int | None = None,
    limit: int = limits.ATTEMPTS_LISTED_MAX,
) -> list[dict[str, Any]]:  # fmt: skip
    """Hosts of a rollout, by wave and name. Raises NoSuchChange."""
    read_rollout(connection, rollout_id)
    wanted = (
        select(attempt)
        .where(attempt.c.rollout_id == rollout_id)
        .order_by(attempt.c.wave, attempt.c.host)
        .limit(limit)
    )
    if states:
        wanted = wanted.where(attempt.c.state.in_(states))
    if wave is not None:
        wanted = wanted.where(attempt.c.wave == wave)
    return [attempt_view(row) for row in connection.execute(wanted)]


def attempt_view(row: AnyRow) -> dict[str, Any]:
    """A host in a rollout."""
    return {
        "host": row.host, "wave": row.wave, "state": row.state, "reason": row.reason,
        "detail": row.detail, "from_version": row.from_version, "from_target": row.from_target,
        "generation": row.generation, "result": row.result, "offered_at": seconds(row.offered_ms),
        "since": seconds(row.since_ms), "updated_at": seconds(row.updated_ms),
    }  # fmt: skip


def get_attempt(connection: Connection, rollout_id: int, host: str) -> dict[str, Any]:
    """One host in a rollout, with its history. Raises NoSuchChange."""
    row = connection.execute(
        select(attempt).where(attempt.c.rollout_id == rollout_id, attempt.c.host == host)
    ).first()
    if row is None:
        raise NoSuchChange(f"rollout {rollout_id} has no host {host}")
    events = connection.execute(
        select(attempt_event)
        .where(
            attempt_event.c.rollout_id == rollout_id, attempt_event.c.host_id == row.host_id
        )
        .order_by(attempt_event.c.id)
    )  # fmt: skip
    return {**attempt_view(row), "history": [_event(e) for e in events]}


def host_history(connection: Connection, host: str, limit: int = 100) -> list[dict[str, Any]]:
    """What became of a host in all rollouts, the newest first."""
    rows = connection.execute(
        select(attempt, change.c.id.label("change_id"), change.c.title, change.c.kind)
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .where(attempt.c.host == host)
        .order_by(attempt.c.rollout_id.desc())
        .limit(limit)
    )
    return [
        {**attempt_view(row), "rollout_id": row.rollout_id, "change_id": row.change_id,
         "title": row.title, "kind": row.kind}
        for row in rows
    ]  # fmt: skip


def _event(row: AnyRow) -> dict[str, Any]:
    return {
        "at": seconds(row.at_ms), "from_state": row.from_state, "to_state": row.to_state,
        "reason": row.reason, "detail": row.detail,
    }  # fmt: skip


def plan_view(row: AnyRow, text: str) -> dict[str, Any]:
    """A plan: its document, its hash, and the text that a person reads."""
    return {
        "number": row.number, "change_id": row.change_id, "sha256": row.sha256,
        "created_at": seconds(row.created_ms), "created_by": row.created_by,
        "document": row.document, "text": text,
    }  # fmt: skip


def list_releases(connection: Connection, kind: str = "", limit: int = 200) -> list[dict[str, Any]]:
    """Published artifacts, the newest first, with how many hosts run each."""
    wanted = select(release).order_by(release.c.id.desc()).limit(limit)
    if kind:
        wanted = wanted.where(release.c.kind == kind)
    hosts: dict[str, int] = {}
    for row in connection.execute(select(running.c.release_sha256, running.c.config_sha256)):
        for sha256 in (row.release_sha256, row.config_sha256):
            hosts[sha256] = hosts.get(sha256, 0) + 1
    bad = set(
        connection.execute(
            select(quarantine.c.sha256).where(
                quarantine.c.lifted_ms.is_(None), quarantine.c.host_id == 0
            )
        ).scalars()
    )
    return [
        {"id": r.id, "kind": r.kind, "name": r.name, "version": r.version, "target": r.target,
         "sha256": r.sha256, "length": r.length, "custom": dict(r.custom),
         "published_at": seconds(r.published_ms), "published_by": r.published_by,
         "hosts_count": hosts.get(r.sha256, 0), "quarantined": r.sha256 in bad}
        for r in connection.execute(wanted)
    ]  # fmt: skip


def list_quarantine(
    connection: Connection, names: Mapping[int, str], *, all_: bool = False
) -> list[dict[str, Any]]:
    """Hashes that are not offered; *names* are hosts by number."""
    wanted = select(quarantine).order_by(quarantine.c.id.desc())
    if not all_:
        wanted = wanted.where(or_(quarantine.c.lifted_ms.is_(None)))
    return [
        {"sha256": q.sha256, "host": names.get(q.host_id, "") if q.host_id else "",
         "everywhere": q.host_id == 0, "kind": q.kind, "target": q.target, "reason": q.reason,
         "detail": q.detail, "rollout_id": q.rollout_id, "at": seconds(q.at_ms),
         "lifted_at": seconds(q.lifted_ms), "lifted_by": q.lifted_by, "lifted_why": q.lifted_why}
        for q in connection.execute(wanted)
    ]  # fmt: skip


def window_view(window: Window, now_ms: int) -> dict[str, Any]:
    """A freeze or maintenance window."""
    recurs = None
    if window.recurs is not None:
        hours, minutes = divmod(window.recurs.start_minute, 60)
        recurs = {
            "days": [DAYS[d] for d in window.recurs.days],
            "start": f"{hours:02d}:{minutes:02d}",
            "minutes": window.recurs.minutes,
        }
    return {
        "id": window.id, "kind": window.kind, "name": window.name,
        "selector": window.selector.text, "state": window.state(now_ms),
        "starts_at": seconds(window.starts_ms), "ends_at": seconds(window.ends_ms),
        "opens_at": seconds(window.next_ms(now_ms)), "recurs": recurs,
        "time_zone": window.time_zone, "overrun": window.overrun, "comment": window.comment,
        "author": window.author, "created_at": seconds(window.created_ms),
        "ended_by": window.ended_by,
    }  # fmt: skip
