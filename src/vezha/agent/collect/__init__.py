"""Collecting: what this host is doing, as vectors of floats under node_exporter's names.

Comes in: the kernel's files, systemd's bus, the text-file folder, at the ticks that the run
loop names. Goes out: per group of collectors with the same interval one `Sample`, whose series
stay the same object until the host's structure changes. Refuses: to let one collector harm
another (each has a time-out, a count of errors, a pause after failures), and more series than
`limits.SERIES_PER_COLLECTOR_MAX` from one.

    groups = CollectorGroups(config, world)
    for group in groups.due(tick.index):
        sample = group.sample(tick.stamp_ms / 1000)

`vezha.agent.catalogue` is the table of collectors; each lives in the module of its name.
"""

from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.group import Group, Sample
from vezha.agent.collect.schedule import CollectorGroups

Groups = CollectorGroups

__all__ = ["MISSING", "CollectorGroups", "Family", "Group", "Groups", "Sample"]
