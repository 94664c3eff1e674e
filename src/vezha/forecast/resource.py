"""The resources whose load is forecast: what to read of each, and how it becomes a load. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_DISKS = 'device!~"(loop|ram|zram|fd|sr|dm-|md)[0-9]*"'
_NETS = 'device!~"lo|ifb.*|dummy.*|veth.*|docker.*|br-.*|virbr.*|cni.*|flannel.*|tun.*|tap.*"'
_FILES = (
    'fstype!~"tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|nsfs|autofs|efivarfs|fuse.*|nfs.*|cifs"'
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: `unit`, `most` (the largest value there is), `peak_least` (the floor of peaks,
    for predictability), and whether a group's load is the sum of its hosts' or their mean."""

    name: str
    unit: str
    most: float
    peak_least: float
    summed: bool = False


RESOURCES: tuple[Resource, ...] = (
    Resource("cpu", "percent", 100.0, 10.0),
    Resource("memory", "percent", 100.0, 10.0),
    Resource("network", "bytes/s", float("inf"), 125_000.0, summed=True),
    Resource("disk", "percent", 100.0, 10.0),
)
UK = {"cpu": "процесор", "memory": "пам'ять", "network": "мережа", "disk": "диск"}
"""What resources are called in Ukrainian."""
BY_NAME = {resource.name: resource for resource in RESOURCES}


@dataclass(frozen=True, slots=True)
class Part:
    """One query; of several series of a host the sum counts, or the largest."""

    expr: str
    counter: bool
    largest: bool = False


PARTS: dict[str, Part] = {
    "idle": Part('sum by (instance) (node_cpu_seconds_total{mode=~"idle|iowait"})', True),
    "all": Part("sum by (instance) (node_cpu_seconds_total)", True),
    "cores": Part('count by (instance) (node_cpu_seconds_total{mode="idle"})', False),
    "available": Part("max by (instance) (node_memory_MemAvailable_bytes)", False),
    "memory": Part("max by (instance) (node_memory_MemTotal_bytes)", False),
    "received": Part(f"node_network_receive_bytes_total{{{_NETS}}}", True),
    "sent": Part(f"node_network_transmit_bytes_total{{{_NETS}}}", True),
    "busy": Part(f"node_disk_io_time_seconds_total{{{_DISKS}}}", True, largest=True),
}
FREE_EXPR = f"node_filesystem_avail_bytes{{{_FILES}}}"
SIZE_EXPR = f"node_filesystem_size_bytes{{{_FILES}}}"


def loads(parts: dict[str, Floats]) -> dict[str, Floats]:
    """Loads by resource: float64 [hosts, steps], NaN where a part is absent.

    *parts*: of counters the growth per second, of gauges the value, each summed over the host's
    devices, but of `busy` the largest; float64 [hosts, steps].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        cpu = 100.0 * (1.0 - parts["idle"] / parts["all"])
        memory = 100.0 * (1.0 - parts["available"] / parts["memory"])
        found = {
            "cpu": cpu,
            "memory": memory,
            "network": parts["received"] + parts["sent"],
            "disk": 100.0 * parts["busy"],
        }
        return {
            name: np.where(np.isfinite(values), np.clip(values, 0.0, BY_NAME[name].most), np.nan)
            for name, values in found.items()
        }


def grown(values: Floats, step_s: float) -> Floats:
    """Growth per second of counters (float64 [series, steps]): [series, steps-1], NaN over a reset."""
    growth = np.diff(values, axis=1) / step_s
    out: Floats = np.where(growth >= 0, growth, np.nan)
    return out
