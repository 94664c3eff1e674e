"""The web contour over real sockets: plain on loopback, TLS elsewhere, a graceful stop."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from vezha.access import SYSTEM, Role, create_enrolment, enrol_agent
from vezha.access.certificate import ensure_certificates
from vezha.access.errors import CertificateError
from vezha.access.token import create_token
from vezha.ledger import Ledger
from vezha.server import web
from vezha.server.contour import StopSignal
from vezha.server.door import agent_door, is_loopback
from vezha.server.errors import SettingError
from vezha.server.ports import claim_port
from vezha.server.reading import Address
from vezha.server.settings import Settings, WebSettings, load_settings
from vezha.server.state import StateFolder
from vezha.world import World


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = StateFolder.at(tmp_path / "state")
    folder.make()
    made = load_settings(folder, {})
    ensure_certificates(World(), str(folder.tls))
    listen = claim_port("web.listen", Address("127.0.0.1", 0))
    return replace(made, web=WebSettings(listen=listen))


@pytest.fixture
def token(settings: Settings) -> str:
    ledger = Ledger.open(settings.ledger_url)
    ledger.migrate()
    made = create_enrolment(ledger, SYSTEM, 1)
    enrol_agent(ledger, made.token, "db-1", {}, 1)
    secret = create_token(ledger, SYSTEM, "t", Role.ADMIN, 1)[1]
    ledger.close()
    return secret


class Running:
    """The contour on a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        self.stop = StopSignal()
        self.ready = threading.Event()
        self.codes: list[int] = []
        self.thread = threading.Thread(target=self._run, args=(settings,))
        self.thread.start()
        assert self.ready.wait(30)

    def _run(self, settings: Settings) -> None:
        self.codes.append(web.run(settings, self.ready.set, self.stop))

    def end(self) -> int:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.codes[0]


@pytest.fixture
def start() -> Iterator[Callable[[Settings], Running]]:
    started: list[Running] = []

    def run(settings: Settings) -> Running:
        started.append(Running(settings))
        return started[-1]

    yield run
    for one in started:
        if one.thread.is_alive():
            one.end()


def test_it_serves_before_any_sample_came_and_stops_while_somebody_watches(
    settings: Settings, token: str, start: Callable[[Settings], Running]
) -> None:
    running = start(settings)
    base, headers = settings.public_url, {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base, headers=headers) as client:
        assert client.get("/healthz").json()["status"] == "ok"
        hosts = client.get("/api/v1/hosts").json()["hosts"]
        assert [(h["name"], h["state"]) for h in hosts] == [("db-1", "unknown")]
        answer = client.post("/api/v1/query", data={"query": "up"})
        assert answer.json()["data"]["result"] == []
        assert client.get("/api/v1/incidents").json() == {"incidents": []}
    url = base.replace("http", "ws") + "/api/v1/live"
    with connect(url, additional_headers=headers) as socket:
        socket.send(json.dumps({"subscribe": {"page": "fleet"}}))
        assert json.loads(socket.recv(10))["type"] == "hosts"
        assert running.end() == 0
        with pytest.raises(ConnectionClosed):
            _read_on(socket)


def _read_on(socket: ClientConnection) -> None:
    while True:
        socket.recv(10)


def test_a_message_longer_than_the_limit_never_reaches_us(
    settings: Settings, token: str, start: Callable[[Settings], Running]
) -> None:
    start(settings)
    url = settings.public_url.replace("http", "ws") + "/api/v1/live"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_https_with_a_given_certificate(
    settings: Settings, token: str, start: Callable[[Settings], Running]
) -> None:
    authority, certificate, key = settings.tls_files
    secured = replace(settings, web=replace(settings.web, tls_cert=certificate, tls_key=key))
    start(secured)
    context = ssl.create_default_context(cafile=authority)
    with httpx.Client(base_url=secured.public_url, verify=context) as client:
        answer = client.post("/api/v1/session", json={"name": "x", "password": "y"})
        assert answer.status_code == 401
        assert client.get("/healthz").json()["status"] == "ok"


def test_which_certificate_serves_the_pages(settings: Settings, tmp_path: Path) -> None:
    _, certificate, key = settings.tls_files

    def files(**changes: object) -> tuple[str, str]:
        return web.tls_files(replace(settings, web=replace(settings.web, **changes)))  # type: ignore[arg-type]

    everywhere = Address("0.0.0.0", 8470)
    assert files() == ("", "")
    assert files(listen=Address("::1", 1)) == ("", "")
    assert files(listen=everywhere) == (certificate, key), "nothing plain leaves this machine"
    assert files(listen=everywhere, trusted_proxies=("192.0.2.1",)) == ("", "")
    assert files(listen=everywhere, public_url="https://vezha.example") == ("", "")
    assert files(tls_cert=certificate, tls_key=key) == (certificate, key)
    with pytest.raises(SettingError, match=r"web\.tls_cert and web\.tls_key go together"):
        files(tls_cert=certificate)
    with pytest.raises(SettingError, match=r"web\.tls_cert: .*cannot be read"):
        files(tls_cert=str(tmp_path / "absent"), tls_key=key)
    assert issubclass(CertificateError, Exception)


def test_the_door_tells_how_agents_reach_this_server(settings: Settings) -> None:
    door = agent_door(settings, World())
    assert door.address.endswith(f":{settings.channel.listen.port}")
    assert len(door.fingerprint) == 64
    assert door.agent_hash() == ""
    settings.state.agent_file.parent.mkdir(parents=True, exist_ok=True)
    settings.state.agent_file.write_bytes(b"agent")
    assert len(door.agent_hash()) == 64
    local = replace(settings, channel=replace(settings.channel, listen=Address("127.0.0.1", 1)))
    assert agent_door(local, World()).address == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("vezha.example", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
