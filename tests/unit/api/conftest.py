"""The API over a ledger in a temporary folder and samples in memory."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vezha.access import SYSTEM, Role, Sessions, create_enrolment, enrol_agent
from vezha.access.password import Passwords
from vezha.access.token import create_token
from vezha.access.user import add_user
from vezha.api.app import make_app
from vezha.api.fleet import Fleet
from vezha.api.live import Hub
from vezha.api.querying import Querying
from vezha.api.services import Services
from vezha.ledger import Ledger
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import Chance, SystemClock, World

with warnings.catch_warnings():
    # It would rather have httpx2, which is not among our libraries; httpx does all we need.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
CHEAP = Passwords(passes=1, memory_kib=8, lanes=1)
__all__ = ["PASSWORD", "TestClient", "Tower"]
BASE = "https://vezha.test"


@dataclass
class Clock(SystemClock):
    """The machine's clock, moved ahead by the test."""

    ahead_s: float = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass
class Tower:
    """A web contour without sockets."""

    services: Services
    samples: MemorySource
    clock: Clock
    nudges: list[str] = field(default_factory=list)
    clients: list[TestClient] = field(default_factory=list)
    _app: Any = None

    def client(self, role: Role | None = None, **headers: str) -> TestClient:
        """A program's client with a token of that role, or nobody's."""
        if role is not None:
            headers["Authorization"] = f"Bearer {self.token(role)}"
        client = TestClient(self.app, base_url=BASE, headers=headers, raise_server_exceptions=False)
        self.clients.append(client)
        return client

    def browser(self, name: str = "olena") -> TestClient:
        """A browser that has signed in."""
        client = self.client(None, **{"Sec-Fetch-Site": "same-origin"})
        answer = client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return client

    def token(self, role: Role) -> str:
        number = self.services.world.chance.randrange(10**9)
        return create_token(
            self.services.ledger, SYSTEM, f"t{number}", role, self.services.now_ms()
        )[1]

    def enrol(self, name: str, **labels: str) -> None:
        now_ms, ledger = self.services.now_ms(), self.services.ledger
        made = create_enrolment(ledger, SYSTEM, now_ms, labels=labels)
        facts = {"os": "Debian 12", "cores": 4, "memory_bytes": 8_000_000, "agent_version": "1"}
        enrol_agent(ledger, made.token, name, facts, now_ms)

    @property
    def app(self) -> Any:
        if self._app is None:
            self._app = make_app(self.services)
        return self._app


@pytest.fixture(scope="session")
def prepared_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated ledger with three people, to be copied: making it takes a while."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    ledger = Ledger.open(str(path))
    ledger.migrate()
    for name, role in (("olena", Role.ADMIN), ("ivan", Role.OPERATOR), ("petro", Role.VIEWER)):
        add_user(ledger, SYSTEM, name, role, 0, password=PASSWORD, passwords=CHEAP)
    ledger.close()
    return path


@pytest.fixture
def tower(tmp_path: Path, prepared_ledger: Path) -> Iterator[Tower]:
    shutil.copy(prepared_ledger, tmp_path / "ledger.db")
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    clock, samples, nudges = Clock(), MemorySource(), list[str]()
    world = World(clock=clock, chance=Chance(5))
    services = Services(ledger, world, nudge=nudges.append)
    services.sessions = Sessions(ledger, passwords=CHEAP, chance=world.chance)
    engine = Engine(samples)
    querying = Querying(engine, samples, world, services.metrics)
    services.querying = querying
    services.fleet = Fleet(ledger, world, querying.vector, querying.recent)
    services.hub = Hub(services.fleet, engine, world, services.metrics)
    made = Tower(services, samples, clock, nudges)
    yield made
    for client in made.clients:
        client.close()
    querying.close()
    ledger.close()


@pytest.fixture
def put(tower: Tower) -> Callable[..., None]:
    """`put("node_load1", [1, 2, 3], instance="db-1")`: a value per second until now."""

    def write(name: str, values: list[float], **labels: str) -> None:
        now_ms = tower.services.now_ms()
        series = tuple(sorted({"__name__": name, **labels}.items()))
        for i, value in enumerate(reversed(values)):
            tower.samples.append(series, now_ms - i * 1000, value)

    return write
