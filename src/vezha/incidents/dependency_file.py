"""`dependencies.toml` of the state folder: dependencies and inhibition rules that stand in a file.

[[dependency]]
child = 'site="kyiv"'
parents = ["gw-kyiv"]
why = "all traffic of the site goes through it"

[[inhibit]]
source = 'alertname="DatabaseDown"'
target = 'alertname="CheckSlow"'
equal = ["instance"]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from vezha.incidents.dependency import Dependency, Inhibition, check_circle, make_dependency
from vezha.incidents.errors import DependencyError, SilenceError
from vezha.incidents.limits import DEPENDENCIES_MAX, DEPENDENCY_FILE_BYTES_MAX
from vezha.incidents.silence import parse_matchers

_KEYS = {"dependency": {"child", "parents", "why"}, "inhibit": {"source", "target", "equal"}}


@dataclass(slots=True)
class DependencyFile:
    """The file as last read. One with a fault is not used: what was in force before stays."""

    path: str = ""
    dependencies: tuple[Dependency, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    problem: str = ""
    stamp: tuple[float, int] = (0.0, 0)

    def refresh(self) -> bool:
        """Read it again if it changed; whether it did."""
        if not self.path:
            return False
        try:
            status = Path(self.path).stat()
            stamp = (status.st_mtime, status.st_size)
        except OSError:
            stamp = (0.0, 0)
        if stamp == self.stamp:
            return False
        self.stamp = stamp
        try:
            text = Path(self.path).read_bytes() if stamp != (0.0, 0) else b""
            self.dependencies, self.inhibitions = parse_dependencies(text, Path(self.path).name)
            self.problem = ""
        except (DependencyError, OSError) as fault:
            self.problem = str(fault)
        return True


def parse_dependencies(
    data: bytes, name: str = "dependencies.toml"
) -> tuple[tuple[Dependency, ...], tuple[Inhibition, ...]]:
    """The file's dependencies and inhibitions. Raises DependencyError."""
    if len(data) > DEPENDENCY_FILE_BYTES_MAX:
        raise DependencyError(f"{name} is larger than {DEPENDENCY_FILE_BYTES_MAX} bytes")
    try:
        tree = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise DependencyError(f"{name}: {fault}") from None
    for key in tree:
        if key not in _KEYS:
            raise DependencyError(
                f'{name}: "{key}" is not known; write [[dependency]], [[inhibit]]'
            )
    dependencies: list[Dependency] = []
    for number, row in enumerate(_rows(tree, "dependency", name), 1):
        where = f"{name}: dependency {number}"
        parents = row.get("parents", [])
        if isinstance(parents, str):
            parents = [parents]
        try:
            one = make_dependency(
                str(row.get("child", "")), parents, str(row.get("why", "")), "file"
            )
            check_circle(one, dependencies)
        except DependencyError as fault:
            raise DependencyError(f"{where}: {fault}") from None
        dependencies.append(one)
    inhibitions = []
    for number, row in enumerate(_rows(tree, "inhibit", name), 1):
        try:
            source, target = (parse_matchers(str(row.get(k, ""))) for k in ("source", "target"))
        except SilenceError as fault:
            raise DependencyError(f"{name}: inhibit {number}: {fault}") from None
        inhibitions.append(Inhibition(source, target, tuple(map(str, row.get("equal", [])))))
    if len(dependencies) + len(inhibitions) > DEPENDENCIES_MAX:
        raise DependencyError(f"{name}: more than {DEPENDENCIES_MAX} entries")
    return tuple(dependencies), tuple(inhibitions)


def _rows(tree: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    rows = tree.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise DependencyError(f"{name}: write [[{key}]], with two brackets")
    for number, row in enumerate(rows, 1):
        for word in row:
            if word not in _KEYS[key]:
                known = ", ".join(sorted(_KEYS[key]))
                raise DependencyError(
                    f'{name}: {key} {number}: "{word}" is not known; known are {known}'
                )
    return rows
