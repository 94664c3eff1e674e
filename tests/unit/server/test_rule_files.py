"""Rules that come as a change: verified, linted, swapped in, taken back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.unit.delivery.conftest import OpenLedger, migrated, open_ledger  # noqa: F401
from tests.unit.delivery.rolling import attempts, rollout_of, start, state_of

from vezha.access import SYSTEM
from vezha.alerting.archive import unpack
from vezha.delivery.plan import Version
from vezha.incidents.checklists.book import ChecklistBook
from vezha.ledger import Ledger
from vezha.ledger.tables import rule_group_state
from vezha.server.releases import TARGETS_KEY, ensure_development_keys, publish_targets
from vezha.server.rule_files import RuleFiles
from vezha.server.state import StateFolder
from vezha.testing.fleet.field import Field
from vezha.trust.artifact import artifact_from
from vezha.trust.folder import ReleaseFolder
from vezha.trust.keys import load
from vezha.trust.repository import draft, sign_targets
from vezha.world import World

GOOD = b"groups:\n- name: own\n  rules:\n  - alert: Own\n    expr: up == 0\n"
BAD = b"groups:\n- name: own\n  rules:\n  - alert: Own\n    expr: up ==\n"


class Place:
    """A state folder with keys, a ledger, and the server's part for rules."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.state = StateFolder(folder)
        self.state.make()
        self.ledger = ledger
        self.world = World()
        ensure_development_keys(self.state, self.world)
        self.releases = ReleaseFolder(self.world, str(self.state.releases))
        self.rules = RuleFiles(self.state.delivered, self.releases, ledger, self.world)

    def publish(self, target: str, content: bytes) -> Version:
        artifact = artifact_from(target, content, {})
        key = load((self.state.development_keys / TARGETS_KEY).read_bytes())
        now_s = self.world.clock.now()
        targets = sign_targets(draft(self.releases.files(), [artifact], now_s), [key])
        publish_targets(self.ledger, self.releases, targets, {target: content}, SYSTEM, now_s)
        return Version(artifact.version, target, artifact.sha256, artifact.length)

    def evaluated(self, text: bytes) -> None:
        """The data contour has evaluated what is in force."""
        path = str(self.state.delivered / "current" / "own.yml")
        with self.ledger.begin() as connection:
            connection.execute(rule_group_state.delete())
            connection.execute(
                insert(rule_group_state).values(
                    file=path, group_name="own", evaluated_ms=4_000_000_000_000, duration_s=0.1,
                    rules=[], problem="",
                )
            )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, open_ledger: OpenLedger) -> Place:  # noqa: F811
    return Place(tmp_path / "state", open_ledger())


def test_from_signed_file_to_rules_in_force_and_back(place: Place) -> None:
    one = place.publish("rules/own/1/own.yml", GOOD)
    two = place.publish("rules/own/2/own.yml", GOOD + b"  - alert: More\n    expr: up == 1\n")
    current = place.state.delivered / "current"
    assert place.rules.fetch(one) == ""
    assert place.rules.lint(one) == ""
    assert not current.exists()
    place.rules.swap(one)
    assert (current / "own.yml").read_bytes() == GOOD
    assert place.rules.loaded(one, 0) is None
    place.evaluated(GOOD)
    assert place.rules.loaded(one, 0) == ""
    place.rules.swap(two)
    assert b"More" in (current / "own.yml").read_bytes()
    place.rules.swap(one)
    place.rules.swap(Version())
    assert not current.exists()


def test_what_is_not_signed_or_not_rules_is_refused(place: Place) -> None:
    one = place.publish("rules/own/1/own.yml", GOOD)
    assert "another file" in place.rules.fetch(Version("1", one.target, "00" * 32, one.length))
    assert place.rules.fetch(Version("9", "rules/own/9/own.yml", "00" * 32, 5)) != ""
    bad = place.publish("rules/own/3/own.yml", BAD)
    assert place.rules.fetch(bad) == ""
    assert "own.yml" in place.rules.lint(bad)
    with pytest.raises(ValueError, match="neither a rule file"):
        unpack("rules/own/1/x.sh", b"")
    with pytest.raises(ValueError, match="only files at its top"):
        unpack("rules/own/1/x.zip", packed({"../own.yml": GOOD}))


def test_checklists_come_with_their_rules_and_go_with_them(place: Place) -> None:
    text = "---\ntitle: Ours\nversion: 1\napplies to: Own\n---\n- [ ] Look. {yes/no}\n"
    folders = (place.state.delivered / "current", place.state.checklists)
    book = ChecklistBook(*folders)
    one = place.publish("rules/own/1/own.zip", packed({"own.yml": GOOD, "ours.md": text.encode()}))
    assert place.rules.fetch(one) == ""
    assert place.rules.lint(one) == ""
    place.rules.swap(one)
    assert [c.title for c in book.for_alert("Own", {})] == ["Ours"]
    folders[1].mkdir(exist_ok=True)
    (folders[1] / "ours.md").write_text(text.replace("Ours", "The operator's"))
    assert [c.title for c in book.for_alert("Own", {})] == ["The operator's"]
    (folders[1] / "ours.md").unlink()
    place.rules.swap(Version())
    assert book.for_alert("Own", {}) == []
    bad = place.publish("rules/own/2/own.zip", packed({"own.yml": GOOD, "ours.md": b"no head"}))
    assert place.rules.fetch(bad) == ""
    assert "ours.md" in place.rules.lint(bad)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_change_of_rules_is_watched_and_taken_back(place: Place) -> None:
    field = Field(place.ledger, 1)
    field.clock.now_s = place.world.clock.now()
    one = place.publish("rules/own/1/own.yml", GOOD)
    loop = field.loop(rules=place.rules)
    first = start(field, one.target, kind="rules", waves=[{"name": "all", "bake_s": 3}])
    field.run(loop, 10)
    place.evaluated(GOOD)
    assert field.run(loop, 60, until=lambda: state_of(field, first) == "done")
    current = place.state.delivered / "current"
    # faulty files are refused before anything is swapped
    bad = place.publish("rules/own/2/own.yml", BAD)
    second = start(field, bad.target, kind="rules", waves=[{"name": "all", "bake_s": 3}])
    assert field.run(loop, 60, until=lambda: state_of(field, second) == "reverted")
    (only,) = attempts(field, second).values()
    assert (only.state, only.reason) == ("refused", "lint")
    # and those that a gate does not like are swapped back
    three = place.publish("rules/own/3/own.yml", GOOD.replace(b"== 0", b"== 1"))
    gate = {"kind": "promql", "name": "noise", "expr": "noise", "threshold": 5}
    third = start(field, three.target, kind="rules", waves=[{"name": "all", "bake_s": 30}],
                  gates=[{"kind": "proof"}, gate])  # fmt: skip
    field.run(loop, 5)
    assert b"== 1" in (current / "own.yml").read_bytes()
    field.signals.vectors["noise"] = [((), 9.0)]
    assert field.run(loop, 60, until=lambda: state_of(field, third) == "reverted")
    assert "gate noise" in rollout_of(field, third).reason
    assert (current / "own.yml").read_bytes() == GOOD
