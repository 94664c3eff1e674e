"""Checklist files: what is read, what is refused and where, and that the shipped ones are sound."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from vezha.alerting.ask import check_expression
from vezha.alerting.rule import AlertRule
from vezha.alerting.rulefile import BUILTIN_FOLDER, find_rule_files, load_rule_files
from vezha.incidents.checklists.book import SHIPPED, ChecklistBook
from vezha.incidents.checklists.document import Kind, checked_answer
from vezha.incidents.checklists.fill import fill, in_words, stop_of, variables_of, with_values
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.errors import AnswerError, ChecklistError
from vezha.incidents.words import Member
from vezha.model.labels import labels_of
from vezha.model.severity import Severity

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
HEAD = "---\ntitle: T\n---\n"

WHOLE = """---
title: Disk full
title_uk: Диск заповнений
version: 3
applies to: DiskFull, DiskExhausted
sign off: 2
---
What it is for.

- [ ] Room now {query bytes}
  `node_filesystem_avail_bytes{instance="$host"}`
  stop if > 1e10: there is room
  stop if none: no data
- [ ] Is it a log? {yes/no}
  Look at $mountpoint.

  `ls $mountpoint`
  stop if no: ask
- [ ] Freed {number GB, optional}
- [ ] What was it? {choice: a log, in a loop | other, optional}
- [ ] See {chart 6h}
  `up{instance="$host"}`
- [ ] Vacuum {script vacuum-journal size=500M host=$host}
- [ ] Say it {text}
- [ ] Tell them
"""


def test_everything_that_a_file_can_say() -> None:
    one = parse_checklist(WHOLE, "disk-full")
    assert (one.title, one.title_uk, one.version, one.sign_off) == (
        "Disk full", "Диск заповнений", "3", 2,
    )  # fmt: skip
    assert one.applies_to == ("DiskFull", "DiskExhausted")
    assert one.intro == "What it is for."
    room, log, freed, what, see, vacuum, say, tell = one.steps
    assert [s.kind for s in one.steps] == [
        Kind.QUERY, Kind.YES_NO, Kind.NUMBER, Kind.CHOICE, Kind.CHART, Kind.SCRIPT, Kind.TEXT,
        Kind.TICK,
    ]  # fmt: skip
    assert (room.unit, room.stop_at(2e10), room.stop_at(1.0), room.stop_at("none")) == (
        "bytes", "there is room", "", "no data",
    )  # fmt: skip
    assert (log.help, log.stop_at("no"), log.stop_at("yes")) == (
        "Look at $mountpoint.\n`ls $mountpoint`", "ask", "",
    )  # fmt: skip
    assert (freed.unit, freed.optional, what.optional) == ("GB", True, True)
    assert what.choices == ("a log, in a loop", "other")
    assert see.span_s == 6 * 3600
    assert (vacuum.script, dict(vacuum.parameters)) == (
        "vacuum-journal", {"size": "500M", "host": "$host"},
    )  # fmt: skip
    assert (say.number, tell.number) == (7, 8)


def test_the_hash_changes_with_the_text_and_a_steps_key_with_its_words() -> None:
    one = parse_checklist(WHOLE, "a")
    other = parse_checklist(WHOLE.replace("Look at", "Read"), "a")
    assert one.hash != other.hash
    assert [s.key for s in one.steps] == [s.key for s in other.steps]
    renamed = parse_checklist(WHOLE.replace("Is it a log?", "A log?"), "a")
    assert one.steps[1].key != renamed.steps[1].key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- [ ] a\n", "t.md:1: a checklist begins with ---"),
        ("---\ntitle: T\n- [ ] a\n", "t.md:1: the settings at the top have no --- at their end"),
        ("---\nversion: 1\n---\n- [ ] a\n", "t.md:1: title is missing"),
        ("---\ntitle: T\ntile: U\n---\n- [ ] a\n", 't.md:3: "tile" is not known here'),
        ("---\ntitle: T\ntitle: U\n---\n- [ ] a\n", 't.md:3: "title" stands twice'),
        ("---\ntitle: T\nsign off: no\n---\n- [ ] a\n", "t.md:3: sign off is how many people"),
        (HEAD, "t.md:4: there is no step"),
        (HEAD + "- [] a\n", "t.md:4: a step is written `- [ ] what to do`"),
        (HEAD + "- [ ] a\nloose\n", "t.md:5: text between steps belongs to one"),
        (HEAD + "- [ ] {tick}\n", "t.md:4: a step needs words"),
        (HEAD + "- [ ] a {tock}\n", 't.md:4: "tock" is not a type of step; types are tick, yes/no'),
        (HEAD + "- [ ] a {tick off}\n", 't.md:4: "off" has no meaning after tick'),
        (HEAD + "- [ ] a {choice: one}\n", "t.md:4: a choice needs at least two"),
        (HEAD + "- [ ] a {query}\n", "t.md:4: a query step has one line with its query"),
        (HEAD + "- [ ] a {query}\n  `up{`\n", "t.md:5: the query: 1:4: parse error"),
        (HEAD + "- [ ] a {query}\n  `up[5m]`\n", "t.md:5: the query: gives a range vector"),
        (HEAD + "- [ ] a {chart soon}\n  `up`\n", "t.md:4: chart: "),
        (HEAD + "- [ ] a {script}\n", "t.md:4: a script step names its script"),
        (HEAD + "- [ ] a {script s x}\n", 't.md:4: "x" is not key=value'),
        (HEAD + "- [ ] a\n  stop if yes: b\n", "t.md:5: a tick step gives nothing to stop at"),
        (HEAD + "- [ ] a {yes/no}\n  stop if > 3: b\n", 't.md:5: "> 3" cannot be the answer'),
        (HEAD + "- [ ] a {number}\n  stop if yes: b\n", "t.md:5: "),
        (HEAD + "- [ ] a {yes/no}\n  stop if yes\n", "t.md:5: a stop rule is written"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ChecklistError) as caught:
        parse_checklist(text, "t")
    assert any(p.startswith(said) for p in caught.value.problems), caught.value.problems


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ChecklistError) as caught:
        parse_checklist("---\ntile: T\n---\n- [ ] a {tock}\n- [ ] b {query}\n", "t")
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("mark", "given", "value"),
    [
        ("", "done", True), ("yes/no", True, "yes"), ("yes/no", "N", "no"), ("yes/no", "ні", "no"),
        ("number", "4.5", 4.5), ("number GB", 3, 3.0), ("text", " a ", "a"),
        ("choice: A b | c", "a B", "A b"), ("script x", "12", 12), ("script x", True, True),
        ("", "no", None), ("number", "many", None), ("number", True, None), ("number", "inf", None),
        ("text", " ", None), ("text", "x" * 5000, None), ("choice: a | b", "c", None),
        ("yes/no", "maybe", None), ("script x", "what", None), ("", {"a": 1}, None),
    ],
)  # fmt: skip
def test_answers_have_the_type_of_their_step(mark: str, given: object, value: object) -> None:
    (step,) = parse_checklist(HEAD + f"- [ ] a {{{mark or 'tick'}}}\n", "t").steps
    if value is None:
        with pytest.raises(AnswerError):
            checked_answer(step, given)
    else:
        assert checked_answer(step, given) == value


def member(host: str, severity: Severity = Severity.WARNING, **labels: str) -> Member:
    all_ = {"alertname": "DiskFull", "instance": host, **labels}
    return Member(f"f-{host}", "DiskFull", host, severity, "firing", all_, {}, 1, 1)


def test_an_incident_gives_the_variables_of_its_worst_alert() -> None:
    members = [member("a"), member("db.1", Severity.CRITICAL, mountpoint="/var")]
    given = variables_of(members, 7, "dba")
    assert (given["host"], given["mountpoint"], given["incident"], given["team"]) == (
        "db.1", "/var", "7", "dba",
    )  # fmt: skip
    assert re.fullmatch(given["hosts"], "db.1")
    assert not re.fullmatch(given["hosts"], "dbx1")


def test_variables_are_quoted_in_queries_and_plain_in_words() -> None:
    hostile = {"host": 'a"} or vector(1) #', "m": "C:\\x"}
    expr, missing = with_values('up{instance="$host", m="${m}", n="$n"}', hostile)
    assert expr == 'up{instance="a\\"} or vector(1) #", m="C:\\\\x", n=""}'
    assert missing == ["n"]
    assert check_expression(expr) == ""
    assert in_words("ping $host, $n", {"host": "a"}) == "ping a, $n"
    assert with_values('up{instance=~"a.*$"}', {}) == ('up{instance=~"a.*$"}', [])


def test_a_step_fills_itself_in_or_says_why_not() -> None:
    (step,) = parse_checklist(HEAD + '- [ ] a {query}\n  `up{instance="$host"}`\n', "t").steps
    series = [labels_of({"__name__": "up", "instance": f"h{i}"}) for i in range(30)]

    def ask(expr: str, _ms: int):  # type: ignore[no-untyped-def]
        assert expr == 'up{instance="h"}'
        return series, [float(i) for i in range(29)] + [float("nan")]

    found = fill(step, {"host": "h"}, ask, 5)
    assert found["series"][0] == {"labels": {"instance": "h28"}, "value": 28.0}
    assert (len(found["series"]), found["more"]) == (20, 9)
    assert fill(step, {}, ask, 5)["error"] == "no value is known for $host"

    def broken(_expr: str, _ms: int):  # type: ignore[no-untyped-def]
        raise ValueError("too many samples")

    failed = fill(step, {"host": "h"}, broken, 5)
    assert failed["error"] == "too many samples"
    assert stop_of(step, failed) == ""


def test_every_built_in_alert_has_a_shipped_checklist_and_the_other_way_round() -> None:
    loaded = load_rule_files(find_rule_files([BUILTIN_FOLDER]), check_expression)
    alerts = {r.name for g in loaded.groups for r in g.rules if isinstance(r, AlertRule)}
    book = ChecklistBook()
    assert len(alerts) >= 38
    assert not {a for a in alerts if not book.for_alert(a, {})}
    named = {a for c in book.loaded().checklists.values() for a in c.applies_to}
    assert not named - alerts
    assert all(c.title_uk for c in book.loaded().checklists.values())
    assert all(len(c.steps) >= 3 for c in book.loaded().checklists.values())


def test_shipped_queries_ask_for_what_is_collected() -> None:
    pages = ("agent-metrics.md", "server-metrics.md", "checks.md")
    told = "".join((REFERENCE / name).read_text() for name in pages)
    asked = set()
    for path in SHIPPED.glob("*.md"):
        for step in parse_checklist(path.read_text(), path.stem).steps:
            asked |= set(re.findall(r"\b(?:node|probe|vezha)_[a-zA-Z0-9_]+", step.expr))
    assert len(asked) > 20
    unknown = {n for n in asked if n not in told and not _told_in_parts(n, told)}
    assert not unknown


def _told_in_parts(name: str, told: str) -> bool:
    """Families of metrics are told as `node_memory_*`."""
    parts = name.split("_")
    return any(f"{'_'.join(parts[:n])}_*" in told for n in range(2, len(parts)))


def test_the_operators_own_file_overrides_and_a_broken_one_does_not(tmp_path: Path) -> None:
    book = ChecklistBook(tmp_path / "none")
    assert not book.get("disk-full").own
    book = ChecklistBook(tmp_path)
    own = tmp_path / "disk-full.md"
    own.write_text("---\ntitle: Ours\napplies to: DiskFull\n---\n- [ ] call Olha\n")
    assert book.get("disk-full").title == "Ours"
    assert [c.title for c in book.for_alert("DiskFull", {})] == ["Ours"]
    own.write_text("nothing")
    os.utime(own, (1, 1))
    assert book.get("disk-full").title == "A disk is full"
    assert list(book.loaded().problems) == [str(own)]


def test_a_rule_may_name_its_checklist(tmp_path: Path) -> None:
    (tmp_path / "shop.md").write_text("---\ntitle: Shop\n---\n- [ ] look\n")
    book = ChecklistBook(tmp_path)
    named = book.for_alert("DiskFull", {"vezha_checklist": "shop"})
    assert [c.name for c in named] == ["shop", "disk-full"]
    assert [c.name for c in book.for_alert("X", {"vezha_checklist": "- [ ] look"})] == []


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED.glob("*.md")))
def test_what_is_shipped_is_all_there_in_ukrainian(name: str) -> None:
    one = parse_checklist((SHIPPED / f"{name}.md").read_text(), name)
    assert one.title_uk
    assert one.intro_uk
    for step in one.steps:
        assert re.search("[а-яіїєґ]", step.text_uk), step.text
        assert len(step.choices_uk) == len(step.choices)
        assert all(stop.reason_uk for stop in step.stops), step.text
        words = [line for line in step.help.splitlines() if not re.fullmatch("`[^`]*`", line)]
        assert bool(step.help_uk) == bool(words), step.text


def test_a_step_in_both_languages() -> None:
    text = """---
title: T
---
For this.
uk: Для цього.

- [ ] Which? {choice: this | that}
  uk: Котре?
  uk choices: це | те
  `ls`
  Look twice.
  uk help: Гляньте двічі.
  stop if that: it is over
  uk stop: уже минуло
"""
    one = parse_checklist(text, "t")
    step = one.steps[0]
    assert (one.intro, one.intro_uk) == ("For this.", "Для цього.")
    assert (step.text, step.text_uk) == ("Which?", "Котре?")
    assert (step.choices, step.choices_uk) == (("this", "that"), ("це", "те"))
    assert (step.help, step.help_uk) == ("Look twice.\n`ls`", "Гляньте двічі.\n`ls`")
    assert step.stop_at("that") == "it is over"
    assert step.stop_uk("it is over") == "уже минуло"
    with pytest.raises(ChecklistError, match="names 1; there are 2"):
        parse_checklist(text.replace("це | те", "це"), "t")
    with pytest.raises(ChecklistError, match="stands below the `stop if`"):
        parse_checklist(text.replace("  stop if that: it is over\n", ""), "t")
