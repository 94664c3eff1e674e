"""What a fleet in use has beside its hosts: people, silences, checklists under way, rounds, a plan.

Made through the public API of a server that `vezha demo` feeds, so that `benchmarks.screenshots` has
something to show. Asking twice does no harm: what is there is left as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vezha.testing.fleet.rollouts import CALM, HEAVY, Rollouts

Ask = Callable[..., Any]
"""method, path, body; the answer, or None where it was refused."""
HOUR_S = 3600.0
SCHEDULE = {
    "title": "First line", "time_zone": "Europe/Kyiv",
    "layers": [{"name": "days", "people": ["olena", "taras", "admin"], "rotation": "daily",
                "start": "2026-11-23T09:00"}],
}  # fmt: skip
POLICY = {
    "steps": [{"targets": ["schedule:primary"], "wait_s": 300},
              {"targets": ["person:admin"], "wait_s": 600}],
    "repeat": 1,
}  # fmt: skip
VIEWER_NAME = "taras"


def prepare(ask: Ask) -> dict[str, str]:
    """Make it, and find the names of things."""
    _people(ask)
    _quiet(ask)
    _depends(ask)
    ask("PUT", "/oncall/schedules/primary", SCHEDULE)
    ask("PUT", "/oncall/policies/default", POLICY)
    names = {"target": CALM.replace("/", "%2F")}
    names |= _changes(ask)
    names |= _incidents(ask)
    names |= _round(ask)
    if not names.get("host"):
        names["host"] = ask("GET", "/hosts")["hosts"][0]["name"]
    return names


def _people(ask: Ask) -> None:
    if len((ask("GET", "/users") or {}).get("users", ())) < 2:
        ask("POST", "/users", {"name": "olena", "role": "operator"})
        ask("POST", "/users", {"name": VIEWER_NAME, "role": "viewer"})
        ask("POST", "/tokens", {"name": "grafana", "role": "viewer"})
        ask("POST", "/enrolments", {"labels": {"site": "lviv", "role": "db"}})


def _quiet(ask: Ask) -> None:
    if (ask("GET", "/silences") or {}).get("silences"):
        return
    now_s = time.time()
    ask("POST", "/silences", {"matchers": 'instance=~"queue-warsaw-.*"', "minutes": 180,
                              "comment": "New disks go into the queue hosts"})  # fmt: skip
    ask("POST", "/silences", {"matchers": 'site="frankfurt"', "starts_at": now_s + 9 * HOUR_S,
                              "ends_at": now_s + 11 * HOUR_S,
                              "comment": "The provider works on the line"})  # fmt: skip
    ask("POST", "/freezes", {"kind": "freeze", "name": "Month's end", "selector": 'role="db"',
                             "starts_at": now_s + 70 * HOUR_S, "ends_at": now_s + 100 * HOUR_S,
                             "comment": "Books are closed"})  # fmt: skip


def _depends(ask: Ask) -> None:
    if not (ask("GET", "/dependencies") or {}).get("dependencies"):
        ask("POST", "/dependencies", {"child": 'site="lviv",role="web"',
                                      "parents": ['site="lviv",role="db"'],
                                      "why": "The shop asks its database"})  # fmt: skip


def _changes(ask: Ask) -> dict[str, str]:
    changes = (ask("GET", "/changes?limit=50") or {}).get("changes", [])
    names = {}
    for name, chosen in (
        ("change", [c for c in changes if c["target"] == HEAVY]),
        ("done", [c for c in changes if c["target"] == CALM and c["state"] == "done"]),
        ("elsewhere", [c for c in changes if c["kind"] == "external"]),
        ("planned", [c for c in changes if c["state"] in ("planned", "draft")]),
    ):
        if chosen:
            names[name] = str(chosen[0]["id"])
    if "planned" not in names:
        body = {**Rollouts().calm(), "title": "Count sockets by state on web hosts, too",
                "selector": 'role="web"', "waves": [], "gates": [{"kind": "proof"},
                                                               {"kind": "health"}]}  # fmt: skip
        made = ask("POST", "/changes", body)
        if made:
            ask("POST", f"/changes/{made['id']}/plan", {})
            names["planned"] = str(made["id"])
    return names


def _incidents(ask: Ask) -> dict[str, str]:
    found = (ask("GET", "/incidents?state=all&limit=100") or {}).get("incidents", [])
    names = {}
    over = [i for i in found if i["state"] == "resolved"]
    if over:
        names["over"] = str(over[0]["id"])
    if not found:
        return names
    live = [i for i in found if i["state"] != "resolved"]
    # the one that the rollout caused stays as long as nobody decides
    held = [i for i in live if "CallsFailing" in i["alert_names"]]
    shown = (held or live or found)[0]
    names["incident"] = str(shown["id"])
    names["host"] = shown["hosts"][0] if shown["hosts"] else ""
    names |= _run(ask, shown)
    return names


def _run(ask: Ask, incident: dict[str, Any]) -> dict[str, str]:
    """A checklist under way for the incident: taken, with its first steps answered."""
    runs = (ask("GET", f"/checklist-runs?incident={incident['id']}") or {}).get("runs", [])
    if runs:
        return {"run": str(runs[0]["id"])}
    ask("POST", f"/incidents/{incident['id']}/note", {"text": "Told the team in the channel"})
    wanted = {"checklist": "change-held", "incident": incident["id"]}
    run = ask("POST", "/checklist-runs", wanted)
    if not run:
        return {}
    for step, value in ((1, "Look at all processes each second"), (2, "a gate failed")):
        ask("POST", f"/checklist-runs/{run['id']}/answer", {"step": step, "value": value})
    return {"run": str(run["id"])}


def _round(ask: Ask) -> dict[str, str]:
    rounds = (ask("GET", "/rounds?scenario=hand-over") or {}).get("rounds", [])
    walked = rounds[0] if rounds else ask("POST", "/scenarios/hand-over/rounds", {"kind": "run"})
    if not walked:
        return {}
    if walked["state"] == "open":
        for view in (0, 1):
            ask("POST", f"/rounds/{walked['id']}/views/{view}", {"state": "expected"})
    return {"round": str(walked["id"])}
