"""The checklists that there are: the shipped ones, over them those that came as changes, and the
operator's own over all, by name."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vezha.incidents.checklists.document import Checklist
from vezha.incidents.checklists.parse import is_name, parse_checklist
from vezha.incidents.errors import ChecklistError, NoSuchChecklist
from vezha.incidents.limits import CHECKLIST_CHARS_MAX, CHECKLISTS_MAX
from vezha.incidents.words import Member
from vezha.world import Disk

SHIPPED = Path(__file__).parent / "shipped"
_ANNOTATION = "vezha_checklist"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checklists by name, and the faults of files that are left out, by path."""

    checklists: dict[str, Checklist]
    problems: dict[str, list[str]]
    by_alert: dict[str, list[str]] = field(default_factory=dict)


class ChecklistBook:
    """Reads its folders again when they changed; of files of one name that of the last folder
    counts. Safe for threads.

    A file that cannot be read leaves the one below it in force.
    """

    def __init__(self, *folders: str | Path) -> None:
        self._folders = [Path(folder) for folder in folders if folder]
        self._lock = threading.Lock()
        self._stamps: dict[str, tuple[float, int]] | None = None
        self._loaded = Loaded({}, {})
        self._shipped: dict[str, Checklist] | None = None

    def loaded(self) -> Loaded:
        """Everything as it is now."""
        paths = [path for folder in self._folders for path in own_files(folder)]
        stamps = _stamps_of(paths)
        with self._lock:
            if stamps != self._stamps:
                self._loaded = self._load(list(stamps))
                self._stamps = stamps
            return self._loaded

    def get(self, name: str) -> Checklist:
        """The checklist of that name. Raises NoSuchChecklist."""
        found = self.loaded().checklists.get(name)
        if found is None:
            raise NoSuchChecklist(
                f'there is no checklist "{name[:64]}"; see `vezha checklist list`'
            )
        return found

    def for_alert(self, alert_name: str, annotations: Mapping[str, str]) -> list[Checklist]:
        """What to do about an alert: the checklist that its rule names, then those for its name."""
        loaded = self.loaded()
        named = annotations.get(_ANNOTATION, "").strip()
        names = [named] if is_name(named) else []
        names += loaded.by_alert.get(alert_name, [])
        return [loaded.checklists[n] for n in dict.fromkeys(names) if n in loaded.checklists]

    def for_members(self, members: Iterable[Member]) -> list[Checklist]:
        """The same for the alerts of an incident, the worst one's first, each once."""
        ordered = sorted(members, key=lambda m: (not m.is_open, m.severity.rank, m.first_ms))
        kinds = {m.alert_name: m for m in reversed(ordered)}
        out: dict[str, Checklist] = {}
        for member in ordered:
            if kinds.pop(member.alert_name, None) is not None:
                for one in self.for_alert(member.alert_name, member.annotations):
                    out.setdefault(one.name, one)
        return list(out.values())

    @property
    def own_folder(self) -> Path | None:
        """Where the operator's own are kept; None where none can be."""
        return self._folders[-1] if self._folders else None

    def save(self, name: str, text: str, disk: Disk) -> Checklist:
        """Write an own checklist as `<name>.md`, over one that ships or came under that name.

        Raises ChecklistError.
        """
        folder = self.own_folder
        assert folder is not None, "there is no folder to save into"
        one = parse_checklist(text, name, own=True)
        if name not in self.loaded().checklists and len(own_files(folder)) >= CHECKLISTS_MAX:
            raise ChecklistError([f"there are {CHECKLISTS_MAX} already; remove one first"])
        disk.make_folder(str(folder))
        disk.write_whole(str(folder / f"{name}.md"), text.encode())
        with self._lock:
            # two texts of one size within one tick of the file system's clock look the same
            self._stamps = None
        return one

    def remove(self, name: str, disk: Disk) -> bool:
        """Delete an own checklist; one that ships under that name is back. Whether there was one."""
        self.get(name)
        folder = self.own_folder
        path = None if folder is None else str(folder / f"{name}.md")
        if path is None or not disk.exists(path):
            return False
        disk.remove(path)
        with self._lock:
            self._stamps = None
        return True

    def _load(self, own: list[str]) -> Loaded:
        if self._shipped is None:
            files = sorted(SHIPPED.glob("*.md"))
            self._shipped = {p.stem: parse_checklist(p.read_text("utf-8"), p.stem) for p in files}
        checklists = dict(self._shipped)
        problems: dict[str, list[str]] = {}
        for path in own[:CHECKLISTS_MAX]:
            try:
                one = read_file(Path(path), own=True)
                checklists[one.name] = one
            except ChecklistError as fault:
                problems[path] = fault.problems
        for path in own[CHECKLISTS_MAX:]:
            problems[path] = [f"{path}: not read: more than {CHECKLISTS_MAX} checklists"]
        by_alert: dict[str, list[str]] = {}
        # the operator's own first
        for one in sorted(checklists.values(), key=lambda c: (not c.own, c.name)):
            for alert in one.applies_to:
                by_alert.setdefault(alert, []).append(one.name)
        return Loaded(checklists, problems, by_alert)


def own_files(folder: Path | None) -> list[Path]:
    """Checklist files in the operator's folder, sorted; none where it is absent."""
    return sorted(folder.glob("*.md")) if folder is not None and folder.is_dir() else []


def read_file(path: Path, *, own: bool) -> Checklist:
    """The checklist in a file. Raises ChecklistError."""
    try:
        if path.stat().st_size > 4 * CHECKLIST_CHARS_MAX:
            raise ChecklistError([f"{path}: larger than {4 * CHECKLIST_CHARS_MAX} bytes; split it"])
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ChecklistError([f"{path}: not UTF-8 text"]) from None
    except OSError as fault:
        raise ChecklistError([f"{path}: cannot be read: {fault.strerror}"]) from None
    return parse_checklist(text, path.stem, own=own)


def _stamps_of(paths: Iterable[Path]) -> dict[str, tuple[float, int]]:
    out: dict[str, tuple[float, int]] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        out[str(path)] = (status.st_mtime, status.st_size)
    return out
