"""Link state, speed, MTU and names by interface: /sys/class/net."""

from __future__ import annotations

import os
import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import KernelFile, list_or, read_or
from vezha.model.labels import Labels, metric

_NUMBERS: tuple[tuple[str, str, str, str], ...] = (
    ("addr_assign_type", "node_network_address_assign_type", "gauge", "How the address was set."),
    ("carrier", "node_network_carrier", "gauge", "1 where there is a carrier."),
    ("carrier_changes", "node_network_carrier_changes_total", "counter", "Changes of carrier."),
    (
        "carrier_up_count",
        "node_network_carrier_up_changes_total",
        "counter",
        "Changes of carrier to up.",
    ),
    (
        "carrier_down_count",
        "node_network_carrier_down_changes_total",
        "counter",
        "Changes of carrier to down.",
    ),
    ("dev_id", "node_network_device_id", "gauge", "Device id."),
    ("dormant", "node_network_dormant", "gauge", "1 where the link is dormant."),
    ("flags", "node_network_flags", "gauge", "Interface flags."),
    ("ifindex", "node_network_iface_id", "gauge", "Interface index."),
    ("iflink", "node_network_iface_link", "gauge", "Index of the interface below."),
    ("link_mode", "node_network_iface_link_mode", "gauge", "Link mode."),
    ("mtu", "node_network_mtu_bytes", "gauge", "Largest packet."),
    ("name_assign_type", "node_network_name_assign_type", "gauge", "How the name was set."),
    ("netdev_group", "node_network_net_dev_group", "gauge", "Device group."),
    ("speed", "node_network_speed_bytes", "gauge", "Speed in bytes a second."),
    ("tx_queue_len", "node_network_transmit_queue_length", "gauge", "Length of the send queue."),
    ("type", "node_network_protocol_type", "gauge", "Kind of link (ARPHRD_*)."),
)
_MEGABIT_BYTES = 1_000_000 / 8


class Collector(base.Collector):
    """node_network_up, node_network_info and the numbers of each interface's folder."""

    families = (
        *(Family(name, kind, text, "device") for _, name, kind, text in _NUMBERS),
        Family("node_network_up", "gauge", "1 where the interface's state is up.", "device"),
        Family(
            "node_network_info",
            "gauge",
            "What is not a number about the interface.",
            "address,adminstate,broadcast,device,duplex,ifalias,operstate",
        ),
    )

    def start(self) -> None:
        self._folder = self.host.sys("class/net")
        if not os.path.isdir(self._folder):
            raise base.NotHere(f"no {self._folder}")
        self._ignored = re.compile(self.host.text("ignored_devices"))
        self._devices: list[str] = []
        self._numbers: list[tuple[KernelFile, float, int]] = []
        self._states: list[tuple[str, KernelFile]] = []
        self._seen_states: list[bytes] = []

    def read(self, now: float) -> list[float]:
        devices = [name for name in list_or(self._folder) if not self._ignored.search(name)]
        if devices != self._devices:
            self._open(devices)
        states = [file.read() for _, file in self._states]
        values = []
        unreadable = False
        for file, factor, base_of in self._numbers:
            try:
                values.append(int(file.read(), base_of) * factor)
            except (OSError, ValueError):
                # A link that went down has no carrier or speed to read any more.
                values.append(MISSING)
                unreadable = True
        if states != self._seen_states or unreadable:
            # What can be read depends on the state, so take stock again.
            self._open(devices)
            self._seen_states = [file.read() for _, file in self._states]
            return self._again()
        values += [1.0 if state == b"up\n" else 0.0 for state in states]
        values += [1.0] * len(states)
        return values

    def _again(self) -> list[float]:
        values = [_number(file, factor, base_of) for file, factor, base_of in self._numbers]
        values += [1.0 if state == b"up\n" else 0.0 for state in self._seen_states]
        return values + [1.0] * len(self._seen_states)

    def _open(self, devices: list[str]) -> None:
        self.stop()
        self._numbers = []
        self._states = []
        numbers: list[Labels] = []
        about = []
        for device in devices:
            folder = f"{self._folder}/{device}"
            if not os.path.isdir(folder):
                # bonding_masters is a file among the folders.
                continue
            for attribute, name, _, _ in _NUMBERS:
                text = read_or(f"{folder}/{attribute}")
                if not text:
                    continue
                factor = _MEGABIT_BYTES if attribute == "speed" else 1.0
                self._numbers.append((self.open(f"{folder}/{attribute}"), factor, 0))
                numbers.append(metric(name, device=device))
            self._states.append((device, self.open(f"{folder}/operstate")))
            about.append(_info(folder, device))
        ups = [metric("node_network_up", device=device) for device, _ in self._states]
        self._devices = devices
        self.series = tuple(numbers + ups + about)


def _number(file: KernelFile, factor: float, base_of: int) -> float:
    try:
        return int(file.read(), base_of) * factor
    except (OSError, ValueError):
        return MISSING


def _info(folder: str, device: str) -> Labels:
    flags = int(read_or(f"{folder}/flags", "0"), 0)
    return metric(
        "node_network_info",
        device=device,
        address=read_or(f"{folder}/address"),
        broadcast=read_or(f"{folder}/broadcast"),
        duplex=read_or(f"{folder}/duplex"),
        operstate=read_or(f"{folder}/operstate"),
        adminstate="up" if flags & 1 else "down",
        ifalias=read_or(f"{folder}/ifalias"),
    )
