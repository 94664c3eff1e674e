"""Kernel and host name: uname(2)."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import read_or
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_uname_info."""

    families = (
        Family(
            "node_uname_info",
            "gauge",
            "Names of kernel and host.",
            "domainname,machine,nodename,release,sysname,version",
        ),
    )

    def start(self) -> None:
        self._seen: object = None

    def read(self, now: float) -> list[float]:
        # The host's name may change while we run.
        names = os.uname()
        domain = read_or(self.host.proc("sys/kernel/domainname"))
        if (names, domain) != self._seen:
            self._seen = (names, domain)
            self.series = (
                metric(
                    "node_uname_info",
                    sysname=names.sysname,
                    release=names.release,
                    version=names.version,
                    machine=names.machine,
                    nodename=names.nodename,
                    domainname=domain,
                ),
            )
        return [1.0]
