"""Runs of checklists: the table, several people at once, the ledger, the figures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from vezha.incidents.checklists.document import Checklist
from vezha.incidents.checklists.figures import read_figures, step_times
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.checklists.rows import act_on_run, begin_run, list_runs, read_run
from vezha.incidents.checklists.run import (
    TABLE,
    Asked,
    Run,
    RunAct,
    RunEvent,
    RunState,
    decide,
    fold,
    table_as_markdown,
)
from vezha.incidents.errors import (
    AnsweredMeanwhile,
    AnswerError,
    NoSuchChecklist,
    NoSuchIncident,
    OperatorError,
    WrongState,
)
from vezha.incidents.loop import Desk
from vezha.incidents.views import get_timeline
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, checklist_event, checklist_version
from vezha.world import World

TEXT = """---
title: List
sign off: {sign}
---
- [ ] tick it
- [ ] is it? {{yes/no}}
  stop if no: call Olha
- [ ] how many? {{number, optional}}
- [ ] room {{query}}
  `free{{instance="$host"}}`
  stop if < 5: full
"""


def listed(sign: int = 1) -> Checklist:
    return parse_checklist(TEXT.format(sign=sign), "list")


def ask(act: RunAct, step: int = 0, value: Any = None, actor: str = "anna", **more: Any) -> Asked:
    return Asked(act, actor, more.pop("at_ms", 10), step=step, value=value, **more)


def kinds(events: list[RunEvent]) -> list[str]:
    return [e.kind for e in events]


def test_a_run_from_beginning_to_signature() -> None:
    run = fold(listed(), [RunEvent(1, 0, "started", "anna")])
    assert kinds(decide(run, ask(RunAct.ANSWER, 1, True))) == ["answered"]
    assert kinds(decide(run, ask(RunAct.ANSWER, 2, "yes"))) == ["answered"]
    with pytest.raises(WrongState, match="these steps are open: 4"):
        decide(run, ask(RunAct.SIGN))
    assert kinds(decide(run, ask(RunAct.ANSWER, 4))) == ["answered"]
    assert run.waits_for_signature
    assert kinds(decide(run, ask(RunAct.SIGN, at_ms=99))) == ["signed", "done"]
    assert (run.state, run.finished_ms, run.revision) == (RunState.DONE, 99, 6)
    with pytest.raises(WrongState, match="this run is done"):
        decide(run, ask(RunAct.ANSWER, 1, True))


def test_two_people_sign_and_a_changed_answer_needs_them_again() -> None:
    run = Run(listed(sign=2))
    for step, value in ((1, True), (2, "yes"), (4, True)):
        decide(run, ask(RunAct.ANSWER, step, value))
    assert kinds(decide(run, ask(RunAct.SIGN))) == ["signed"]
    with pytest.raises(WrongState, match="somebody else must sign"):
        decide(run, ask(RunAct.SIGN))
    decide(run, ask(RunAct.ANSWER, 3, 4))
    assert run.signatures == []
    decide(run, ask(RunAct.SIGN))
    assert kinds(decide(run, ask(RunAct.SIGN, actor="bohdan"))) == ["signed", "done"]


def test_without_signatures_the_last_answer_ends_it() -> None:
    run = Run(listed(sign=0))
    decide(run, ask(RunAct.SKIP, 1, text="not here"))
    decide(run, ask(RunAct.ANSWER, 2, "yes"))
    assert kinds(decide(run, ask(RunAct.ANSWER, 4))) == ["answered", "done"]


def test_a_stop_rule_stops_until_somebody_says_why_to_go_on() -> None:
    run = Run(listed())
    stopped = decide(run, ask(RunAct.ANSWER, 2, "no"))
    assert [(e.kind, e.text) for e in stopped] == [("answered", ""), ("stopped", "call Olha")]
    assert run.stopped_because == "call Olha"
    with pytest.raises(WrongState, match="this run is stopped"):
        decide(run, ask(RunAct.ANSWER, 1, True))
    with pytest.raises(AnswerError, match="say why"):
        decide(run, ask(RunAct.RESUME))
    decide(run, ask(RunAct.RESUME, text="she knows"))
    assert (run.state, run.stopped_because) == (RunState.RUNNING, "")


def test_what_a_query_gives_may_stop_it_too() -> None:
    run = Run(listed())
    roomy = {"query": "q", "at_ms": 1, "series": [{"labels": {}, "value": 9.0}]}
    assert kinds(decide(run, ask(RunAct.FILL, 4, roomy))) == ["filled"]
    full = {"query": "q", "at_ms": 1, "series": [{"labels": {}, "value": 1.0}]}
    assert kinds(decide(run, ask(RunAct.FILL, 4, full))) == ["filled", "stopped"]
    assert run.step(4).state == "open"
    with pytest.raises(AnswerError, match="asks no query"):
        decide(run, ask(RunAct.FILL, 1, full))


def test_skipping_needs_a_reason_but_where_the_step_is_optional() -> None:
    run = Run(listed())
    with pytest.raises(AnswerError, match="say why step 1"):
        decide(run, ask(RunAct.SKIP, 1))
    assert run.revision == 0, "a refused act changes nothing"
    decide(run, ask(RunAct.SKIP, 3))
    decide(run, ask(RunAct.SKIP, 1, text="no access"))
    decide(run, ask(RunAct.CLEAR, 1))
    assert run.step(1).state == "open"
    with pytest.raises(WrongState):
        decide(run, ask(RunAct.CLEAR, 1))
    with pytest.raises(AnswerError, match="there is no step 9"):
        decide(run, ask(RunAct.ANSWER, 9, True))


def test_two_people_at_once_collide_only_on_the_same_step() -> None:
    run = Run(listed())
    decide(run, ask(RunAct.ANSWER, 1, True, seen=0))
    decide(run, ask(RunAct.ANSWER, 3, 1, actor="bohdan", seen=0))
    with pytest.raises(AnsweredMeanwhile, match="step 1 was changed by anna"):
        decide(run, ask(RunAct.SKIP, 1, actor="bohdan", text="x", seen=0))
    decide(run, ask(RunAct.ANSWER, 1, True, actor="bohdan", seen=2))
    assert run.step(1).actor == "bohdan"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(RunAct), st.integers(0, 5),
            st.sampled_from([True, "yes", "no", 3, None]), st.sampled_from("ab"),
            st.sampled_from(["", "why"]), st.one_of(st.none(), st.integers(0, 20)),
        ),
        max_size=30,
    ),
    st.integers(0, 2),
)  # fmt: skip
def test_what_is_kept_is_what_the_events_say(acts: list[Any], sign: int) -> None:
    run, kept = Run(listed(sign)), []
    for i, (act, step, value, actor, text, seen) in enumerate(acts):
        if act is RunAct.FILL:
            value = {"query": "", "at_ms": i, "series": []}
        before = (run.state, run.revision)
        try:
            made = decide(run, Asked(act, actor, i, step, value, text, seen))
        except OperatorError:
            assert (run.state, run.revision) == before
            continue
        assert (before[0], act) in TABLE
        kept += made
    assert [e.number for e in kept] == list(range(1, len(kept) + 1))
    again = fold(listed(sign), kept)
    assert (again.state, again.signatures, again.stopped_because) == (
        run.state, run.signatures, run.stopped_because,
    )  # fmt: skip
    assert {n: again.step(n).value for n in range(1, 5)} == {
        n: run.step(n).value for n in range(1, 5)
    }
    if run.state is RunState.DONE:
        assert not run.open_steps


def test_the_table_is_in_the_reference() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "checklists.md"
    assert table_as_markdown() in page.read_text()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


def an_incident(ledger: Ledger) -> int:
    with ledger.begin() as connection:
        connection.execute(
            insert(alert_transition).values(
                rule_key="r", fingerprint="f", group_name="g", alert_name="A", host="h",
                severity="warning", labels={"alertname": "A", "instance": "h"}, annotations={},
                event="fired", from_state="inactive", to_state="firing", value=1.0, active_ms=1,
                sampled_ms=1, evaluated_ms=1, written_ms=1,
            )
        )  # fmt: skip
    assert Desk(ledger, World()).step() == 1
    return 1


def test_a_run_is_rows_and_its_incident_hears_of_it(ledger: Ledger) -> None:
    of = an_incident(ledger)
    with ledger.begin() as connection:
        id_ = begin_run(connection, listed(), "anna", 1_000, incident=of, variables={"host": "h"})
    act_on_run(ledger, id_, ask(RunAct.ANSWER, 2, "no", at_ms=2_000))
    act_on_run(ledger, id_, ask(RunAct.ABANDON, text="wrong list", at_ms=3_000))
    with ledger.read() as connection:
        found = read_run(connection, id_)
        (row,) = list_runs(connection, incident=of)
        assert list_runs(connection, only_open=True) == []
        assert list_runs(connection, checklist="other") == []
        told = [(e.kind, e.actor, e.text) for e in get_timeline(connection, of)]
        assert connection.execute(select(checklist_version.c.text)).scalars().all() == [
            listed().text
        ]
    assert (row.state, row.revision, row.steps_open, row.finished_ms) == ("abandoned", 4, 2, 3_000)
    assert kinds(found.events) == ["started", "answered", "stopped", "abandoned"]
    assert told[1:] == [
        ("checklist", "anna", "List: started"),
        ("checklist", "anna", "List: stopped (call Olha)"),
        ("checklist", "anna", "List: abandoned (wrong list)"),
    ]


def test_a_run_keeps_the_version_that_it_began_with(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        first = begin_run(connection, listed(1), "anna", 1)
        second = begin_run(connection, listed(2), "anna", 1)
        begin_run(connection, listed(2), "anna", 1)
    with ledger.read() as connection:
        assert read_run(connection, first).run.checklist.sign_off == 1
        assert read_run(connection, second).run.checklist.sign_off == 2
        assert len(connection.execute(select(checklist_version)).all()) == 2
        with pytest.raises(NoSuchChecklist):
            read_run(connection, 99)
    with pytest.raises(NoSuchIncident), ledger.begin() as connection:
        begin_run(connection, listed(), "anna", 1, incident=7)


def test_people_who_write_at_the_same_moment_lose_nothing(ledger: Ledger) -> None:
    many = "---\ntitle: M\n---\n" + "".join(f"- [ ] step {i}\n" for i in range(40))
    with ledger.begin() as connection:
        id_ = begin_run(connection, parse_checklist(many, "m"), "anna", 0)

    def work(actor: str, steps: range) -> None:
        for step in steps:
            act_on_run(ledger, id_, ask(RunAct.ANSWER, step, True, actor=actor, seen=1))

    threads = [threading.Thread(target=work, args=(f"p{i}", range(1 + i, 41, 4))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as connection:
        run = read_run(connection, id_).run
        numbers = connection.execute(
            select(checklist_event.c.number).order_by(checklist_event.c.number)
        ).scalars()
        assert list(numbers) == list(range(1, 42))
    assert run.open_steps == []
    assert {run.step(n).actor for n in range(1, 41)} == {"p0", "p1", "p2", "p3"}


def test_steps_are_measured_by_who_does_them() -> None:
    events = [
        RunEvent(1, 0, "started", "anna"),
        RunEvent(2, 10_000, "answered", "anna", 1),
        RunEvent(3, 11_000, "filled", "anna", 4),
        RunEvent(4, 15_000, "answered", "bohdan", 2),
        RunEvent(5, 40_000, "skipped", "anna", 3),
        RunEvent(6, 90_000, "answered", "anna", 1),
    ]
    assert step_times(events) == {
        1: ("answered", 10.0), 2: ("answered", 5.0), 3: ("skipped", 30.0),
    }  # fmt: skip


def test_figures_say_which_step_takes_long_and_which_is_skipped(ledger: Ledger) -> None:
    for run in range(4):
        with ledger.begin() as connection:
            id_ = begin_run(connection, listed(), "anna", 0)
        act_on_run(ledger, id_, ask(RunAct.SKIP, 1, text="x", at_ms=1_000))
        answer = "no" if run == 3 else "yes"
        act_on_run(ledger, id_, ask(RunAct.ANSWER, 2, answer, at_ms=1_000 + 10_000 * (run + 1)))
        if run < 2:
            act_on_run(ledger, id_, ask(RunAct.ANSWER, 4, at_ms=60_000))
            act_on_run(ledger, id_, ask(RunAct.SIGN, at_ms=61_000))
    with ledger.read() as connection:
        (one,) = read_figures(connection, 0)
        assert read_figures(connection, 1) == []
    first, second, third, fourth = one.steps
    assert (one.runs, one.done, one.abandoned, one.median_s) == (4, 2, 0, 61.0)
    assert (first.answered, first.skipped, first.median_s) == (0, 4, None)
    assert (second.answered, second.stopped, second.median_s, second.p95_s) == (4, 1, 25.0, 38.5)
    assert (third.answered, fourth.answered) == (0, 2)
