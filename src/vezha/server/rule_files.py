"""Rules and checklists that come as changes: verified, linted, swapped in atomically.

Below `delivered/` of the state is a folder for each artifact, named by its hash; `current` is a
symbolic link to the one in force, and changing the link is the swap. An artifact is one rule file
(`.yml`) or a zip of rule files and checklists (`.md`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sqlalchemy import select

from vezha.alerting.archive import unpack
from vezha.alerting.ask import check_expression
from vezha.alerting.rulefile import find_rule_files, load_rule_files
from vezha.delivery.plan import Version
from vezha.incidents.checklists.book import own_files, read_file
from vezha.incidents.errors import ChecklistError
from vezha.ledger import Ledger
from vezha.ledger.tables import rule_group_state
from vezha.trust.errors import Refused, TrustError
from vezha.trust.folder import ReleaseFolder
from vezha.trust.repository import check
from vezha.world import World

LINK = "current"


class RuleFiles:
    """The server's own rule files, as delivery changes them."""

    def __init__(self, folder: Path, releases: ReleaseFolder, ledger: Ledger, world: World) -> None:
        self._folder = folder
        self._releases = releases
        self._ledger = ledger
        self._world = world

    def fetch(self, version: Version) -> str:
        """Verify the artifact and unpack it aside."""
        place = self._place(version)
        if place.exists():
            return ""
        try:
            trusted = check(self._releases.files(), self._world.clock.now())
            artifact = trusted.artifact(version.target)
            if (artifact.sha256, artifact.length) != (version.sha256, version.length):
                return "the signed targets list another file under that name"
            content = self._releases.read_artifact(artifact)
            artifact.check(content)
            files = unpack(version.target, content)
        except (Refused, TrustError, OSError, ValueError) as fault:
            return str(fault)
        aside = place.with_name(place.name + ".new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, mode=0o700)
        for name, data in files.items():
            (aside / name).write_bytes(data)
        aside.replace(place)
        return ""

    def lint(self, version: Version) -> str:
        """What is wrong with its rule files and checklists."""
        place = self._place(version)
        loaded = load_rule_files(find_rule_files([str(place)]), check_expression)
        problems = [text for texts in loaded.problems.values() for text in texts]
        for path in own_files(place):
            try:
                read_file(path, own=True)
            except ChecklistError as fault:
                problems += fault.problems
        if not problems and not any(place.iterdir()):
            return "there are no rule files in it"
        return "; ".join(p.replace(f"{place}/", "") for p in problems[:5])

    def swap(self, version: Version) -> None:
        """Let the link point at it; an empty version takes the link away."""
        link = self._folder / LINK
        if not version.sha256:
            link.unlink(missing_ok=True)
            return
        if not self._place(version).exists():
            trouble = self.fetch(version)
            assert not trouble, trouble
        new = self._folder / f"{LINK}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(version.sha256, target_is_directory=True)
        os.replace(new, link)  # noqa: PTH105 - rename over a link, not into the folder behind it

    def loaded(self, version: Version, since_ms: int) -> str | None:
        """Whether the data contour has evaluated them since they were swapped in."""
        files = find_rule_files([str(self._folder / LINK)])
        if not version.sha256 or not files:
            return ""
        loaded = load_rule_files(files, check_expression)
        wanted = {group.identity for group in loaded.groups}
        with self._ledger.read() as connection:
            rows = {
                (row.file, row.group_name): row
                for row in connection.execute(select(rule_group_state))
                if row.evaluated_ms >= since_ms
            }
        if not wanted <= set(rows):
            return None
        problems = [rows[key].problem for key in wanted if rows[key].problem]
        broken = [
            str(entry.get("error"))
            for key in wanted
            for entry in rows[key].rules
            if entry.get("health") == "err"
        ]
        return "; ".join([*problems, *broken][:3])

    def _place(self, version: Version) -> Path:
        return self._folder / version.sha256
