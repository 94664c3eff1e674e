"""The 24 charts of a host: what they show, in which unit, by which PromQL.

`$instance` stands for the host's name as a quoted string, `$window` for the span of rates:
five samples, or one step where that is longer. Legends are words that the pages translate, or
a label's value (`{{device}}`). A series is a gap where the host sent nothing for `$presence`,
however long gauges would be remembered otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from vezha.model.labels import Labels, get_label, quote_value

LEGENDS_PER_SERIES_MAX = 4
"""Lines that one expression may put on a chart; more than four are not told apart."""
WINDOW_S_MIN = 5.0
"""Shortest span of a rate: five samples at one second."""
PRESENCE_S_MIN = 3.0
"""How long after its last sample a host counts as there."""

_I = "instance=$instance"
_DISKS = f'{_I},device!~"(loop|ram|zram|fd|sr|dm-|md)[0-9]*"'
_NETS = f'{_I},device!~"lo|ifb.*|dummy.*|veth.*|docker.*|br-.*|virbr.*|cni.*|flannel.*|tun.*|tap.*"'
_FILES = (
    f'{_I},fstype!~"tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|nsfs|autofs|fuse.*|nfs.*|cifs"'
)
PRESENCE_EXPR = f"present_over_time(node_load1{{{_I}}}[$presence])"


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One expression; its legend is a word or `{{label}}`."""

    id: str
    legend: str
    expr: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `title` is a key of the pages' texts; `max` fixes the axis."""

    id: str
    group: str
    unit: str
    series: tuple[ChartSeries, ...]
    max: float | None = None

    @property
    def title(self) -> str:
        """The title's key."""
        return f"chart.{self.id}"


def _chart(
    id_: str, group: str, unit: str, *series: tuple[str, str], max_: float | None = None
) -> Chart:
    made = tuple(
        ChartSeries(f"{id_}.{i}", legend, " ".join(expr.split()))
        for i, (legend, expr) in enumerate(series)
    )
    return Chart(id_, group, unit, made, max_)


def _rate(name: str, matchers: str = _I) -> str:
    return f"rate({name}{{{matchers}}}[$window])"


def _cpu(mode: str) -> str:
    return f'100 * avg(sum by (cpu) (rate(node_cpu_seconds_total{{{_I},mode=~"{mode}"}}[$window])))'


def _latency(time: str, count: str) -> str:
    # Without a request there is no latency; zero says that better than a gap would.
    seconds, requests = f"sum({_rate(time, _DISKS)})", f"sum({_rate(count, _DISKS)})"
    return f"{seconds} / ({requests} > 0) or {requests} * 0"


def _memory(*names: str) -> str:
    total = f"node_memory_MemTotal_bytes{{{_I}}}"
    parts = " + ".join(f"node_memory_{n}_bytes{{{_I}}}" for n in names)
    return f"100 * ({parts}) / {total}"


CHARTS: tuple[Chart, ...] = (
    _chart("cpu", "processor", "percent",
           ("used", f"100 - ({_cpu('idle|iowait')})"), ("system", _cpu("system")),
           ("iowait", _cpu("iowait")), max_=100),
    _chart("load", "processor", "", ("load", f"node_load1{{{_I}}}")),
    _chart("cpu_wait", "processor", "percent",
           ("waiting", f"100 * {_rate('node_pressure_cpu_waiting_seconds_total')}")),
    _chart("switches", "processor", "/s", ("switches", _rate("node_context_switches_total"))),

    _chart("memory", "memory", "percent",
           ("used", f"100 - ({_memory('MemAvailable')})"),
           ("cache", _memory("Cached", "Buffers")), max_=100),
    _chart("swap", "memory", "bytes/s",
           ("in", f"4096 * {_rate('node_vmstat_pswpin')}"),
           ("out", f"4096 * {_rate('node_vmstat_pswpout')}")),
    _chart("memory_wait", "memory", "percent",
           ("waiting", f"100 * {_rate('node_pressure_memory_waiting_seconds_total')}")),
    _chart("faults", "memory", "/s", ("faults", _rate("node_vmstat_pgmajfault"))),

    _chart("disk_latency", "disk", "seconds",
           ("write", _latency("node_disk_write_time_seconds_total",
                              "node_disk_writes_completed_total")),
           ("read", _latency("node_disk_read_time_seconds_total",
                             "node_disk_reads_completed_total"))),
    _chart("disk_busy", "disk", "percent",
           ("{{device}}", f"100 * {_rate('node_disk_io_time_seconds_total', _DISKS)}"), max_=100),
    _chart("disk_throughput", "disk", "bytes/s",
           ("write", f"sum({_rate('node_disk_written_bytes_total', _DISKS)})"),
           ("read", f"sum({_rate('node_disk_read_bytes_total', _DISKS)})")),
    _chart("space", "disk", "percent",
           ("{{mountpoint}}",
            f"100 - 100 * node_filesystem_avail_bytes{{{_FILES}}} "
            f"/ (node_filesystem_size_bytes{{{_FILES}}} > 0)"), max_=100),

    _chart("net_throughput", "network", "bits/s",
           ("in", f"8 * sum({_rate('node_network_receive_bytes_total', _NETS)})"),
           ("out", f"8 * sum({_rate('node_network_transmit_bytes_total', _NETS)})")),
    _chart("net_packets", "network", "/s",
           ("in", f"sum({_rate('node_network_receive_packets_total', _NETS)})"),
           ("out", f"sum({_rate('node_network_transmit_packets_total', _NETS)})")),
    _chart("retransmits", "network", "/s",
           ("retransmits", _rate("node_netstat_Tcp_RetransSegs"))),
    _chart("connections", "network", "",
           ("established", f"node_netstat_Tcp_CurrEstab{{{_I}}}"),
           ("waiting", f"node_sockstat_TCP_tw{{{_I}}}")),

    _chart("io_wait", "kernel", "percent",
           ("waiting", f"100 * {_rate('node_pressure_io_waiting_seconds_total')}"),
           ("stalled", f"100 * {_rate('node_pressure_io_stalled_seconds_total')}")),
    _chart("interrupts", "kernel", "/s", ("interrupts", _rate("node_intr_total"))),
    _chart("forks", "kernel", "/s", ("forks", _rate("node_forks_total"))),
    _chart("threads", "kernel", "",
           ("threads", f"node_processes_threads{{{_I}}}"),
           ("processes", f"node_processes_pids{{{_I}}}")),

    _chart("processes", "system", "",
           ("running", f"node_procs_running{{{_I}}}"),
           ("blocked", f"node_procs_blocked{{{_I}}}")),
    _chart("files", "system", "", ("open", f"node_filefd_allocated{{{_I}}}")),
    _chart("temperature", "system", "celsius",
           ("hottest", f"max(node_hwmon_temp_celsius{{{_I}}}) "
                       f"or max(node_thermal_zone_temp{{{_I}}})")),
    _chart("clock_offset", "system", "seconds",
           ("offset", f"node_timex_offset_seconds{{{_I}}}")),
)  # fmt: skip
"""In the order of the page: six groups of four."""

_RATE = re.compile(r"rate\((\w+\{[^}]*\})\[\$window\]\)")
_LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")


def expression(template: str, instance: str, step_s: float = 1.0) -> str:
    """A chart's expression for one host and step."""
    window_ms = round(max(WINDOW_S_MIN, step_s) * 1000)
    presence_ms = round(max(PRESENCE_S_MIN, step_s) * 1000)
    return (
        template.replace("$window", f"{window_ms}ms")
        .replace("$presence", f"{presence_ms}ms")
        .replace("$instance", quote_value(instance))
    )


def stepped(template: str, instance: str, step_s: int) -> str:
    """The same, with rates over whole steps written as differences of two looks a step apart:
    roll-ups answer these, so that weeks of them read little."""
    growth = rf"(clamp_min(\1 - \1 offset {step_s}s, 0) / {step_s})"
    return expression(_RATE.sub(growth, template), instance, step_s)


def legend_of(series: ChartSeries, labels: Labels) -> str:
    """The legend of one line of *series*."""
    return _LEGEND_LABEL.sub(lambda m: get_label(labels, m[1]), series.legend)


def describe_charts() -> list[dict[str, Any]]:
    """The charts as the API shows them."""
    return [
        {
            "id": chart.id,
            "group": chart.group,
            "title": chart.title,
            "unit": chart.unit,
            "max": chart.max,
            "series": [{"id": s.id, "legend": s.legend, "expr": s.expr} for s in chart.series],
        }
        for chart in CHARTS
    ]
