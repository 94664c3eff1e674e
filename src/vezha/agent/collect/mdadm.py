"""Software RAID: /proc/mdstat."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric

_STATES = ("active", "inactive", "recovering", "resync", "check")
_DISK_STATES = ("active", "failed", "spare")
_ARRAY = re.compile(r"^(md\S*) : (active|inactive)(?: \((?:auto-)?read-only\))?(.*)$")
_BLOCKS = re.compile(r"^\s+(\d+) blocks(?:.*\[(\d+)/(\d+)\])?")
_PROGRESS = re.compile(r"(recovery|resync|reshape|check)\s*=\s*[\d.]+%\s*\((\d+)/\d+\)")
_WAITING = re.compile(r"(recovery|resync|reshape|check)\s*=\s*(?:DELAYED|PENDING)")
_STATE_OF = {
    "recovery": "recovering",
    "resync": "resync",
    "reshape": "resync",
    "check": "check",
}


class Array(NamedTuple):
    """One array of mdstat."""

    name: str
    state: str
    disks: tuple[int, int, int]
    """Active, failed, spare."""
    required: int
    blocks: int
    blocks_synced: int


def parse(text: str) -> list[Array]:
    """The arrays in the text of /proc/mdstat."""
    arrays = []
    lines = text.splitlines()
    for i, line in enumerate(lines):
        match = _ARRAY.match(line)
        if match is None:
            continue
        name, state, rest = match.groups()
        failed, spare = rest.count("(F)"), rest.count("(S)")
        members = len(re.findall(r"\[\d+\]", rest))
        blocks = required = 0
        active = members - failed - spare if state == "active" else 0
        synced = -1
        for below in lines[i + 1 :]:
            if not below.startswith(" "):
                break
            sizes = _BLOCKS.match(below)
            if sizes is not None:
                blocks = int(sizes.group(1))
                # A linear or striped array does not say [required/active]: it needs them all.
                required = int(sizes.group(2) or members)
                active = int(sizes.group(3) or active)
            progress = _PROGRESS.search(below)
            waiting = _WAITING.search(below)
            if progress is not None:
                state = _STATE_OF[progress.group(1)]
                synced = int(progress.group(2))
            elif waiting is not None:
                state = _STATE_OF[waiting.group(1)]
                synced = 0
        arrays.append(
            Array(
                name,
                state,
                (active, failed, spare),
                required,
                blocks,
                blocks if synced < 0 else synced,
            )
        )
    return arrays


class Collector(base.Collector):
    """node_md_*."""

    families = (
        Family("node_md_state", "gauge", "1 for the state that the array is in.", "device,state"),
        Family("node_md_disks", "gauge", "Disks of the array by state.", "device,state"),
        Family("node_md_disks_required", "gauge", "Disks that the array needs.", "device"),
        Family("node_md_blocks", "gauge", "Blocks of the array.", "device"),
        Family("node_md_blocks_synced", "gauge", "Blocks in step.", "device"),
    )

    def start(self) -> None:
        path = self.host.proc("mdstat")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        self._names: list[str] = []

    def read(self, now: float) -> list[float]:
        arrays = parse(self._file.read().decode("utf-8", "replace"))
        names = [array.name for array in arrays]
        if names != self._names:
            self._names = names
            self.series = tuple(
                labels
                for name in names
                for labels in (
                    *(metric("node_md_state", device=name, state=s) for s in _STATES),
                    *(metric("node_md_disks", device=name, state=s) for s in _DISK_STATES),
                    metric("node_md_disks_required", device=name),
                    metric("node_md_blocks", device=name),
                    metric("node_md_blocks_synced", device=name),
                )
            )
        values = []
        for array in arrays:
            values += [1.0 if array.state == state else 0.0 for state in _STATES]
            values += map(float, array.disks)
            values += [float(array.required), float(array.blocks), float(array.blocks_synced)]
        return values
