"""A `{script …}` step: the signed script runs as a change, and the run shows what came of it.

The change is one like any other: its artifact is signed, its plan says who gets it and who did not opt in,
its gate is the proof, as many people approve it as the step says. Who may start changes may do this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from vezha.delivery import desk, views
from vezha.delivery.errors import SpecError
from vezha.delivery.plan import plan_text
from vezha.incidents.checklists.document import Kind, Step
from vezha.incidents.checklists.fill import VARIABLE, in_words
from vezha.incidents.checklists.rows import ReadRun, act_in, read_run
from vezha.incidents.checklists.run import Asked, RunAct
from vezha.incidents.errors import AnsweredMeanwhile, AnswerError, WrongState
from vezha.incidents.limits import CHECKLIST_SCRIPT_HOSTS_SHOWN
from vezha.ledger.tables import host, release, rollout

_OVER = ("done", "reverted", "aborted")


@dataclass(frozen=True, slots=True)
class ScriptAsked:
    """Who asks for which step of which run. Without *hosts* the run's own `host`; *trying* runs the
    script as a dry run of its own."""

    run: int
    step: int
    actor: str
    hosts: tuple[str, ...] = ()
    trying: bool = False


@dataclass(slots=True)
class ScriptBegun:
    """The plan, and the change that was begun of it (None where it was only shown)."""

    target: str
    document: dict[str, Any]
    change_id: int | None = None
    rollout_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "target": self.target, "text": plan_text(1, self.document),
            "hosts": [m[1] for wave in self.document["waves"] for m in wave["members"]],
            "change_id": self.change_id, "rollout_id": self.rollout_id,
        }  # fmt: skip


def run_script_step(
    connection: Connection,
    asked: ScriptAsked,
    up: Mapping[str, bool] | None,
    now_ms: int,
    *,
    dry_run: bool,
) -> ScriptBegun:
    """Write, plan and start the change that runs the step's script; a dry run only says it.

    Raises errors of checklists (the step cannot be run) and of delivery (the change cannot be made).
    """
    found = read_run(connection, asked.run)
    step = found.run.checklist.step(asked.step)
    _check(connection, found, step)
    draft = _draft(connection, found, step, asked)
    if dry_run:
        return ScriptBegun(draft.target, desk.preview_plan(connection, draft, up, now_ms))
    id_ = desk.draft_change(connection, draft, asked.actor, now_ms)
    _, document = desk.plan_change(connection, id_, up, asked.actor, now_ms)
    rollout_id = desk.start_change(connection, id_, asked.actor, now_ms)
    value = {"change": id_, "rollout": rollout_id, "trying": asked.trying}
    begun = Asked(RunAct.RUN, asked.actor, now_ms, step=step.number, value=value)
    if act_in(connection, asked.run, begun) is None:
        raise AnsweredMeanwhile("somebody else wrote at the same moment; look again")
    return ScriptBegun(draft.target, document, id_, rollout_id)


def _check(connection: Connection, found: ReadRun, step: Step) -> None:
    if step.kind is not Kind.SCRIPT:
        raise AnswerError(f"step {step.number} runs no script")
    if found.view.state != "running":
        raise WrongState(f"this run is {found.view.state}: it cannot run a script now")
    state = found.run.step(step.number)
    if state.state != "open":
        raise WrongState(f"step {step.number} is {state.state} already; clear it to run it again")
    known = (state.filled or {}).get("rollout")
    if known is not None:
        is_in = connection.execute(select(rollout.c.state).where(rollout.c.id == known)).scalar()
        if is_in is not None and is_in not in _OVER:
            assert state.filled is not None
            raise WrongState(f"change {state.filled['change']} runs it now ({is_in}); wait for it")


def _draft(connection: Connection, found: ReadRun, step: Step, asked: ScriptAsked) -> desk.Draft:
    variables, run = found.view.variables, found.run
    hosts = asked.hosts or ((variables["host"],) if variables.get("host") else ())
    if not hosts:
        raise AnswerError("this run is about no host; name the hosts on which the script runs")
    known = set(connection.execute(select(host.c.name).where(host.c.name.in_(hosts))).scalars())
    if strange := [name for name in hosts if name not in known]:
        raise AnswerError(f"there is no host {strange[0]}; see `vezha fleet list`")
    params = {name: in_words(text, variables) for name, text in step.parameters}
    missing = [
        m[1] for _, text in step.parameters for m in VARIABLE.finditer(text)
        if not variables.get(m[1])
    ]  # fmt: skip
    if missing:
        names = ", ".join(f"${m}" for m in dict.fromkeys(missing))
        raise AnswerError(f"no value is known for {names}; begin the run with --set NAME=VALUE")
    target = script_target(connection, step.script)
    of = f", incident {found.view.incident_id}" if found.view.incident_id is not None else ""
    labels = {"checklist_run": str(asked.run), "checklist_step": str(step.number)}
    if found.view.incident_id is not None:
        labels["incident"] = str(found.view.incident_id)
    return desk.Draft(
        "script",
        target,
        title=f"{step.script} for {', '.join(hosts[:3])}" + (" …" if len(hosts) > 3 else ""),
        why=f"step {step.number} of {run.checklist.title} (run {asked.run}{of}): {step.text}",
        owner=asked.actor,
        checklist=run.checklist.name,
        selector='instance=~"' + "|".join(_pattern(h) for h in hosts) + '"',
        gates=[{"kind": "proof"}],
        waves=[{"name": "first", "count": 1, "bake_s": 0}, {"name": "rest", "bake_s": 0}],
        policy={
            "approvals": {"count": step.approvals}, "dry_run": asked.trying, "pace": False,
            "late": "leave", "max_unavailable": max(1, len(hosts)),
        },
        params=params,
        labels=labels,
    )  # fmt: skip


def _pattern(name: str) -> str:
    """A host's name as it stands in a selector: for a regular expression, within quotes."""
    return "".join(c if c.isalnum() or c in "_-" else f"\\\\{c}" for c in name)


def script_target(connection: Connection, name: str) -> str:
    """The artifact that a step means: a whole target, NAME/VERSION, or the newest of NAME. Raises
    SpecError."""
    wanted = (
        select(release.c.target).where(release.c.kind == "script").order_by(release.c.id.desc())
    )
    for target in connection.execute(wanted).scalars():
        parts = target.split("/")
        if name in (target, parts[1], "/".join(parts[1:3])):
            return str(target)
    raise SpecError(
        f"there is no script {name} that was signed and published; see `vezha release list`"
    )


def script_results(connection: Connection, found: ReadRun) -> dict[int, dict[str, Any]]:
    """What came of the scripts of a run's steps, by step: the change, its rollout, its hosts with exit
    codes and output."""
    out: dict[int, dict[str, Any]] = {}
    for step in found.run.checklist.steps:
        known = found.run.step(step.number).filled
        if step.kind is not Kind.SCRIPT or not known or "rollout" not in known:
            continue
        went = views.get_rollout(connection, known["rollout"])
        hosts = views.list_attempts(
            connection, known["rollout"], limit=CHECKLIST_SCRIPT_HOSTS_SHOWN
        )
        out[step.number] = {
            "change": known["change"], "rollout": known["rollout"],
            "trying": bool(known.get("trying")), "state": went["state"], "reason": went["reason"],
            "counts": went["counts"], "hosts": [_host(one) for one in hosts],
        }  # fmt: skip
    return out


def _host(one: Mapping[str, Any]) -> dict[str, Any]:
    result = one["result"] or {}
    return {
        "host": one["host"], "state": one["state"], "reason": one["reason"],
        "detail": one["detail"], "exit_code": result.get("exit_code"),
        "output": result.get("output", ""), "truncated": bool(result.get("truncated")),
    }  # fmt: skip


def in_lines(result: Mapping[str, Any]) -> Sequence[str]:
    """The same for a terminal."""
    lines = [
        f"change {result['change']} (rollout {result['rollout']}): {result['state']}"
        + (" (dry run)" if result["trying"] else "")
        + (f": {result['reason']}" if result["reason"] else "")
    ]
    for one in result["hosts"]:
        code = "" if one["exit_code"] is None else f", exit code {one['exit_code']}"
        why = f": {one['detail'] or one['reason']}" if one["detail"] or one["reason"] else ""
        lines.append(f"  {one['host']}: {one['state']}{code}{why}")
        lines += [f"    | {line}" for line in str(one["output"]).rstrip("\n").split("\n") if line]
        if one["truncated"]:
            lines.append("    | …")
    return lines
