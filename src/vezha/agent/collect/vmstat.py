"""Paging and out-of-memory kills: fields of /proc/vmstat."""

from __future__ import annotations

import os
import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import Picks
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_vmstat_<field> for the fields that the option `fields` matches."""

    families = (Family("node_vmstat_*", "untyped", "The field of /proc/vmstat."),)

    def start(self) -> None:
        path = self.host.proc("vmstat")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        self._fields = re.compile(self.host.text("fields"))
        self._picks: Picks | None = None

    def read(self, now: float) -> list[float]:
        tokens = self._file.read().split()
        if self._picks is None or not self._picks.fit(tokens):
            names = [
                at for at in range(0, len(tokens), 2) if self._fields.search(tokens[at].decode())
            ]
            self._picks = Picks(tokens, names, [at + 1 for at in names])
            self.series = tuple(metric(f"node_vmstat_{tokens[at].decode()}") for at in names)
        return list(map(float, self._picks.values(tokens)))
