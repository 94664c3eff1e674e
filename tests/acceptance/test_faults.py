"""Real faults on real hosts reach mail and Telegram: exactly the messages there should be, in order.

One server with its built-in rules, an agent of its own for each fault, all as processes. At the same
time a process burns the processor, a small tmpfs is filled, a service that the agent watches is killed,
an agent is killed, a certificate has expired and the worker of a queue hangs; then all is mended. Where a
built-in rule has no judgement to wait for (`WatchedProcessDead`, `HostSilent`, `CertificateExpired`) it is
what fires; the others wait for minutes, so rules of the same shape with less patience stand in.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.ends import Ends, House, make_token, wait_for
from tests.running import RunningVezha
from tests.unit.checks.servers import certified
from tests.unit.notify.test_providers import mail_server

from vezha.access.certificate import fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.access.user import SYSTEM
from vezha.ledger import Ledger
from vezha.testing.fleet.realagent import RealAgent
from vezha.world import World

pytestmark = [
    pytest.mark.alone,
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="watches processes in /proc"),
]

RULES = """
groups:
  - name: faults
    rules:
      - alert: ProcessBurns
        expr: rate(vezha_process_cpu_seconds_total{comm="vz-burn"}[5s]) > 0.03
        for: 1s
        labels: {severity: critical}
        annotations: {vezha_title: "{{ $labels.comm }} burns the processor"}
        vezha: {recovery: 'vezha_process_count{comm="vz-burn"} == 0', no_data: resolve}
      - alert: ScratchFull
        expr: >-
          node_filesystem_avail_bytes{mountpoint=~".*/vz-scratch"}
          / node_filesystem_size_bytes{mountpoint=~".*/vz-scratch"} < 0.1
        labels: {severity: critical}
        annotations: {vezha_title: scratch full}
        vezha: {tripwire: true}
      - alert: OrdersFrozen
        expr: >-
          vezha_queue_length - vezha_queue_length offset 6s >= 15
          and resets(vezha_queue_length[6s]) == 0
        labels: {severity: critical}
        annotations: {vezha_title: "queue {{ $labels.queue }} frozen"}
        vezha: {recovery: vezha_queue_length == 0}
"""
WORKER = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
while True:
    for item in folder.iterdir():
        item.unlink()
    time.sleep(0.05)
"""
TITLES = {
    "burn": "vz-burn burns the processor",
    "disk": "scratch full",
    "svc": "vz-shop dead",
    "gone": "silent",
    "queue": "queue orders frozen",
}


class Shop:
    """An HTTPS server whose certificate can be renewed."""

    def __init__(self, folder: Path, days: float) -> None:
        folder.mkdir()
        self._folder = folder
        self._context, self.authority, _ = certified(folder, days)
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._context)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._loop.set_exception_handler(
            lambda _loop, _context: None
        )  # who refuses the certificate
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    def renew(self, days: float) -> None:
        """A new certificate, loaded, of an authority in the same file."""
        certified(self._folder, days)
        self._context.load_cert_chain(self._folder / "leaf.pem")

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()


class Site:
    """Hosts with what runs on them; faults by host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.agents: dict[str, RealAgent] = {}
        self.orders = folder / "orders"
        self.scratch = folder / "vz-scratch"
        self.orders.mkdir()
        shutil.copy(shutil.which("yes") or "", folder / "vz-burn")
        shutil.copy(shutil.which("sleep") or "", folder / "vz-shop")
        self.start_service()
        self._start("worker", [sys.executable, "-c", WORKER, str(self.orders)])
        self.shop = Shop(folder / "tls", -2.0)
        self._filling = threading.Event()
        self._producer = threading.Thread(target=self._produce, daemon=True)
        self._producer.start()
        self.has_disk = os.geteuid() == 0 and self._mount()

    def _start(self, name: str, argv: list[str]) -> None:
        self._children[name] = subprocess.Popen(argv, stdout=subprocess.DEVNULL)

    def _mount(self) -> bool:
        self.scratch.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.scratch)]
        return subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 0

    def _produce(self) -> None:
        """Orders come five times a second, whoever takes them."""
        number = 0
        while not self._filling.wait(0.2):
            number += 1
            (self.orders / f"{number}").touch()

    def settings_of(self, host: str) -> str:
        """The agent.toml of a host: only what its fault is seen by, since each has its price."""
        wanted = {
            "burn": "[collectors.processes]\ninterval_s = 1\ncpu_share_max = 0.1\n",
            "disk": "[collectors.filesystem]\n",
            "svc": '[collectors.watched]\nprocesses = "vz-shop"\n',
            "gone": "[collectors.loadavg]\n",
            "queue": f'[collectors.queues]\nfolders = "orders={self.orders}"\ninterval_s = 1\n',
        }[host]
        from vezha.agent.catalogue import COLLECTORS

        name = re.findall(r"collectors\.(\w+)", wanted)[0]
        others = [e.name for e in COLLECTORS if e.name not in (name, "agent")]
        return wanted + "".join(f"[collectors.{n}]\nenabled = false\n" for n in others)

    def enrol(self, ledger: Ledger, port: int, certificate: str) -> None:
        """All hosts join."""
        for host in TITLES:
            if host == "disk" and not self.has_disk:
                continue
            agent = self.agents[host] = RealAgent(self.folder / "hosts" / host, host)
            (agent.folder / "agent.toml").write_text(self.settings_of(host))
            token = create_enrolment(ledger, SYSTEM, int(time.time() * 1000)).token
            agent.enrol(f"127.0.0.1:{port}", token, certificate)
            agent.start()

    def start_service(self) -> None:
        self._start("service", [str(self.folder / "vz-shop"), "1000"])

    def break_all(self) -> None:
        """Every fault but the certificate, which has expired from the beginning."""
        self._start("burn", ["nice", "-n", "5", str(self.folder / "vz-burn")])
        if self.has_disk:
            (self.scratch / "full").write_bytes(bytes(1000 << 10))
        self._children["service"].kill()
        self._children["service"].wait()
        process = self.agents["gone"].process
        assert process is not None
        process.kill()
        process.wait()
        self._children["worker"].send_signal(signal.SIGSTOP)

    def mend_all(self) -> None:
        """Everything works again."""
        self._end("burn")
        if self.has_disk:
            (self.scratch / "full").unlink()
        self.start_service()
        self.agents["gone"].start()
        self._children["worker"].send_signal(signal.SIGCONT)
        self.shop.renew(90.0)

    def _end(self, name: str) -> None:
        self._children[name].kill()
        self._children[name].wait()

    def close(self) -> None:
        """End what was started."""
        for agent in self.agents.values():
            agent.stop()
        for name in self._children:
            self._end(name)
        self._filling.set()
        self._producer.join(10)
        self.shop.close()
        if self.has_disk:
            subprocess.run(["umount", "-l", str(self.scratch)], check=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def house(vezha_up: Callable[..., RunningVezha], tmp_path: Path, site: Site) -> Iterator[House]:
    state = tmp_path / "state"
    (state / "rules").mkdir(parents=True)
    (state / "rules" / "faults.yml").write_text(RULES)
    (state / "checks.yml").write_text(
        f"""
checks:
  - name: web
    type: http
    targets: ["https://127.0.0.1:{site.shop.port}/"]
    ca_file: {site.shop.authority}
    interval: 5s
    timeout: 5s
"""
    )
    # six incidents at once are more than this Telegram takes in a second: some must wait
    ends = Ends(telegram_per_s=2)
    with mail_server(ends.box) as port:
        (state / "notify.toml").write_text(ends.settings(port))
        vezha = vezha_up(state=state, agent=False)
        ledger = Ledger.open(str(state / "ledger.db"))
        try:
            certificate = fingerprint(World(), str(state / "tls" / "server.pem"))
            site.enrol(ledger, vezha.channel_port, certificate)
            yield House(vezha, ends, make_token(state))
        finally:
            ledger.close()
            if vezha.process.poll() is None:
                vezha.stop()
            ends.stop()


def test_each_fault_and_its_end_are_told_once_to_each_end(house: House, site: Site) -> None:
    ends = house.ends

    def reporting() -> bool:
        found = house.ask("/api/v1/query?query=up%7Bjob%3D%22node%22%7D%20%3D%3D%201")
        return len(found["data"]["result"]) == len(site.agents)

    wait_for(reporting)
    site.break_all()
    web = f"https://127.0.0.1:{site.shop.port}/"
    titles = {host: TITLES[host] for host in site.agents} | {web: "certificate expired"}
    for host in titles:
        ends.wait_words(host, 0, "Open")
    site.mend_all()
    for host in titles:
        ends.wait_words(host, -1, "Resolved", 90)
    wait_for(house.all_sent)
    for host, title in titles.items():
        assert ends.words_of(host) == ["Open", "Resolved"], ends.subjects()
        opened, resolved = ends.mails_of(host)
        assert f"Open: {host}: {title}" in str(opened["Subject"])
        assert str(resolved["In-Reply-To"]) == str(opened["Message-ID"])
        (post,) = ends.posts_of(host)
        assert "🟢" in post.text
        assert title in post.text
    # nothing else was told to anybody, though Telegram had some wait
    assert len(ends.box.mails) == 2 * len(titles), ends.subjects()
    assert len(ends.bot.posts) == len(titles), [p.text for p in ends.bot.posts.values()]
    assert ends.bot.calls.count("sendMessage") > len(titles)
    if not site.has_disk:
        pytest.skip("all but the filled tmpfs: mounting one needs root")
