"""Invitations, agents, hosts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vezha.access import SYSTEM, authenticate_agent, create_enrolment, enrol_agent, revoke_agent
from vezha.access.audit import list_audit, verify_audit
from vezha.access.enrolment import list_enrolments, revoke_enrolment
from vezha.access.errors import AccessError, EnrolmentError, LimitError, UnknownError
from vezha.access.host import check_labels, find_host, label_host, note_facts, remove_host
from vezha.ledger import Ledger

DAY_MS = 86_400_000


def invite(ledger: Ledger, now_ms: int = 0, **labels: str) -> str:
    return create_enrolment(ledger, SYSTEM, now_ms, labels=labels).token


def test_an_agent_gets_an_identity_and_its_host_the_labels(ledger: Ledger) -> None:
    made = enrol_agent(ledger, invite(ledger, site="lviv"), "db-1", {"os": "Debian"}, 1)
    assert made.labels == {"site": "lviv"}
    identity = authenticate_agent(ledger, made.agent_id, made.secret)
    assert identity is not None
    assert identity.host_name == "db-1"
    row = find_host(ledger, "db-1")
    assert row is not None
    assert row.facts == {"os": "Debian"}


def test_wrong_ids_and_secrets_are_refused(ledger: Ledger) -> None:
    made = enrol_agent(ledger, invite(ledger), "db-1", {}, 1)
    other = enrol_agent(ledger, invite(ledger), "db-2", {}, 1)
    assert authenticate_agent(ledger, made.agent_id, made.secret[:-1] + "!") is None
    assert authenticate_agent(ledger, made.agent_id, other.secret) is None
    assert authenticate_agent(ledger, made.agent_id, "") is None
    assert authenticate_agent(ledger, "", made.secret) is None
    assert authenticate_agent(ledger, "x" * 10_000, made.secret) is None


def test_a_token_works_once(ledger: Ledger) -> None:
    token = invite(ledger)
    enrol_agent(ledger, token, "db-1", {}, 1)
    with pytest.raises(EnrolmentError, match="used already, by db-1; ask for a new one"):
        enrol_agent(ledger, token, "db-2", {}, 2)
    assert find_host(ledger, "db-2") is None


def test_a_token_expires_and_can_be_withdrawn(ledger: Ledger) -> None:
    with pytest.raises(EnrolmentError, match="has expired"):
        enrol_agent(ledger, invite(ledger), "db-1", {}, DAY_MS)
    made = create_enrolment(ledger, SYSTEM, 0)
    revoke_enrolment(ledger, SYSTEM, made.id, 1)
    with pytest.raises(EnrolmentError, match="was withdrawn"):
        enrol_agent(ledger, made.token, "db-1", {}, 2)
    with pytest.raises(UnknownError):
        revoke_enrolment(ledger, SYSTEM, made.id, 3)
    assert list_enrolments(ledger, 2) != []
    assert list_enrolments(ledger, DAY_MS) == []


@pytest.mark.parametrize("token", ["", "abc", "vze_" + "a" * 43, "vzt_" + "a" * 43])
def test_a_token_that_is_none_is_refused_with_a_sentence(ledger: Ledger, token: str) -> None:
    with pytest.raises(EnrolmentError, match=r"\w+"):
        enrol_agent(ledger, token, "db-1", {}, 1)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 254, 'a"b', "ї", "a\n", "../x", "a/b"])
def test_a_host_name_that_is_none_costs_no_token(ledger: Ledger, name: str) -> None:
    token = invite(ledger)
    with pytest.raises(EnrolmentError, match="name"):
        enrol_agent(ledger, token, name, {}, 1)
    enrol_agent(ledger, token, "db-1", {}, 2)


def test_the_same_machine_may_come_again_and_its_old_agent_is_out(ledger: Ledger) -> None:
    first = enrol_agent(ledger, invite(ledger, site="a"), "db-1", {"machine_id": "m"}, 1)
    label_host(ledger, SYSTEM, "db-1", {"role": "db"}, 2)
    second = enrol_agent(ledger, invite(ledger, site="b"), "db-1", {"machine_id": "m"}, 3)
    assert second.labels == {"site": "b", "role": "db"}
    assert authenticate_agent(ledger, first.agent_id, first.secret) is None
    assert authenticate_agent(ledger, second.agent_id, second.secret) is not None


def test_another_machine_cannot_take_a_hosts_name(ledger: Ledger) -> None:
    first = enrol_agent(ledger, invite(ledger), "db-1", {"machine_id": "m"}, 1)
    token = invite(ledger)
    with pytest.raises(EnrolmentError, match="Another machine is enrolled as db-1"):
        enrol_agent(ledger, token, "db-1", {"machine_id": "other"}, 2)
    assert authenticate_agent(ledger, first.agent_id, first.secret) is not None
    assert enrol_agent(ledger, token, "db-2", {"machine_id": "other"}, 3)


def test_a_revoked_agent_is_refused_and_the_host_stays(ledger: Ledger) -> None:
    made = enrol_agent(ledger, invite(ledger), "db-1", {}, 1)
    assert revoke_agent(ledger, SYSTEM, made.agent_id, 2) == "db-1"
    assert authenticate_agent(ledger, made.agent_id, made.secret) is None
    assert find_host(ledger, "db-1") is not None
    with pytest.raises(UnknownError):
        revoke_agent(ledger, SYSTEM, made.agent_id, 3)


def test_removing_a_host_refuses_its_agent_and_is_told_once(ledger: Ledger) -> None:
    made = enrol_agent(ledger, invite(ledger), "db-1", {}, 1)
    remove_host(ledger, SYSTEM, "db-1", 2)
    assert authenticate_agent(ledger, made.agent_id, made.secret) is None
    with pytest.raises(UnknownError, match="no host 'db-1'"):
        remove_host(ledger, SYSTEM, "db-1", 3)


def test_every_step_is_in_the_audit_and_no_secret_is(ledger: Ledger) -> None:
    token = invite(ledger)
    made = enrol_agent(ledger, token, "db-1", {}, 1)
    with pytest.raises(EnrolmentError):
        enrol_agent(ledger, token, "db-2", {}, 2)
    label_host(ledger, SYSTEM, "db-1", {"site": "x"}, 3)
    remove_host(ledger, SYSTEM, "db-1", 4)
    with ledger.read() as connection:
        rows = list_audit(connection, 50)
        assert verify_audit(connection).broken_at is None
    assert [(r["action"], r["outcome"]) for r in reversed(rows)] == [
        ("enrolment.create", "done"), ("agent.enrol", "done"), ("agent.enrol", "refused"),
        ("host.change", "done"), ("host.remove", "done"),
    ]  # fmt: skip
    written = str([dict(r) for r in rows])
    assert token not in written
    assert made.secret not in written


@pytest.mark.parametrize(
    "labels",
    [{"instance": "x"}, {"job": "x"}, {"__a": "x"}, {"1a": "x"}, {"a-b": "x"}, {"": "x"},
     {"a": "x" * 129}, {"a" * 129: "x"}, {f"l{i}": "x" for i in range(33)}, {"a": "x\x00y"}],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused_by_name(labels: dict[str, str]) -> None:
    with pytest.raises(AccessError):
        check_labels(labels)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=5))
def test_labels_that_pass_are_plain_and_not_empty(labels: dict[str, str]) -> None:
    try:
        kept = check_labels(labels)
    except AccessError:
        return
    assert all(value for value in kept.values())
    assert all(value.isprintable() for value in kept.values())
    assert set(kept) <= set(labels)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_facts_of_any_shape_are_kept_as_they_are(ledger: Ledger, facts: dict[str, object]) -> None:
    if find_host(ledger, "db-1") is None:
        enrol_agent(ledger, invite(ledger), "db-1", {}, 1)
    note_facts(ledger, "db-1", facts, 2)
    row = find_host(ledger, "db-1")
    assert row is not None
    assert row.facts == facts


def test_facts_and_lifetimes_beyond_their_limits_are_refused(ledger: Ledger) -> None:
    with pytest.raises(AccessError, match="too long"):
        note_facts(ledger, "db-1", {"a": "x" * 100_000}, 1)
    with pytest.raises(EnrolmentError, match="facts"):
        enrol_agent(ledger, invite(ledger), "db-1", {"a": "x" * 100_000}, 1)
    for lifetime_s in (0.0, -1.0, 1e9):
        with pytest.raises(LimitError):
            create_enrolment(ledger, SYSTEM, 0, lifetime_s=lifetime_s)
