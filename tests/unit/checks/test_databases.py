"""Databases: real servers where they are installed, and what a sick one says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.unit.checks.servers import Handler, run, serving

from vezha.checks.outcome import Report
from vezha.checks.redis import note_info


@pytest.fixture(scope="module")
def postgresql(peer_path: Callable[[str], str]) -> Iterator[int]:
    """The port of a real server whose user `watcher` has the password `let me in`."""
    binaries = Path(peer_path("postgres")).resolve().parent
    account = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="vezha-pg-") as folder:
        Path(folder, "password").write_text("let me in")
        Path(folder, "password").chmod(0o644)
        if account is not None:
            shutil.chown(folder, account)

        def do(*words: str) -> None:
            subprocess.run(
                words, check=True, stdout=subprocess.DEVNULL, user=account, cwd=folder, timeout=60
            )

        data = f"{folder}/data"
        do(str(binaries / "initdb"), "-D", data, "-U", "watcher", "--auth=scram-sha-256", "-N",
           f"--pwfile={folder}/password")  # fmt: skip
        control = (str(binaries / "pg_ctl"), "-D", data, "-w")
        options = f"-k {folder} -c listen_addresses=127.0.0.1 -c port={port} -c max_connections=20"
        do(*control, "-o", options, "-l", f"{folder}/log", "start")
        try:
            yield port
        finally:
            do(*control, "-m", "fast", "stop")


@pytest.mark.peer("postgres")
def test_postgresql_is_up_without_an_account(postgresql: int) -> None:
    found = asyncio.run(run(f"{{name: a, type: postgresql, targets: ['127.0.0.1:{postgresql}']}}"))
    assert found.why == ""
    tls = asyncio.run(
        run(f"{{name: a, type: postgresql, tls: true, targets: ['127.0.0.1:{postgresql}']}}")
    )
    assert tls.why == "the server offers no TLS"


@pytest.mark.peer("postgres")
def test_postgresql_tells_figures_to_who_has_an_account(postgresql: int, tmp_path: Path) -> None:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    (tmp_path / "good").write_text("let me in\n")
    (tmp_path / "bad").write_text("open sesame\n")
    start = f"name: a, type: postgresql, user: watcher, targets: ['127.0.0.1:{postgresql}']"
    found = asyncio.run(run(f"{{{start}, password_file: {tmp_path}/good}}"))
    assert found.why == ""
    assert found.report.get("vezha_check_postgresql_connections") == 1
    assert found.report.get("vezha_check_postgresql_connections_max") == 20
    assert found.report.get("vezha_check_postgresql_is_replica") == 0
    refused = asyncio.run(run(f"{{{start}, password_file: {tmp_path}/bad}}"))
    assert "cannot be asked" in refused.why


def pg_error(code: str) -> bytes:
    body = b"SFATAL\0C" + code.encode() + b"\0Mthe reason\0\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (pg_error("57P03"), "refused: the reason (57P03)"),
        (pg_error("53300"), "refused: the reason (53300)"),
        (pg_error("28000"), ""),
        (b"R\0\0\0\x08\0\0\0\0", ""),
        (b"HTTP/1.1 400 Bad", "no PostgreSQL"),
        (b"E\xff\xff\xff\xff", "announces"),
        (b"E\0\0", "closed the connection"),
    ],
)
def test_what_postgresql_may_say(answer: bytes, why: str) -> None:
    assert_said(saying(answer), "postgresql", why)


def saying(*answers: bytes) -> Handler:
    """Greets with the first, and answers each thing said by the next; an empty greeting waits."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, answer in enumerate(answers):
            if number or answers[0][:1] in (b"R", b"E", b"H"):
                await reader.read(4_096)
            writer.write(answer)
            await writer.drain()

    return handle


def assert_said(handler: Handler, kind: str, why: str) -> None:
    async def ask() -> None:
        async with serving(handler) as port:
            found = await run(f"{{name: a, type: {kind}, targets: ['127.0.0.1:{port}']}}")
        assert why in found.why
        assert found.success is (not why)

    asyncio.run(ask())


def packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((number,)) + body


GREETING = packet(0, b"\x0a8.0.36-test\0" + bytes(60))


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ((GREETING, packet(2, b"\xff\x15\x04#28000Access denied")), ""),
        ((GREETING, packet(2, b"\0\0\0\2\0\0\0")), ""),
        ((GREETING, packet(2, b"\xfeother\0"), packet(4, b"\xff\x15\x04#28000no")), ""),
        ((packet(0, b"\xff\x10\x04Too many connections"),), "refused: Too many connections (1040)"),
        ((packet(0, b"\xff\x69\x04Host is blocked"),), "(1129)"),
        ((b"SSH-2.0-OpenSSH_9\r\n",), "no MySQL"),
        ((GREETING,), "closed the connection"),
    ],
)
def test_what_mysql_may_say(answers: tuple[bytes, ...], why: str) -> None:
    assert_said(saying(*answers), "mysql", why)


INFO = (
    "# Clients\r\nconnected_clients:3\r\nmaxclients:10\r\nrole:master\r\nconnected_slaves:2\r\n"
    "slave0:ip=a,port=1,state=online,offset=90,lag=0\r\n"
    "slave1:ip=b,port=1,state=online,offset=40,lag=1\r\nmaster_repl_offset:100\r\n"
)


def test_redis_tells_figures() -> None:
    report = Report()
    note_info(INFO, report)
    note_info(
        "role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1",
        replica := Report(),
    )
    assert report.get("vezha_check_redis_connected_clients") == 3
    assert report.get("vezha_check_redis_replica_behind_bytes") == 60
    assert replica.get("vezha_check_redis_replication_link_up") == 0
    assert replica.get("vezha_check_redis_replication_lag_seconds") is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"+PONG\r\n", ""),
        (b"-NOAUTH Authentication required.\r\n", ""),
        (b"-LOADING Redis is loading\r\n", "PING was answered by LOADING"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no Redis"),
        (b"$-1\r\n", "PING was answered by None"),
        (b"", "closed the connection"),
    ],
)
def test_what_redis_may_say(answer: bytes, why: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in (answer, b"$%d\r\n%s\r\n" % (len(INFO), INFO.encode()), b":4\r\n"):
            if not await reader.read(4_096) or not said:
                return
            writer.write(said)

    assert_said(handle, "redis", why)


@pytest.mark.peer("redis-server")
def test_a_real_redis(
    peer_path: Callable[[str], str], free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "password").write_text("let me in")
    process = subprocess.Popen(
        [peer_path("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--requirepass", "let me in"],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        text = f"{{name: a, type: redis, targets: ['127.0.0.1:{port}'], password_file: {tmp_path}/password}}"
        until = time.monotonic() + 20
        while not (found := asyncio.run(run(text))).success and time.monotonic() < until:
            time.sleep(0.1)
        assert found.why == ""
        assert found.report.get("vezha_check_redis_connected_clients") == 1
        assert found.report.get("vezha_check_redis_slow_log_length") == 0
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b'AUTH "let me in"\r\nLPUSH jobs a b\r\nXADD log * k v\r\nSET text t\r\n'
            )
            client.sendall(b"QUIT\r\n")
            while client.recv(1000):
                pass
        found = asyncio.run(run(text.replace("}", ", queues: [jobs, log, text, nobody]}")))
        lengths = {
            dict(labels)["queue"]: value
            for (name, labels), value in found.report.figures.items()
            if name == "vezha_queue_length"
        }
        assert lengths == {"jobs": 2, "log": 1, "nobody": 0}
        assert asyncio.run(run(f"{{name: a, type: redis, targets: ['127.0.0.1:{port}']}}")).success
    finally:
        process.terminate()
        process.wait(20)
