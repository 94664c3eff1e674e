"""What explains what: trees, redundancy, circles, labels, files, and what history teaches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.incidents.dependency import (
    Dependency,
    Inhibition,
    Tree,
    check_circle,
    make_dependency,
    of_label,
    parse_target,
)
from vezha.incidents.dependency_file import DependencyFile, parse_dependencies
from vezha.incidents.errors import DependencyError
from vezha.incidents.silence import parse_matchers
from vezha.incidents.suggestion import learn
from vezha.incidents.words import Member, Place, words_of
from vezha.model.severity import Severity


def member(
    host: str, explains: str = "host", name: str = "HostSilent", at_ms: int = 0, **labels: str
) -> Member:
    return Member(
        f"{name}/{host}", name, host, Severity.CRITICAL, "firing",
        {"alertname": name, "instance": host, **labels},
        {"vezha_explains": explains, "vezha_title": "silent"} if explains else {}, at_ms, at_ms,
    )  # fmt: skip


def tree(
    dependencies: list[tuple[str, list[str]]],
    failing: list[Member],
    labels: dict[str, dict[str, str]] | None = None,
    inhibitions: list[Inhibition] | None = None,
) -> Tree:
    made = [make_dependency(child, parents) for child, parents in dependencies]
    return Tree(made, inhibitions or [], Place(labels or {}), failing)


def cause(of: Tree, one: Member) -> str:
    found = of.cause(one)
    return found.host if found else ""


CHAIN = [("vm", ["hypervisor"]), ("hypervisor", ["switch"])]


def test_the_cause_is_the_failing_parent_farthest_up() -> None:
    vm, hypervisor, switch = member("vm"), member("hypervisor"), member("switch")
    assert cause(tree(CHAIN, [vm, hypervisor, switch]), vm) == "switch"
    assert cause(tree(CHAIN, [vm, hypervisor]), vm) == "hypervisor"
    assert cause(tree(CHAIN, [vm, switch]), vm) == "switch", "one that nobody watches is passed"
    assert cause(tree(CHAIN, [vm]), vm) == ""
    assert cause(tree(CHAIN, [vm, switch]), switch) == ""
    found = tree(CHAIN, [switch]).cause(vm)
    assert found is not None
    assert found.because.en == "switch fails: silent"


def test_redundant_parents_explain_only_together() -> None:
    redundant = [("vm", ["a", "b"])]
    vm = member("vm")
    assert cause(tree(redundant, [member("a")]), vm) == ""
    assert cause(tree(redundant, [member("a"), member("b")]), vm) == "a"
    each = [("vm", ["a"]), ("vm", ["b"])]
    assert cause(tree(each, [member("b")]), vm) == "b"


def test_matchers_see_the_labels_of_hosts_and_of_alerts() -> None:
    labels = {"k-1": {"site": "kyiv"}, "l-1": {"site": "lviv"}}
    of = tree([('site="kyiv"', ["gw"])], [member("gw")], labels)
    assert cause(of, member("k-1")) == "gw"
    assert cause(of, member("l-1")) == ""
    service = [('name="shop.service"', ['instance="db-1", name="postgresql.service"'])]
    db = member("db-1", "dependents", "ServiceFailed", name_="x")
    db.labels = {**db.labels, "name": "postgresql.service"}
    shop = member("web", "dependents", "ServiceFailed")
    shop.labels = {**shop.labels, "name": "shop.service"}
    assert cause(tree(service, [db]), shop) == "db-1"
    other = member("web", "dependents", "ServiceFailed", at_ms=1)
    assert cause(tree(service, [db]), other) == ""


def test_a_part_of_a_host_does_not_explain_what_depends_on_the_host() -> None:
    failed_service = member("gw", "dependents", "ServiceFailed")
    nearly_full = member("gw", "", "DiskNearlyFull")
    assert cause(tree([("vm", ["gw"])], [failed_service, nearly_full]), member("vm")) == ""


def test_a_silent_host_explains_its_other_alerts() -> None:
    silent = member("db-1")
    assert cause(tree([], [silent]), member("db-1", "", "CheckFailing")) == "db-1"
    assert cause(tree([], [silent]), member("db-2", "", "CheckFailing")) == ""
    assert cause(tree([], [silent, member("db-1", name="PingFailing")]), silent) == ""


def test_labels_and_annotations_name_parents() -> None:
    labels = {"vm": {"depends_on": "hv, gw-1|gw-2"}}
    assert [len(d.parents) for d in of_label(parse_target("vm"), labels["vm"]["depends_on"])] == [
        1,
        2,
    ]
    assert cause(tree([], [member("hv")], labels), member("vm")) == "hv"
    assert cause(tree([], [member("gw-1")], labels), member("vm")) == ""
    assert tree([], [], labels).is_parent(member("gw-2"))
    assert not tree([], [], labels).is_parent(member("other"))
    told = member("app", "", "QueueFrozen")
    told.annotations = {"vezha_depends_on": "broker"}
    assert cause(tree([], [member("broker")]), told) == "broker"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12),
    st.sets(st.integers(0, 5)),
)
def test_some_alert_is_always_told_whatever_the_circles(
    edges: list[tuple[int, int]], down: set[int]
) -> None:
    failing = [member(f"h{i}", at_ms=i) for i in sorted(down)]
    made = [make_dependency(f"h{a}", [f"h{b}"]) for a, b in edges if a != b]
    of = Tree(made, [], Place(), failing)
    causes = {m.fingerprint: of.cause(m) for m in failing}
    assert not failing or any(c is None for c in causes.values())
    for one, found in causes.items():
        assert found is None or found.fingerprint != one


def test_circles_are_refused() -> None:
    known = [make_dependency("a", ["b"]), make_dependency("b", ["c"])]
    with pytest.raises(DependencyError, match="c would then depend on itself"):
        check_circle(make_dependency("c", ["a"]), known)
    with pytest.raises(DependencyError, match="cannot depend on itself"):
        make_dependency("a", ["a"])
    check_circle(make_dependency("d", ["a"]), known)


def test_inhibition_needs_the_same_labels() -> None:
    rule = Inhibition(
        parse_matchers('alertname="Down"'), parse_matchers('alertname="Slow"'), ("env",)
    )
    down = member("a", "", "Down", env="prod")
    of = tree([], [down], inhibitions=[rule])
    assert cause(of, member("b", "", "Slow", env="prod")) == "a"
    assert cause(of, member("b", "", "Slow", env="test")) == ""
    assert cause(of, down) == ""


def test_the_title_names_the_root_and_counts_what_is_behind_it() -> None:
    root = member("gw")
    behind = [member(f"k-{i}") for i in range(3)]
    for one in behind:
        one.cause = root.fingerprint
    words = words_of([*behind, root], "en", Place())
    assert words.title == "gw: silent, 3 hosts behind it"
    assert "3 hosts cannot be reached or seen without it: k-0, k-1, k-2." in words.summary
    assert words_of([*behind, root], "uk", Place()).title == "gw: silent, за ним 3 сервери"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[dependencies]]\n", '"dependencies" is not known'),
        ("[[dependency]]\nchild = 'a'\n", "dependency 1: a dependency has 1 to"),
        ("[[dependency]]\nchild = ''\nparents = ['b']\n", "dependency 1: "),
        ("[[dependency]]\nchild = 'a'\nparent = 'b'\n", '"parent" is not known'),
        ("[[dependency]]\nchild = 'a{'\nparents = ['b']\n", "is not a matcher"),
        ("[dependency]\nchild = 'a'\n", "with two brackets"),
        ("[[inhibit]]\nsource = 'a=\"b\"'\n", "inhibit 1: "),
        ("[[dependency\n", "dependencies.toml: "),
        ("[[dependency]]\nchild='a'\nparents=['b']\n[[dependency]]\nchild='b'\nparents='a'\n",
         "dependency 2: b would then depend on itself"),
    ],
)  # fmt: skip
def test_faults_of_the_file_are_told(text: str, said: str) -> None:
    with pytest.raises(DependencyError) as caught:
        parse_dependencies(text.encode())
    assert said in str(caught.value)


def test_a_broken_file_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "dependencies.toml"
    file = DependencyFile(str(path))
    assert not file.refresh()
    path.write_text("[[dependency]]\nchild = 'a'\nparents = 'b'\n")
    assert file.refresh()
    assert [(str(d.child), str(d.parents[0])) for d in file.dependencies] == [("a", "b")]
    path.write_text("nonsense")
    assert file.refresh()
    assert file.problem
    assert len(file.dependencies) == 1
    path.unlink()
    assert file.refresh()
    assert not file.dependencies
    assert not file.problem


HOUR = 3_600_000


def history(seed: int = 1, children: int = 30, outages: int = 6) -> list[tuple[str, int]]:
    """A gateway with children, each of which also fails alone, and hosts that fail at random."""
    dice = random.Random(seed)
    out = []
    for outage in range(outages):
        at = (outage * 97 + 5) * HOUR
        out.append(("gw", at + dice.randint(0, 9_000)))
        out += [(f"k-{i}", at + dice.randint(0, 20_000)) for i in range(children)]
    for host in [f"k-{i}" for i in range(children)] + [f"l-{i}" for i in range(20)]:
        out += [(host, dice.randint(0, 2000) * HOUR + 1_800_000) for _ in range(4)]
    return sorted(out, key=lambda f: f[1])


def test_history_teaches_who_depends_on_whom() -> None:
    learned = learn(history())
    assert {s.parent for s in learned.suggestions} == {"gw"}
    assert {s.child for s in learned.suggestions} == {f"k-{i}" for i in range(30)}
    one = learned.suggestions[0]
    assert (one.together, one.parent_outages) == (6, 6)
    assert one.child_outages > 6
    assert len(one.examples_ms) == 5
    assert "of 6 outages of gw, " in one.sentence
    known = [("k-0", "gw")]
    assert "k-0" not in {s.child for s in learn(history(), known=known).suggestions}


def test_who_fails_first_each_time_is_the_parent_even_if_no_child_fails_alone() -> None:
    failures = []
    for outage in range(5):
        at = outage * 50 * HOUR
        failures += [("gw", at), *[(f"k-{i}", at + 2_000 + i) for i in range(6)]]
    learned = learn(failures)
    assert {(s.child, s.parent) for s in learned.suggestions} == {
        (f"k-{i}", "gw") for i in range(6)
    }
    assert learned.suggestions[0].parent_first == 5


def test_hosts_that_fail_together_in_any_order_share_something_unwatched() -> None:
    dice = random.Random(3)
    failures = [
        (f"k-{i}", outage * 50 * HOUR + dice.randint(0, 15_000))
        for outage in range(8)
        for i in range(10)
    ]
    learned = learn(sorted(failures, key=lambda f: f[1]))
    assert learned.suggestions == []
    (group,) = learned.groups
    assert (len(group.hosts), group.outages) == (10, 8)


def test_chance_and_too_little_teach_nothing() -> None:
    dice = random.Random(5)
    noise = sorted(((f"h{dice.randint(0, 40)}", dice.randint(0, 2000) * HOUR) for _ in range(900)),
                   key=lambda f: f[1])  # fmt: skip
    assert learn(noise).suggestions == []
    twice = [(h, o * 50 * HOUR + d) for o in range(2) for h, d in (("gw", 0), ("k", 2_000))]
    assert learn(twice).suggestions == []
    assert learn([]).suggestions == []


def test_targets_and_dependencies_read_back_as_written() -> None:
    for text in ("gw-kyiv", 'site="kyiv"', 'name=~"a|b", env!="test"'):
        assert str(parse_target(text)) == text
        assert parse_target(str(parse_target(text))) == parse_target(text)
    assert isinstance(make_dependency("a", ["b", 'c="d"']), Dependency)
