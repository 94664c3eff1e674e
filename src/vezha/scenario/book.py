"""The scenarios of some folders, read again when a file changed. A file's stem is its name."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vezha.alerting.ask import check_expression
from vezha.scenario import limits
from vezha.scenario.errors import NoSuchScenario, ScenarioError
from vezha.scenario.file import Scenario, parse_scenario
from vezha.world import Disk, SystemDisk

BUILTIN_FOLDER = str(Path(__file__).with_name("packs"))
_SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Scenarios by name, and what is wrong with files (path -> sentences)."""

    scenarios: dict[str, Scenario] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def find(self, name: str) -> Scenario:
        """Raises `NoSuchScenario`."""
        try:
            return self.scenarios[name]
        except KeyError:
            raise NoSuchScenario(f"There is no scenario {name[:64]!r}.") from None


class ScenarioBook:
    """Files of *folder*, over the built-in ones: an own file replaces a built-in of its name.
    Safe for threads."""

    def __init__(self, folder: str = "", builtin: bool = True, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or SystemDisk()
        self._builtin = builtin
        self._lock = threading.Lock()
        self._stamps: list[tuple[str, float, int]] | None = None
        self._shelf = Shelf()

    def shelf(self) -> Shelf:
        """All scenarios as they are on disk now."""
        files = self._files()
        stamps = []
        for path, _ in files:
            with contextlib.suppress(OSError):
                status = Path(path).stat()
                stamps.append((path, status.st_mtime, status.st_size))
        with self._lock:
            if stamps != self._stamps:
                self._shelf = read_shelf(files, self._disk)
                self._stamps = stamps
            return self._shelf

    def _files(self) -> list[tuple[str, bool]]:
        found = []
        for folder, builtin in ((BUILTIN_FOLDER, True), (self.folder, False)):
            if not folder or (builtin and not self._builtin) or not Path(folder).is_dir():
                continue
            names = [n for n in self._disk.list_names(folder) if n.endswith(_SUFFIXES)]
            found += [(str(Path(folder) / name), builtin) for name in names]
        return found

    def save(self, text: str) -> Scenario:
        """Write an own scenario as `<name>.yml`. Raises `ScenarioError`."""
        scenario = parse_scenario(text, check_expression)
        self._disk.make_folder(self.folder)
        path = Path(self.folder) / scenario.name
        self._disk.write_whole(f"{path}.yml", text.encode())
        self._disk.remove(f"{path}.yaml")
        return scenario

    def remove(self, name: str) -> bool:
        """Delete an own scenario; a built-in of that name comes back. Whether there was one."""
        self.shelf().find(name)
        paths = [str(Path(self.folder) / f"{name}{suffix}") for suffix in _SUFFIXES]
        there = any(self._disk.exists(path) for path in paths)
        for path in paths:
            self._disk.remove(path)
        return there


def read_shelf(files: Sequence[tuple[str, bool]], disk: Disk) -> Shelf:
    """Read *files* (path, whether built-in); a bad one harms only itself."""
    shelf = Shelf()
    for path, builtin in files:
        try:
            text = disk.read(path, 0, limits.FILE_BYTES_MAX + 1).decode()
            scenario = parse_scenario(text, check_expression, builtin=builtin)
            if scenario.name != Path(path).stem:
                raise ScenarioError([f"call the file {scenario.name}.yml, as its scenario"])
            if len(shelf.scenarios) >= limits.SCENARIOS_MAX:
                raise ScenarioError([f"there are more than {limits.SCENARIOS_MAX} scenarios"])
            shelf.scenarios[scenario.name] = scenario
        except ScenarioError as fault:
            shelf.problems[Path(path).name] = fault.problems
        except (OSError, UnicodeDecodeError) as fault:
            shelf.problems[Path(path).name] = [f"cannot be read: {fault}"]
    return shelf
