"""What `state.json` says, and how each step changes it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from vezha.agent.launcher.limits import (
    EVENTS_MAX,
    FACTORY,
    UNBLAMED,
    WATCH_DEFAULT_S,
    WATCH_MAX_S,
    WATCH_MIN_S,
    Json,
)


def fresh_state(factory_sha256: str) -> Json:
    """The state of a host on which nothing was ever changed."""
    pair = {"slot": FACTORY, "sha256": factory_sha256, "config": ""}
    return {
        "format": 1,
        "factory": factory_sha256,
        "current": pair,
        "previous": None,
        "trial": None,
        "generations": {},
        "last_request": "",
        "quarantine": {},
        "events": [],
        "next_event": 1,
    }


def with_event(
    state: Json, part: Json, step: str, at_ms: int, reason: str = "", text: str = ""
) -> Json:
    """*state* with one more line of history, which the agent tells the server."""
    event = {
        "number": state["next_event"],
        "kind": part["kind"],
        "generation": part["generation"],
        "sha256": part["sha256"],
        "step": step,
        "reason": reason,
        "text": text[:300],
        "time_ms": at_ms,
    }
    events = [*state["events"], event][-EVENTS_MAX:]
    return {**state, "events": events, "next_event": state["next_event"] + 1}


def refusal(state: Json, request: Json) -> tuple[str, str] | None:
    """Why *request* cannot be tried, as (reason, text), or None."""
    try:
        parts, pair = request["parts"], request["pair"]
        known = [p["sha256"] for p in parts if p["kind"] in ("release", "config")]
        complete = parts and len(known) == len(parts) and all(p["generation"] >= 1 for p in parts)
        if not complete or pair["slot"] not in ("a", "b", FACTORY) or "config" not in pair:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return "malformed", "the request is not one"
    for part in parts:
        if part["generation"] < state["generations"].get(part["kind"], 0):
            return "older_generation", f"generation {part['generation']} is behind"
        if part["sha256"] in state["quarantine"] and not request.get("forced"):
            why = state["quarantine"][part["sha256"]]
            return "quarantined", "this host went back from it before ({})".format(why["reason"])
    if pair["slot"] == state["current"]["slot"] and pair["sha256"] != state["current"]["sha256"]:
        return "malformed", "the slot is in use"
    return None


def with_trial(state: Json, request: Json, at_ms: int) -> Json:
    """*state* with the request's pair on trial."""
    watch_s = min(max(float(request.get("watch_s") or WATCH_DEFAULT_S), WATCH_MIN_S), WATCH_MAX_S)
    generations = dict(state["generations"])
    for part in request["parts"]:
        generations[part["kind"]] = part["generation"]
    trial = {
        "pair": request["pair"],
        "parts": request["parts"],
        "build": request.get("build", ""),
        "watch_s": watch_s,
        "failing": request.get("failing", []),
        "probe": request.get("probe"),
        "phase": "preparing",
        "starts": 1,
        "began_ms": at_ms,
    }
    last = str(request.get("id", ""))
    return {**state, "trial": trial, "generations": generations, "last_request": last}


def proving(state: Json, at_ms: int, starts: int) -> Json:
    """*state* with the trial's pair at work, or about to be."""
    trial = state["trial"]
    for part in trial["parts"] if trial["phase"] != "proving" else ():
        state = with_event(state, part, "started", at_ms)
    return {**state, "trial": {**trial, "phase": "proving", "starts": starts}}


def kept(state: Json, request: Json, at_ms: int) -> Json:
    """*state* after a request for the pair that runs already: there is nothing to try."""
    generations, quarantine = dict(state["generations"]), dict(state["quarantine"])
    for part in request["parts"]:
        generations[part["kind"]] = part["generation"]
        quarantine.pop(part["sha256"], None)
    last = str(request.get("id", ""))
    state = {
        **state, "generations": generations, "quarantine": quarantine, "last_request": last,
    }  # fmt: skip
    for part in request["parts"]:
        state = with_event(state, part, "proven", at_ms)
    return state


def committed(state: Json, at_ms: int) -> Json:
    """*state* with the trial's pair as the one that runs."""
    trial = state["trial"]
    state = {**state, "previous": state["current"], "current": trial["pair"], "trial": None}
    for part in trial["parts"]:
        quarantine = {k: v for k, v in state["quarantine"].items() if k != part["sha256"]}
        state = with_event({**state, "quarantine": quarantine}, part, "proven", at_ms)
    return state


def reverted(state: Json, at_ms: int, reason: str, text: str) -> Json:
    """*state* without the trial; its hashes are quarantined where they are to blame."""
    trial = state["trial"]
    state = {**state, "trial": None}
    for part in trial["parts"]:
        state = with_event(state, part, "reverted", at_ms, reason, text)
        if reason not in UNBLAMED and part["sha256"]:
            state = _quarantined(state, part, at_ms, reason)
    return state


def _quarantined(state: Json, part: Json, at_ms: int, reason: str) -> Json:
    entry = {"kind": part["kind"], "reason": reason, "at_ms": at_ms}
    state = {**state, "quarantine": {**state["quarantine"], part["sha256"]: entry}}
    return with_event(state, part, "quarantined", at_ms, reason)


def fallen_back(
    state: Json, at_ms: int, reason: str, is_good: Callable[[Json], bool]
) -> Json | None:
    """*state* on the previous pair, else on the factory's file; None where it runs on that already.
    *is_good* tells whether a pair's file is whole."""
    bad = state["current"]
    own = {"slot": FACTORY, "sha256": state["factory"], "config": ""}
    for pair in (state["previous"], own):
        if pair is None or pair["sha256"] in state["quarantine"] or not is_good(pair):
            continue
        if (pair["sha256"], pair["config"]) == (bad["sha256"], bad["config"]):
            continue
        state = {**state, "current": pair, "previous": None, "trial": None}
        for kind, key in (("release", "sha256"), ("config", "config")):
            if bad[key] and bad[key] != pair[key]:
                generation = state["generations"].get(kind, 1)
                part = {"kind": kind, "generation": generation, "sha256": bad[key]}
                state = with_event(state, part, "reverted", at_ms, reason)
                if reason != "damaged":
                    state = _quarantined(state, part, at_ms, reason)
        return state
    return None
