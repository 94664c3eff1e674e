"""Disk operations: /proc/diskstats, and what udev knows of the disks."""

from __future__ import annotations

import os
import re
from operator import mul

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import Picks, read_or
from vezha.model.labels import Labels, metric

_SECTOR_BYTES = 512.0
_MILLISECOND = 0.001

_COLUMNS: tuple[tuple[str, float, str, str], ...] = (
    ("node_disk_reads_completed_total", 1.0, "counter", "Reads completed."),
    ("node_disk_reads_merged_total", 1.0, "counter", "Reads merged."),
    ("node_disk_read_bytes_total", _SECTOR_BYTES, "counter", "Bytes read."),
    ("node_disk_read_time_seconds_total", _MILLISECOND, "counter", "Time spent by reads (s)."),
    ("node_disk_writes_completed_total", 1.0, "counter", "Writes completed."),
    ("node_disk_writes_merged_total", 1.0, "counter", "Writes merged."),
    ("node_disk_written_bytes_total", _SECTOR_BYTES, "counter", "Bytes written."),
    ("node_disk_write_time_seconds_total", _MILLISECOND, "counter", "Time spent by writes (s)."),
    ("node_disk_io_now", 1.0, "gauge", "Operations under way."),
    ("node_disk_io_time_seconds_total", _MILLISECOND, "counter", "Time the disk was busy (s)."),
    (
        "node_disk_io_time_weighted_seconds_total",
        _MILLISECOND,
        "counter",
        "Time the disk was busy times operations under way (s).",
    ),
    ("node_disk_discards_completed_total", 1.0, "counter", "Discards completed."),
    ("node_disk_discards_merged_total", 1.0, "counter", "Discards merged."),
    ("node_disk_discarded_sectors_total", 1.0, "counter", "Sectors discarded."),
    ("node_disk_discard_time_seconds_total", _MILLISECOND, "counter", "Time of discards (s)."),
    ("node_disk_flush_requests_total", 1.0, "counter", "Flushes completed."),
    (
        "node_disk_flush_requests_time_seconds_total",
        _MILLISECOND,
        "counter",
        "Time spent by flushes (s).",
    ),
)
_FIRST_COLUMN = 3


class Collector(base.Collector):
    """node_disk_* for the devices that the option `device_exclude` does not match."""

    families = (
        *(Family(name, kind, text, "device") for name, _, kind, text in _COLUMNS),
        Family(
            "node_disk_info",
            "gauge",
            "What udev knows of the disk.",
            "device,major,minor,model,path,revision,serial,wwn",
        ),
        Family(
            "node_disk_filesystem_info",
            "gauge",
            "The file system on the disk, as udev knows it.",
            "device,type,usage,uuid,version",
        ),
        Family(
            "node_disk_device_mapper_info",
            "gauge",
            "Device mapper's names.",
            "device,lv_layer,lv_name,name,uuid,vg_name",
        ),
    )

    def start(self) -> None:
        path = self.host.proc("diskstats")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        exclude = self.host.text("device_exclude")
        self._exclude = re.compile(exclude) if exclude else None
        self._picks: Picks | None = None
        self._factors: list[float] = []
        self._constants: list[float] = []

    def read(self, now: float) -> list[float]:
        text = self._file.read()
        tokens = text.split()
        if self._picks is None or not self._picks.fit(tokens):
            self._picks = self._learn(text, tokens)
        values = list(map(mul, map(float, self._picks.values(tokens)), self._factors))
        values += self._constants
        return values

    def _learn(self, text: bytes, tokens: list[bytes]) -> Picks:
        keys, values, series, about = [], [], [], []
        self._factors = []
        at = 0
        for line in text.splitlines():
            parts = line.split()
            if len(parts) > _FIRST_COLUMN:
                keys += [at, at + 1, at + 2]
                device = parts[2].decode("utf-8", "replace")
                if self._exclude is None or not self._exclude.search(device):
                    for i in range(min(len(parts) - _FIRST_COLUMN, len(_COLUMNS))):
                        values.append(at + _FIRST_COLUMN + i)
                        series.append(metric(_COLUMNS[i][0], device=device))
                        self._factors.append(_COLUMNS[i][1])
                    about += self._about(device, parts[0].decode(), parts[1].decode())
            at += len(parts)
        self._constants = [1.0] * len(about)
        self.series = tuple(series + about)
        return Picks(tokens, keys, values)

    def _about(self, device: str, major: str, minor: str) -> list[Labels]:
        """The info series of one disk, from udev's database where there is one."""
        known = {}
        for line in read_or(self.host.root(f"/run/udev/data/b{major}:{minor}")).splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith("E:"):
                known[key[2:]] = value
        get = known.get
        # Virtual disks have the serial number in the SCSI field, ATA disks in the short one.
        serial = get("SCSI_IDENT_SERIAL") or get("ID_SERIAL_SHORT") or ""
        found = [
            metric(
                "node_disk_info",
                device=device,
                major=major,
                minor=minor,
                path=get("ID_PATH", ""),
                wwn=get("ID_WWN", ""),
                model=get("ID_MODEL", ""),
                serial=serial,
                revision=get("ID_REVISION", ""),
            )
        ]
        if get("ID_FS_TYPE"):
            found.append(
                metric(
                    "node_disk_filesystem_info",
                    device=device,
                    type=get("ID_FS_TYPE", ""),
                    usage=get("ID_FS_USAGE", ""),
                    uuid=get("ID_FS_UUID", ""),
                    version=get("ID_FS_VERSION", ""),
                )
            )
        if get("DM_NAME"):
            found.append(
                metric(
                    "node_disk_device_mapper_info",
                    device=device,
                    name=get("DM_NAME", ""),
                    uuid=get("DM_UUID", ""),
                    vg_name=get("DM_VG_NAME", ""),
                    lv_name=get("DM_LV_NAME", ""),
                    lv_layer=get("DM_LV_LAYER", ""),
                )
            )
        return found
