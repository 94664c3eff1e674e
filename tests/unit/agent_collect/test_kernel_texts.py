"""Collectors against kernel texts of other machines: more cores, older and newer kernels, RAID."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from vezha.agent.catalogue import BY_NAME, Option
from vezha.agent.collect.collector import Collector, NotHere
from vezha.agent.collect.host import Host
from vezha.agent.collect.schedule import collector_of
from vezha.agent.collect.text import is_missing
from vezha.model.labels import format_labels
from vezha.world import World


class Machine:
    """A folder that looks like a host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tick = 0

    def write(self, files: Mapping[str, str]) -> None:
        """Write files in place, as the kernel does: an open descriptor sees the new text."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def start(self, name: str, **options: Option) -> Collector:
        host = Host(World(), str(self.folder / "proc"), str(self.folder / "sys"), str(self.folder))
        entry = BY_NAME[name]
        collector = collector_of(entry, host.with_options({**entry.options, **options}))
        collector.start()
        return collector

    def read(self, collector: Collector) -> dict[str, float]:
        """Series as text, with their values; missing values left out."""
        self.tick += 1
        values = collector.read(float(self.tick))
        assert len(values) == len(collector.series)
        return {
            format_labels(labels): value
            for labels, value in zip(collector.series, values, strict=True)
            if not is_missing(value)
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


STAT = """cpu  300 0 0 0 0 0 0 0 0 0
cpu0 100 1 2 3 4 5 6 7 8 9
cpu1 200 1 2 3 4 5 6 7 8 9
intr 12345 0 0 9 0
ctxt 777
btime 1700000000
processes 42
procs_running 3
procs_blocked 1
softirq 1 2 3
"""


def test_cpu_and_stat(machine: Machine) -> None:
    machine.write({"proc/stat": STAT})
    cpu = machine.start("cpu")
    found = machine.read(cpu)
    assert len(found) == 20
    assert found['node_cpu_seconds_total{cpu="1", mode="user"}'] == 2.0
    assert found['node_cpu_seconds_total{cpu="0", mode="steal"}'] == 0.07
    assert found['node_cpu_guest_seconds_total{cpu="0", mode="nice"}'] == 0.09
    stat = machine.read(machine.start("stat"))
    assert stat == {
        "node_intr_total": 12345,
        "node_context_switches_total": 777,
        "node_boot_time_seconds": 1_700_000_000,
        "node_forks_total": 42,
        "node_procs_running": 3,
        "node_procs_blocked": 1,
    }


def test_a_core_goes_and_the_series_with_it(machine: Machine) -> None:
    machine.write({"proc/stat": STAT})
    cpu = machine.start("cpu")
    machine.read(cpu)
    before = cpu.series
    machine.read(cpu)
    assert cpu.series is before
    machine.write({"proc/stat": STAT.replace("cpu1 200 1 2 3 4 5 6 7 8 9\n", "")})
    assert len(machine.read(cpu)) == 10
    assert cpu.series is not before


def test_a_counter_that_steps_back_a_little_stays(machine: Machine) -> None:
    machine.write({"proc/stat": STAT})
    cpu = machine.start("cpu")
    machine.read(cpu)
    machine.write({"proc/stat": STAT.replace("cpu0 100 1 2 3 4", "cpu0 101 1 2 2 4")})
    found = machine.read(cpu)
    assert found['node_cpu_seconds_total{cpu="0", mode="idle"}'] == 0.03
    assert found['node_cpu_seconds_total{cpu="0", mode="user"}'] == 1.01


def test_an_old_kernel_has_fewer_modes(machine: Machine) -> None:
    machine.write({"proc/stat": "cpu  1 2 3 4\ncpu0 100 200 300 400\nintr 5 1\nctxt 1\n"})
    assert machine.read(machine.start("cpu")) == {
        'node_cpu_seconds_total{cpu="0", mode="user"}': 1.0,
        'node_cpu_seconds_total{cpu="0", mode="nice"}': 2.0,
        'node_cpu_seconds_total{cpu="0", mode="system"}': 3.0,
        'node_cpu_seconds_total{cpu="0", mode="idle"}': 4.0,
    }


def test_meminfo(machine: Machine) -> None:
    text = "MemTotal:  2048 kB\nActive(anon):  4 kB\nHugePages_Total:  7\n"
    machine.write({"proc/meminfo": text})
    memory = machine.start("meminfo")
    assert machine.read(memory) == {
        "node_memory_MemTotal_bytes": 2048 * 1024,
        "node_memory_Active_anon_bytes": 4096,
        "node_memory_HugePages_Total": 7,
    }
    machine.write({"proc/meminfo": text + "Zswap: 1 kB\n"})
    assert len(machine.read(memory)) == 4


def test_vmstat_and_its_option(machine: Machine) -> None:
    machine.write({"proc/vmstat": "nr_free_pages 9\npgfault 5\npswpin 2\noom_kill 1\n"})
    found = machine.read(machine.start("vmstat"))
    assert found == {"node_vmstat_pgfault": 5, "node_vmstat_pswpin": 2, "node_vmstat_oom_kill": 1}
    only = machine.read(machine.start("vmstat", fields="^nr_"))
    assert only == {"node_vmstat_nr_free_pages": 9}


def test_pressure_of_old_and_new_kernels(machine: Machine) -> None:
    some = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n"
    full = "full avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n"
    machine.write({"proc/pressure/cpu": some, "proc/pressure/memory": some + full})
    assert machine.read(machine.start("pressure")) == {
        "node_pressure_cpu_waiting_seconds_total": 1.5,
        "node_pressure_memory_waiting_seconds_total": 1.5,
        "node_pressure_memory_stalled_seconds_total": 0.25,
    }
    machine.write({"proc/pressure/irq": full, "proc/pressure/cpu": some + full})
    found = machine.read(machine.start("pressure"))
    assert found["node_pressure_irq_stalled_seconds_total"] == 0.25
    assert len(found) == 4


DISK = "   8       0 sda 10 1 100 2000 20 2 200 4000 3 5000 6000\n"


def test_diskstats(machine: Machine) -> None:
    machine.write({"proc/diskstats": "   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n" + DISK})
    machine.write(
        {
            "run/udev/data/b8:0": "S:disk\nE:ID_MODEL=Fast_Disk\nE:ID_SERIAL_SHORT=S1\nE:ID_FS_TYPE=xfs\n"
        }
    )
    disks = machine.start("diskstats")
    found = machine.read(disks)
    assert found['node_disk_read_bytes_total{device="sda"}'] == 51200
    assert found['node_disk_write_time_seconds_total{device="sda"}'] == 4.0
    assert found['node_disk_io_now{device="sda"}'] == 3
    info = 'node_disk_info{device="sda", major="8", minor="0", model="Fast_Disk", serial="S1"}'
    assert found[info] == 1
    assert found['node_disk_filesystem_info{device="sda", type="xfs"}'] == 1
    assert not any("loop0" in name or "discard" in name for name in found)
    # A new disk, of a newer kernel's width.
    machine.write(
        {"proc/diskstats": DISK + "   8 16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"}
    )
    found = machine.read(disks)
    assert found['node_disk_discarded_sectors_total{device="sdb"}'] == 14
    assert found['node_disk_flush_requests_total{device="sdb"}'] == 16
    assert found['node_disk_reads_completed_total{device="sda"}'] == 10


NET = (
    "Inter-|   Receive                       |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets ...\n"
    "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    "  eth0:1001 1002 0 0 0 0 0 0 2001 0 0 0 0 0 0 0\n"
)


def test_netdev_and_its_option(machine: Machine) -> None:
    machine.write({"proc/net/dev": NET, "sys/class/net/eth0/statistics/rx_nohandler": "3\n"})
    found = machine.read(machine.start("netdev"))
    assert found['node_network_receive_multicast_total{device="lo"}'] == 8
    assert found['node_network_transmit_bytes_total{device="lo"}'] == 9
    assert found['node_network_transmit_compressed_total{device="lo"}'] == 16
    assert found['node_network_receive_bytes_total{device="eth0"}'] == 1001
    assert found['node_network_receive_nohandler_total{device="eth0"}'] == 3
    without = machine.start("netdev", device_exclude="^lo$")
    assert len(machine.read(without)) == 17
    machine.write({"proc/net/dev": NET + "  wg0: 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"})
    assert machine.read(without)['node_network_receive_bytes_total{device="wg0"}'] == 5


def test_netclass_follows_the_link(machine: Machine) -> None:
    folder = "sys/class/net/eth0"
    machine.write(
        {
            f"{folder}/operstate": "up\n",
            f"{folder}/carrier": "1\n",
            f"{folder}/speed": "1000\n",
            f"{folder}/flags": "0x1003\n",
            f"{folder}/address": "02:00:00:00:00:01\n",
            "sys/class/net/bonding_masters": "\n",
        }
    )
    links = machine.start("netclass")
    found = machine.read(links)
    assert found['node_network_up{device="eth0"}'] == 1
    assert found['node_network_speed_bytes{device="eth0"}'] == 125_000_000
    assert found['node_network_flags{device="eth0"}'] == 0x1003
    info = 'node_network_info{address="02:00:00:00:00:01", adminstate="up", device="eth0", operstate="up"}'
    assert found[info] == 1
    before = links.series
    machine.read(links)
    assert links.series is before
    # The link goes down; its carrier can no longer be read.
    machine.write({f"{folder}/operstate": "down\n", f"{folder}/carrier": ""})
    found = machine.read(links)
    assert found['node_network_up{device="eth0"}'] == 0
    assert 'node_network_carrier{device="eth0"}' not in found
    assert any('operstate="down"' in name for name in found)


def test_netstat(machine: Machine) -> None:
    machine.write(
        {
            "proc/net/netstat": "TcpExt: SyncookiesSent ListenDrops Other\nTcpExt: 1 2 3\n"
            "IpExt: InOctets\nIpExt: 4\n",
            "proc/net/snmp": "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoMin CurrEstab\nTcp: 200 -1\n",
            "proc/net/snmp6": "Ip6InOctets 5\nUdp6NoPorts 6\nUdpLite6InErrors 7\nIcmp6InMsgs 8\n",
        }
    )
    assert machine.read(machine.start("netstat")) == {
        "node_netstat_TcpExt_SyncookiesSent": 1,
        "node_netstat_TcpExt_ListenDrops": 2,
        "node_netstat_IpExt_InOctets": 4,
        "node_netstat_Ip_Forwarding": 1,
        "node_netstat_Tcp_CurrEstab": -1,
        "node_netstat_Ip6_InOctets": 5,
        "node_netstat_Udp6_NoPorts": 6,
        "node_netstat_UdpLite6_InErrors": 7,
        "node_netstat_Icmp6_InMsgs": 8,
    }


def test_sockstat_without_ipv6(machine: Machine) -> None:
    machine.write({"proc/net/sockstat": "sockets: used 9\nTCP: inuse 4 mem 2\n"})
    found = machine.read(machine.start("sockstat"))
    assert found["node_sockstat_sockets_used"] == 9
    assert found["node_sockstat_TCP_mem_bytes"] == 2 * found["node_sockstat_TCP_mem_bytes"] / 2 > 0
    assert set(found) == {
        "node_sockstat_sockets_used",
        "node_sockstat_TCP_inuse",
        "node_sockstat_TCP_mem",
        "node_sockstat_TCP_mem_bytes",
    }


def test_softnet_of_old_and_new_kernels(machine: Machine) -> None:
    machine.write({"proc/net/softnet_stat": "0000000a 1 2 0 0\n0000000b 3 4 0 0\n"})
    found = machine.read(machine.start("softnet"))
    assert found['node_softnet_processed_total{cpu="1"}'] == 11
    assert found['node_softnet_times_squeezed_total{cpu="0"}'] == 2
    # A newer line names its core: here core 1 is switched off.
    line = "0000000a 1 2 0 0 0 0 0 0 0 0 0 {} 0 0\n"
    machine.write({"proc/net/softnet_stat": line.format("0") + line.format("00000002")})
    found = machine.read(machine.start("softnet"))
    assert 'node_softnet_dropped_total{cpu="2"}' in found
    assert 'node_softnet_dropped_total{cpu="1"}' not in found


def test_conntrack_sums_over_cores(machine: Machine) -> None:
    machine.write(
        {
            "proc/sys/net/netfilter/nf_conntrack_count": "12\n",
            "proc/sys/net/netfilter/nf_conntrack_max": "100\n",
            "proc/net/stat/nf_conntrack": "entries  found drop\n0000000c  0000000a 00000001\n"
            "0000000c  00000001 00000002\n",
        }
    )
    assert machine.read(machine.start("conntrack")) == {
        "node_nf_conntrack_entries": 12,
        "node_nf_conntrack_entries_limit": 100,
        "node_nf_conntrack_stat_found": 11,
        "node_nf_conntrack_stat_drop": 3,
    }


def test_schedstat(machine: Machine) -> None:
    machine.write(
        {
            "proc/schedstat": "version 15\ntimestamp 1\n"
            "cpu0 0 0 0 0 0 0 2500000000 1000000000 30\ndomain0 3 1 2 3\n"
            "cpu1 0 0 0 0 0 0 1000000 0 5\n"
        }
    )
    found = machine.read(machine.start("schedstat"))
    assert found['node_schedstat_running_seconds_total{cpu="0"}'] == 2.5
    assert found['node_schedstat_waiting_seconds_total{cpu="0"}'] == 1.0
    assert found['node_schedstat_timeslices_total{cpu="1"}'] == 5


def test_mdadm(machine: Machine) -> None:
    machine.write(
        {
            "proc/mdstat": """Personalities : [raid1] [raid0]
md0 : active raid1 sdb1[1] sda1[0]
      1000 blocks super 1.2 [2/2] [UU]

md1 : active raid1 sdd1[2](S) sdc1[1](F) sdb2[0]
      2000 blocks super 1.2 [2/1] [U_]
      [==>..................]  recovery = 12.6% (252/2000) finish=1.0min speed=1K/sec

md2 : active (auto-read-only) raid0 sde1[1] sdf1[0]
      3000 blocks super 1.2 512k chunks

md3 : inactive sdg1[0](S)
      500 blocks super 1.2

unused devices: <none>
"""
        }
    )
    found = machine.read(machine.start("mdadm"))
    assert found['node_md_state{device="md0", state="active"}'] == 1
    assert found['node_md_disks{device="md0", state="active"}'] == 2
    assert found['node_md_blocks_synced{device="md0"}'] == 1000
    assert found['node_md_state{device="md1", state="active"}'] == 0
    assert found['node_md_state{device="md1", state="recovering"}'] == 1
    assert found['node_md_disks{device="md1", state="failed"}'] == 1
    assert found['node_md_disks{device="md1", state="spare"}'] == 1
    assert found['node_md_disks{device="md1", state="active"}'] == 1
    assert found['node_md_disks_required{device="md1"}'] == 2
    assert found['node_md_blocks_synced{device="md1"}'] == 252
    assert found['node_md_disks_required{device="md2"}'] == 2
    assert found['node_md_disks{device="md2", state="active"}'] == 2
    assert found['node_md_state{device="md3", state="inactive"}'] == 1
    assert found['node_md_disks{device="md3", state="active"}'] == 0


def test_arp_and_udp_queues(machine: Machine) -> None:
    machine.write(
        {
            "proc/net/arp": "IP address HW type Flags HW address Mask Device\n"
            "10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0\n10.0.0.2 0x1 0x2 02:00:00:00:00:02 * eth0\n",
            "proc/net/udp": "  sl  local rem st tx_queue:rx_queue\n"
            "  1: 0:0 0:0 07 00000010:00000020 0\n  2: 0:0 0:0 07 00000001:00000002 0\n",
        }
    )
    assert machine.read(machine.start("arp")) == {'node_arp_entries{device="eth0"}': 2}
    assert machine.read(machine.start("udp_queues")) == {
        'node_udp_queues{ip="v4", queue="tx"}': 0x11,
        'node_udp_queues{ip="v4", queue="rx"}': 0x22,
    }


def test_tcp_states_from_text(machine: Machine) -> None:
    line = "   0: 0100007F:1F90 00000000:0000 {} 00000004:00000002 00:0 0 0 0 1 1 0 100\n"
    text = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    text += line.format("0A") + line.format("01") + line.format("01") + line.format("0C")
    machine.write({"proc/net/tcp": text, "proc/net/tcp6": text})
    found = machine.read(machine.start("tcpstat"))
    assert found['node_tcp_connection_states{state="established"}'] == 4
    assert found['node_tcp_connection_states{state="listen"}'] == 2
    assert found['node_tcp_connection_states{state="syn_recv"}'] == 2
    assert found['node_tcp_connection_states{state="time_wait"}'] == 0
    # A listening socket's numbers are connections, not bytes.
    assert found['node_tcp_connection_states{state="tx_queued_bytes"}'] == 6 * 4
    assert found['node_tcp_connection_states{state="rx_queued_bytes"}'] == 6 * 2


def test_hardware(machine: Machine) -> None:
    machine.write(
        {
            "sys/class/hwmon/hwmon0/name": "coretemp\n",
            "sys/class/hwmon/hwmon0/temp1_input": "42000\n",
            "sys/class/hwmon/hwmon0/temp1_crit": "100000\n",
            "sys/class/hwmon/hwmon0/temp1_crit_alarm": "0\n",
            "sys/class/hwmon/hwmon0/temp1_label": "Package id 0\n",
            "sys/class/hwmon/hwmon0/fan1_input": "1200\n",
            "sys/class/hwmon/hwmon0/in0_input": "1050\n",
            "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
            "sys/class/thermal/thermal_zone0/temp": "41500\n",
            "sys/class/thermal/cooling_device0/type": "Fan\n",
            "sys/class/thermal/cooling_device0/cur_state": "1\n",
            "sys/class/thermal/cooling_device0/max_state": "9\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
            "sys/class/dmi/id/sys_vendor": "Maker\n",
            "sys/class/dmi/id/product_name": "Box 9\n",
        }
    )
    assert machine.read(machine.start("hwmon")) == {
        'node_hwmon_temp_celsius{chip="coretemp", sensor="temp1"}': 42.0,
        'node_hwmon_temp_crit_celsius{chip="coretemp", sensor="temp1"}': 100.0,
        'node_hwmon_temp_crit_alarm{chip="coretemp", sensor="temp1"}': 0.0,
        'node_hwmon_fan_rpm{chip="coretemp", sensor="fan1"}': 1200.0,
        'node_hwmon_in_volts{chip="coretemp", sensor="in0"}': 1.05,
        'node_hwmon_chip_names{chip="coretemp", chip_name="coretemp"}': 1.0,
        'node_hwmon_sensor_label{chip="coretemp", label="Package id 0", sensor="temp1"}': 1.0,
    }
    assert machine.read(machine.start("thermal_zone")) == {
        'node_thermal_zone_temp{type="x86_pkg_temp", zone="0"}': 41.5,
        'node_cooling_device_cur_state{name="0", type="Fan"}': 1.0,
        'node_cooling_device_max_state{name="0", type="Fan"}': 9.0,
    }
    assert machine.read(machine.start("cpufreq")) == {
        'node_cpu_scaling_frequency_hertz{cpu="0"}': 2.4e9
    }
    assert machine.read(machine.start("dmi")) == {
        'node_dmi_info{product_name="Box 9", system_vendor="Maker"}': 1.0
    }


def test_os_release(machine: Machine) -> None:
    machine.write(
        {"etc/os-release": 'NAME=\'Alma "Linux"\'\nID="almalinux"\nVERSION_ID="9.4"\n# x\nBAD\n'}
    )
    assert machine.read(machine.start("os")) == {
        'node_os_info{id="almalinux", name="Alma \\"Linux\\"", version_id="9.4"}': 1.0,
        'node_os_version{id="almalinux", name="Alma \\"Linux\\""}': 9.4,
    }


@pytest.mark.parametrize(
    "name",
    [
        *("cpu", "stat", "meminfo", "vmstat", "pressure", "diskstats", "netdev", "netclass"),
        *("netstat", "sockstat", "tcpstat", "udp_queues", "arp", "softnet", "conntrack"),
        *("entropy", "filefd", "schedstat", "dmi", "cpufreq", "thermal_zone", "hwmon", "mdadm"),
        *("processes", "cgroup", "systemd"),
    ],
)
def test_what_a_host_lacks_says_so(machine: Machine, name: str) -> None:
    with pytest.raises(NotHere) as reason:
        machine.start(name)
    assert str(reason.value)
