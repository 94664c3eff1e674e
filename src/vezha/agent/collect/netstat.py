"""IP, TCP, UDP and ICMP counters: /proc/net/netstat, snmp and snmp6."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile, Picks
from vezha.model.labels import metric

_SNMP6 = re.compile(r"^([A-Z][A-Za-z]*?6)([A-Z].*)$")

Layout = tuple[list[int], list[int], list[str]]
"""Positions of keys, positions of values, names `Protocol_Field` of the values."""


class Collector(base.Collector):
    """node_netstat_<protocol>_<field> for those that the option `fields` matches."""

    families = (Family("node_netstat_*", "untyped", "The counter of the kernel's network tables."),)

    def start(self) -> None:
        self._fields = re.compile(self.host.text("fields"))
        self._sources: list[tuple[KernelFile, Callable[[bytes], Layout]]] = []
        for name, layout in (("netstat", paired), ("snmp", paired), ("snmp6", listed)):
            path = self.host.proc(f"net/{name}")
            # A kernel without IPv6 has no snmp6.
            if os.path.exists(path):
                self._sources.append((self.open(path), layout))
        if not self._sources:
            raise base.NotHere(f"no {self.host.proc('net/netstat')}")
        self._picks: list[Picks | None] = [None] * len(self._sources)
        self._names: list[list[str]] = [[] for _ in self._sources]

    def read(self, now: float) -> list[float]:
        values: list[float] = []
        changed = False
        for i, (file, layout) in enumerate(self._sources):
            text = file.read()
            tokens = text.split()
            picks = self._picks[i]
            if picks is None or not picks.fit(tokens):
                changed = True
                keys, at, names = layout(text)
                wanted = [k for k, name in enumerate(names) if self._fields.search(name)]
                self._names[i] = [names[k] for k in wanted]
                picks = Picks(tokens, [keys[k] for k in wanted], [at[k] for k in wanted])
                self._picks[i] = picks
            values += map(float, picks.values(tokens))
        if changed:
            self.series = tuple(
                metric(f"node_netstat_{name}") for names in self._names for name in names
            )
        return values


def paired(text: bytes) -> Layout:
    """Of netstat and snmp: a line of names, then a line of values, both begun by "Protocol:"."""
    keys: list[int] = []
    values: list[int] = []
    names: list[str] = []
    lines = [line.split() for line in text.splitlines()]
    at = 0
    for heading, numbers in zip(lines[::2], lines[1::2], strict=False):
        protocol = heading[0].decode().rstrip(":")
        for column in range(1, min(len(heading), len(numbers))):
            keys.append(at + column)
            values.append(at + len(heading) + column)
            names.append(f"{protocol}_{heading[column].decode()}")
        at += len(heading) + len(numbers)
    return keys, values, names


def listed(text: bytes) -> Layout:
    """Of snmp6: a name and a value a line; the protocol is the name up to its 6."""
    keys, values, names = [], [], []
    for row, line in enumerate(text.splitlines()):
        match = _SNMP6.match(line.split()[0].decode())
        if match is not None:
            keys.append(2 * row)
            values.append(2 * row + 1)
            names.append(f"{match.group(1)}_{match.group(2)}")
    return keys, values, names
