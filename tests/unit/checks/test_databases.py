"""Databases: real servers where they are installed, and what a sick one says."""

from __future__ import annotations

import asyncio
import hashlib
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

from vezha.checks.mysql import note_replication, proof_of
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


@pytest.fixture(scope="module")
def mariadb(peer_path: Callable[[str], str]) -> Iterator[int]:
    """The port of a real server: `watcher` may look at all and has the password `let me in`,
    `nobody` the same password and no rights."""
    server = peer_path("mariadbd")
    install, client = shutil.which("mariadb-install-db"), shutil.which("mariadb")
    assert install is not None
    assert client is not None
    account = "mysql" if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="vezha-mdb-") as folder:
        if account is not None:
            shutil.chown(folder, account)
        data, socket_path, log = f"{folder}/data", f"{folder}/s", Path(folder, "log")
        with log.open("wb") as out:
            subprocess.run(
                [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"],
                check=True, stdout=out, stderr=out, user=account, cwd=folder, timeout=120,
            )  # fmt: skip
            process = subprocess.Popen(
                [server, "--no-defaults", f"--datadir={data}", f"--socket={socket_path}",
                 "--bind-address=127.0.0.1", f"--port={port}", "--max-connections=20",
                 f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=16M", "--server-id=2",
                 "--long-query-time=0.2", "--slow-query-log=1"],
                stdout=out, stderr=out, user=account, cwd=folder,
            )  # fmt: skip
        try:
            grant = (
                "create user watcher@'127.0.0.1' identified by 'let me in';"
                "create user nobody@'127.0.0.1' identified by 'let me in';"
                "grant process, slave monitor, replication client on *.* to watcher@'127.0.0.1';"
                "create table test.t (id int primary key) engine=innodb; insert into test.t values (1);"
                "select sleep(0.3);"
                # nobody answers there: a replica whose link is down
                "change master to master_host='127.0.0.1', master_port=1, master_user='x';"
            )
            words = [client, "--no-defaults", f"--socket={socket_path}", "-u", "root"]
            until = time.monotonic() + 60
            while subprocess.run([*words, "-e", "create database if not exists test"],
                                 stderr=subprocess.DEVNULL).returncode:  # fmt: skip
                assert process.poll() is None and time.monotonic() < until, log.read_text()[-2000:]  # noqa: PT018
                time.sleep(0.2)
            subprocess.run([*words, "-e", grant], check=True, stdout=subprocess.DEVNULL)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def mysql(port: int, tmp_path: Path, user: str, password: str = "let me in") -> str:
    (tmp_path / "password").write_text(f"{password}\n")
    return f"{{name: a, type: mysql, user: {user}, targets: ['127.0.0.1:{port}'], password_file: {tmp_path}/password}}"


@pytest.mark.peer("mariadbd")
def test_mariadb_tells_figures_to_who_has_an_account(mariadb: int, tmp_path: Path) -> None:
    found = asyncio.run(run(mysql(mariadb, tmp_path, "watcher")))
    assert found.why == ""
    told = found.report.get
    assert told("vezha_check_mysql_connections_max") == 20
    assert told("vezha_check_mysql_connections") == 1
    assert told("vezha_check_mysql_slow_queries_total") == 1
    assert told("vezha_check_mysql_locks_waiting") == 0
    assert told("vezha_check_mysql_longest_transaction_seconds") == 0
    assert told("vezha_check_mysql_is_replica") == 1
    assert told("vezha_check_mysql_replication_running") == 0
    assert told("vezha_check_mysql_replication_lag_seconds") is None
    assert told("vezha_check_mysql_refused_connections_total") == 0
    assert any(n == "vezha_check_mysql_info" and "MariaDB" in dict(labels)["version"]
               for n, labels in found.report.figures)  # fmt: skip


@pytest.mark.peer("mariadbd")
def test_mariadb_without_rights_or_an_account(mariadb: int, tmp_path: Path) -> None:
    few = asyncio.run(run(mysql(mariadb, tmp_path, "nobody")))
    assert few.why == ""
    assert few.report.get("vezha_check_mysql_connections_max") == 20
    assert few.report.get("vezha_check_mysql_is_replica") is None
    wrong = asyncio.run(run(mysql(mariadb, tmp_path, "watcher", "open sesame")))
    assert "cannot be asked: Access denied" in wrong.why
    bare = asyncio.run(run(f"{{name: a, type: mysql, targets: ['127.0.0.1:{mariadb}']}}"))
    assert bare.why == ""
    tls = asyncio.run(run(f"{{name: a, type: mysql, tls: true, targets: ['127.0.0.1:{mariadb}']}}"))
    assert tls.why == "the server offers no TLS"


@pytest.mark.peer("mariadbd")
def test_mariadb_tells_of_waiting_locks(mariadb: int, tmp_path: Path) -> None:
    """One session holds a row, another waits for it."""

    async def go() -> None:
        async def session(text: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                shutil.which("mariadb") or "mariadb", "--no-defaults", "-h127.0.0.1", f"-P{mariadb}",
                "-uwatcher", "-plet me in", "-e", text, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip

        holder = await session("begin; select * from test.t for update; select sleep(20); rollback")
        waiter = await session("select sleep(1); begin; select * from test.t for update; rollback")
        try:
            until = time.monotonic() + 30
            seen: list[float] = []
            while time.monotonic() < until:
                found = await run(mysql(mariadb, tmp_path, "watcher"))
                seen.append(found.report.get("vezha_check_mysql_locks_waiting") or 0.0)
                long = found.report.get("vezha_check_mysql_longest_transaction_seconds") or 0.0
                if seen[-1] >= 1 and long >= 1:
                    return
                await asyncio.sleep(0.3)
            raise AssertionError(seen)
        finally:
            for process in (holder, waiter):
                process.kill()
                await process.wait()

    asyncio.run(go())


def greeting(plugin: str) -> bytes:
    """As a server of today sends it; TLS is not offered."""
    body = b"\x0a8.0.36\0" + struct.pack("<I", 7) + b"12345678\0" + b"\xff\xf7" + b"\x21\2\0"
    body += b"\xff\xdf" + b"\x15" + bytes(10) + b"901234567890\0" + plugin.encode() + b"\0"
    return packet(0, body)


@pytest.mark.parametrize(
    ("plugin", "answers", "why"),
    [
        ("caching_sha2_password", (packet(2, b"\1\4"),), "goes through TLS only"),
        ("mysql_native_password", (packet(2, b"\xfeclient_ed25519\0salt"),), "by client_ed25519"),
        ("mysql_native_password", (packet(2, b"\xff\x15\x04#28000no"),), "cannot be asked: no (1045)"),
        ("mysql_native_password", (packet(2, b"\xff\x10\x04full"),), "refused: full (1040)"),
    ],
)  # fmt: skip
def test_what_mysql_may_say_to_an_account(
    plugin: str, answers: tuple[bytes, ...], why: str, tmp_path: Path
) -> None:
    async def ask() -> None:
        async with serving(saying(greeting(plugin), *answers)) as port:
            found = await run(mysql(port, tmp_path, "watcher"))
        assert why in found.why

    asyncio.run(ask())


def test_proofs_are_those_of_the_protocol() -> None:
    salt = b"12345678901234567890"
    # by MySQL's own manual: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))
    native = proof_of("mysql_native_password", b"secret", salt)
    twice = hashlib.sha1(hashlib.sha1(b"secret").digest()).digest()
    once = bytes(a ^ b for a, b in zip(native, hashlib.sha1(salt + twice).digest(), strict=True))
    assert hashlib.sha1(once).digest() == twice
    sha2 = proof_of("caching_sha2_password", b"secret", salt)
    stored = hashlib.sha256(hashlib.sha256(b"secret").digest()).digest()
    mask = hashlib.sha256(stored + salt).digest()
    assert hashlib.sha256(bytes(a ^ b for a, b in zip(sha2, mask, strict=True))).digest() == stored
    assert proof_of("caching_sha2_password", b"", salt) == b""


@pytest.mark.parametrize(
    ("row", "running", "lag"),
    [
        ({"Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": "7"}, 1, 7),
        ({"Replica_IO_Running": "Yes", "Replica_SQL_Running": "No", "Seconds_Behind_Source": None}, 0, None),
        ({"Replica_IO_Running": "Connecting", "Replica_SQL_Running": "Yes", "Seconds_Behind_Source": "0"}, 0, 0),
    ],
)  # fmt: skip
def test_replication_by_both_vocabularies(
    row: dict[str, str | None], running: int, lag: int | None
) -> None:
    note_replication([row], report := Report())
    assert report.get("vezha_check_mysql_replication_running") == running
    assert report.get("vezha_check_mysql_replication_lag_seconds") == lag
    note_replication([], alone := Report())
    assert alone.get("vezha_check_mysql_is_replica") == 0
    assert alone.get("vezha_check_mysql_replication_running") is None


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
