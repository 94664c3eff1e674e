"""Groups of processes and control groups, from made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.agent_collect.test_kernel_texts import Machine

from vezha.agent.collect.cgroup import Cgroup, classify, unit_of
from vezha.agent.limits import PROCESS_GROUPS_MAX

ID = "0123456789abcdef" * 4


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write(
        {
            "proc/self/stat": "",
            "proc/sys/kernel/pid_max": "4194304\n",
            "proc/sys/kernel/threads-max": "1000\n",
        }
    )
    return machine


def process(
    pid: int,
    comm: str,
    ticks: int,
    pages: int = 10,
    state: str = "S",
    start: int = 5,
    unit: str = "",
    parent: int = 1,
) -> dict[str, str]:
    fields = [state, str(parent), *["0", "0", "0", "0", "0", "0", "0", "0", "0"], str(ticks), "0"]
    fields += ["0", "0", "20", "0", "2", "0", str(start), "999", str(pages), "0", "0"]
    return {
        f"proc/{pid}/stat": f"{pid} ({comm}) {' '.join(fields)}\n",
        f"proc/{pid}/cgroup": f"0::/system.slice/{unit}\n" if unit else "0::/\n",
    }


def remove(machine: Machine, pid: int) -> None:
    for name in ("stat", "cgroup"):
        (machine.folder / f"proc/{pid}/{name}").unlink()
    (machine.folder / f"proc/{pid}").rmdir()


def test_groups_of_processes(machine: Machine) -> None:
    machine.write(process(10, "nginx: w) (x", 500, pages=100, unit="nginx.service"))
    machine.write(process(11, "nginx: w) (x", 300, pages=50, unit="nginx.service", state="R"))
    machine.write(process(2, "kthreadd", 0, pages=0, parent=0))
    machine.write(process(20, "kworker/0:1-events", 7, pages=0, parent=2, state="I"))
    processes = machine.start("processes", cpu_share_max=1000.0)
    found = machine.read(processes)
    assert found['node_processes_state{state="S"}'] == 2
    assert found['node_processes_state{state="I"}'] == 1
    assert found["node_processes_pids"] == 4
    assert found["node_processes_threads"] == 8
    assert found["node_processes_max_processes"] == 4194304
    nginx = '{comm="nginx: w) (x", unit="nginx.service"}'
    # What they used before we looked is not ours to tell.
    assert found[f"vezha_process_cpu_seconds_total{nginx}"] == 0
    assert found[f"vezha_process_count{nginx}"] == 2
    assert found[f"vezha_process_resident_memory_bytes{nginx}"] == 150 * 4096
    assert not any("kworker" in name for name in found)
    before = processes.series
    machine.write(process(10, "nginx: w) (x", 650, unit="nginx.service"))
    found = machine.read(processes)
    assert found[f"vezha_process_cpu_seconds_total{nginx}"] == 1.5
    assert processes.series is before


def test_a_groups_processor_time_never_falls(machine: Machine) -> None:
    machine.write(process(10, "job", 100))
    processes = machine.start("processes", cpu_share_max=1000.0)
    machine.read(processes)
    machine.write(process(11, "job", 40, start=9))
    assert machine.read(processes)['vezha_process_cpu_seconds_total{comm="job"}'] == 0.4
    remove(machine, 11)
    found = machine.read(processes)
    assert found['vezha_process_cpu_seconds_total{comm="job"}'] == 0.4
    assert found['vezha_process_count{comm="job"}'] == 1
    # The same number, another process.
    machine.write(process(11, "job", 25, start=77))
    assert machine.read(processes)['vezha_process_cpu_seconds_total{comm="job"}'] == 0.65


def test_only_the_top_are_told_and_the_list_is_bounded(machine: Machine) -> None:
    for pid in range(100, 300):
        machine.write(process(pid, f"p{pid}", 0, pages=pid))
    processes = machine.start("processes", top=5, cpu_share_max=1000.0)
    found = machine.read(processes)
    told = {name for name in found if name.startswith("vezha_process_count")}
    assert told == {f'vezha_process_count{{comm="p{pid}"}}' for pid in range(295, 300)}
    for round_ in range(20):
        for pid in range(100 + round_ * 5, 105 + round_ * 5):
            machine.write(process(pid, f"p{pid}", 50 * (round_ + 1), pages=pid))
        found = machine.read(processes)
    told = {name for name in found if name.startswith("vezha_process_count")}
    assert len(told) == PROCESS_GROUPS_MAX


def test_a_dear_scan_is_not_repeated_at_once(machine: Machine) -> None:
    machine.write(process(10, "job", 100))
    processes = machine.start("processes", cpu_share_max=1e-6)
    machine.read(processes)
    machine.write(process(11, "job", 100))
    assert machine.read(processes)["node_processes_pids"] == 1


def test_what_a_cgroups_path_means() -> None:
    assert unit_of("/system.slice/ssh.service") == "ssh.service"
    assert unit_of(f"/system.slice/docker-{ID}.scope") == f"docker-{ID}.scope"
    assert unit_of("/user.slice/user-1.slice/user@1.service/app.slice/x.service") == "x.service"
    assert unit_of("/") == ""
    assert classify("/system.slice") == Cgroup("/system.slice", "system.slice", "")
    assert classify("/user.slice/user-1.slice") is None
    docker = f"/system.slice/docker-{ID}.scope"
    assert classify(docker) == Cgroup(docker, f"docker-{ID}.scope", ID[:12])
    plain = f"/docker/{ID}"
    assert classify(plain) == Cgroup(plain, "", ID[:12])
    pod = f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"
    assert classify(pod) == Cgroup(pod, f"cri-containerd-{ID}.scope", ID[:12])
    assert classify("/somewhere") is None


def test_cgroups(machine: Machine) -> None:
    root = "sys/fs/cgroup"
    ssh = f"{root}/system.slice/ssh.service"
    machine.write(
        {
            f"{root}/cgroup.controllers": "cpu memory io pids\n",
            f"{ssh}/cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
            f"{ssh}/memory.current": "4096\n",
            f"{ssh}/memory.max": "max\n",
            f"{ssh}/memory.stat": "anon 1024\nfile 9\n",
            f"{ssh}/memory.events": "low 0\noom_kill 3\n",
            f"{ssh}/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=5 wios=1\n",
            f"{ssh}/pids.current": "7\n",
            f"{ssh}/cpu.pressure": "some avg10=0 total=2000000\nfull avg10=0 total=0\n",
            f"{root}/system.slice/docker-{ID}.scope/pids.current": "1\n",
            f"{root}/system.slice/docker-{ID}.scope/inner.service/pids.current": "1\n",
            f"{root}/init/pids.current": "1\n",
        }
    )
    cgroups = machine.start("cgroup")
    found = machine.read(cgroups)
    labels = '{cgroup="/system.slice/ssh.service", unit="ssh.service"}'
    assert {n: v for n, v in found.items() if n.endswith(labels)} == {
        f"vezha_cgroup_cpu_usage_seconds_total{labels}": 1.5,
        f"vezha_cgroup_cpu_user_seconds_total{labels}": 1.0,
        f"vezha_cgroup_cpu_system_seconds_total{labels}": 0.5,
        f"vezha_cgroup_memory_current_bytes{labels}": 4096,
        f"vezha_cgroup_memory_max_bytes{labels}": float("inf"),
        f"vezha_cgroup_memory_anon_bytes{labels}": 1024,
        f"vezha_cgroup_memory_oom_kills_total{labels}": 3,
        f"vezha_cgroup_io_read_bytes_total{labels}": 15,
        f"vezha_cgroup_io_written_bytes_total{labels}": 20,
        f"vezha_cgroup_io_reads_total{labels}": 1,
        f"vezha_cgroup_io_writes_total{labels}": 3,
        f"vezha_cgroup_pids{labels}": 7,
        f"vezha_cgroup_pressure_cpu_waiting_seconds_total{labels}": 2.0,
    }
    containers = [name for name in found if 'container="0123456789ab"' in name]
    assert len(containers) == 1
    assert not any("inner" in name or "/init" in name for name in found)
    before = cgroups.series
    machine.read(cgroups)
    assert cgroups.series is before
    # A service that ended is left out at once.
    for file in (machine.folder / ssh).iterdir():
        file.unlink()
    assert not any("ssh" in name for name in machine.read(cgroups))
