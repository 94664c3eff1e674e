"""Drift: a host does not run what was delivered to it. Pure, but for reading and keeping rows.

| Code | What | Mended by |
|---|---|---|
| `left_out` | the agent left the delivered configuration out (its file on that host is damaged) | delivering it again |
| `other` | another file or configuration runs (installed by hand, restored from a copy) | delivering it again |
| `edited` | it runs, but agent.toml on that host says more or other than when it was proven | the host; or accepting it |
| `not_back` | a delivery was taken back and the host still has it | telling it again to go back |

A host that is between an offer and its end, or has not heard of its newest directive, is no drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tomllib
from sqlalchemy import Connection, and_, delete, insert, or_, select

from vezha.delivery.attempt import IN_FLIGHT
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.change import DIRECTIVE_KINDS, Kind
from vezha.delivery.errors import NoSuchChange, SpecError, WrongState
from vezha.delivery.limits import BASELINES_PER_STEP_MAX, DRIFT_KEYS_MAX
from vezha.delivery.plan import Version
from vezha.ledger import AnyRow
from vezha.ledger.tables import (
    attempt,
    change,
    directive,
    host,
    proven_config,
    release,
    rollout,
    running,
)

CODES = ("left_out", "other", "edited", "not_back")
_KINDS = {word: kind for kind, word in DIRECTIVE_KINDS.items() if kind is not Kind.SCRIPT}
_BUSY = [s.value for s in (*IN_FLIGHT, AttemptState.REVERTING)]


@dataclass(frozen=True, slots=True)
class Drift:
    """One host that runs something else than was delivered to it. `keys` are those of its
    configuration that differ, as far as they can be told."""

    kind: Kind
    host_id: int
    host: str
    code: str
    sentence: str
    delivered: Version
    runs: Version
    change_id: int | None
    keys: tuple[str, ...] = ()

    @property
    def can_be_mended(self) -> bool:
        """Whether it is mended from here: delivered again, or told again to go back."""
        return self.code in ("left_out", "other", "not_back")


def judge_drift(
    kind: Kind, delivered: Version, runs: Version, trouble: str, keys: tuple[str, ...]
) -> tuple[str, str] | None:
    """(code, sentence) of what differs; None where nothing does.

    *keys* are those in which the effective configuration differs from the one that was proven.
    """
    if kind is Kind.CONFIG and trouble and runs.sha256 != delivered.sha256:
        return "left_out", trouble
    if runs.sha256 != delivered.sha256:
        if not delivered.sha256:
            return "not_back", f"it was to go back to its own, and runs {runs.shown}"
        return "other", f"{delivered.shown} was delivered, and {runs.shown} runs"
    if keys:
        shown = ", ".join(keys[:DRIFT_KEYS_MAX])
        more = f" and {len(keys) - DRIFT_KEYS_MAX} more" if len(keys) > DRIFT_KEYS_MAX else ""
        return "edited", f"agent.toml on that host was changed since it was proven: {shown}{more}"
    return None


def changed_keys(before: str, after: str) -> tuple[str, ...]:
    """Dotted keys in which two configurations (TOML) differ; where one cannot be read, `(unreadable)`."""
    try:
        one, other = (dict(_leaves(tomllib.loads(text), "")) for text in (before, after))
    except tomllib.TOMLDecodeError:
        return ("(unreadable)",)
    names = one.keys() | other.keys()
    return tuple(sorted(n for n in names if one.get(n, _NONE) != other.get(n, _NONE)))


_NONE = object()


def _leaves(table: Mapping[str, Any], path: str) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def read_drift(connection: Connection) -> list[Drift]:
    """All hosts that drift, by kind and name."""
    # nearly all hosts agree: those are left out by the database
    differs = or_(
        and_(
            directive.c.kind == DIRECTIVE_KINDS[Kind.CONFIG],
            or_(
                running.c.config_sha256 != directive.c.sha256,
                and_(
                    directive.c.sha256 != "",
                    proven_config.c.generation == directive.c.generation,
                    proven_config.c.effective_sha256 != running.c.effective_sha256,
                ),
            ),
        ),
        and_(
            directive.c.kind == DIRECTIVE_KINDS[Kind.AGENT],
            # the hash of the file that a host came with is not known here
            directive.c.sha256 != "",
            running.c.release_sha256 != directive.c.sha256,
        ),
    )
    rows = connection.execute(
        select(
            directive.c.host_id, directive.c.kind, directive.c.generation, directive.c.target,
            directive.c.sha256, directive.c.length, rollout.c.change_id,
            host.c.name.label("host"), running.c.release_sha256, running.c.config_sha256,
            running.c.version, running.c.generations, running.c.detail,
            proven_config.c.text.label("proven_text"),
        )
        .join(running, running.c.host_id == directive.c.host_id)
        .join(host, host.c.id == directive.c.host_id)
        .outerjoin(proven_config, proven_config.c.host_id == directive.c.host_id)
        .outerjoin(rollout, rollout.c.id == directive.c.rollout_id)
        .where(directive.c.run == "", directive.c.kind.in_(list(_KINDS)), differs)
        .order_by(directive.c.kind, host.c.name)
    ).all()  # fmt: skip
    if not rows:
        return []
    busy = _busy(connection)
    known = {
        row.sha256: row
        for row in connection.execute(
            select(release.c.sha256, release.c.version, release.c.target, release.c.length)
        )
    }
    found = (_drift_of(row, known) for row in rows if (row.host_id, row.kind) not in busy)
    return [one for one in found if one is not None]


def _drift_of(row: AnyRow, known: Mapping[str, AnyRow]) -> Drift | None:
    kind = _KINDS[row.kind]
    if int((row.generations or {}).get(row.kind) or 0) < row.generation:
        return None  # it has not heard of it yet, or is about to take it
    runs_sha256 = row.config_sha256 if kind is Kind.CONFIG else row.release_sha256
    delivered = Version(
        known[row.sha256].version if row.sha256 in known else "", row.target, row.sha256, row.length
    )
    if runs_sha256 in known:
        runs = Version(known[runs_sha256].version, known[runs_sha256].target, runs_sha256,
                       known[runs_sha256].length)  # fmt: skip
    else:
        runs = Version(row.version if kind is Kind.AGENT else "", "", runs_sha256)
    detail = row.detail or {}
    keys: tuple[str, ...] = ()
    if kind is Kind.CONFIG and runs_sha256 == row.sha256:
        # it is here since what is in effect is not what was proven
        keys = changed_keys(row.proven_text, str(detail.get("text", ""))) or ("(not told)",)
    said = judge_drift(kind, delivered, runs, str(detail.get("trouble", "")), keys)
    if said is None:
        return None
    return Drift(kind, row.host_id, row.host, *said, delivered, runs, row.change_id, keys)


def _busy(connection: Connection) -> set[tuple[int, str]]:
    """Hosts on their way somewhere, with the kind of directive that takes them there."""
    rows = connection.execute(
        select(attempt.c.host_id, change.c.kind)
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .where(attempt.c.state.in_(_BUSY))
    )
    words = {kind.value: word for kind, word in DIRECTIVE_KINDS.items()}
    return {(row.host_id, words.get(row.kind, "")) for row in rows}


def keep_baselines(connection: Connection, now_ms: int) -> int:
    """Remember what is in effect on hosts that run their delivered configuration and of which that
    is not known yet; of how many."""
    rows = connection.execute(
        select(
            directive.c.host_id, directive.c.generation, running.c.effective_sha256,
            running.c.detail, running.c.generations,
        )
        .join(running, running.c.host_id == directive.c.host_id)
        .outerjoin(proven_config, proven_config.c.host_id == directive.c.host_id)
        .where(
            directive.c.run == "",
            directive.c.kind == DIRECTIVE_KINDS[Kind.CONFIG],
            directive.c.sha256 != "",
            directive.c.sha256 == running.c.config_sha256,
            running.c.effective_sha256 != "",
            or_(
                proven_config.c.generation.is_(None),
                proven_config.c.generation != directive.c.generation,
            ),
        )
        .limit(BASELINES_PER_STEP_MAX)
    ).all()  # fmt: skip
    fresh = [r for r in rows if int((r.generations or {}).get("config") or 0) >= r.generation]
    _put(connection, fresh, "", now_ms)
    return len(fresh)


def _put(connection: Connection, rows: Iterable[AnyRow], who: str, now_ms: int) -> None:
    values = [
        {"host_id": r.host_id, "generation": r.generation,
         "effective_sha256": r.effective_sha256, "text": str((r.detail or {}).get("text", "")),
         "accepted_by": who, "at_ms": now_ms}
        for r in rows
    ]  # fmt: skip
    if not values:
        return
    hosts = [v["host_id"] for v in values]
    connection.execute(delete(proven_config).where(proven_config.c.host_id.in_(hosts)))
    connection.execute(insert(proven_config), values)


def accept_edited(connection: Connection, name: str, who: str, why: str, now_ms: int) -> Drift:
    """Take what `agent.toml` on the host *name* says now for meant; what drifted. Raises
    DeliveryError."""
    if not why.strip():
        raise SpecError("accepting what was changed on a host needs a reason (why)")
    found = [d for d in read_drift(connection) if d.host == name]
    if not found:
        raise NoSuchChange(f"host {name} does not drift; see `vezha change drift`")
    for one in found:
        if one.code == "edited":
            row = connection.execute(
                select(directive.c.host_id, directive.c.generation, running.c.effective_sha256,
                       running.c.detail)
                .join(running, running.c.host_id == directive.c.host_id)
                .where(directive.c.host_id == one.host_id, directive.c.kind == "config",
                       directive.c.run == "")
            ).one()  # fmt: skip
            _put(connection, [row], who, now_ms)
            return one
    raise WrongState(
        f"host {name} does not run what was delivered: {found[0].sentence}; mend it with "
        f"`vezha change mend --host {name}`"
    )


def drifts_from(drifts: Iterable[Drift], kind: Kind) -> dict[int, str]:
    """Which artifact (its hash) hosts should run again, where delivering it again mends them."""
    return {
        d.host_id: d.delivered.sha256
        for d in drifts
        if d.kind is kind and d.can_be_mended and d.code != "not_back"
    }


def drift_view(one: Drift) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "host": one.host, "kind": one.kind.value, "code": one.code, "sentence": one.sentence,
        "delivered": one.delivered.shown, "target": one.delivered.target,
        "sha256": one.delivered.sha256, "runs": one.runs.shown, "runs_sha256": one.runs.sha256,
        "change_id": one.change_id, "keys": list(one.keys), "can_be_mended": one.can_be_mended,
    }  # fmt: skip
