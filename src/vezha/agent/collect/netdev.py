"""Traffic and errors by interface: /proc/net/dev."""

from __future__ import annotations

import os
import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.model.labels import metric

_RECEIVE = ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
_TRANSMIT = ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
_COLUMNS = tuple(f"node_network_receive_{field}_total" for field in _RECEIVE) + tuple(
    f"node_network_transmit_{field}_total" for field in _TRANSMIT
)
_STRIDE = 1 + len(_COLUMNS)
_NO_HANDLER = "node_network_receive_nohandler_total"


class Collector(base.Collector):
    """node_network_receive_*_total and node_network_transmit_*_total."""

    families = (
        *(
            Family(name, "counter", f"/proc/net/dev: {name.split('_', 2)[2][:-6]}.", "device")
            for name in _COLUMNS
        ),
        Family(_NO_HANDLER, "counter", "Packets that no protocol wanted.", "device"),
    )

    def start(self) -> None:
        path = self.host.proc("net/dev")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        exclude = self.host.text("device_exclude")
        self._exclude = re.compile(exclude) if exclude else None
        self._devices: list[bytes] = []
        self._kept: list[int] | None = None
        self._no_handler: list[KernelFile] = []

    def read(self, now: float) -> list[float]:
        text = self._file.read()
        # Two lines of headings; then "name: 16 numbers", without a space in older kernels.
        body = text[text.find(b"\n", text.find(b"\n") + 1) :].replace(b":", b": ")
        tokens = body.split()
        devices = tokens[::_STRIDE]
        if devices != self._devices:
            self._learn(devices)
        if self._kept is None:
            values = [
                float(number) for column in range(1, _STRIDE) for number in tokens[column::_STRIDE]
            ]
        else:
            values = [
                float(tokens[row + column]) for column in range(1, _STRIDE) for row in self._kept
            ]
        values += [float(file.read()) for file in self._no_handler]
        return values

    def _learn(self, devices: list[bytes]) -> None:
        names = [device.decode("utf-8", "replace").rstrip(":") for device in devices]
        kept = [i for i, n in enumerate(names) if not (self._exclude and self._exclude.search(n))]
        self._kept = [i * _STRIDE for i in kept] if len(kept) < len(names) else None
        self.close(self._no_handler)
        self._no_handler = []
        counted = []
        for i in kept:
            path = self.host.sys(f"class/net/{names[i]}/statistics/rx_nohandler")
            if os.path.exists(path):
                self._no_handler.append(self.open(path))
                counted.append(names[i])
        self.series = tuple(
            metric(column, device=names[i]) for column in _COLUMNS for i in kept
        ) + tuple(metric(_NO_HANDLER, device=name) for name in counted)
        self._devices = devices
