"""What people write of a change: waves, gates, policy. Read, checked, with defaults filled in. Pure.

All durations are seconds, all shares from 0 to 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from vezha.access.subject import Role
from vezha.delivery import limits
from vezha.delivery.errors import SpecError, about
from vezha.delivery.selector import parse_selector
from vezha.query.ast import Type
from vezha.query.errors import ParseError
from vezha.query.parser import parse

Seconds = Annotated[float, msgspec.Meta(ge=0, le=limits.BAKE_S_MAX)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=1, le=limits.HOSTS_MAX)]
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_WINDOW_S = 300.0


class Wave(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Hosts that go together, and how long they are watched before the next ones go.

    Hosts are taken from those that no earlier wave took: those of `hosts` by name; else those that
    `selector` fits, `count` of them, or as many as bring all waves so far to `percent` of the plan.
    Without any of these the wave takes what is left.
    """

    name: Name
    hosts: tuple[str, ...] = ()
    selector: str = ""
    count: Count | None = None
    percent: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None
    bake_s: Seconds = 600.0
    bake_least_s: Seconds | None = None
    max_in_flight: Count | None = None

    @property
    def least_s(self) -> float:
        """The shortest that it bakes, where reliability is rich."""
        return self.bake_s / 2 if self.bake_least_s is None else min(self.bake_least_s, self.bake_s)


DEFAULT_WAVES = (
    Wave("canary", count=1),
    Wave("tenth", percent=10),
    Wave("half", percent=50),
    Wave("all"),
)

GateKind = Literal[
    "proof", "health", "promql", "budget", "predictability", "canary", "approval", "webhook"
]


class Gate(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One question that is asked while a wave rolls and bakes. See `gate` for what each asks."""

    kind: GateKind
    name: str = ""
    waves: tuple[str, ...] = ()
    """Names of the waves that it guards; none: all."""
    shadow: bool = False
    on_no_evidence: Literal["hold", "pass", "fail"] = "hold"
    on_fail: Literal["revert", "hold", ""] = ""
    """Empty: what the kind does by itself, see `holds_on_fail`."""
    # proof
    failures_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    tolerated: Share = 0.02
    # health
    severity: Literal["critical", "warning", "info"] = "warning"
    completeness: Share = 0.99
    # promql, budget, canary
    expr: str = ""
    op: Literal["<", "<=", ">", ">=", "==", "!="] = "<"
    threshold: float | None = None
    window_s: Seconds | None = None
    """None: five minutes; of a budget the policy's."""
    # budget
    objective: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """None: the policy's."""
    remaining: float = 0.0
    # predictability
    resource: str = "cpu"
    least: Share = 0.5
    # canary
    tolerance: Share = 0.1
    direction: Literal["up", "down", "both"] = "up"
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.05
    # approval
    count: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    role: Literal["operator", "admin"] = "operator"
    # webhook
    url: str = ""

    @property
    def span_s(self) -> float:
        """The window of a promql or canary gate."""
        return _WINDOW_S if self.window_s is None else self.window_s

    @property
    def title(self) -> str:
        """How it is called: its name, else its kind."""
        return self.name or self.kind

    @property
    def holds_on_fail(self) -> bool:
        """Whether a fail holds the rollout and does not take it back. By itself a gate that says
        that the time is wrong holds, one that says that the change is wrong takes back."""
        if self.on_fail:
            return self.on_fail == "hold"
        return self.kind in ("budget", "predictability", "approval")

    def guards(self, wave: str) -> bool:
        """Whether it is asked in that wave."""
        return not self.waves or wave in self.waves


class Approvals(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many people of at least which role must approve a plan, its author not among them."""

    count: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    role: Literal["operator", "admin"] = "operator"


class Budget(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The service level of the hosts: the share of time that is good, and over which time.

    `expr` gives the share that was good (0 to 1), `$window` in it standing for the span; empty: the
    share of the hosts' seconds in which they were up.
    """

    objective: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.999
    window_s: Annotated[float, msgspec.Meta(ge=60, le=90 * 86_400)] = 86_400.0
    expr: str = ""


class Policy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What holds for all waves of a change."""

    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=limits.IN_FLIGHT_MAX)] = (
        limits.IN_FLIGHT_DEFAULT
    )
    max_unavailable: Annotated[float, msgspec.Meta(gt=0)] = limits.UNAVAILABLE_DEFAULT
    """Below 1 a share of the plan's hosts (at least one host), else a number of hosts."""
    one_per: tuple[str, ...] = ()
    """Labels (`zone`, `cluster`): never two hosts at once that have the same value of one."""
    jitter_s: Seconds = limits.JITTER_S_DEFAULT
    patience_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = limits.PATIENCE_S_DEFAULT
    watch_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 0.0
    """How long the agent's launcher watches what it started before that is proven; 0: a minute."""
    approvals: Approvals = Approvals()
    pace: bool = True
    budget: Budget = Budget()
    late: Literal["follow", "leave"] = "follow"
    """Whether hosts that join or come back later get it once the rollout is done."""
    dry_run: bool = False
    """A script's: run it as a dry run only."""
    forced: bool = False
    """Offer it although its hash is in quarantine."""
    rehearse_s: Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)] = limits.REHEARSE_RULES_S
    """Rules: over how long a past their plan says what they would have done; 0: it does not."""
    only_drifted: bool = False
    """Only for hosts that were given it and do not run it any more; nobody follows later."""

    def unavailable(self, hosts: int) -> int:
        """How many of *hosts* may be away at one time."""
        if self.max_unavailable < 1:
            return max(1, int(self.max_unavailable * hosts))
        return int(self.max_unavailable)


def role_of(word: str) -> Role:
    """The role that a spec names."""
    return Role(word)


def read_waves(given: Sequence[Mapping[str, Any]]) -> tuple[Wave, ...]:
    """Waves as written, the usual ones where none are. Raises SpecError."""
    if not given:
        return DEFAULT_WAVES
    if len(given) > limits.WAVES_MAX:
        raise SpecError(f"a change has at most {limits.WAVES_MAX} waves")
    waves = tuple(_read(Wave, one, f"wave {i + 1}", f"[{i}]") for i, one in enumerate(given))
    if len({wave.name for wave in waves}) < len(waves):
        raise SpecError("two waves have the same name; name each differently")
    last = 0.0
    for i, wave in enumerate(waves):
        with about(f"[{i}]"):
            _check_wave(wave, last)
        last = last if wave.percent is None else wave.percent
    return waves


def _check_wave(wave: Wave, last: float) -> None:
    if len(wave.hosts) > limits.CANARIES_MAX:
        raise SpecError(f"wave {wave.name} names more than {limits.CANARIES_MAX} hosts")
    if wave.hosts and (wave.selector or wave.count or wave.percent):
        raise SpecError(f"wave {wave.name} names hosts, so selector, count, percent do nothing")
    if wave.count and wave.percent:
        raise SpecError(f"wave {wave.name} has both count and percent; leave one away")
    if wave.percent is not None and wave.percent <= last:
        raise SpecError(
            f"wave {wave.name}: percent counts all waves so far, so it must be over {last:g}",
            ".percent",
        )
    if wave.selector:
        with about(".selector"):
            parse_selector(wave.selector)


def read_gates(given: Sequence[Mapping[str, Any]], waves: Sequence[Wave]) -> tuple[Gate, ...]:
    """Gates as written. Raises SpecError."""
    if len(given) > limits.GATES_MAX:
        raise SpecError(f"a change has at most {limits.GATES_MAX} gates")
    gates = tuple(_read(Gate, one, f"gate {i + 1}", f"[{i}]") for i, one in enumerate(given))
    names = [gate.title for gate in gates]
    if len(set(names)) < len(names):
        raise SpecError("two gates have the same name; set name on one of them")
    known = {wave.name for wave in waves}
    for i, gate in enumerate(gates):
        with about(f"[{i}]"):
            for wave in gate.waves:
                if wave not in known:
                    raise SpecError(f"gate {gate.title} guards wave {wave}, but there is none")
            _check_gate(gate)
    return gates


def _check_gate(gate: Gate) -> None:
    if gate.kind == "promql" and gate.threshold is None:
        raise SpecError(
            f"gate {gate.title} needs threshold, the number that expr is compared with",
            ".threshold",
        )
    if gate.kind in ("promql", "canary") and not gate.expr:
        raise SpecError(f"gate {gate.title} needs expr, a PromQL expression", ".expr")
    if gate.expr:
        with about(".expr"):
            check_expression(gate.expr, f"gate {gate.title}")
    if gate.kind == "webhook":
        address = urlsplit(gate.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise SpecError(
                f"gate {gate.title} needs url, such as https://ci.example.org/gate", ".url"
            )
        if address.username or address.password:
            raise SpecError(
                f"gate {gate.title}: put no password into url, people who see the change see it; "
                "questions are signed with the setting hooks.gate_secret",
                ".url",
            )


def read_policy(given: Mapping[str, Any]) -> Policy:
    """A policy as written. Raises SpecError."""
    policy: Policy = _read(Policy, given, "policy")
    if policy.budget.expr:
        check_expression(policy.budget.expr, "policy.budget")
    return policy


def check_expression(text: str, where: str) -> None:
    """Raises SpecError for what is not PromQL that gives a vector or a number."""
    filled = fill(text, ["host"], 300.0)
    try:
        tree = parse(filled)
    except ParseError as fault:
        raise SpecError(f"{where}: expr is not PromQL: {fault}") from None
    if tree.type not in (Type.VECTOR, Type.SCALAR):
        raise SpecError(f"{where}: expr gives a {tree.type.value}; it must give an instant vector")


def fill(expr: str, hosts: Sequence[str], window_s: float) -> str:
    """*expr* with `$hosts` (a pattern of names) and `$window` (a duration) filled in."""
    names = "|".join(re.escape(name).replace("\\", "\\\\") for name in hosts)
    return expr.replace("$hosts", names).replace("$window", f"{max(1, int(window_s))}s")


def check_name(text: str, what: str) -> str:
    """*text* as the name of a wave or gate. Raises SpecError."""
    if not _NAME.fullmatch(text):
        raise SpecError(f'"{text}" cannot name a {what}; use small letters, digits and - . _')
    return text


def as_documents(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Specs as rows keep them."""
    return [msgspec.to_builtins(item) for item in items]


_AT = re.compile(r"(?P<what>.*?) - at `\$(?P<path>.*)`", re.DOTALL)


def _read(kind: type[Any], given: Mapping[str, Any], where: str, place: str = "") -> Any:
    try:
        made = msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as fault:
        at = _AT.fullmatch(str(fault))
        raise SpecError(f"{where}: {fault}", place + (at["path"] if at else "")) from None
    with about(f"{place}.name"):
        if isinstance(made, Wave):
            check_name(made.name, "wave")
        if isinstance(made, Gate) and made.name:
            check_name(made.name, "gate")
    return made
