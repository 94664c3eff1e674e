"""`vezha demo`: a simulated fleet with a story, on a server of its own or on one that runs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shlex
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vezha.cli.errors import DemoError
from vezha.server.state import StateFolder
from vezha.testing.fleet.inventory import Machine, machines
from vezha.testing.fleet.ownserver import OwnServer, ServerFailed
from vezha.testing.fleet.rollouts import BEHAVIOURS, CONTENTS, tell_rollouts, wire_to
from vezha.testing.fleet.sockets import Credential, SocketFleet
from vezha.testing.fleet.story import RULES, Pace, tell_story

if TYPE_CHECKING:
    from vezha.ledger import Ledger

app = typer.Typer(add_completion=False)

HOSTS_MAX = 5_000
PAST_HOST_DAYS = 2_800
"""Days of past by hosts that are made up: some ten seconds of work."""
PATIENCE_S = 60.0
"""So long the demo waits for a server that is away."""
ASK_AGAIN_S = 2.0
PAST_DAYS_LEAST = 4
"""Fewer are not worth making up: nothing could be forecast from them."""


@app.command(help="A simulated fleet with a story, to see Vezha alive. Ctrl-C stops it.")
def demo(
    hosts: Annotated[int, typer.Option(min=20, max=HOSTS_MAX, help="Size of the fleet.")] = 200,
    state: Annotated[
        str, typer.Option(help="State folder to keep; default: a temporary one.", metavar="FOLDER")
    ] = "",
    server: Annotated[
        str, typer.Option(help="A running server instead, such as http://127.0.0.1:8470.")
    ] = "",
    token: Annotated[str, typer.Option(help="API token of that server, role admin.")] = "",
    set_: Annotated[
        list[str],
        typer.Option("--set", help="A setting of the own server.", metavar="SECTION.KEY=VALUE"),
    ] = [],  # noqa: B006 - Typer reads it and never changes it
    seed: Annotated[int, typer.Option(help="Another fleet.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=20.0, help="Pace of the story.")] = 1.0,
    past: Annotated[
        int,
        typer.Option(
            min=-1,
            max=28,
            help="Days of past to make up; -1: two weeks, less or none for many hosts.",
        ),
    ] = -1,
    once: Annotated[bool, typer.Option("--once", help="End after one round.")] = False,
) -> None:
    """Choose where, then play."""
    fleet = machines(hosts, seed)
    if server:
        if not token:
            raise DemoError(
                "--server needs --token: make one with `vezha token create --role admin`"
            )
        _play_there(fleet, server.rstrip("/"), token, speed, once)
        return
    if state:
        _play_here(fleet, Path(state), set_, speed, once, past, seed)
        return
    with tempfile.TemporaryDirectory(prefix="vezha-demo-") as folder:
        _play_here(fleet, Path(folder) / "state", set_, speed, once, past, seed)


# a server of our own --------------------------------------------------------------------------------


def _play_here(
    fleet: list[Machine],
    state: Path,
    assignments: list[str],
    speed: float,
    once: bool,
    past: int,
    seed: int,
) -> None:
    from vezha.access import Role
    from vezha.access.token import create_token, list_tokens
    from vezha.access.user import SYSTEM
    from vezha.ledger import Ledger
    from vezha.testing.fleet.enrolment import enrol_fleet, forget_fleet

    if "channel.listen" not in " ".join(assignments):
        assignments = [*assignments, "channel.listen=127.0.0.1:8471"]
    server = OwnServer(state, assignments)
    _must(server.prepare)
    (state / "rules").mkdir(exist_ok=True)
    (state / "rules" / "demo.yml").write_text(RULES)
    ledger = Ledger.open(f"sqlite:///{StateFolder.at(state).ledger_file}")
    now_ms = int(time.time() * 1000)
    forget_fleet(ledger, [m.name for m in fleet])
    credentials = enrol_fleet(ledger, fleet, now_ms)
    taken = {row.name for row in list_tokens(ledger)}
    name = f"demo-{now_ms}" if "demo" in taken else "demo"
    _, token = create_token(ledger, SYSTEM, name, Role.OPERATOR, now_ms, lifetime_s=86_400.0)
    delivers = _publish(ledger, StateFolder.at(state))
    ledger.close()
    _make_past(fleet, state / "store", past, seed)
    _must(server.start)
    try:
        address = f"127.0.0.1:{server.port}"
        ca_pem = (state / "tls" / "ca.pem").read_text()
        teller = _Incidents(server.url, token)
        play = _Play(fleet, credentials, address, ca_pem, teller, speed, once)
        play.ended, play.delivers = lambda: server.ended, delivers
        _run(play)
    finally:
        server.stop()


def _publish(ledger: Ledger, state: StateFolder) -> bool:
    """Sign and publish what the demo rolls out, with the keys for trying out; whether there are
    such keys."""
    from vezha.access.user import SYSTEM
    from vezha.server.releases import TARGETS_KEY, publish_targets
    from vezha.trust.artifact import artifact_from
    from vezha.trust.folder import ReleaseFolder
    from vezha.trust.keys import load
    from vezha.trust.repository import draft, sign_targets
    from vezha.world import World

    path = state.development_keys / TARGETS_KEY
    if not path.is_file():
        return False
    folder = ReleaseFolder(World(), str(state.releases))
    artifacts = [artifact_from(target, content, {}) for target, content in CONTENTS.items()]
    now_s = time.time()
    signed = sign_targets(draft(folder.files(), artifacts, now_s), [load(path.read_bytes())])
    publish_targets(ledger, folder, signed, CONTENTS, SYSTEM, now_s)
    return True


def _make_past(fleet: list[Machine], folder: Path, days: int, seed: int) -> None:
    """Give a new store a past, so that there are forecasts from the beginning."""
    from vezha.store import Store
    from vezha.testing.fleet.past import write_past
    from vezha.world import World

    if days < 0:
        days = min(14, PAST_HOST_DAYS // len(fleet))
        days = days if days >= PAST_DAYS_LEAST else 0
    if days == 0 or (folder / "catalog.db").exists():
        return
    say(f"Making up {days} days of past, so that there is something to forecast from …")
    store = Store.open(str(folder), World())
    try:
        write_past(store, fleet, time.time(), days, seed)
    finally:
        store.close()


def _must(do: Callable[[], None]) -> None:
    try:
        do()
    except ServerFailed as error:
        raise DemoError(str(error)) from None


# a server that runs already ------------------------------------------------------------------------


def _play_there(fleet: list[Machine], url: str, token: str, speed: float, once: bool) -> None:
    from vezha.agent.enrol import enrol
    from vezha.world import World

    api = _Api(url, token)
    world = World()
    say(f"Enrolling {len(fleet)} simulated hosts at {url} …")

    def join(machine: Machine) -> Any:
        invited = api.call("POST", "/api/v1/enrolments", {"labels": machine.labels})
        words = shlex.split(invited["command"])
        given = {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}
        with tempfile.TemporaryDirectory() as folder:
            return enrol(
                world,
                folder,
                given["--server"],
                invited["token"],
                given.get("--fingerprint", ""),
                machine.name,
                dict(machine.facts),
            )

    with ThreadPoolExecutor(8) as pool:
        identities = list(pool.map(join, fleet))
    credentials = [Credential(i.agent_id, i.secret) for i in identities]
    first = identities[0]
    say(
        f"The demo's own rule is not on that server; put it into its rules folder to see it:\n{RULES}"
    )
    try:
        teller = _Incidents(url, token)
        _run(_Play(fleet, credentials, first.server, first.ca_pem, teller, speed, once))
    finally:
        say("Removing the simulated hosts …")
        for machine in fleet:
            with contextlib.suppress(DemoError):
                api.call("DELETE", f"/api/v1/hosts/{machine.name}")


class _UnreachableError(DemoError):
    """Nobody answers; perhaps the server is being started anew."""


class _Api:
    """The server's HTTP API with a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer, decoded. Raises DemoError."""
        request = urllib.request.Request(  # noqa: S310 - the address is the person's own
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                data = answer.read()
        except urllib.error.HTTPError as error:
            told = error.read()[:200].decode("utf-8", "replace")
            raise DemoError(f"{self._url}{path} answered {error.code}: {told}") from None
        except OSError as error:
            raise _UnreachableError(f"{self._url} cannot be reached: {error}") from None
        return json.loads(data) if data else None


# the play ---------------------------------------------------------------------------------------------


class _Incidents:
    """Tells of incidents as the server opens and resolves them."""

    def __init__(self, url: str, token: str) -> None:
        self._api = _Api(url, token)
        self._known: dict[Any, str] = {}

    async def ask(self, method: str, path: str, body: object) -> Any:
        """The API's answer; a server that is away is waited for. Raises DemoError."""
        for _ in range(int(PATIENCE_S / ASK_AGAIN_S)):
            with contextlib.suppress(_UnreachableError):
                return await asyncio.to_thread(self._api.call, method, path, body)
            await asyncio.sleep(ASK_AGAIN_S)
        return await asyncio.to_thread(self._api.call, method, path, body)

    async def report(self, change: dict[str, Any]) -> None:
        """Tell of a change as CI would; a server that does not take it is left alone."""
        with contextlib.suppress(DemoError):
            await asyncio.to_thread(self._api.call, "POST", "/api/v1/changes/report", change)

    def news(self) -> list[str]:
        """What changed since the last call; nothing while the server does not answer."""
        try:
            told = self._api.call("GET", "/api/v1/incidents?state=all&limit=50")["incidents"]
        except DemoError:
            return []
        lines = []
        for one in reversed(told):
            before = self._known.get(one["id"])
            if before == one["state"]:
                continue
            self._known[one["id"]] = one["state"]
            hosts = one["hosts"]
            who = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
            if before is None and one["state"] != "resolved":
                took = (one.get("detected_at") or 0) - (one.get("began_at") or 0)
                when = f", seen after {took:.1f} s" if 0 < took < 600 else ""
                lines.append(
                    f"▲ incident {one['id']} ({one['severity']}): {one['title']} · {who}{when}"
                )
            elif before is not None:
                lines.append(f"▼ incident {one['id']} {one['state']}: {one['title']}")
        return lines


@dataclass
class _Play:
    hosts: list[Machine]
    credentials: list[Credential]
    address: str
    ca_pem: str
    incidents: _Incidents
    speed: float
    once: bool
    ended: Callable[[], bool] = lambda: False
    delivers: bool = False
    """Whether there is something published to roll out."""


def _run(play: _Play) -> None:
    import uvloop

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        uvloop.run(_act(play))


async def _act(play: _Play) -> None:
    # SIGTERM ends the play as Ctrl-C does, or the server that was started would go on alone
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    fleet = SocketFleet(
        play.hosts,
        play.credentials,
        play.address,
        ca_pem=play.ca_pem,
        programs=True,
        behaviours=BEHAVIOURS,
    )
    wire_to(fleet)
    fleet.start(connects_per_s=200.0)
    tasks = [asyncio.ensure_future(_watch(play))]
    beside: list[asyncio.Task[None]] = []
    try:
        if not await fleet.wait_connected(len(play.hosts), 60.0):
            say(
                f"Only {fleet.connected} of {len(play.hosts)} hosts could connect: {fleet.tally.refusals}"
            )
        say(
            f"{fleet.connected} hosts in {len({m.site for m in play.hosts})} sites report each second."
        )
        tasks.append(asyncio.ensure_future(_tell(fleet, play)))
        if play.delivers:
            beside.append(asyncio.create_task(_deliver(play)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tasks += beside
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.stop()
        say(f"{fleet.tally.acked} frames were stored, {fleet.waiting()} not.")


async def _tell(fleet: SocketFleet, play: _Play) -> None:
    turn = 0
    while True:
        pace = Pace().faster(play.speed)
        await tell_story(fleet, say, pace, turn, play.incidents.report)
        turn += 1
        if play.once:
            await asyncio.sleep(Pace().calm_s / play.speed)
            return


async def _deliver(play: _Play) -> None:
    try:
        await tell_rollouts(say, play.incidents.ask, play.speed)
    except DemoError as error:
        say(f"The rollouts end: {error}")


async def _watch(play: _Play) -> None:
    while not play.ended():
        for line in await asyncio.to_thread(play.incidents.news):
            say(f"   {line}")
        await asyncio.sleep(0.5)


def say(text: str) -> None:
    """One line of the story, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
