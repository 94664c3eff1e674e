"""Connection tracking: how full the table is, and what was dropped."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.model.labels import metric

_FIELDS = (
    ("found", "Entries found by a search."),
    ("invalid", "Packets that cannot be tracked."),
    ("ignore", "Packets of connections already tracked."),
    ("insert", "Entries inserted."),
    ("insert_failed", "Entries not inserted because they were there."),
    ("drop", "Packets dropped because tracking failed."),
    ("early_drop", "Entries dropped to make room."),
    ("search_restart", "Searches begun anew because the table was resized."),
)


class Collector(base.Collector):
    """node_nf_conntrack_*."""

    families = (
        Family("node_nf_conntrack_entries", "gauge", "Entries in the table."),
        Family("node_nf_conntrack_entries_limit", "gauge", "Room in the table."),
        *(Family(f"node_nf_conntrack_stat_{name}", "gauge", text) for name, text in _FIELDS),
    )

    def start(self) -> None:
        count = self.host.proc("sys/net/netfilter/nf_conntrack_count")
        if not os.path.exists(count):
            raise base.NotHere(f"no {count} (connection tracking is not loaded)")
        self._files = [
            self.open(count),
            self.open(self.host.proc("sys/net/netfilter/nf_conntrack_max")),
        ]
        series = [metric("node_nf_conntrack_entries"), metric("node_nf_conntrack_entries_limit")]
        self._stat: KernelFile | None = None
        self._columns: list[int] = []
        self._stride = 0
        path = self.host.proc("net/stat/nf_conntrack")
        if os.path.exists(path):
            self._stat = self.open(path, whole=False)
            text = self._stat.read()
            heading = [word.decode() for word in text[: text.find(b"\n")].split()]
            self._stride = len(heading)
            for name, _ in _FIELDS:
                # Newer kernels call chainlength what was searched; all names used stayed.
                if name in heading:
                    self._columns.append(heading.index(name))
                    series.append(metric(f"node_nf_conntrack_stat_{name}"))
        self.series = tuple(series)

    def read(self, now: float) -> list[float]:
        values = [float(file.read()) for file in self._files]
        if self._stat is not None:
            tokens = self._stat.read().split()
            stride = self._stride
            values += [
                float(sum([int(n, 16) for n in tokens[stride + column :: stride]]))
                for column in self._columns
            ]
        return values
