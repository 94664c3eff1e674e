"""What all tests share: the network guard, free ports, peers, a running server."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tests import ledgers
from tests.databases import postgresql
from tests.peers import find_peer, why_absent
from tests.running import RunningVezha

__all__ = ["postgresql"]

# A test that fails on one machine must fail on all: with CI's profile nothing is drawn anew.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def _is_loopback(address: object) -> bool:
    """Whether a socket address stays on this machine; Unix sockets do."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return parsed.is_loopback or parsed.is_unspecified


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Tests reach this machine only. (uvloop connects below this guard; its users bind loopback.)"""
    guarded: dict[str, Callable[..., Any]] = {}

    def guard(name: str, position: int) -> None:
        real = guarded[name] = getattr(socket.socket, name)

        def checked(self: socket.socket, *args: Any) -> Any:
            if not _is_loopback(args[position]):
                raise AssertionError(f"a test may not reach {args[position]}")
            return real(self, *args)

        setattr(socket.socket, name, checked)

    guard("connect", 0)
    guard("connect_ex", 0)
    guard("sendto", -1)
    yield
    for name, real in guarded.items():
        setattr(socket.socket, name, real)


@pytest.fixture(autouse=True, scope="session")
def _quick_ledgers() -> Iterator[None]:
    """A new ledger in this process costs milliseconds: half of the tests make one."""
    with pytest.MonkeyPatch.context() as patch:
        ledgers.hurry(patch)
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, visibly, what needs a real server or browser that is not installed."""
    wanted = [str(mark.args[0]) for mark in item.iter_markers("peer")]
    if item.get_closest_marker("browser"):
        wanted.append("chromium")
    for name in wanted:
        if find_peer(name) is None:
            pytest.skip(why_absent(name))


@pytest.fixture(scope="session")
def peer_path() -> Callable[[str], str]:
    """`peer_path("prometheus")`: the program's path; skips the test where it is absent."""

    def path(name: str) -> str:
        found = find_peer(name)
        if found is None:
            pytest.skip(why_absent(name))
        return found

    return path


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A TCP port on 127.0.0.1 that was free just now. Bind port 0 yourself where you can."""

    def port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return port


@pytest.fixture(scope="session")
def vezha_up(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., RunningVezha]]:
    """Starts real servers: `vezha_up()`, `vezha_up("rules.builtin=false", state=..., agent=False)`.

    Each has its own state folder and free ports, and is stopped at the end of the session.
    """
    running: list[RunningVezha] = []

    def start(*assignments: str, state: Path | None = None, agent: bool = True) -> RunningVezha:
        folder = state or tmp_path_factory.mktemp("state") / "state"
        options = () if agent else ("--no-agent",)
        vezha = RunningVezha(folder, assignments, options).start()
        running.append(vezha)
        return vezha

    yield start
    for vezha in running:
        if vezha.process.poll() is None:
            vezha.stop()
