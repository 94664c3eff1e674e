"""Scenario files: what is written becomes frozen objects, or sentences that say what is wrong.

    scenario: shift-start            # its name: letters, digits, dashes
    title: Start of a shift
    title_uk: Початок зміни          # any text may have its twin in Ukrainian
    about: What to know before one takes over.
    for: handover                    # what it is about; groups the list
    every: 8h                        # played by the server this often (optional)
    watch: 20                        # seconds a wallboard stays on a view
    views:
      - title: Disks
        at: /fleet?by=space          # any address of the pages
        look_for: No disk above 90 %.
        odd: max by (instance) (...) > 0.9      # as expected while this gives nothing
      - title: Every site answers
        at: /fleet
        look_for: Hosts of all sites send.
        expect: count(up == 1) > 0              # as expected while this gives something
      - title: The hand-over note
        at: /oncall
        look_for: The note of the last shift is read.   # neither: a person ticks it

Pure: expressions are judged by `check`, which the caller brings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from vezha.alerting.durations import parse_duration
from vezha.scenario import limits
from vezha.scenario.errors import ScenarioError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_LANGUAGES = ("", "_uk")
_TOP = {"scenario", "title", "title_uk", "about", "about_uk", "for", "every", "watch", "views"}
_VIEW = {"title", "title_uk", "at", "look_for", "look_for_uk", "expect", "odd"}

Check = Callable[[str], str]
"""What is wrong with a PromQL expression, or the empty string."""


@dataclass(frozen=True, slots=True)
class View:
    """One stop of the walk. Without `expect` and `odd` a person says how it is."""

    title: str
    at: str
    look_for: str
    expect: str = ""
    odd: str = ""
    title_uk: str = ""
    look_for_uk: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether the server can say how it is."""
        return bool(self.expect or self.odd)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A saved walk. `every_ms` 0: not played by itself. `text` is what was written."""

    name: str
    title: str
    views: tuple[View, ...]
    about: str = ""
    topic: str = ""
    title_uk: str = ""
    about_uk: str = ""
    every_ms: int = 0
    watch_s: int = limits.WATCH_S_DEFAULT
    builtin: bool = False
    text: str = ""

    @property
    def version(self) -> str:
        """Twelve hex digits of the hash of what it says; comments do not count."""
        return hashlib.sha256(orjson.dumps(self.document())).hexdigest()[:12]

    def document(self) -> dict[str, Any]:
        """What it says, without what it was read from."""
        views = [{f: getattr(v, f) for f in View.__slots__ if getattr(v, f)} for v in self.views]
        return {
            "scenario": self.name, "title": self.title, "title_uk": self.title_uk,
            "about": self.about, "about_uk": self.about_uk, "for": self.topic,
            "every_ms": self.every_ms, "watch_s": self.watch_s, "views": views,
        }  # fmt: skip


def scenario_of(document: dict[str, Any]) -> Scenario:
    """The inverse of `Scenario.document`."""
    return Scenario(
        name=document["scenario"], title=document["title"], title_uk=document["title_uk"],
        about=document["about"], about_uk=document["about_uk"], topic=document["for"],
        every_ms=document["every_ms"], watch_s=document["watch_s"],
        views=tuple(View(**view) for view in document["views"]),
    )  # fmt: skip


def parse_scenario(text: str, check: Check, *, builtin: bool = False) -> Scenario:
    """A scenario as written. Raises `ScenarioError` with a sentence for each fault."""
    if len(text.encode()) > limits.FILE_BYTES_MAX:
        raise ScenarioError([f"the file has more than {limits.FILE_BYTES_MAX} bytes; split it"])
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(fault, "problem", None) or "cannot be read"
        raise ScenarioError([f"{where}this is not YAML: {problem}"]) from None
    except RecursionError:
        raise ScenarioError(["the file nests too deeply"]) from None
    if not isinstance(raw, dict):
        raise ScenarioError(["a scenario begins with `scenario: its-name`"])
    problems: list[str] = []
    problems += [f"`{key}` is not known; known are {_list(_TOP)}" for key in raw if key not in _TOP]
    name = _text(raw, "scenario", problems, limits.NAME_CHARS_MAX, needed=True)
    if name and not _NAME.fullmatch(name):
        problems.append("`scenario` is a name of small letters, digits and dashes")
    scenario = Scenario(
        name=name,
        title=_text(raw, "title", problems, needed=True),
        title_uk=_text(raw, "title_uk", problems),
        about=_text(raw, "about", problems, limits.NOTE_CHARS_MAX),
        about_uk=_text(raw, "about_uk", problems, limits.NOTE_CHARS_MAX),
        topic=_text(raw, "for", problems, limits.NAME_CHARS_MAX),
        every_ms=_every(raw.get("every"), problems),
        watch_s=_watch(raw.get("watch", limits.WATCH_S_DEFAULT), problems),
        views=_views(raw.get("views"), check, problems),
        builtin=builtin,
        text=text,
    )
    if scenario.every_ms and scenario.views and not any(v.is_judged for v in scenario.views):
        problems.append("`every` needs a view with `expect` or `odd`: the server cannot tick")
    if problems:
        raise ScenarioError(problems)
    return scenario


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _text(
    raw: dict[str, Any], key: str, problems: list[str], most: int = limits.TEXT_CHARS_MAX,
    *, needed: bool = False, where: str = "",
) -> str:  # fmt: skip
    found = raw.get(key, "")
    if not isinstance(found, str):
        problems.append(f"{where}`{key}` must be text; put it in quotes")
        return ""
    value = found.strip()
    if needed and not value:
        problems.append(f"{where}`{key}` is missing")
    if len(value) > most:
        problems.append(f"{where}`{key}` is longer than {most} characters")
    return value


def _every(value: Any, problems: list[str]) -> int:
    if value is None:
        return 0
    try:
        every_ms = parse_duration(str(value))
    except ValueError as fault:
        problems.append(f"`every`: {fault}")
        return 0
    if every_ms < limits.EVERY_MS_MIN:
        problems.append(f"`every` is at least {limits.EVERY_MS_MIN // 1000} s")
    return every_ms


def _watch(value: Any, problems: list[str]) -> int:
    if isinstance(value, int) and limits.WATCH_S_MIN <= value <= limits.WATCH_S_MAX:
        return value
    problems.append(f"`watch` is a number of seconds, {limits.WATCH_S_MIN} to {limits.WATCH_S_MAX}")
    return limits.WATCH_S_DEFAULT


def _views(raw: Any, check: Check, problems: list[str]) -> tuple[View, ...]:
    if not isinstance(raw, list) or not raw:
        problems.append("`views` is missing: a list of what to look at")
        return ()
    if len(raw) > limits.VIEWS_MAX:
        problems.append(f"more than {limits.VIEWS_MAX} views; split the scenario")
    views = []
    for number, entry in enumerate(raw[: limits.VIEWS_MAX], 1):
        where = f"view {number}: "
        if not isinstance(entry, dict):
            problems.append(f"{where}a view has `title`, `at` and `look_for`")
            continue
        problems += [
            f"{where}`{key}` is not known; known are {_list(_VIEW)}"
            for key in entry
            if key not in _VIEW
        ]
        view = View(
            title=_text(entry, "title", problems, needed=True, where=where),
            title_uk=_text(entry, "title_uk", problems, where=where),
            at=_text(entry, "at", problems, limits.ADDRESS_CHARS_MAX, needed=True, where=where),
            look_for=_text(entry, "look_for", problems, needed=True, where=where),
            look_for_uk=_text(entry, "look_for_uk", problems, where=where),
            expect=_text(entry, "expect", problems, limits.EXPRESSION_CHARS_MAX, where=where),
            odd=_text(entry, "odd", problems, limits.EXPRESSION_CHARS_MAX, where=where),
        )
        if view.at and (not view.at.startswith("/") or view.at.startswith(("//", "/api"))):
            problems.append(f"{where}`at` is an address of a page here, such as /fleet?by=cpu")
        for key in ("expect", "odd"):
            expression = getattr(view, key)
            fault = check(expression) if expression else ""
            if fault:
                problems.append(f"{where}`{key}`: {fault}")
        views.append(view)
    return tuple(views)
