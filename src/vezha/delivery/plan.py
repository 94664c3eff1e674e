"""A plan: which hosts go in which wave, from what to what, who is left out and why. Pure.

A plan is a document that is written once and never changed; what was approved (its hash) is what
is run. The hosts that it leaves out stay as they are: those that are offline get the version once
the rollout is done, the others with the next plan.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vezha.delivery.change import Kind
from vezha.delivery.errors import SpecError
from vezha.delivery.freeze import Window, keeps
from vezha.delivery.limits import HOSTS_MAX, HOSTS_NAMED_MAX
from vezha.delivery.selector import parse_selector
from vezha.delivery.spec import Gate, Policy, Wave, as_documents
from vezha.delivery.wave import Member, assign

EXCLUDED: dict[str, str] = {
    "no_group": "is in no group: give it a label with `vezha fleet label`, or no wave takes it",
    "offline": "is not there; it gets the version once the rollout is done",
    "held": "is taken by another rollout",
    "frozen": "is kept from changes by a window",
    "incompatible": "cannot run it",
    "quarantined": "went back from this very hash",
    "no_capability": "runs an agent that cannot take it",
    "same": "runs it already",
}
"""Why a host is left out."""
SERVER = Member(0, "the server", {})
"""Who takes rules: the server itself, as if it were a host."""
CAPABILITY = {Kind.AGENT: "release", Kind.CONFIG: "config", Kind.SCRIPT: "script"}


@dataclass(frozen=True, slots=True)
class Version:
    """An artifact as a host runs it; all empty: what the host had by itself."""

    version: str = ""
    target: str = ""
    sha256: str = ""
    length: int = 0

    @property
    def shown(self) -> str:
        """For people."""
        return self.version or (self.sha256[:12] if self.sha256 else "its own")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host as a plan sees it. `runs` is the artifact of the change's kind that it runs now."""

    id: int
    name: str
    labels: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    up: bool = True
    runs: Version = Version()
    capabilities: frozenset[str] = frozenset()
    held_by: int | None = None
    """The number of the open rollout of the same kind that has it."""
    quarantined: frozenset[str] = frozenset()
    drifts_from: str = ""
    """The hash that it was given and should run again; empty where it does not drift."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan is made for."""

    change_id: int
    kind: Kind
    selector: str
    waves: tuple[Wave, ...]
    gates: tuple[Gate, ...]
    policy: Policy
    to: Version
    custom: Mapping[str, Any] = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()
    """Hashes that no host gets."""


def make_plan(
    wanted: Wanted, hosts: Sequence[HostFacts], windows: Sequence[Window], now_ms: int
) -> dict[str, Any]:
    """The plan as a document. Raises SpecError where nobody would get it."""
    if wanted.to.sha256 in wanted.quarantined and not wanted.policy.forced:
        raise SpecError(
            f"version {wanted.to.target} is in quarantine: hosts went back from it; publish a mended "
            "version, or set policy.forced to offer it all the same"
        )
    excluded: list[list[Any]] = []
    members: list[Member] = []
    known: dict[int, HostFacts] = {}
    if wanted.kind is Kind.RULES:
        members.append(SERVER)
        known[SERVER.id] = HostFacts(SERVER.id, SERVER.name, {})
        waves = [[SERVER]]
        specs: tuple[Wave, ...] = (wanted.waves[0],)
    else:
        selector = parse_selector(wanted.selector)
        for host in hosts:
            if not selector.covers(host.name, host.labels):
                continue
            if wanted.policy.only_drifted and host.drifts_from != wanted.to.sha256:
                continue
            why = _left_out(
                wanted, host, windows, now_ms, grouped=selector.fits(host.name, host.labels)
            )
            if why is not None:
                excluded.append([host.id, host.name, *why])
                continue
            members.append(Member(host.id, host.name, host.labels))
            known[host.id] = host
        if len(members) > HOSTS_MAX:
            raise SpecError(f"a plan has at most {HOSTS_MAX} hosts; narrow the selector")
        waves, unplaced = assign(wanted.waves, members, wanted.change_id)
        excluded += [[m.id, m.name, "no_group", "no wave takes it"] for m in unplaced]
        specs = wanted.waves
    kept = [(spec, wave) for spec, wave in zip(specs, waves, strict=True) if wave]
    if not kept:
        raise SpecError(_nobody(wanted, excluded))
    versions: list[Version] = []
    rows: list[list[list[Any]]] = []
    for _, wave in kept:
        rows.append([])
        for member in wave:
            runs = known[member.id].runs
            if runs not in versions:
                versions.append(runs)
            rows[-1].append([member.id, member.name, versions.index(runs)])
    documents = as_documents([spec for spec, _ in kept])
    return {
        "change_id": wanted.change_id,
        "kind": wanted.kind.value,
        "selector": wanted.selector,
        "to": _version(wanted.to),
        "from": [_version(v) for v in versions],
        "waves": [
            {**document, "members": members}
            for document, members in zip(documents, rows, strict=True)
        ],
        "excluded": sorted(excluded, key=lambda e: (e[2], e[1])),
        "gates": as_documents(list(wanted.gates)),
        "policy": as_documents([wanted.policy])[0],
        "made_ms": now_ms,
    }


def _left_out(
    wanted: Wanted, host: HostFacts, windows: Sequence[Window], now_ms: int, *, grouped: bool
) -> tuple[str, str] | None:
    if not grouped:
        return "no_group", "nobody gave it a label; label it, or name its instance"
    capability = CAPABILITY[wanted.kind]
    if capability not in host.capabilities:
        if wanted.kind is Kind.SCRIPT:
            return (
                "no_capability",
                "it did not opt in: agent.toml there has no [scripts] enabled = true",
            )
        return "no_capability", f"its agent does not take a {capability}"
    missing = incompatible(wanted.custom, host.facts)
    if missing:
        return "incompatible", missing
    if wanted.to.sha256 in host.quarantined and not wanted.policy.forced:
        return "quarantined", "it went back from this very hash"
    if wanted.kind is not Kind.SCRIPT and host.runs.sha256 == wanted.to.sha256:
        return "same", "it runs it already"
    if host.held_by is not None:
        return "held", f"rollout {host.held_by} has it"
    # a window over everybody holds the rollout when its time comes; one over some leaves them out
    narrow = [w for w in windows if w.kind == "freeze" and w.selector.matchers]
    frozen = keeps(narrow, host.name, host.labels, now_ms)
    if frozen is not None:
        return "frozen", frozen.sentence
    if not host.up:
        return "offline", "it is not connected"
    return None


def incompatible(custom: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Why the artifact does not run on a host with *facts*; the empty string where it does.

    `interpreter` is the least Python, such as `3.10`; `requires` names facts and the values that
    they may have, such as `{"os": ["linux"]}`.
    """
    least = str(custom.get("interpreter", "") or "").lstrip(">= ")
    has = str(facts.get("python", ""))
    if least and has and _numbers(has) < _numbers(least):
        return f"needs Python {least}, has {has}"
    for name, allowed in dict(custom.get("requires") or {}).items():
        values = allowed if isinstance(allowed, list) else [allowed]
        if name in facts and facts[name] not in values:
            return f"needs {name} {' or '.join(map(str, values))}, has {facts[name]}"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _nobody(wanted: Wanted, excluded: Sequence[Sequence[Any]]) -> str:
    if not excluded and wanted.policy.only_drifted:
        return f"no host that fits drifts from {wanted.to.target}; see `vezha change drift`"
    if not excluded:
        return f"no host fits the selector {wanted.selector or '{}'}; see `vezha fleet list`"
    counts = Counter(e[2] for e in excluded)
    first = {e[2]: f"{e[1]}: {e[3]}" for e in reversed(excluded)}
    shown = "; ".join(
        f"{why} ({first[why]})" + (f" and {n - 1} more" if n > 1 else "")
        for why, n in counts.items()
    )
    return f"the plan would have no hosts: {shown}"


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "target": version.target,
        "sha256": version.sha256,
        "length": version.length,
    }


def version_of(document: Mapping[str, Any]) -> Version:
    """A version out of a plan's document."""
    return Version(
        document["version"], document["target"], document["sha256"], int(document["length"])
    )


def digest(document: Mapping[str, Any]) -> str:
    """The plan's hash: SHA-256 of it as canonical JSON, hex."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def rehearsal_lacking(document: Mapping[str, Any]) -> str:
    """Why a plan of rules does not say what they would have done, or that they cannot be used; the
    empty string where it says it, and for the other kinds."""
    if document["kind"] != Kind.RULES.value or not document["policy"].get("rehearse_s"):
        return ""
    said = document.get("rehearsal")
    again = f"make a new plan with `vezha change plan {document['change_id']} --keep`"
    if said is None:
        return f"its plan does not say what the rules would have done; {again}"
    if said.get("problem"):
        return (
            f"its plan does not say what the rules would have done, since {said['problem']}; {again}"
            ", or set policy.rehearse_s to a shorter past (0: without)"
        )
    if said.get("problems"):
        return "its files have faults: " + "; ".join(said["problems"][:5])
    return ""


def _rehearsal_lines(document: Mapping[str, Any]) -> list[str]:
    if document["kind"] != Kind.RULES.value:
        return []
    unsaid = rehearsal_lacking(document)
    said = document.get("rehearsal")
    if unsaid or not said:
        return [f"  rehearsal: {unsaid or 'none (policy.rehearse_s is 0)'}"]
    hours = (said["to_ms"] - said["from_ms"]) / 3_600_000
    lines = [
        f"  rehearsed over the last {hours:g} h (there are samples of {said['covered']:.0%} of it), "
        f"each {said['step_ms'] / 1000:g} s:"
    ]
    for alert in said["alerts"]:
        before = alert["before"]
        then = "new" if before is None else f"now in force: {before} times"
        lines.append(f"    {alert['rule']} ({alert['severity']}): {alert['said']} ({then})")
    lines += [f"    {one['rule']}: goes; it fired {one['fired']} times" for one in said["gone"]]
    if not said["alerts"]:
        lines.append("    there are no alerts in it")
    return lines


def plan_text(number: int, document: Mapping[str, Any]) -> str:
    """The plan as a diff that a person reads before saying yes."""
    to = version_of(document["to"])
    versions = [version_of(v) for v in document["from"]]
    hosts = sum(len(w["members"]) for w in document["waves"])
    count = "1 host" if hosts == 1 else f"{hosts} hosts"
    if document["kind"] == Kind.RULES.value:
        count = SERVER.name
    lines = [f"Plan {number}: {document['kind']} {to.shown} ({to.target or to.sha256}) for {count}"]
    policy = document["policy"]
    lines.append(
        f"  at most {policy.get('max_in_flight')} at once"
        + "".join(f", one per {label} at once" for label in policy.get("one_per", ()))
        + (", forced" if policy.get("forced") else "")
        + (", only hosts that drift from it" if policy.get("only_drifted") else "")
        + (", as a dry run of the script" if policy.get("dry_run") else "")
    )
    if document["kind"] == Kind.SCRIPT.value:
        params = " ".join(f"{k}={v}" for k, v in sorted(document.get("params", {}).items()))
        lines.append(f"  runs with {params or 'no parameters'}")
    needed = policy.get("approvals", {}).get("count", 0)
    if needed:
        who = "1 other person says" if needed == 1 else f"{needed} other people say"
        lines.append(f"  waits until {who} yes ({policy['approvals']['role']} or above)")
    for at, wave in enumerate(document["waves"]):
        lines.append(
            f"  wave {at + 1} {wave['name']}: {_names([m[1] for m in wave['members']])}; "
            f"then {wave['bake_s']:g} s of watching"
        )
        steps = Counter(m[2] for m in wave["members"])
        if document["kind"] == Kind.SCRIPT.value:
            steps = Counter()
        for index, n in sorted(steps.items()):
            before = versions[index]
            lines += [f"    - {before.shown} ({n})", f"    + {to.shown}"]
        asked = [
            gate_line(g)
            for g in document["gates"]
            if not g.get("waves") or wave["name"] in g["waves"]
        ]
        lines.append(f"    gates: {', '.join(asked) or 'none'}")
    lines += _rehearsal_lines(document)
    if document["excluded"]:
        lines.append(f"  left out: {len(document['excluded'])}")
        by: dict[tuple[str, str], list[str]] = {}
        for _, name, why, detail in document["excluded"]:
            by.setdefault((why, detail), []).append(name)
        lines += [f"    {why}: {_names(names)} ({detail})" for (why, detail), names in by.items()]
    return "\n".join(lines) + "\n"


def gate_line(gate: Mapping[str, Any]) -> str:
    """What a gate asks, in a few words."""
    name = str(gate.get("name") or gate["kind"])
    asks = {
        "promql": f"{gate.get('expr', '')} {gate.get('op', '<')} {gate.get('threshold')}",
        "canary": f"canaries against the others: {gate.get('expr', '')}",
        # not the whole address: people put secrets there
        "webhook": f"asks {urlsplit(gate.get('url', '')).hostname}",
    }.get(gate["kind"], "")
    shadow = " in shadow" if gate.get("shadow") else ""
    return name + (f" ({asks})" if asks else "") + shadow


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:HOSTS_NAMED_MAX])
    rest = len(names) - HOSTS_NAMED_MAX
    return f"{shown} and {rest} more" if rest > 0 else shown
