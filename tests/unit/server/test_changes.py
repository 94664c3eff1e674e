"""Directives, progress and what agents run, between the gateway and the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from vezha.access import SYSTEM
from vezha.access.enrolment import create_enrolment, enrol_agent
from vezha.gateway.sink import Identity
from vezha.ledger import Ledger
from vezha.ledger.tables import audit, directive, progress, running
from vezha.server.changes import LedgerChanges
from vezha.server.releases import ensure_development_keys, keep_fresh
from vezha.server.state import StateFolder
from vezha.trust.folder import ReleaseFolder
from vezha.trust.keys import generate, load
from vezha.trust.limits import TIMESTAMP_LIFETIME_S
from vezha.trust.repository import OfflineKeys, check, rotate
from vezha.wire import message as m
from vezha.world import World

NOW_MS = 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(str(tmp_path / "ledger.db"))
    made.migrate()
    yield made
    made.close()


def enrolled(ledger: Ledger, name: str) -> Identity:
    invitation = create_enrolment(ledger, SYSTEM, NOW_MS)
    made = enrol_agent(ledger, invitation.token, name, {}, NOW_MS)
    return Identity(made.agent_id, made.host_name)


def direct(ledger: Ledger, host_id: int, generation: int, updated_ms: int) -> None:
    with ledger.begin() as connection:
        connection.execute(
            directive.delete().where(directive.c.host_id == host_id, directive.c.kind == "config")
        )
        connection.execute(
            directive.insert().values(
                host_id=host_id, kind="config", run="", generation=generation, target="t",
                sha256="0" * 64, length=1, detail={"watch_s": 5}, rollout_id=None,
                updated_ms=updated_ms,
            )
        )  # fmt: skip


def test_only_hosts_with_news_are_told(ledger: Ledger, tmp_path: Path) -> None:
    changes = LedgerChanges(ledger, World(), str(tmp_path / "releases"))
    enrolled(ledger, "a")
    enrolled(ledger, "b")
    assert changes.refresh() == set()
    direct(ledger, 1, 1, NOW_MS)
    direct(ledger, 2, 1, NOW_MS)
    assert changes.refresh() == {"a", "b"}
    assert changes.refresh() == set()
    direct(ledger, 2, 2, NOW_MS + 1)
    assert changes.refresh() == {"b"}
    assert changes.directives_of("b")[0]["generation"] == 2
    assert changes.directives_of("a")[0]["detail"] == {"watch_s": 5}
    with ledger.begin() as connection:
        connection.execute(directive.delete().where(directive.c.host_id == 1))
    assert changes.refresh() == {"a"}
    assert list(changes.directives_of("a")) == []
    assert list(changes.directives_of("nobody")) == []


def test_progress_that_is_told_again_is_one_row(ledger: Ledger, tmp_path: Path) -> None:
    changes = LedgerChanges(ledger, World(), str(tmp_path / "releases"))
    one, two = enrolled(ledger, "a"), enrolled(ledger, "b")
    said = m.Progress(1, "script", 4, "0" * 64, "finished", 5, "run-1", "", {"exit_code": 0})
    changes.write_progress([(one, said), (two, said)])
    changes.write_progress([(one, said), (Identity("gone", "c"), said)])
    with ledger.read() as connection:
        rows = connection.execute(select(progress).order_by(progress.c.host_id)).all()
    assert [(r.host_id, r.number, r.step, r.detail) for r in rows] == [
        (1, 1, "finished", {"exit_code": 0}),
        (2, 1, "finished", {"exit_code": 0}),
    ]


def test_a_refusal_that_may_be_an_attack_is_a_line_in_the_audit(
    ledger: Ledger, tmp_path: Path
) -> None:
    changes = LedgerChanges(ledger, World(), str(tmp_path / "releases"))
    one = enrolled(ledger, "db-1")

    def refused(number: int, reason: str) -> m.Progress:
        detail = {"text": "no offline key has signed it"}
        return m.Progress(number, "config", 4, "0" * 64, "refused", 5, "", reason, detail)

    changes.write_progress([(one, refused(1, "unsigned")), (one, refused(2, "no_space"))])
    changes.write_progress([(one, refused(1, "unsigned"))])  # told again
    changes.audit_fenced("db-1", "10.0.0.1", "10.0.0.9")
    changes.audit_fenced("db-1", "10.0.0.9", "10.0.0.1")
    with ledger.read() as connection:
        told = connection.execute(
            select(audit).where(audit.c.outcome == "refused").order_by(audit.c.id)
        ).all()
    assert [(row.action, row.target) for row in told] == [
        ("directive.refuse", "db-1"), ("agent.fence", "db-1"),
    ]  # fmt: skip
    assert json.loads(told[0].detail)["reason"] == "unsigned"
    assert json.loads(told[1].detail)["new_address"] == "10.0.0.9"


def test_what_agents_run_is_one_row_for_each_host(ledger: Ledger, tmp_path: Path) -> None:
    changes = LedgerChanges(ledger, World(), str(tmp_path / "releases"))
    one = enrolled(ledger, "a")
    assert not changes.write_states()
    for build in ("b1", "b2"):
        changes.state_told(
            one,
            m.State(
                {},
                {"effective_sha256": "e", "text": "x = 1", "drift": ["labels.site"]},
                {"build": build, "slot": "a", "generation": 3, "launcher": True},
                ["0" * 64],
                ["release", "config"],
            ),
        )
        assert changes.write_states()
    with ledger.read() as connection:
        row = connection.execute(select(running)).one()
    assert (row.build, row.capabilities, row.quarantined) == (
        "b2", ["release", "config"], ["0" * 64],
    )  # fmt: skip
    assert row.generations == {"release": 3, "config": 0}
    assert row.detail["drift"] == ["labels.site"]


def test_published_files_by_pieces(ledger: Ledger, tmp_path: Path) -> None:
    changes = LedgerChanges(ledger, World(), str(tmp_path / "releases"))
    assert changes.root() == ""
    assert changes.read_published("metadata/timestamp.json", 0, 10) is None
    state = StateFolder.at(tmp_path)
    assert ensure_development_keys(state, World())
    changes.keep_fresh()
    assert set(changes.expiries_s) == {"root", "targets", "snapshot", "timestamp"}
    total, piece = changes.read_published("metadata/timestamp.json", 2, 10) or (0, b"")
    assert len(piece) == 10
    assert total > 100
    assert changes.read_published("metadata", 0, 10) is None
    assert '"root"' in changes.root()


def test_keys_of_ones_own_take_the_place_of_those_for_trying_out(tmp_path: Path) -> None:
    world, state = World(), StateFolder.at(tmp_path)
    assert ensure_development_keys(state, world)
    folder = ReleaseFolder(world, str(state.releases))
    old = load((state.development_keys / "root.key").read_bytes())
    new = OfflineKeys([generate()], [generate()])
    folder.write(rotate(folder.files(), [old], world.clock.now(), new))
    assert not ensure_development_keys(state, world)


def test_the_server_signs_in_time_what_is_its_own(tmp_path: Path) -> None:
    world, state = World(), StateFolder.at(tmp_path)
    assert ensure_development_keys(state, world)
    assert ensure_development_keys(state, world)  # those that are there stay
    assert "not for production" in (state.development_keys / "README").read_text()
    for path in (*state.development_keys.glob("*.key"), state.releases / "online.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    folder = ReleaseFolder(world, str(state.releases))
    before, now_s = folder.files(), world.clock.now()
    keep_fresh(folder, now_s)
    assert folder.files() == before
    late_s = now_s + TIMESTAMP_LIFETIME_S + 3600
    expiries = keep_fresh(folder, late_s)
    assert expiries["timestamp"] > late_s
    check(folder.files(), late_s)
    # without its key it says so, and goes on
    (state.releases / "online.key").unlink()
    assert keep_fresh(folder, late_s + 30 * 86_400)["timestamp"] < late_s + 30 * 86_400
