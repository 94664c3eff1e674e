"""Mending drift: hosts get again what was delivered to them, as a change like any other.

One change for each artifact that hosts drifted from, written after the change that delivered it:
same owner, checklist, gates, waves, policy, approvals. Its plan takes only hosts that drift from it
(`policy.only_drifted`), and no host follows it later. It is signed, watched, proven and taken back
like everything else; what cannot be mended this way is told, with who can.

A host that did not go back when its delivery was taken back is told so again under a newer generation, by
the directive that it has: that needs no change, since nothing new is brought to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from vezha.delivery.change import DIRECTIVE_KINDS, Kind, lacking
from vezha.delivery.desk import Draft, draft_change, plan_change, preview_plan, start_change
from vezha.delivery.drift import Drift, drift_view, read_drift
from vezha.delivery.errors import NoSuchChange, WrongState
from vezha.delivery.limits import HOSTS_NAMED_MAX
from vezha.delivery.plan import plan_text
from vezha.delivery.rows import add_event, next_generation, pieces, read_change
from vezha.delivery.selector import parse_selector
from vezha.ledger import AnyRow
from vezha.ledger.tables import change, directive, host

REST = "others"
"""Name of the wave for hosts that no wave of the first change takes."""


@dataclass(frozen=True, slots=True)
class Which:
    """Whose drift: of one change (0: any), one host, hosts that a selector fits. All together."""

    change_id: int = 0
    host: str = ""
    selector: str = ""


@dataclass(slots=True)
class Mended:
    """One artifact: the change that was written for it, or would be."""

    target: str
    document: dict[str, Any]
    lacks: list[str]
    change_id: int | None = None
    rollout_id: int | None = None

    @property
    def hosts(self) -> list[str]:
        """Who gets it."""
        return [m[1] for wave in self.document["waves"] for m in wave["members"]]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "target": self.target, "hosts": self.hosts, "lacks": self.lacks,
            "change_id": self.change_id, "rollout_id": self.rollout_id,
            "document": self.document, "text": plan_text(1, self.document),
        }  # fmt: skip


@dataclass(slots=True)
class Mending:
    """What came of it: changes, hosts told again to go back, and drift to be mended elsewhere."""

    mended: list[Mended]
    left: list[Drift]
    told_again: list[Drift]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "mended": [m.as_json() for m in self.mended],
            "left": [drift_view(d) for d in self.left],
            "told_again": [drift_view(d) for d in self.told_again],
        }


def chosen(connection: Connection, which: Which) -> list[Drift]:
    """Drift of the hosts that are meant. Raises DeliveryError."""
    if which.change_id:
        read_change(connection, which.change_id)
    selector = parse_selector(which.selector)
    labels: dict[int, Mapping[str, str]] = {}
    names = set()
    for row in connection.execute(select(host.c.id, host.c.name, host.c.labels)):
        labels[row.id] = dict(row.labels)
        names.add(row.name)
    if which.host and which.host not in names:
        raise NoSuchChange(f"there is no host {which.host}; see `vezha fleet list`")
    return [
        d for d in read_drift(connection)
        if which.change_id in (0, d.change_id)
        and which.host in ("", d.host)
        and selector.covers(d.host, labels.get(d.host_id, {}))
    ]  # fmt: skip


def mend(
    connection: Connection,
    which: Which,
    up: Mapping[str, bool] | None,
    actor: str,
    why: str,
    now_ms: int,
    *,
    dry_run: bool,
) -> Mending:
    """Write, plan and start what mends the drift of *which*; a dry run only says it.

    Raises DeliveryError where nobody drifts, nothing can be mended from here, or a plan cannot be
    made or started.
    """
    drifts = chosen(connection, which)
    if not drifts:
        raise NoSuchChange("no host that is meant drifts; see `vezha change drift`")
    left = [d for d in drifts if not d.can_be_mended]
    back = [d for d in drifts if d.code == "not_back"]
    by_target: dict[tuple[str, Kind], list[Drift]] = {}
    for one in drifts:
        if one.can_be_mended and one.code != "not_back":
            by_target.setdefault((one.delivered.target, one.kind), []).append(one)
    if not by_target and not back:
        first = left[0]
        way = f"; mend it there, or take it for meant: `vezha change accept {first.host} --why …`"
        raise WrongState(
            f"nothing can be mended from here: on {first.host} {first.sentence}"
            + (way if first.code == "edited" else "; deliver something else to it")
        )
    out = Mending([], left, back)
    if back and not dry_run:
        _tell_again(connection, back, actor, now_ms)
    for (target, kind), group in sorted(by_target.items(), key=lambda item: item[0][0]):
        draft = draft_of(connection, which, target, kind, group, why)
        if dry_run:
            document = preview_plan(connection, draft, up, now_ms)
            lacks = lacking(draft.why, draft.owner, draft.checklist, draft.gates)
            out.mended.append(Mended(target, document, lacks))
            continue
        id_ = draft_change(connection, draft, actor, now_ms)
        _, document = plan_change(connection, id_, up, actor, now_ms)
        rollout_id = start_change(connection, id_, actor, now_ms)
        out.mended.append(Mended(target, document, [], id_, rollout_id))
    return out


def _tell_again(connection: Connection, drifts: Sequence[Drift], actor: str, now_ms: int) -> None:
    """The same directive under a newer generation, so that agents take it up once more."""
    words = {DIRECTIVE_KINDS[d.kind] for d in drifts}
    hosts: dict[int, list[str]] = {}
    for word in sorted(words):
        ids = [d.host_id for d in drifts if DIRECTIVE_KINDS[d.kind] == word]
        generation = next_generation(connection, now_ms)
        for part in pieces(ids):
            connection.execute(
                update(directive)
                .where(
                    directive.c.host_id.in_(part), directive.c.kind == word, directive.c.run == ""
                )
                .values(generation=generation, updated_ms=now_ms)
            )
    for one in drifts:
        if one.change_id is not None:
            hosts.setdefault(one.change_id, []).append(one.host)
    for change_id, names in hosts.items():
        shown = ", ".join(names[:HOSTS_NAMED_MAX])
        more = f" and {len(names) - HOSTS_NAMED_MAX} more" if len(names) > HOSTS_NAMED_MAX else ""
        text = f"told again to go back: {shown}{more}"
        add_event(connection, change_id, "told_again", actor, text, now_ms)


def draft_of(
    connection: Connection, which: Which, target: str, kind: Kind, drifts: Sequence[Drift], why: str
) -> Draft:
    """The change that mends *drifts*, after the one that delivered *target*."""
    first = _delivered_by(connection, target, drifts)
    waves = [dict(w) for w in first.waves]
    if any(waves[-1].get(name) for name in ("hosts", "selector", "count", "percent")):
        # a host that joined late is in no wave of the first change
        waves.append({"name": REST, "bake_s": waves[-1].get("bake_s", 600.0)})
    return Draft(
        kind.value,
        target,
        title=f"drift of {first.title}",
        why=why.strip() or f"hosts run again what change {first.id} delivered to them",
        owner=first.owner,
        checklist=first.checklist,
        risk=first.risk,
        selector=_selector_of(which, first),
        gates=list(first.gates),
        waves=waves,
        policy={**first.policy, "only_drifted": True, "late": "leave"},
        labels={"drift_of": str(first.id)},
    )


def _selector_of(which: Which, first: AnyRow) -> str:
    if not which.host:
        return which.selector or (first.selector if which.change_id else "")
    name = which.host.replace("\\", "\\\\").replace('"', '\\"')
    inner = which.selector.strip().removeprefix("{").removesuffix("}").strip()
    return f'instance="{name}"' + (f", {inner}" if inner else "")


def _delivered_by(connection: Connection, target: str, drifts: Sequence[Drift]) -> AnyRow:
    ids = [d.change_id for d in drifts if d.change_id is not None]
    wanted = select(change).where(change.c.target == target).order_by(change.c.id.desc())
    if ids:
        wanted = wanted.where(change.c.id.in_(ids))
    found = connection.execute(wanted.limit(1)).first()
    if found is None:
        raise WrongState(f"no change is known that delivered {target}; deliver it by a new change")
    return found
