"""From facts to what is said: sections of entries, each with what it cites. Pure.

An entry is a code with parameters, so that one page can be read in either language; `words`
makes sentences of it. `cites` are the rows it was made from (`change:7`, `incident:12`, `host:db-1`,
`rule:DiskFull`, `series:…`); an entry without any is a mistake of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vezha.diary.facts import ChangeFact, IncidentFact, TimesFact, WeekFacts
from vezha.diary.limits import CHANGED_LEAST, CITED_MAX, LISTED_MAX, PREDICTABLE_LEAST

SECTIONS = ("delivered", "stable", "risk", "times", "load", "next")
"""In the order of the page."""
_SEVERE = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Entry:
    """One sentence to be: its code, its parameters, and what it was made from."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)
    cites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    name: str
    entries: tuple[Entry, ...]


def sections_of(facts: WeekFacts) -> tuple[Section, ...]:
    """The whole page. A section without anything to say says that."""
    makers = {
        "delivered": _delivered,
        "stable": _stable,
        "risk": _risk,
        "times": _times,
        "load": _load,
        "next": _next,
    }
    out = []
    for name in SECTIONS:
        entries = tuple(makers[name](facts))
        empty = Entry(f"{name}_nothing", {}, (f"week:{facts.week}",))
        out.append(Section(name, entries or (empty,)))
    return tuple(out)


def is_empty(facts: WeekFacts) -> bool:
    """Whether nothing at all happened in the week."""
    return not (facts.changes or facts.incidents or facts.planned or facts.due)


def _cites(kind: str, ids: Iterable[object]) -> tuple[str, ...]:
    named = list(dict.fromkeys(f"{kind}:{one}" for one in ids))
    return tuple(named[:CITED_MAX])


# what was delivered ---------------------------------------------------------------------------------


def _delivered(facts: WeekFacts) -> Iterable[Entry]:
    ended = [c for c in facts.changes if c.ended_ms is not None]
    if ended:
        blamed_ids = {i.caused_by for i in facts.incidents}
        good = [c for c in ended if not _went_wrong(c) and c.id not in blamed_ids]
        values: dict[str, Any] = {"count": len(ended), "good": len(good)}
        yield Entry("delivered_count", values, _cites("change", (c.id for c in ended)))
    for change in _most(ended):
        code = "delivered_back" if _went_wrong(change) else "delivered_one"
        values = {
            "title": change.title,
            "kind": change.kind,
            "hosts": change.hosts,
            "reason": change.reason,
            "owner": change.owner,
        }
        cites: tuple[str, ...] = (f"change:{change.id}",)
        blamed = [i.id for i in facts.incidents if i.caused_by == change.id]
        if blamed:
            values["incidents"] = blamed
            cites += _cites("incident", blamed)
        yield Entry(code, values, cites)
    if len(ended) > LISTED_MAX:
        rest = sorted(ended, key=_weight)[LISTED_MAX:]
        yield Entry("more_changes", {"count": len(rest)}, _cites("change", (c.id for c in rest)))
    running = [c for c in facts.changes if c.ended_ms is None]
    for change in running[:LISTED_MAX]:
        values = {"title": change.title, "state": change.state, "reason": change.reason}
        yield Entry("delivered_running", values, (f"change:{change.id}",))
    figures, before = facts.delivery, facts.delivery_before
    named = _cites("change", (c.id for c in ended))
    if ended and figures.failed_ratio is not None:
        values = {"now": figures.failed_ratio, "before": before.failed_ratio}
        yield Entry("failed_ratio", values, named)
    if ended and figures.lead_time_s is not None:
        values = {"now": figures.lead_time_s, "before": before.lead_time_s}
        yield Entry("lead_time", values, named)


def _went_wrong(change: ChangeFact) -> bool:
    return change.state in ("reverted", "reverting") or change.outcome in ("failed", "rolled_back")


def _weight(change: ChangeFact) -> tuple[bool, int, int]:
    return (not _went_wrong(change), -change.hosts, -change.id)


def _most(changes: Sequence[ChangeFact]) -> list[ChangeFact]:
    """The few that are told one by one: what went wrong first, then what touched most."""
    return sorted(changes, key=_weight)[:LISTED_MAX]


# what is stable -------------------------------------------------------------------------------------


def _stable(facts: WeekFacts) -> Iterable[Entry]:
    calm = facts.hosts - facts.hosts_with_incidents
    if facts.hosts and calm:
        values: dict[str, Any] = {"calm": calm, "hosts": facts.hosts, "total": facts.hosts}
        yield Entry("hosts_calm", values, (f"week:{facts.week}",))
    if facts.hosts and facts.completeness is not None and not facts.incomplete:
        cites = ("series:vezha_agent_completeness_ratio",)
        yield Entry("data_complete", {"hosts": facts.hosts, "least": facts.completeness}, cites)
    severe = [i for i in facts.incidents if i.severity == "critical"]
    if not severe and facts.hosts:
        yield Entry("no_critical", {}, (f"week:{facts.week}",))
    ended = [c for c in facts.changes if c.ended_ms is not None]
    if ended and not any(_went_wrong(c) for c in ended):
        yield Entry("no_way_back", {"count": len(ended)}, _cites("change", (c.id for c in ended)))
    if facts.checklists_done:
        values = {"done": facts.checklists_done, "open": facts.checklists_open}
        yield Entry("checklists_done", values, (f"week:{facts.week}",))
    if facts.rounds_done:
        yield Entry("rounds_done", {"count": facts.rounds_done}, (f"week:{facts.week}",))


# where the risk is ----------------------------------------------------------------------------------


def _risk(facts: WeekFacts) -> Iterable[Entry]:
    still = [i for i in facts.incidents if i.state != "resolved"]
    for incident in sorted(still, key=_rank)[:LISTED_MAX]:
        values: dict[str, Any] = {
            "title": incident.title,
            "title_uk": incident.title_uk,
            "severity": incident.severity,
            "age_s": max(0, facts.made_ms - incident.began_ms) / 1000,
        }
        yield Entry("still_open", values, (f"incident:{incident.id}",))
    if len(still) > LISTED_MAX:
        rest = sorted(still, key=_rank)[LISTED_MAX:]
        cites = _cites("incident", (i.id for i in rest))
        yield Entry("more_open", {"count": len(rest)}, cites)
    often = sorted((r for r in facts.rules if r.incidents >= 3), key=lambda r: -r.incidents)
    for rule in often[:3]:
        cites = (f"rule:{rule.name}", *_cites("incident", rule.ids))[:CITED_MAX]
        yield Entry("often", {"rule": rule.name, "count": rule.incidents}, cites)
    for incident in facts.incidents:
        if incident.caused_by is not None:
            values = {
                "title": incident.title,
                "title_uk": incident.title_uk,
                "change": incident.caused_by,
            }
            cites = (f"incident:{incident.id}", f"change:{incident.caused_by}")
            yield Entry("caused", values, cites)
    open_questions = [i for i in facts.incidents if i.caused_by is None and i.suspected is not None]
    for incident in open_questions[:3]:
        values = {
            "title": incident.title,
            "title_uk": incident.title_uk,
            "change": incident.suspected,
        }
        cites = (f"incident:{incident.id}", f"change:{incident.suspected}")
        yield Entry("suspected", values, cites)
    if facts.incomplete:
        worst = sorted(facts.incomplete, key=lambda h: h.completeness)
        values = {
            "count": len(worst),
            "host": worst[0].name,
            "ratio": worst[0].completeness,
        }
        yield Entry("data_incomplete", values, _cites("host", (h.name for h in worst)))
    for name in facts.quarantined[:3]:
        yield Entry("quarantined", {"name": name}, (f"release:{name}",))
    for due in facts.due:
        if due.kind == "trust" and due.in_s <= 0:
            yield Entry("trust_expired", {"name": due.name}, (f"trust:{due.name}",))
    for what in facts.unknown:
        yield Entry("unknown", {"what": what}, (f"week:{facts.week}",))


def _rank(incident: IncidentFact) -> tuple[int, int]:
    severity = incident.severity
    order = _SEVERE.index(severity) if severity in _SEVERE else len(_SEVERE)
    return (order, incident.began_ms)


# detection, response, recovery ----------------------------------------------------------------------


def _times(facts: WeekFacts) -> Iterable[Entry]:
    if not facts.incidents or not facts.times.incidents:
        return
    counted = [i for i in facts.incidents if facts.begin_ms <= i.detected_ms < facts.end_ms]
    cites = _cites("incident", (i.id for i in counted)) or (f"week:{facts.week}",)
    values: dict[str, Any] = {
        "count": facts.times.incidents,
        "before": facts.times_before.incidents,
    }
    yield Entry("incidents_count", values, cites)
    for name in ("detection", "response", "recovery"):
        now = _time(facts.times, name)
        if now is not None:
            before = _time(facts.times_before, name)
            values = {"now_s": now, "before_s": before, "trend": trend(now, before)}
            yield Entry(f"{name}_time", values, cites)
    unseen = [i for i in counted if i.acknowledged_ms is None]
    if unseen:
        yield Entry(
            "nobody_took", {"count": len(unseen)}, _cites("incident", (i.id for i in unseen))
        )


def _time(times: TimesFact, name: str) -> float | None:
    value: float | None = getattr(times, f"{name}_s")
    return value


def trend(now: float, before: float | None) -> str:
    """`new`, `same`, `shorter` or `longer`."""
    if before is None:
        return "new"
    if abs(now - before) <= CHANGED_LEAST * max(before, 1e-9):
        return "same"
    return "shorter" if now < before else "longer"


# load -----------------------------------------------------------------------------------------------


def _load(facts: WeekFacts) -> Iterable[Entry]:
    if facts.predictability is None:
        return
    cites = ("series:vezha_load_predictability",)
    yield Entry("predictability", {"median": facts.predictability}, cites)
    odd = sorted(
        (one for one in facts.loads if one.predictability < PREDICTABLE_LEAST),
        key=lambda one: one.predictability,
    )
    for one in odd[:3]:
        values: dict[str, Any] = {
            "place": one.place,
            "resource": one.resource,
            "value": one.predictability,
        }
        yield Entry("unpredictable", values, (f"host:{one.place}", *cites))
    if len(odd) > 3:
        yield Entry(
            "more_unpredictable",
            {"count": len(odd) - 3},
            _cites("host", (o.place for o in odd[3:])),
        )


# what comes next ------------------------------------------------------------------------------------


def _next(facts: WeekFacts) -> Iterable[Entry]:
    for change in facts.planned[:LISTED_MAX]:
        values: dict[str, Any] = {
            "title": change.title,
            "state": change.state,
            "owner": change.owner,
        }
        yield Entry("planned", values, (f"change:{change.id}",))
    for due in sorted(facts.due, key=lambda d: d.in_s)[: 2 * LISTED_MAX]:
        if due.in_s <= 0:
            continue
        values = {"name": due.name, "host": due.host, "in_s": due.in_s}
        cite = f"host:{due.host}" if due.host else f"{due.kind}:{due.name}"
        yield Entry(f"due_{due.kind}", values, (cite,))
    ignored = [r for r in facts.rules if r.incidents >= 2 and r.acted == 0]
    for rule in sorted(ignored, key=lambda r: -r.incidents)[:3]:
        cites = (f"rule:{rule.name}", *_cites("incident", rule.ids))[:CITED_MAX]
        yield Entry("nobody_acted", {"rule": rule.name, "count": rule.incidents}, cites)
    for name in facts.unused_scenarios[:3]:
        yield Entry("unused_scenario", {"name": name}, (f"scenario:{name}",))
    for name in facts.freezes[:3]:
        yield Entry("freeze", {"name": name}, (f"freeze:{name}",))
    if facts.hosts_new:
        values = {"count": len(facts.hosts_new), "names": facts.hosts_new[:3]}
        yield Entry("new_hosts", values, _cites("host", facts.hosts_new))
