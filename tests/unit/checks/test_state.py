"""Up, down, heartbeats, the loop; tcp, ping and plugins for real."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checks.servers import only, run, serving

from vezha.checks import ping
from vezha.checks.errors import ProbeFailed
from vezha.checks.heartbeat import Beat, HeartbeatProbe, token_hash
from vezha.checks.loop import Checks
from vezha.checks.outcome import Outcome, Report
from vezha.checks.perfdata import PerfFigure, read_perfdata
from vezha.checks.state import TargetState, after
from vezha.model.labels import Labels, metric
from vezha.world import World

CHECK = "{name: a, type: tcp, targets: ['b:1'], failures_before_down: 3, labels: {team: web}}"


def outcome(success: bool, **figures: float) -> Outcome:
    report = Report()
    for name, value in figures.items():
        report.set(name, value)
    return Outcome(success, "" if success else "no", 0.1, report)


def test_down_after_failures_in_a_row_and_up_at_once() -> None:
    check, state = only(CHECK), TargetState()
    up = metric("vezha_check_up", job="a", instance="b:1", team="web", type="tcp")
    went = [
        after(state, check, "b:1", outcome(success)).values[up]
        for success in (True, False, False, True, False, False, False, False, True)
    ]
    assert went == [1, 1, 1, 1, 1, 1, 0, 0, 1]


def test_a_figure_that_is_gone_ends() -> None:
    check, state = only(CHECK), TargetState()
    after(state, check, "b:1", outcome(True, probe_x=1.0))
    told = after(state, check, "b:1", outcome(False))
    assert told.gone == {metric("probe_x", job="a", instance="b:1", team="web")}
    assert after(state, check, "b:1", outcome(False)).gone == frozenset()


HEARTBEAT = HeartbeatProbe(token_hash("t" * 20), 60.0, 6.0)


@pytest.mark.parametrize(
    ("beat", "now_s", "late_s"),
    [
        (Beat(10_000, 0), 70.0, -6.0),
        (Beat(10_000, 0), 80.0, 4.0),
        (Beat(None, 10_000), 80.0, 4.0),
        (Beat(10_000, 0), 1.0, -66.0),
    ],
)
def test_a_heartbeat_is_late_after_period_and_grace(
    beat: Beat, now_s: float, late_s: float
) -> None:
    assert HEARTBEAT.judge(beat, now_s, Report()) == late_s
    assert HEARTBEAT.fits("t" * 20)
    assert not HEARTBEAT.fits("t" * 19)


def test_tcp_says_the_right_thing() -> None:
    async def ask() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            word = await reader.readexactly(4)
            writer.write(b"220 " + word[::-1])

        async with serving(handle) as port:
            start = f"name: a, type: tcp, targets: ['127.0.0.1:{port}'], send: abcd"
            good = await run(f"{{{start}, expect: '^220 dcba'}}")
            bad = await run(f"{{{start}, expect: '^250'}}")
        assert (good.success, bad.success) == (True, False)
        assert "b'220 dcba', wanted '^250'" in bad.why
        closed = await run(f"{{name: a, type: tcp, targets: ['127.0.0.1:{port}']}}")
        assert "refused" in closed.why

    asyncio.run(ask())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ping(host: str) -> None:
    try:
        channel, _ = ping.open_socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        channel.close()
    except (ProbeFailed, OSError) as error:
        pytest.skip(f"no ping here: {error}")
    try:
        socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    found = asyncio.run(run(f"{{name: a, type: ping, targets: ['{host}'], packets: 2}}"))
    assert found.why == ""
    assert found.report.get("vezha_check_ping_loss_ratio") == 0
    assert 0 < (found.report.get("probe_icmp_duration_seconds", phase="rtt") or 0) < found.took_s


def test_ping_says_what_the_kernel_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("socket.socket", forbidden)
    with pytest.raises(ProbeFailed, match="ping_group_range"):
        ping.open_socket(socket.AF_INET)


@given(st.binary(max_size=60), st.booleans())
def test_no_packet_breaks_ping(packet: bytes, is_raw: bool) -> None:
    token = b"8 bytes!"
    assert not ping.is_reply(packet, socket.AF_INET, is_raw, 3, token)
    data = ping.echo(socket.AF_INET, 3, token, token)
    assert ping.checksum(data) == 0
    assert ping.is_reply(b"\0" + data[1:], socket.AF_INET, False, 3, token)


def test_perfdata() -> None:
    text = "DISK OK | /=2MB;;4;0;5 'a b''c'=1.5s;1:2 n=x load=3\nlong\nmore | rta=12ms;100 p=5%"
    assert read_perfdata(text) == [
        PerfFigure("/", "bytes", 2 * 1024.0**2, None, 4 * 1024.0**2),
        PerfFigure("a b'c", "seconds", 1.5),
        PerfFigure("load", "", 3.0),
        PerfFigure("rta", "seconds", 0.012, 0.1),
        PerfFigure("p", "percent", 5.0),
    ]


@given(st.text())
def test_no_output_breaks_perfdata(text: str) -> None:
    assert len(read_perfdata("|" + text)) <= 100


@pytest.mark.parametrize(
    ("script", "why", "status"),
    [
        ("echo \"OK $1 | time=5ms\"", "", 0),
        ("echo WARN; exit 1", "", 1),
        ("echo 'CRIT: full | x=1'; exit 2", "critical: CRIT: full", 2),
        ("exit 3", "unknown: it said nothing", 3),
        ("exit 77", "unknown", 3),
        ("kill -9 $$", "signal 9", 3),
        ("yes | head -c 100000", "over 65536 bytes", None),
        ("sleep 60 & sleep 60", "no answer within 1 s", None),
    ],
)  # fmt: skip
def test_a_plugin(tmp_path: Path, script: str, why: str, status: float | None) -> None:
    plugin = tmp_path / "check_it"
    plugin.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
    plugin.chmod(0o755)
    found = asyncio.run(
        run(
            f"{{name: a, type: plugin, timeout: 1s, command: [{plugin}, '{{target}}'], targets: [x]}}"
        )
    )
    assert why in found.why
    assert found.success is (not why)
    assert found.report.get("vezha_check_plugin_status") == status
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("the plugin's processes outlive it")


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.wrote: list[tuple[Mapping[Labels, float], set[Labels], int]] = []

    async def write(
        self, values: Mapping[Labels, float], gone: Iterable[Labels], ts_ms: int
    ) -> None:
        self.wrote.append((values, set(gone), ts_ms))


def told(*_words: str) -> None:
    """Changes are not looked at here."""


def test_the_loop_runs_each_target_and_a_changed_file_ends_what_is_gone() -> None:
    async def go() -> None:
        async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hi")

        async with serving(handle) as port:
            sink = Kept()
            text = f"{{name: a, type: tcp, targets: ['127.0.0.1:{port}'], interval: 1s}}"
            first = Checks([only(text)], sink, World(), told)
            running = asyncio.create_task(first.run())
            while len(sink.wrote) < 2:
                await asyncio.sleep(0.05)
            running.cancel()
            success = metric("probe_success", job="a", instance=f"127.0.0.1:{port}")
            assert sink.wrote[0][0][success] == 1.0
            assert 500 < sink.wrote[1][2] - sink.wrote[0][2] < 5_000
            second = Checks([], sink, World(), told)
            await second.run(first)
        assert success in sink.wrote[-1][1]

    asyncio.run(go())
