"""The operating system: os-release(5); elsewhere what `platform` knows."""

from __future__ import annotations

import platform
import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import read_or
from vezha.model.labels import metric

_FIELDS = (
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
)
_ESCAPED = re.compile(r"\\(.)")
_NUMBER = re.compile(r"^[0-9]+(\.[0-9]+)?")


class Collector(base.Collector):
    """Named `os` in the catalogue: node_os_info and node_os_version."""

    families = (
        Family(
            "node_os_info", "gauge", "Names of the system.", ",".join(label for label, _ in _FIELDS)
        ),
        Family("node_os_version", "gauge", "Major and minor version.", "id,id_like,name"),
    )

    def start(self) -> None:
        self._text: str | None = None
        self._values: list[float] = []

    def read(self, now: float) -> list[float]:
        text = read_or(self.host.root("/etc/os-release")) or read_or(
            self.host.root("/usr/lib/os-release")
        )
        if text != self._text:
            self._text = text
            self._learn(parse(text) if text else _portable())
        return self._values

    def _learn(self, known: dict[str, str]) -> None:
        labels = {label: known.get(field, "") for label, field in _FIELDS}
        series = [metric("node_os_info", **labels)]
        self._values = [1.0]
        version = _NUMBER.match(known.get("VERSION_ID", ""))
        if version is not None:
            series.append(
                metric(
                    "node_os_version",
                    id=labels["id"],
                    id_like=labels["id_like"],
                    name=labels["name"],
                )
            )
            self._values.append(float(version.group()))
        self.series = tuple(series)


def parse(text: str) -> dict[str, str]:
    """The variables of an os-release file (shell quoting)."""
    known = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        known[key] = _unquote(value)
    return known


def _unquote(value: str) -> str:
    """A value as the shell would read it: one word, quoted either way or bare."""
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return _ESCAPED.sub(r"\1", value)


def _portable() -> dict[str, str]:
    system = platform.system()
    if system == "Darwin":
        release = platform.mac_ver()[0]
        return {"ID": "macos", "NAME": "macOS", "VERSION_ID": release, "VERSION": release}
    return {"ID": system.lower(), "NAME": system, "VERSION_ID": platform.release()}
