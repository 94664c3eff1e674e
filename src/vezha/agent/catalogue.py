"""The table of collectors: where each lives, how often it runs, what can be set.

Pure data; a collector's module is imported only when it is switched on, so that what is off
costs no memory.
"""

from __future__ import annotations

from typing import NamedTuple, Union

Option = Union[str, int, float, bool, "list[str]"]

MOUNT_POINTS_EXCLUDE = (
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
FILE_SYSTEMS_EXCLUDE = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660"
    "|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs"
    "|tracefs)$"
)
DISKS_EXCLUDE = r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"
UNITS_EXCLUDE = r".+\.(automount|device|mount|scope|slice|target)"
NETSTAT_FIELDS = (
    "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)"
    "|Icmp6?_(InMsgs|OutMsgs)"
    "|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    "|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    "|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)
VMSTAT_FIELDS = "^(oom_kill|pgpg|pswp|pg.*fault).*"


class Entry(NamedTuple):
    """One collector, by default."""

    name: str
    about: str
    interval_s: int = 1
    timeout_s: float = 0.5
    """Long, because a machine so busy that a short one runs out is the one to watch."""
    enabled: bool = True
    options: dict[str, Option] = {}  # noqa: RUF012 - never changed
    module: str = ""
    """Module in `vezha.agent.collect` where `Collector` is; the collector's name by default."""


COLLECTORS: tuple[Entry, ...] = (
    Entry("cpu", "processor time by core and mode"),
    Entry("stat", "interrupts, context switches, forks, processes, boot time", module="kernel"),
    Entry("loadavg", "load averages"),
    Entry("meminfo", "memory and swap"),
    Entry("vmstat", "paging and out-of-memory kills", options={"fields": VMSTAT_FIELDS}),
    Entry("pressure", "pressure stall information"),
    Entry("diskstats", "disk operations", options={"device_exclude": DISKS_EXCLUDE}),
    Entry(
        "filesystem",
        "space and inodes; a hung mount is reported and harms no other",
        timeout_s=0.6,
        options={
            "mount_points_exclude": MOUNT_POINTS_EXCLUDE,
            "fs_types_exclude": FILE_SYSTEMS_EXCLUDE,
            "mount_timeout_s": 0.2,
            "network_every_s": 10,
        },
    ),
    Entry("fserrors", "errors that ext4 and btrfs met on their disks", interval_s=60),
    Entry("netdev", "traffic and errors by interface", options={"device_exclude": ""}),
    Entry(
        "netclass",
        "link state, speed, MTU by interface",
        interval_s=5,
        options={"ignored_devices": "^$"},
    ),
    Entry("netstat", "IP, TCP, UDP, ICMP counters", options={"fields": NETSTAT_FIELDS}),
    Entry("sockstat", "sockets in use"),
    Entry("tcpstat", "TCP connections by state", interval_s=10),
    Entry("udp_queues", "UDP queue lengths", interval_s=10),
    Entry("arp", "ARP entries by interface", interval_s=10),
    Entry("softnet", "packets handled by core"),
    Entry("conntrack", "connection tracking"),
    Entry("entropy", "entropy pool"),
    Entry("filefd", "file handles"),
    Entry("schedstat", "run and wait time by core"),
    Entry("time", "the clock as this host sees it", module="clock"),
    Entry("timex", "clock synchronisation"),
    Entry("uname", "kernel and host name", interval_s=60),
    Entry("os", "operating system", interval_s=60, module="os_release"),
    Entry("dmi", "hardware names", interval_s=60),
    Entry("cpufreq", "processor frequency", interval_s=10),
    Entry("thermal_zone", "temperatures and cooling", interval_s=10),
    Entry("hwmon", "hardware sensors", interval_s=10),
    Entry("mdadm", "software RAID", interval_s=10),
    Entry(
        "textfile",
        "metrics that other programs leave in a folder",
        options={"folder": ""},
    ),
    Entry(
        "processes",
        "states, counts, and the groups of processes that use most",
        interval_s=10,
        timeout_s=0.6,
        options={"top": 10, "cpu_share_max": 0.003},
    ),
    Entry(
        "watched",
        "whether processes that you name (by command or pid file) are alive",
        options={"processes": ""},
    ),
    Entry(
        "queues",
        "how many files wait in folders that you name as queues",
        interval_s=5,
        timeout_s=0.6,
        options={"folders": ""},
    ),
    Entry("cgroup", "services and containers (cgroup v2)", interval_s=10, timeout_s=0.6),
    Entry(
        "systemd",
        "states of units; a change is sampled at the next tick",
        interval_s=10,
        timeout_s=0.6,
        options={
            "unit_include": ".+",
            "unit_exclude": UNITS_EXCLUDE,
            "refresh_every_s": 60,
        },
    ),
    Entry(
        "checks",
        "checks from outside that this host runs; a finding is sampled at the next tick",
        interval_s=10,
    ),
    Entry("agent", "the agent's own cost and counters", module="own"),
)

BY_NAME: dict[str, Entry] = {entry.name: entry for entry in COLLECTORS}
