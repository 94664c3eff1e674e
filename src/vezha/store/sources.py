"""Sources: which labels of a series are its host's, and which its column's.

A source is what has one `instance` and `job`. Frames say what their host's labels are. Of other
series nobody says it, so the source's first batch decides: what all its series have in common is
the host's. So targets that bear a rack, a region or a pod share their columns, as hosts of a fleet
do, and fill tiles together.

A series is found again under whatever pair it was made as; only for a new one this chooses: the
host with the most labels that all fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vezha.model.labels import Labels
from vezha.store.index import HOST_LABELS, SeriesIndex, split_labels
from vezha.store.limits import HOSTS_PER_SOURCE_MAX, SOURCE_SERIES_MIN


class Sources:
    """Hosts by their source. Learns from the index when it is asked."""

    def __init__(self, index: SeriesIndex) -> None:
        self._index = index
        self._numbers: dict[Labels, int] = {}
        self._hosts: list[list[int]] = []
        self._of_host: npt.NDArray[np.int64] = np.zeros(64, np.int64)
        self._seen = 0

    def __len__(self) -> int:
        self._learn()
        return len(self._hosts)

    def of_hosts(self) -> npt.NDArray[np.int64]:
        """The source of each host, int64[hosts]."""
        self._learn()
        return self._of_host[: self._seen]

    def hosts(self, source: int) -> list[int]:
        """Hosts of a source, oldest first."""
        return self._hosts[source]

    def _learn(self) -> None:
        sets = self._index.hosts.sets
        if self._seen == len(sets):
            return
        if len(sets) > len(self._of_host):
            grown = np.zeros(2 * len(sets), np.int64)
            grown[: self._seen] = self._of_host[: self._seen]
            self._of_host = grown
        while self._seen < len(sets):
            key = tuple(p for p in sets[self._seen] if p[0] in HOST_LABELS)
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self._hosts)
                self._hosts.append([])
            self._hosts[number].append(self._seen)
            self._of_host[self._seen] = number
            self._seen += 1

    def splits(self, series: Sequence[Labels]) -> list[list[tuple[Labels, Labels]]]:
        """For each series the pairs (column, host) that it may be, the one to make first."""
        self._learn()
        found: list[list[tuple[Labels, Labels]]] = []
        groups: dict[Labels, list[int]] = {}
        known: dict[Labels, list[Labels]] = {}
        for labels in series:
            column, key = split_labels(labels)
            hosts = known.get(key)
            if hosts is None:
                number = self._numbers.get(key)
                sets = self._index.hosts.sets
                hosts = [] if number is None else [sets[h] for h in self._hosts[number]]
                hosts = known[key] = sorted(hosts, key=len, reverse=True)
            pairs = []
            for host in hosts:
                if len(host) == len(key):
                    pairs.append((column, host))
                elif set(host).issubset(labels):
                    pairs.append((tuple(p for p in column if p not in host), host))
            if key and (not pairs or len(pairs[0][1]) == len(key)):
                groups.setdefault(key, []).append(len(found))
            found.append(pairs or [(column, key)])
        for key, members in groups.items():
            if len(members) < SOURCE_SERIES_MIN or len(known[key]) >= HOSTS_PER_SOURCE_MAX:
                continue
            common = set(found[members[0]][0][0])
            for i in members:
                common.intersection_update(found[i][0][0])
            # names of metrics, and parts of histograms, are never a host's
            common = {p for p in common if not p[0].startswith("__")}
            if common:
                host = tuple(sorted((*common, *key)))
                for i in members:
                    column = found[i][0][0]
                    rest = tuple(p for p in column if p not in common)
                    found[i].insert(0, (rest, host))
                    if not known[key]:
                        del found[i][1:]
        return found
