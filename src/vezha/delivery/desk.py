"""What people do with changes: draft, plan, approve, start, pause, take back, and the like.

Each function works in the caller's write transaction, checks whether it can be done (else raises a
DeliveryError whose sentence says how), and writes the timeline; the audit is the caller's. What
concerns a running rollout is only wished here: the loop does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from vezha.access.subject import Role
from vezha.delivery import limits
from vezha.delivery import plan as plans
from vezha.delivery.change import RISKS, Act, Kind, State, lacking
from vezha.delivery.errors import NoSuchChange, NotAllowed, SpecError, WrongState, about
from vezha.delivery.freeze import read_windows
from vezha.delivery.plan import SERVER, HostFacts, Version, Wanted
from vezha.delivery.rollout import State as RolloutState
from vezha.delivery.rows import (
    add_event,
    move_change,
    newest_plan,
    next_generation,
    read_change,
    read_hosts,
    read_quarantined,
    read_rollout,
)
from vezha.delivery.selector import parse_selector
from vezha.delivery.spec import as_documents, read_gates, read_policy, read_waves
from vezha.delivery.tend import attempt_row
from vezha.ledger import AnyRow
from vezha.ledger.tables import approval, attempt, change, plan, quarantine, release, rollout
from vezha.trust.errors import Refused
from vezha.trust.script import script_of, values_of


@dataclass(slots=True)
class Draft:
    """A change as somebody writes it. Empty fields are what it lacks yet."""

    kind: str
    target: str
    title: str = ""
    why: str = ""
    owner: str = ""
    checklist: str = ""
    risk: str = "medium"
    selector: str = ""
    gates: Sequence[Mapping[str, Any]] = ()
    waves: Sequence[Mapping[str, Any]] = ()
    policy: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[str] = ()
    mends: int | None = None
    ready_ms: int | None = None


def draft_change(connection: Connection, draft: Draft, actor: str, now_ms: int) -> int:
    """Write a new change down; its number. Raises DeliveryError."""
    values = _values(connection, draft)
    made = connection.execute(
        insert(change).values(
            **values, state=State.DRAFT.value, reason="", source="", external_key=None, hosts=[],
            outcome="", began_ms=None, ended_ms=None, created_ms=now_ms, created_by=actor,
            updated_ms=now_ms, revision=1,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    id_ = int(made[0])
    add_event(connection, id_, "drafted", actor, values["title"], now_ms)
    return id_


def edit_change(connection: Connection, id_: int, draft: Draft, actor: str, now_ms: int) -> None:
    """Write it anew; a plan that was made of it is of no use any more. Raises DeliveryError."""
    row = read_change(connection, id_, lock=True)
    values = _values(connection, draft)
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    move_change(
        connection, row, Act.EDIT, actor=actor, now_ms=now_ms, text=", ".join(sorted(changed)),
        **values,
    )  # fmt: skip


def _values(connection: Connection, draft: Draft) -> dict[str, Any]:
    if draft.kind not in {k.value for k in Kind if k is not Kind.EXTERNAL}:
        raise SpecError(
            f'"{draft.kind}" is not a kind of change; use agent, config, rules, script', "kind"
        )
    if draft.risk not in RISKS:
        raise SpecError(f'"{draft.risk}" is not a risk; use {", ".join(RISKS)}', "risk")
    for name in ("why", "title", "owner", "checklist"):
        if len(getattr(draft, name)) > limits.SENTENCE_CHARS_MAX:
            raise SpecError(f"{name} is longer than {limits.SENTENCE_CHARS_MAX} characters", name)
    found = connection.execute(select(release).where(release.c.target == draft.target)).first()
    if found is None or found.kind != draft.kind:
        raise SpecError(
            f"there is no {draft.kind} {draft.target!r} that was published; see `vezha release list`",
            "target",
        )
    with about("waves"):
        waves = read_waves(draft.waves)
    with about("gates"):
        gates = read_gates(draft.gates, waves)
    with about("policy"):
        policy = read_policy(draft.policy)
    with about("selector"):
        parse_selector(draft.selector)
    return {
        "kind": draft.kind,
        "title": (draft.title or f"{found.name} {found.version}")[: limits.TITLE_CHARS_MAX],
        "target": found.target,
        "sha256": found.sha256,
        "why": draft.why,
        "owner": draft.owner,
        "checklist": draft.checklist,
        "risk": draft.risk,
        "selector": draft.selector.strip(),
        "gates": as_documents(gates),
        "waves": as_documents(waves),
        "policy": as_documents([policy])[0],
        "params": _params(draft, dict(found.custom)),
        "labels": dict(draft.labels),
        "links": list(draft.links),
        "mends": draft.mends,
        "ready_ms": draft.ready_ms,
    }


def _params(draft: Draft, custom: Mapping[str, Any]) -> dict[str, Any]:
    """A script's parameters, checked against those that were signed with it."""
    given = {str(name): value for name, value in draft.params.items()}
    if draft.kind != Kind.SCRIPT.value:
        if given:
            raise SpecError("only a script takes parameters (params)", "params")
        return {}
    try:
        values_of(script_of(custom), given)
    except Refused as fault:
        raise SpecError(f"{draft.target}: {fault}", "params") from None
    return given


def plan_change(
    connection: Connection,
    id_: int,
    up: Mapping[str, bool] | None,
    actor: str,
    now_ms: int,
    *,
    dry_run: bool = False,
    rehearsal: Mapping[str, Any] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Make a plan of a change as it and the hosts are now: its number and document.

    *up* says which hosts are connected, by name (None: who was heard of lately); *rehearsal* what
    its rules would have done (of `rules_to_rehearse`). A dry run keeps nothing. Raises
    DeliveryError.
    """
    row = read_change(connection, id_, lock=not dry_run)
    if row.kind == Kind.EXTERNAL.value:
        raise WrongState(f"change {id_} happened elsewhere; there is nothing to plan")
    document = _document(connection, id_, row, up, now_ms)
    if rehearsal is not None and rehearsal.get("sha256") == row.sha256:
        document["rehearsal"] = dict(rehearsal)
    last = connection.execute(
        select(plan.c.number).where(plan.c.change_id == id_).order_by(plan.c.number.desc()).limit(1)
    ).scalar()
    number = (last or 0) + 1
    if dry_run:
        return number, document
    connection.execute(
        insert(plan).values(
            change_id=id_, number=number, sha256=plans.digest(document), document=document,
            created_ms=now_ms, created_by=actor,
        )
    )  # fmt: skip
    names = [m[1] for wave in document["waves"] for m in wave["members"]]
    move_change(
        connection, row, Act.PLAN, actor=actor, now_ms=now_ms,
        text=f"plan {number}: {_hosts(len(names))}, {len(document['excluded'])} left out",
        data={"plan": number}, hosts=names,
    )  # fmt: skip
    return number, document


@dataclass(frozen=True, slots=True)
class RulesToTry:
    """Rules of a change that are rehearsed for its plan, and those that they take the place of."""

    to: Version
    before: Version
    span_s: float


def rules_to_rehearse(connection: Connection, id_: int) -> RulesToTry | None:
    """What the plan of a change has to say of its rules; None where it has not. Raises
    DeliveryError."""
    row = read_change(connection, id_)
    span_s = read_policy(row.policy).rehearse_s if row.kind == Kind.RULES.value else 0.0
    if not span_s:
        return None
    found = connection.execute(select(release).where(release.c.target == row.target)).one()
    before = plans.version_of(_rules_before(connection, row.target))
    return RulesToTry(
        Version(found.version, found.target, found.sha256, found.length), before, span_s
    )


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"


def preview_plan(
    connection: Connection, draft: Draft, up: Mapping[str, bool] | None, now_ms: int
) -> dict[str, Any]:
    """The plan of a change that is not written down yet. Raises DeliveryError."""
    id_ = (connection.execute(select(func.max(change.c.id))).scalar() or 0) + 1
    return _document(connection, id_, SimpleNamespace(**_values(connection, draft)), up, now_ms)


def _document(
    connection: Connection, id_: int, row: Any, up: Mapping[str, bool] | None, now_ms: int
) -> dict[str, Any]:
    kind = Kind(row.kind)
    waves = read_waves(row.waves)
    found = connection.execute(select(release).where(release.c.target == row.target)).one()
    quarantined = read_quarantined(connection)
    wanted = Wanted(
        id_, kind, row.selector, waves, read_gates(row.gates, waves), read_policy(row.policy),
        Version(found.version, found.target, found.sha256, found.length), dict(found.custom),
        frozenset(quarantined.get(0, ())),
    )  # fmt: skip
    hosts = read_hosts(connection, kind, up, now_ms, limits.SEEN_MS)
    document = plans.make_plan(wanted, hosts, read_windows(connection, now_ms), now_ms)
    if kind is Kind.RULES:
        document["from"] = [_rules_before(connection, row.target)]
    if kind is Kind.SCRIPT:
        # whoever approves the plan has to see them
        document["params"] = dict(row.params)
    return document


def _rules_before(connection: Connection, target: str) -> dict[str, Any]:
    """The rules of the same name that the server took last and kept."""
    name = "/".join(target.split("/")[:2])
    rows = connection.execute(
        select(change.c.target)
        .where(
            change.c.kind == Kind.RULES.value, change.c.state == State.DONE.value,
            change.c.outcome == "success",
        )
        .order_by(change.c.ended_ms.desc())
    ).scalars()  # fmt: skip
    for found in rows:
        if found.startswith(f"{name}/"):
            row = connection.execute(select(release).where(release.c.target == found)).one()
            return {"version": row.version, "target": row.target, "sha256": row.sha256,
                    "length": row.length}  # fmt: skip
    return {"version": "", "target": "", "sha256": "", "length": 0}


def answer_plan(
    connection: Connection,
    id_: int,
    *,
    user: str,
    role: Role,
    answer: str,
    comment: str,
    now_ms: int,
    wave: str = "",
    number: int = 0,
) -> None:
    """Say yes or no to a plan, or to one of its waves (`wave`). Raises DeliveryError."""
    if answer not in ("approved", "rejected"):
        raise SpecError("the answer is approved or rejected")
    row = read_change(connection, id_, lock=True)
    found = newest_plan(connection, id_, number)
    index = -1
    if wave:
        names = [w["name"] for w in found.document["waves"]]
        if wave not in names:
            raise SpecError(f"there is no wave {wave}; there are: {', '.join(names)}")
        index = names.index(wave)
    if answer == "approved" and user == found.created_by and index == -1:
        raise NotAllowed(f"{user} made plan {found.number}, so somebody else has to approve it")
    key = (
        approval.c.plan_id == found.id, approval.c.wave == index, approval.c.user_name == user
    )  # fmt: skip
    values = {"role": role.value, "answer": answer, "comment": comment, "at_ms": now_ms}
    done = connection.execute(update(approval).where(*key).values(**values))
    if not done.rowcount:
        connection.execute(
            insert(approval).values(plan_id=found.id, wave=index, user_name=user, **values)
        )
    what = f"wave {wave} of plan {found.number}" if wave else f"plan {found.number}"
    text = f"{what}: {comment}" if comment else what
    add_event(connection, row.id, answer, user, text, now_ms, {"plan": found.number})


def start_change(
    connection: Connection, id_: int, actor: str, now_ms: int, *, number: int = 0
) -> int:
    """Begin the rollout of a plan; the rollout's number. Raises DeliveryError.

    Approval is not asked for here: the rollout waits for it, and its gates are armed either way.
    """
    row = read_change(connection, id_, lock=True)
    missing = lacking(row.why, row.owner, row.checklist, row.gates)
    if missing:
        raise WrongState(
            f"change {id_} cannot be started: {'; '.join(missing)}. Mend it with "
            f"`vezha change edit {id_}`"
        )
    found = newest_plan(connection, id_, number)
    newest = newest_plan(connection, id_)
    if found.id != newest.id:
        raise WrongState(f"plan {found.number} is not the newest; that is plan {newest.number}")
    document = found.document
    if plans.digest(document) != found.sha256:
        raise WrongState(f"plan {found.number} was changed after it was made; make a new one")
    policy = read_policy(document["policy"])
    kind = Kind(row.kind)
    unsaid = plans.rehearsal_lacking(document)
    if unsaid:
        raise WrongState(f"change {id_} cannot be started: {unsaid}")
    if row.sha256 in read_quarantined(connection).get(0, set()) and not policy.forced:
        raise WrongState(f"{row.target} is in quarantine; lift it, or set policy.forced")
    _check_free(connection, kind, document, id_)
    generation = next_generation(connection, now_ms)
    made = connection.execute(
        insert(rollout).values(
            change_id=id_, plan_id=found.id, generation=generation, revert_generation=None,
            state=RolloutState.RUNNING.value, wave=0, phase="opening", phase_since_ms=now_ms,
            reason="", reason_code="", wish="run", wish_by="", break_glass_until_ms=None,
            break_glass_by="", break_glass_why="", pace=None, held_ms=None, bake_credit_ms=0,
            forced=policy.forced, counts={}, created_ms=now_ms, created_by=actor, ended_ms=None,
            updated_ms=now_ms, revision=1,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    rollout_id = int(made[0])
    versions = [plans.version_of(v) for v in document["from"]]
    rows = [
        attempt_row(rollout_id, HostFacts(host_id, name, {}, runs=versions[index]), at, now_ms)
        for at, wave in enumerate(document["waves"])
        for host_id, name, index in wave["members"]
    ]
    connection.execute(insert(attempt), rows)
    move_change(
        connection, row, Act.START, actor=actor, now_ms=now_ms,
        text=f"rollout {rollout_id} of plan {found.number}",
        data={"rollout": rollout_id, "plan": found.number}, began_ms=now_ms, reason="",
    )  # fmt: skip
    return rollout_id


def _check_free(connection: Connection, kind: Kind, document: Mapping[str, Any], id_: int) -> None:
    members = {m[0]: m[1] for wave in document["waves"] for m in wave["members"]}
    if kind is Kind.RULES:
        taken = connection.execute(
            select(rollout.c.id)
            .join(change, change.c.id == rollout.c.change_id)
            .where(
                change.c.kind == kind.value,
                rollout.c.state.in_([s.value for s in (RolloutState.RUNNING, RolloutState.HELD,
                                                       RolloutState.REVERTING)]),
            )
        ).scalar()  # fmt: skip
        if taken is not None:
            raise WrongState(f"rollout {taken} changes the rules now; wait for its end")
        return
    facts = read_hosts(connection, kind, None, 0, 0)
    held = [f for f in facts if f.id in members and f.held_by is not None]
    gone = set(members) - {f.id for f in facts} - {SERVER.id}
    if held:
        raise WrongState(
            f"{len(held)} hosts of the plan ({held[0].name} …) are taken by rollout "
            f"{held[0].held_by} meanwhile; make a new plan with `vezha change plan {id_}`"
        )
    if gone:
        raise WrongState(
            f"{len(gone)} hosts of the plan were removed meanwhile; make a new plan with "
            f"`vezha change plan {id_}`"
        )


def cancel_change(connection: Connection, id_: int, actor: str, now_ms: int, why: str = "") -> None:
    """Give up a change that was not started. Raises DeliveryError."""
    row = read_change(connection, id_, lock=True)
    if row.state not in (State.DRAFT.value, State.PLANNED.value):
        raise WrongState(f"change {id_} is {row.state}; end its rollout with `vezha rollout abort`")
    move_change(
        connection, row, Act.CANCEL, actor=actor, now_ms=now_ms, text=why, outcome="cancelled",
        ended_ms=now_ms, reason=why,
    )  # fmt: skip


_WISHES: dict[str, tuple[str, tuple[RolloutState, ...]]] = {
    "pause": ("pause", (RolloutState.RUNNING, RolloutState.HELD)),
    "resume": ("run", (RolloutState.RUNNING, RolloutState.HELD)),
    "abort": ("abort", (RolloutState.RUNNING, RolloutState.HELD)),
    "revert": ("revert", (RolloutState.RUNNING, RolloutState.HELD, RolloutState.DONE)),
}
WISHES = tuple(_WISHES)
"""What people can do with a rollout."""


def wish(
    connection: Connection, rollout_id: int, act: str, actor: str, now_ms: int, why: str = ""
) -> AnyRow:
    """Pause, resume, abort (hosts that have it keep it) or revert a rollout; its row before.

    Raises DeliveryError.
    """
    row = read_rollout(connection, rollout_id, lock=True)
    word, states = _WISHES[act]
    if RolloutState(row.state) not in states:
        raise WrongState(f"rollout {rollout_id} is {row.state}, so one cannot {act} it")
    connection.execute(
        update(rollout)
        .where(rollout.c.id == rollout_id)
        .values(wish=word, wish_by=actor, updated_ms=now_ms, revision=rollout.c.revision + 1)
    )
    text = f"rollout {rollout_id}" + (f": {why}" if why else "")
    add_event(
        connection, row.change_id, f"wish_{act}", actor, text, now_ms, {"rollout": rollout_id}
    )
    return row


def break_glass(
    connection: Connection, rollout_id: int, actor: str, why: str, length_ms: int, now_ms: int
) -> None:
    """Let a rollout go on in spite of windows, for a time. Gates stay armed. Raises DeliveryError."""
    row = read_rollout(connection, rollout_id, lock=True)
    if RolloutState(row.state) not in (RolloutState.RUNNING, RolloutState.HELD):
        raise WrongState(f"rollout {rollout_id} is {row.state}; windows do not keep it")
    if not why.strip():
        raise SpecError("breaking the glass needs a reason (why)")
    if not 0 < length_ms <= limits.BREAK_GLASS_MS_MAX:
        hours = limits.BREAK_GLASS_MS_MAX // 3_600_000
        raise SpecError(f"the glass stays broken for {hours} hours at most")
    connection.execute(
        update(rollout)
        .where(rollout.c.id == rollout_id)
        .values(
            break_glass_until_ms=now_ms + length_ms, break_glass_by=actor, break_glass_why=why,
            updated_ms=now_ms, revision=rollout.c.revision + 1,
        )
    )  # fmt: skip
    add_event(connection, row.change_id, "break_glass", actor, why, now_ms,
              {"rollout": rollout_id, "minutes": length_ms // 60_000})  # fmt: skip


def lift_quarantine(
    connection: Connection, sha256: str, host_id: int, actor: str, why: str, now_ms: int
) -> int:
    """Let a hash be offered again, of one host or (0) of all; how many rows were lifted.

    Raises DeliveryError.
    """
    if not why.strip():
        raise SpecError("lifting a quarantine needs a reason (why)")
    wanted = [quarantine.c.sha256.startswith(sha256), quarantine.c.lifted_ms.is_(None)]
    if host_id:
        wanted.append(quarantine.c.host_id == host_id)
    hashes = set(connection.execute(select(quarantine.c.sha256).where(*wanted)).scalars())
    if not hashes or len(sha256) < 8:
        raise NoSuchChange("there is no such hash in quarantine; see `vezha change quarantine`")
    if len(hashes) > 1:
        raise SpecError("several hashes begin so; give more of it")
    done = connection.execute(
        update(quarantine).where(*wanted).values(lifted_ms=now_ms, lifted_by=actor, lifted_why=why)
    )
    return done.rowcount
