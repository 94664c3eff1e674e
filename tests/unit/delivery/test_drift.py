"""Drift: what is told of it, and that mending it is a change like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from tests.unit.api.conftest import Tower, prepared_ledger, tower  # noqa: F401
from tests.unit.delivery.rolling import attempts, start, state_of

from vezha.access import Role
from vezha.access.audit import list_audit
from vezha.api import drift
from vezha.api.app import OWN_ROUTES, make_app
from vezha.cli.app import run
from vezha.delivery.change import Kind
from vezha.delivery.desk import lift_quarantine, wish
from vezha.delivery.drift import (
    Drift,
    accept_edited,
    changed_keys,
    drifts_from,
    judge_drift,
    read_drift,
)
from vezha.delivery.errors import NoSuchChange, SpecError, WrongState
from vezha.delivery.figures import read_delivered
from vezha.delivery.mend import Mending, Which, mend
from vezha.delivery.plan import Version
from vezha.delivery.rows import add_quarantine
from vezha.ledger import Ledger
from vezha.ledger.tables import change, change_event, directive, host, running
from vezha.testing.fleet.field import OLD, Field

ONE, OTHER, NONE = Version("1", "config/a/1/f", "aa"), Version("2", "config/a/2/f", "bb"), Version()


@pytest.mark.parametrize(
    ("delivered", "runs", "trouble", "keys", "code"),
    [
        (ONE, ONE, "", (), None),
        (NONE, NONE, "", (), None),
        (ONE, OTHER, "", (), "other"),
        (ONE, NONE, "", (), "other"),
        (ONE, NONE, "signed configuration aa is left out: its file was changed", (), "left_out"),
        (NONE, OTHER, "", (), "not_back"),
        (ONE, ONE, "", ("labels.team",), "edited"),
    ],
)
def test_the_table(
    delivered: Version, runs: Version, trouble: str, keys: tuple[str, ...], code: str | None
) -> None:
    said = judge_drift(Kind.CONFIG, delivered, runs, trouble, keys)
    assert (said and said[0]) == code
    drift = Drift(Kind.CONFIG, 1, "h", code or "", "", delivered, runs, 1)
    assert drift.can_be_mended == (code in ("other", "left_out", "not_back"))
    assert drifts_from([drift], Kind.AGENT) == {}


def test_keys_that_differ_are_named() -> None:
    before = 'a = 1\n[labels]\nteam = "blue"\n[collectors.cpu]\nenabled = true\n'
    after = 'a = 1\n[labels]\nteam = "red"\nsite = "kyiv"\n[collectors.cpu]\nenabled = true\n'
    assert changed_keys(before, after) == ("labels.site", "labels.team")
    assert changed_keys(before, before) == ()
    assert changed_keys("= what", after) == ("(unreadable)",)
    many = judge_drift(Kind.CONFIG, ONE, ONE, "", tuple(f"k{i}" for i in range(20)))
    assert many is not None
    assert many[1].endswith("k7 and 12 more")


@pytest.fixture
def field(ledger: Ledger) -> Field:
    return Field(ledger, 4)


def tell(field: Field, **values: Any) -> None:
    """All agents tell what they run: what was delivered, but for *values* of some hosts."""
    with field.ledger.begin() as connection:
        for row in connection.execute(
            select(directive, host.c.name).join(host, host.c.id == directive.c.host_id)
        ).all():
            told = {
                "config_sha256": row.sha256, "effective_sha256": "e1",
                "generations": {"config": row.generation}, "detail": {"text": "a = 1\n"},
                "received_ms": field.now_ms,
            } | values.get(row.name, {})  # fmt: skip
            connection.execute(
                update(running).where(running.c.host_id == row.host_id).values(**told)
            )


def delivered(field: Field) -> int:
    """A configuration that all hosts run; its rollout."""
    target = field.publish("7", kind="config")
    rollout = start(field, target, kind="config")
    assert field.run(field.loop(), 200, until=lambda: state_of(field, rollout) == "done")
    tell(field)
    field.run(field.loop(), 20)
    return rollout


LEFT_OUT = {"config_sha256": "", "effective_sha256": "e2",
            "detail": {"text": "", "trouble": "signed configuration 12 is left out"}}  # fmt: skip
EDITED = {"effective_sha256": "e3", "detail": {"text": "a = 2\nb = 1\n"}}


def found(field: Field) -> dict[str, str]:
    with field.ledger.read() as connection:
        return {d.host: d.code for d in read_drift(connection)}


def mended(field: Field, *, dry_run: bool = False, **which: Any) -> Mending:
    with field.ledger.begin() as connection:
        return mend(connection, Which(**which), field.signals.up(0), "bob", "", field.now_ms,
                    dry_run=dry_run)  # fmt: skip


def test_drift_is_seen_and_mended_as_a_change(field: Field) -> None:
    first = delivered(field)
    assert found(field) == {}
    tell(field, h00001=LEFT_OUT, h00002=EDITED)
    assert found(field) == {"h00001": "left_out", "h00002": "edited"}
    agent = next(a for a in field.agents.values() if a.agent_id == "h00001")
    agent.running = OLD

    shown = mended(field, dry_run=True)
    (one,) = shown.mended
    assert one.hosts == ["h00001"]
    assert one.rollout_id is None
    assert [d.host for d in shown.left] == ["h00002"]
    with field.ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(change)).scalar() == 1

    made = mended(field, change_id=1).mended[0]
    assert made.rollout_id is not None
    assert made.document["waves"] == one.document["waves"]  # what was shown is what is done
    assert set(attempts(field, made.rollout_id)) == {"h00001"}
    assert found(field) == {"h00001": "left_out", "h00002": "edited"}
    done = field.run(
        field.loop(), 200, until=lambda: state_of(field, made.rollout_id or 0) == "done"
    )
    assert done
    tell(field, h00002=EDITED)
    assert found(field) == {"h00002": "edited"}
    with field.ledger.read() as connection:
        row = connection.execute(select(change).where(change.c.id == made.change_id)).one()
        (figure,) = read_delivered(connection, 0, 1 << 60)
    assert (row.owner, row.labels) == ("ann", {"drift_of": "1"})
    assert figure.id == 1  # mending drift is no delivery

    # who joins later still follows the change that brought it
    field.add_host("late", {"role": "web"})
    field.run(field.loop(), 60)
    assert "late" in attempts(field, first)
    assert set(attempts(field, made.rollout_id)) == {"h00001"}


def test_a_host_that_was_edited_is_mended_there_or_accepted(field: Field) -> None:
    delivered(field)
    tell(field, h00002=EDITED)
    with pytest.raises(WrongState, match="vezha change accept h00002"):
        mended(field)
    with field.ledger.begin() as connection:
        with pytest.raises(SpecError, match="reason"):
            accept_edited(connection, "h00002", "bob", " ", field.now_ms)
        with pytest.raises(NoSuchChange, match="does not drift"):
            accept_edited(connection, "h00001", "bob", "so", field.now_ms)
        assert accept_edited(connection, "h00002", "bob", "so", field.now_ms).keys == ("a", "b")
    assert found(field) == {}
    # the next edit is drift again
    tell(field, h00002={"effective_sha256": "e4", "detail": {"text": "a = 3\n"}})
    assert found(field) == {"h00002": "edited"}


def test_who_did_not_go_back_is_told_again(field: Field) -> None:
    rollout = delivered(field)
    with field.ledger.begin() as connection:
        wish(connection, rollout, "revert", "ann", field.now_ms)
    assert field.run(field.loop(), 200, until=lambda: state_of(field, rollout) == "reverted")
    tell(field, h00001={"config_sha256": "5" * 64})
    assert found(field) == {"h00001": "not_back"}
    before = directives(field)
    shown = mended(field, dry_run=True)
    assert ([d.host for d in shown.told_again], shown.mended) == (["h00001"], [])
    assert directives(field) == before
    mended(field)
    after = directives(field)
    assert {h for h in after if after[h] != before[h]} == {"h00001"}
    assert after["h00001"][0] > before["h00001"][0]
    assert after["h00001"][1:] == before["h00001"][1:] == ("", True)  # its own, forced
    assert found(field) == {}  # it has not heard of it yet
    with field.ledger.read() as connection:
        texts = list(connection.execute(select(change_event.c.text)).scalars())
        assert connection.execute(select(func.count()).select_from(change)).scalar() == 1
    assert "told again to go back: h00001" in texts


def directives(field: Field) -> dict[str, tuple[int, str, bool]]:
    """(generation, hash, whether it is forced) by host."""
    query = select(directive, host.c.name).join(host, host.c.id == directive.c.host_id)
    with field.ledger.read() as connection:
        return {
            r.name: (r.generation, r.sha256, bool(r.detail.get("forced")))
            for r in connection.execute(query)
        }


def test_which_hosts_are_meant(field: Field) -> None:
    delivered(field)
    with pytest.raises(NoSuchChange, match="no host that is meant drifts"):
        mended(field)
    tell(field, h00001=LEFT_OUT, h00003={**LEFT_OUT, "detail": {}})
    assert found(field) == {"h00001": "left_out", "h00003": "other"}
    for agent in field.agents.values():
        agent.running = OLD
    with pytest.raises(NoSuchChange, match="no host nobody"):
        mended(field, host="nobody")
    with pytest.raises(NoSuchChange, match="no change 9"):
        mended(field, change_id=9)
    assert mended(field, host="h00003", dry_run=True).mended[0].hosts == ["h00003"]
    assert sorted(mended(field, dry_run=True).mended[0].hosts) == ["h00001", "h00003"]
    assert mended(field, selector='zone="z0"', dry_run=True).mended[0].hosts == ["h00003"]
    with (
        pytest.raises(WrongState, match="does not run what was delivered"),
        field.ledger.begin() as connection,
    ):
        accept_edited(connection, "h00001", "bob", "so", field.now_ms)
    # who is being mended is taken; and a hash in quarantine is not a cure
    mended(field, host="h00003")
    field.run(field.loop(), 4)
    assert found(field) == {"h00001": "left_out"}
    sha256 = attempts(field, 1)["h00001"]
    with field.ledger.begin() as connection:
        bad = connection.execute(select(change.c.sha256)).scalars().first()
        add_quarantine(connection, sha256=bad or "", host_id=0, kind="config", target="t",
                       reason="by_hand", detail="", rollout_id=None, now_ms=field.now_ms)  # fmt: skip
    assert sha256.state == "proven"
    with pytest.raises(SpecError, match="quarantine"):
        mended(field, host="h00001")
    with field.ledger.begin() as connection:
        lift_quarantine(connection, bad or "", 0, "ann", "it was the disk", field.now_ms)
    assert mended(field, host="h00001").mended[0].hosts == ["h00001"]


def test_who_has_not_heard_yet_does_not_drift(field: Field) -> None:
    delivered(field)
    tell(field, h00001={**LEFT_OUT, "generations": {"config": 1}})
    assert found(field) == {}


def test_over_http_who_may_and_what_is_audited(
    tower: Tower,  # noqa: F811
) -> None:
    services = tower.services
    services.querying = None  # hosts are up by the ledger's word
    field = Field(services.ledger, 4)
    delivered(field)
    tell(field, h00001=LEFT_OUT, h00002=EDITED)
    field.clock.now_s = tower.clock.now()
    with services.ledger.begin() as connection:
        connection.execute(update(host).values(last_seen_ms=field.now_ms))
    tower._app = make_app(services, (*OWN_ROUTES, *drift.ROUTES))
    api, viewer = tower.client(Role.OPERATOR), tower.client(Role.VIEWER)
    listed = viewer.get("/api/v1/drift").json()["drift"]
    assert [(d["host"], d["code"], d["can_be_mended"]) for d in listed] == [
        ("h00001", "left_out", True), ("h00002", "edited", False),
    ]  # fmt: skip
    assert len(viewer.get("/api/v1/drift?host=h00002").json()["drift"]) == 1
    assert viewer.get("/api/v1/drift?host=nobody").status_code == 404
    assert viewer.get("/api/v1/drift?selector=%3D").status_code == 400
    assert viewer.post("/api/v1/drift/mend", json={}).status_code == 403
    shown = api.post("/api/v1/drift/mend", json={"dry_run": True}).json()
    assert shown["started"] is False
    assert "only hosts that drift from it" in shown["mended"][0]["text"]
    made = api.post("/api/v1/drift/mend", json={"change": 1, "why": "the disk was bad"}).json()
    assert made["mended"][0]["rollout_id"] == 2
    assert [d["host"] for d in made["left"]] == ["h00002"]
    body = {"host": "h00002", "why": "a test of a week"}
    assert viewer.post("/api/v1/drift/accept", json=body).status_code == 403
    assert api.post("/api/v1/drift/accept", json={**body, "why": ""}).status_code == 400
    assert api.post("/api/v1/drift/accept", json=body).json()["keys"] == ["a", "b"]
    assert api.post("/api/v1/drift/accept", json=body).status_code == 404
    with services.ledger.read() as connection:
        told = [(r["action"], r["target"]) for r in list_audit(connection, 20)
                if r["outcome"] == "done"]  # fmt: skip
    assert told.count(("drift.accept", "h00002")) == 1
    assert told.count(("delivery.start", "2")) == 1  # the dry run left none


def test_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEZHA_STATE", str(tmp_path))
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    field = Field(opened, 4)
    delivered(field)
    assert run(["change", "drift"]) == 0
    assert "run what was delivered" in capsys.readouterr().out
    tell(field, h00001=LEFT_OUT, h00002=EDITED)
    with opened.begin() as connection:
        connection.execute(update(host).values(last_seen_ms=4_000_000_000_000))
    assert run(["change", "drift", "--json"]) == 1
    assert [d["code"] for d in json.loads(capsys.readouterr().out)] == ["left_out", "edited"]
    assert run(["change", "mend"]) == 0
    out = capsys.readouterr().out
    assert "Nothing was started" in out
    assert "Not mended from here: h00002" in out
    assert run(["change", "mend", "9"]) == 2
    assert "there is no change 9" in capsys.readouterr().err
    assert run(["change", "mend", "1", "--host", "h00001", "--yes", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["started"], made["mended"][0]["change_id"]) == (True, 2)
    assert run(["change", "accept", "h00002", "--why", "a test"]) == 0
    assert "taken as it is: a, b" in capsys.readouterr().out
    opened.close()
