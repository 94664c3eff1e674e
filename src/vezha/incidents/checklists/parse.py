"""Reads a checklist file, with every fault found in one go, each with its line. Pure.

    ---
    title: Disk full
    title_uk: Диск заповнений
    version: 2
    applies to: DiskFull, DiskExhausted
    sign off: 1
    ---
    What this is for, in words.

    - [ ] Room now {query bytes}
      `node_filesystem_avail_bytes{instance="$host"}`
      stop if > 1e10: there is room again
    - [ ] Is it a log? {yes/no}
      Help, as many lines as it takes.
    - [ ] How much was freed? {number GB, optional}

The format is on docs/reference/formats/checklists.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from vezha.alerting.ask import check_expression
from vezha.alerting.durations import parse_duration
from vezha.incidents.checklists.document import Checklist, Kind, Step, Stop, is_comparison
from vezha.incidents.checklists.fill import VARIABLE, with_values
from vezha.incidents.errors import ChecklistError
from vezha.incidents.limits import (
    CHECKLIST_CHARS_MAX,
    CHECKLIST_SIGNATURES_MAX,
    CHECKLIST_STEPS_MAX,
    TITLE_CHARS_MAX,
)

_HEAD_KEYS = ("title", "title_uk", "version", "applies to", "sign off")
_STEP = re.compile(r"[-*] \[ \] (.*)")
_MARK = re.compile(r"\s*\{([^{}]*)\}\s*$")
_STOP = re.compile(r"stop if\s+(.+?):\s*(.+)", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_APPROVALS = re.compile(r",\s*approvals (\d)$")
_UK = re.compile(r"uk(?: (help|choices|stop))?:\s*(.+)")
_CHART_SPAN_S = 3600
_HEAD_END = "---"


def is_name(text: str) -> bool:
    """Whether *text* can be a checklist's name (the stem of its file)."""
    return _NAME.fullmatch(text) is not None


def parse_checklist(text: str, name: str, *, own: bool = False) -> Checklist:
    """The checklist in *text*. Raises ChecklistError with all faults."""
    return _Parser(text, name, own).parse()


@dataclass(slots=True)
class _Draft:
    """A step whose lines are still being read."""

    line: int
    text: str
    mark: str
    help: list[str] = field(default_factory=list)
    exprs: list[tuple[int, str]] = field(default_factory=list)
    stops: list[tuple[int, Stop]] = field(default_factory=list)
    uk: str = ""
    help_uk: list[str] = field(default_factory=list)
    choices_uk: tuple[int, str] = (0, "")


class _Parser:
    def __init__(self, text: str, name: str, own: bool) -> None:
        self._text = text.replace("\r\n", "\n")
        self._name = name
        self._own = own
        self._faults: list[str] = []
        self._head: dict[str, tuple[int, str]] = {}
        self._intro: list[str] = []
        self._intro_uk: list[str] = []
        self._drafts: list[_Draft] = []

    def _fault(self, line: int, text: str) -> None:
        self._faults.append(f"{self._name}.md:{line}: {text}")

    def parse(self) -> Checklist:
        if len(self._text) > CHECKLIST_CHARS_MAX:
            self._fault(1, f"longer than {CHECKLIST_CHARS_MAX} characters; split it")
            raise ChecklistError(self._faults)
        if not is_name(self._name):
            self._fault(1, f'"{self._name}" cannot be a name; use small letters, digits and -')
        lines = self._text.split("\n")
        self._read_body(lines, self._read_head(lines))
        title = self._title()
        sign_off = self._sign_off()
        steps = tuple(self._step(i + 1, draft) for i, draft in enumerate(self._drafts))
        if not steps:
            self._fault(len(lines), "there is no step; a step is a line `- [ ] what to do`")
        if len(steps) > CHECKLIST_STEPS_MAX:
            self._fault(1, f"more than {CHECKLIST_STEPS_MAX} steps; split it")
        if self._faults:
            raise ChecklistError(self._faults)
        applies = self._head.get("applies to", (0, ""))[1]
        return Checklist(
            name=self._name,
            title=title,
            steps=steps,
            text=self._text,
            title_uk=self._head.get("title_uk", (0, ""))[1],
            version=self._head.get("version", (0, ""))[1],
            applies_to=tuple(word.strip() for word in applies.split(",") if word.strip()),
            sign_off=sign_off,
            intro="\n".join(self._intro).strip(),
            intro_uk="\n".join(self._intro_uk),
            own=self._own,
        )

    def _read_head(self, lines: list[str]) -> int:
        """The front matter; the index of the line after it."""
        if not lines or lines[0].strip() != _HEAD_END:
            self._fault(1, "a checklist begins with --- , its title and other settings, and ---")
            return 0
        for index, line in enumerate(lines[1:], 1):
            if line.strip() == _HEAD_END:
                return index + 1
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            key, colon, value = line.partition(":")
            key = key.strip().lower().replace("_", " ") if colon else line.strip()
            key = "title_uk" if key == "title uk" else key
            if not colon or key not in _HEAD_KEYS:
                self._fault(
                    index + 1, f'"{key}" is not known here; known are {", ".join(_HEAD_KEYS)}'
                )
            elif key in self._head:
                self._fault(index + 1, f'"{key}" stands twice')
            else:
                self._head[key] = (index + 1, value.strip())
        self._fault(1, "the settings at the top have no --- at their end")
        return len(lines)

    def _title(self) -> str:
        line, title = self._head.get("title", (1, ""))
        if not title:
            self._fault(line, "title is missing")
        if len(title) > TITLE_CHARS_MAX:
            self._fault(line, f"title is longer than {TITLE_CHARS_MAX} characters")
        return title

    def _sign_off(self) -> int:
        line, text = self._head.get("sign off", (1, "1"))
        if not (text.isascii() and text.isdigit() and int(text) <= CHECKLIST_SIGNATURES_MAX):
            self._fault(line, f"sign off is how many people sign: 0 to {CHECKLIST_SIGNATURES_MAX}")
            return 1
        return int(text)

    def _read_body(self, lines: list[str], start: int) -> None:
        for index in range(start, len(lines)):
            line, number = lines[index], index + 1
            step = _STEP.match(line)
            if step is not None:
                self._open(number, step[1])
            elif re.match(r"[-*] ?\[", line):
                self._fault(number, "a step is written `- [ ] what to do`, with one space inside")
            elif line[:1].isspace() and line.strip() and self._drafts:
                self._continue(number, line.strip())
            elif line.strip():
                if self._drafts:
                    self._fault(
                        number, "text between steps belongs to one: indent it by two spaces"
                    )
                elif said := _UK.fullmatch(line.strip()):
                    self._intro_uk.append(said[2])
                else:
                    self._intro.append(line)
            elif not self._drafts:
                self._intro.append("")

    def _open(self, number: int, text: str) -> None:
        mark = _MARK.search(text)
        words = text[: mark.start()] if mark else text
        if not words.strip():
            self._fault(number, "a step needs words")
        self._drafts.append(_Draft(number, words.strip(), mark[1].strip() if mark else ""))

    def _continue(self, number: int, line: str) -> None:
        draft = self._drafts[-1]
        stop = _STOP.fullmatch(line)
        if said := _UK.fullmatch(line):
            self._in_ukrainian(number, draft, said[1] or "", said[2].strip())
        elif stop is not None:
            draft.stops.append((number, Stop(stop[1].strip(), stop[2].strip())))
        elif line.lower().startswith("stop if"):
            self._fault(number, "a stop rule is written `stop if CONDITION: why`")
        elif len(line) > 2 and line[0] == line[-1] == "`" and "`" not in line[1:-1]:
            draft.exprs.append((number, line[1:-1].strip()))
        else:
            draft.help.append(line)

    def _in_ukrainian(self, number: int, draft: _Draft, what: str, text: str) -> None:
        if what == "help":
            draft.help_uk.append(text)
        elif what == "choices":
            draft.choices_uk = (number, text)
        elif what == "stop":
            if not draft.stops:
                self._fault(number, "`uk stop:` stands below the `stop if` that it is of")
                return
            line, last = draft.stops[-1]
            draft.stops[-1] = (line, replace(last, reason_uk=text))
        else:
            draft.uk = text

    def _choices_uk(self, draft: _Draft, choices: tuple[str, ...]) -> tuple[str, ...]:
        line, text = draft.choices_uk
        if not text:
            return ()
        found = tuple(c.strip() for c in text.split("|"))
        if len(found) != len(choices):
            self._fault(line, f"`uk choices:` names {len(found)}; there are {len(choices)}")
        return found

    def _step(self, number: int, draft: _Draft) -> Step:
        mark, optional = draft.mark or Kind.TICK.value, False
        if mark == "optional" or re.search(r",\s*optional$", mark):
            optional = True
            mark = mark[: -len("optional")].rstrip(", ") or Kind.TICK.value
        kind_word, _, rest = mark.partition(" ")
        kind_word = kind_word.rstrip(":")
        try:
            kind = Kind(kind_word)
        except ValueError:
            known = ", ".join(k.value for k in Kind)
            self._fault(draft.line, f'"{kind_word}" is not a type of step; types are {known}')
            kind = Kind.TICK
        unit, span_s, script, approvals = "", 0, "", 0
        choices: tuple[str, ...] = ()
        parameters: tuple[tuple[str, str], ...] = ()
        rest = rest.strip()
        if kind in (Kind.NUMBER, Kind.QUERY):
            unit = rest
        elif kind is Kind.CHOICE:
            choices = tuple(c.strip() for c in rest.split("|") if c.strip())
            if len(set(choices)) < 2:
                self._fault(draft.line, "a choice needs at least two: `{choice: this | that}`")
        elif kind is Kind.CHART:
            span_s = self._span(draft.line, rest)
        elif kind is Kind.SCRIPT:
            if asked := _APPROVALS.search(rest):
                rest, approvals = rest[: asked.start()], int(asked[1])
            script, parameters = self._script(draft.line, rest)
        elif rest:
            self._fault(draft.line, f'"{rest}" has no meaning after {kind.value}')
        return Step(
            number,
            kind,
            draft.text,
            "\n".join(draft.help + self._code(draft, kind)),
            self._expr(draft, kind),
            unit,
            span_s,
            choices,
            script,
            parameters,
            optional,
            self._stops(draft, kind, choices),
            approvals,
            draft.uk,
            "\n".join(draft.help_uk + self._code(draft, kind)) if draft.help_uk else "",
            self._choices_uk(draft, choices),
        )

    def _span(self, line: int, text: str) -> int:
        if not text:
            return _CHART_SPAN_S
        try:
            return max(60, parse_duration(text) // 1000)
        except ValueError as fault:
            self._fault(line, f"chart: {fault}")
            return _CHART_SPAN_S

    def _script(self, line: int, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        name, *words = text.split() if text else [""]
        if not _SCRIPT.fullmatch(name):
            self._fault(line, "a script step names its script: `{script NAME key=value}`")
        pairs = []
        for word in words:
            key, sign, value = word.partition("=")
            if not sign or not key:
                self._fault(line, f'"{word}" is not key=value')
            pairs.append((key, value))
        return name, tuple(pairs)

    @staticmethod
    def _code(draft: _Draft, kind: Kind) -> list[str]:
        """Commands to type: what stands in back quotes of a step that asks no query."""
        return [] if kind in (Kind.QUERY, Kind.CHART) else [f"`{e}`" for _, e in draft.exprs]

    def _expr(self, draft: _Draft, kind: Kind) -> str:
        if kind not in (Kind.QUERY, Kind.CHART):
            return ""
        if len(draft.exprs) != 1:
            self._fault(
                draft.line, f"a {kind.value} step has one line with its query in back quotes"
            )
            return ""
        line, expr = draft.exprs[0]
        probe, _ = with_values(expr, dict.fromkeys(VARIABLE.findall(expr), "x"))
        if fault := check_expression(probe):
            self._fault(line, f"the query: {fault}")
        return expr

    def _stops(self, draft: _Draft, kind: Kind, choices: tuple[str, ...]) -> tuple[Stop, ...]:
        allowed = {
            Kind.YES_NO: ("yes", "no"),
            Kind.CHOICE: choices,
            Kind.QUERY: ("none",),
            Kind.NUMBER: (),
        }.get(kind)
        for line, stop in draft.stops:
            if allowed is None:
                self._fault(line, f"a {kind.value} step gives nothing to stop at")
            elif stop.condition.lower() in [a.lower() for a in allowed]:
                continue
            elif kind not in (Kind.NUMBER, Kind.QUERY) or not is_comparison(stop.condition):
                can = ", ".join(allowed) or "a comparison, as > 90"
                self._fault(line, f'"{stop.condition}" cannot be the answer; it can be {can}')
        return tuple(stop for _, stop in draft.stops)
