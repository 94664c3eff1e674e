"""Hardware names: /sys/class/dmi/id, as far as we may read it."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import read_or
from vezha.model.labels import metric

_FIELDS = (
    *("bios_date", "bios_release", "bios_vendor", "bios_version"),
    *("board_asset_tag", "board_name", "board_serial", "board_vendor", "board_version"),
    *("chassis_asset_tag", "chassis_serial", "chassis_vendor", "chassis_version"),
    *("product_family", "product_name", "product_serial", "product_sku", "product_uuid"),
    *("product_version", "sys_vendor"),
)


class Collector(base.Collector):
    """node_dmi_info; serial numbers only where the agent runs as root."""

    families = (
        Family(
            "node_dmi_info",
            "gauge",
            "What the firmware says of the hardware.",
            ",".join(f.replace("sys_vendor", "system_vendor") for f in _FIELDS),
        ),
    )

    def start(self) -> None:
        folder = self.host.sys("class/dmi/id")
        if not os.path.isdir(folder):
            raise base.NotHere(f"no {folder}")
        labels = {
            field.replace("sys_vendor", "system_vendor"): read_or(f"{folder}/{field}")
            for field in _FIELDS
        }
        self.series = (metric("node_dmi_info", **labels),)

    def read(self, now: float) -> list[float]:
        return [1.0]
