"""The agent next to a real node_exporter on the same machine: same names, labels, values.

The exporter is asked before and after the agent's single file has collected, so the agent's
counters must lie between its two answers, and its gauges near them. What differs is printed;
only what the agent's reference page explains may differ.
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vezha.agent import catalogue
from vezha.agent.collect.reference import DIFFERENCES, LABELS, OURS, THEIRS, VALUES
from vezha.agent.collect.textfile import parse
from vezha.agent.zipapp import build
from vezha.model.labels import METRIC_NAME, Labels, format_labels, get_label

pytestmark = [pytest.mark.acceptance, pytest.mark.peer("prometheus-node-exporter")]

Metrics = dict[Labels, float]

TEXTFILE = 'demo_gauge{kind="a b",quote="\\"x\\""} 4.5\ndemo_total 7\n'

# Gauges that move by themselves: how far from the exporter's answers ours may lie, as a part of
# their size and as an amount. Counters need no such table: they lie between.
TOLERANCE: tuple[tuple[str, float, float], ...] = (
    (r"node_memory_(VmallocTotal|MemTotal|SwapTotal|Hugepagesize).*", 0, 0),
    (r"node_memory_.*", 0.2, 512 * 2**20),
    (r"node_load\d+", 0.2, 0.5),
    (r"node_procs_(running|blocked)", 0, 20),
    (r"node_filefd_allocated", 0.3, 500),
    (r"node_filesystem_(free|avail)_bytes", 0.05, 256 * 2**20),
    (r"node_filesystem_files_free", 0.05, 10_000),
    (r"node_sockstat_.*|node_tcp_connection_states|node_udp_queues", 0.5, 300),
    (r"node_netstat_Tcp_CurrEstab", 0.5, 100),
    (r"node_nf_conntrack_entries|node_arp_entries", 0.5, 100),
    (r"node_entropy_available_bits", 0, 256),
    (r"node_disk_io_now", 0, 100),
    (r"node_processes_.*", 0.3, 60),
    (r"node_timex_.*", 0.1, 1),
    (r"node_cooling_device_cur_state|node_hwmon_.*|node_thermal_zone_temp", 0.3, 10),
    (r"node_(cpu|scaling).*_hertz", 0.9, 1e9),
)
# Their value is about the reader.
NOT_COMPARED = re.compile(r"node_scrape_collector_.*|process_.*")
# Explained on the reference page ("values"), and only for these series.
OTHER_VALUES = re.compile(r'node_tcp_connection_states\{state="[rt]x_queued_bytes"\}')


@pytest.fixture(scope="module")
def textfile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("textfile")
    (folder / "demo.prom").write_text(TEXTFILE)
    return folder


@pytest.fixture(scope="module")
def exporter(
    peer_path: Callable[[str], str], textfile_folder: Path
) -> Iterator[Callable[[], Metrics]]:
    """Starts the exporter with upstream's defaults and what we have beyond them switched on."""
    process = subprocess.Popen(
        [
            peer_path("prometheus-node-exporter"),
            "--web.listen-address=127.0.0.1:0",
            "--collector.netdev.device-exclude=^$",
            f"--collector.filesystem.mount-points-exclude={catalogue.MOUNT_POINTS_EXCLUDE}",
            f"--collector.filesystem.fs-types-exclude={catalogue.FILE_SYSTEMS_EXCLUDE}",
            f"--collector.diskstats.device-exclude={catalogue.DISKS_EXCLUDE}",
            f"--collector.textfile.directory={textfile_folder}",
            "--collector.tcpstat",
            "--collector.processes",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', line)
        if found is not None:
            address = found.group(1)
            break
    assert address, "node_exporter did not say where it listens"

    def ask() -> Metrics:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return dict(parse(answer.read().decode()))

    ask()  # its first answer is slow and loads kernel modules
    yield ask
    process.terminate()
    process.wait(10)
    process.stderr.close()


@pytest.fixture(scope="module")
def answers(
    exporter: Callable[[], Metrics],
    textfile_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Metrics, Metrics, Metrics]:
    """The exporter before, the agent, the exporter after."""
    folder = tmp_path_factory.mktemp("agent")
    build(folder / "vezha-agent.pyz")
    (folder / "agent.toml").write_text(f'[collectors.textfile]\nfolder = "{textfile_folder}"\n')
    before = exporter()
    text = subprocess.run(
        [str(folder / "vezha-agent.pyz"), "collect", "--state", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    after = exporter()
    return before, dict(parse(text)), after


def test_families_and_labels_are_node_exporters(
    answers: tuple[Metrics, Metrics, Metrics],
) -> None:
    before, ours, after = answers
    # A series that came or went while we looked is nobody's difference.
    theirs = before.keys() & after.keys()
    ever = before.keys() | after.keys()
    family = {get_label(labels, METRIC_NAME) for labels in theirs}
    our_family = {get_label(labels, METRIC_NAME) for labels in ours}
    unexplained = []
    for labels in sorted((theirs - ours.keys()) | (ours.keys() - ever)):
        name = get_label(labels, METRIC_NAME)
        if labels in theirs:
            side = LABELS if name in our_family else THEIRS
        else:
            side = LABELS if name in family else OURS
        why = explain(name, side)
        print(f"{'- ' if labels in theirs else '+ '}{format_labels(labels)}: {why or '???'}")
        if not why:
            unexplained.append(format_labels(labels))
    print(f"{len(ours)} series of ours, {len(ours.keys() & ever)} of them node_exporter's")
    assert unexplained == []
    assert len(ours.keys() & ever) > 250


def test_values_are_node_exporters(answers: tuple[Metrics, Metrics, Metrics]) -> None:
    before, ours, after = answers
    wrong = []
    compared = 0
    for labels in sorted(before.keys() & ours.keys() & after.keys()):
        name = get_label(labels, METRIC_NAME)
        if NOT_COMPARED.fullmatch(name):
            continue
        if OTHER_VALUES.fullmatch(format_labels(labels)) and explain(name, VALUES):
            continue
        compared += 1
        low, high = sorted((before[labels], after[labels]))
        part, amount = tolerance(name)
        slack = amount + part * max(abs(low), abs(high)) + 1e-9 * abs(high)
        if not low - slack <= ours[labels] <= high + slack:
            wrong.append(f"{format_labels(labels)}: {ours[labels]!r} not in {low!r} … {high!r}")
    print(f"{compared} values compared")
    assert wrong == []
    assert compared > 250


def test_the_text_files_metrics_are_carried(answers: tuple[Metrics, Metrics, Metrics]) -> None:
    _, ours, after = answers
    for labels, value in parse(TEXTFILE):
        assert ours[labels] == value == after[labels]


def test_the_clock_is_this_machines(answers: tuple[Metrics, Metrics, Metrics]) -> None:
    _, ours, _ = answers
    assert abs(ours[((METRIC_NAME, "node_time_seconds"),)] - time.time()) < 60


def explain(name: str, side: str) -> str:
    """Why *name* may differ on that *side*, by the reference page; "" where it may not."""
    for pattern, known_side, why in DIFFERENCES:
        if re.fullmatch(pattern, name) and known_side == side:
            return why
    return ""


def tolerance(name: str) -> tuple[float, float]:
    """Allowed distance as a part and as an amount; counters and constants have none."""
    for pattern, part, amount in TOLERANCE:
        if re.fullmatch(pattern, name):
            return part, amount
    return 0.0, 0.0
