"""What a change of rules would have done: its plan says so, or it cannot be started.

The alerts of the artifact are rehearsed over stored samples, and those of the version in force beside
them. What cannot be rehearsed is told as a problem in the document, never raised: a plan is made anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vezha.alerting.archive import CHECKLIST_SUFFIX, unpack
from vezha.alerting.errors import EvaluationError, RuleError
from vezha.alerting.rehearse import Block, RangeAsk, Rehearsal, as_document, in_words, rehearse
from vezha.alerting.rule import Group
from vezha.alerting.saved import parse_text
from vezha.api.limits import REHEARSAL_STEPS
from vezha.delivery.desk import RulesToTry
from vezha.delivery.plan import Version
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.errors import ChecklistError
from vezha.query import Engine, QueryError
from vezha.trust.errors import Refused, TrustError
from vezha.trust.folder import ReleaseFolder
from vezha.trust.repository import check
from vezha.trust.verify import Trusted
from vezha.world import World

RELEASES = "releases_folder"
"""Under this name `Services.extra` holds the folder of what was published."""
_COVERED = "count(up)"
_HOSTS_SHOWN = 5
_ERRORS_SHOWN = 3


def asking(engine: Engine, cancelled: Callable[[], bool] = lambda: False) -> RangeAsk:
    """Range queries of *engine*, as a rehearsal asks them."""

    def ask(expr: str, start_ms: int, end_ms: int, step_ms: int) -> Block:
        if cancelled():
            raise EvaluationError("it took too long")
        try:
            result = engine.range(expr, start_ms, end_ms, step_ms)
        except QueryError as fault:
            raise EvaluationError(str(fault)) from None
        return result.labels, result.values, result.present

    return ask


def step_of(groups: list[Group], span_ms: int) -> int:
    """Between evaluations in ms: at most REHEARSAL_STEPS of them, none more often than the rules'."""
    coarse_ms = -(-span_ms // REHEARSAL_STEPS // 1000) * 1000
    return max(1000, *(g.interval_ms for g in groups), coarse_ms)


@dataclass(slots=True)
class _Read:
    """The rules of an artifact, and what is wrong with its files."""

    groups: list[Group]
    problems: list[str]


def rehearse_rules(
    folder: ReleaseFolder, world: World, wanted: RulesToTry, ask: RangeAsk, end_ms: int
) -> dict[str, Any]:
    """The document for the plan: `alerts` with what each would have done, `gone` with what the version
    in force has and this one has not, `covered` (share of the span with samples), `problems`."""
    out: dict[str, Any] = {"sha256": wanted.to.sha256}
    span_ms = int(wanted.span_s * 1000)
    try:
        trusted = check(folder.files(), world.clock.now())
        new = _read(folder, trusted, wanted.to)
    except (Refused, TrustError, OSError, ValueError) as fault:
        return {**out, "problem": f"the artifact cannot be read: {fault}"}
    if new.problems:
        return {**out, "problems": new.problems}
    before = _Read([], [])
    if wanted.before.target:
        try:
            before = _read(folder, trusted, wanted.before)
        except (Refused, TrustError, OSError, ValueError):
            before = _Read([], [])  # what is not published any more is not compared with
    step_ms = step_of(new.groups, span_ms)
    start_ms = end_ms - span_ms
    try:
        covered = _covered(ask, start_ms, end_ms, step_ms)
        found = rehearse(new.groups, ask, start_ms, end_ms, step_ms)
        old = {_key(r): r for r in rehearse(before.groups, ask, start_ms, end_ms, step_ms)}
    except EvaluationError as fault:
        return {**out, "problem": str(fault)}
    alerts = [_alert(one, old.pop(_key(one), None), end_ms) for one in found]
    gone = [{"rule": one.rule.name, "fired": len(one.firings)} for one in old.values()]
    return {
        **out, "from_ms": start_ms, "to_ms": end_ms, "step_ms": step_ms, "covered": covered,
        "problems": [], "alerts": alerts, "gone": gone,
    }  # fmt: skip


def _key(one: Rehearsal) -> tuple[str, str]:
    return one.group, one.rule.name


def _alert(one: Rehearsal, before: Rehearsal | None, end_ms: int) -> dict[str, Any]:
    document = as_document(one, end_ms)
    return {
        "group": document["group"], "rule": document["rule"], "severity": document["severity"],
        "fired": document["fired"], "seconds": document["seconds"],
        "hosts": document["hosts"][:_HOSTS_SHOWN], "hosts_count": len(document["hosts"]),
        "errors": document["errors"][:_ERRORS_SHOWN],
        "before": None if before is None else len(before.firings),
        "said": in_words(one, end_ms),
    }  # fmt: skip


def _covered(ask: RangeAsk, start_ms: int, end_ms: int, step_ms: int) -> float:
    labels, _, present = ask(_COVERED, start_ms, end_ms, step_ms)
    return round(float(present.any(axis=0).mean()), 4) if labels else 0.0


def _read(folder: ReleaseFolder, trusted: Trusted, version: Version) -> _Read:
    artifact = trusted.artifact(version.target)
    if artifact.sha256 != version.sha256:
        raise ValueError("the signed targets list another file under that name")
    files: Mapping[str, bytes] = unpack(version.target, folder.read_artifact(artifact))
    out = _Read([], [])
    for name, content in sorted(files.items()):
        try:
            text = content.decode()
            if name.endswith(CHECKLIST_SUFFIX):
                parse_checklist(text, name.removesuffix(CHECKLIST_SUFFIX))
            else:
                out.groups += parse_text(text, name)
        except (RuleError, ChecklistError) as fault:
            out.problems += fault.problems
        except UnicodeDecodeError:
            out.problems.append(f"{name} is not UTF-8")
    return out
