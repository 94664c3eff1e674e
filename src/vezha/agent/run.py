"""The agent at work: sample, spool, send.

The main thread samples and spools; the link thread sends; a third one watches tripwires, where
the server gave some. None waits for another: a dead server costs the sampler nothing, a hanging
disk costs the link at most its next read.
"""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import signal
import sys
import threading
import urllib.parse
from typing import Any

from vezha import __version__
from vezha.agent.build import own as own_build
from vezha.agent.change.desk import Desk
from vezha.agent.change.launched import Launched, launched, take_lock
from vezha.agent.change.proof import ProofWriter, failing
from vezha.agent.collect.collector import Family
from vezha.agent.collect.schedule import CollectorGroups
from vezha.agent.config import AgentConfig
from vezha.agent.dial import Server, proxy_of, server_of
from vezha.agent.errors import ConfigError
from vezha.agent.identity import Identity, load_identity
from vezha.agent.link import Link, proxies
from vezha.agent.remote_config import Effective, load_effective
from vezha.agent.spool import Spool
from vezha.agent.ticker import Ticker
from vezha.agent.watch import Watch
from vezha.model.labels import Labels
from vezha.wire.frame import pack_frame
from vezha.wire.message import Tripwires
from vezha.wire.schema import pack_schema
from vezha.wire.tripwire import from_json
from vezha.world import World


def phase_of(agent_id: str, interval_ms: int) -> int:
    """A host's own moment within the second: a fleet that samples at one instant is a burst."""
    digest = hashlib.sha256(agent_id.encode()).digest()
    return int.from_bytes(digest[:4], "little") % interval_ms


class Agent:
    """Everything that runs on a host."""

    def __init__(
        self,
        effective: Effective,
        identity: Identity,
        world: World,
        groups: CollectorGroups | None = None,
        by: Launched | None = None,
        config_path: str = "",
    ) -> None:
        """*groups* are the collectors, made beforehand where a hand-over waits; *by* is the
        launcher's word; *config_path* is the host's own settings file, empty for `agent.toml`."""
        config = effective.config
        self._world = world
        self._config = config
        server = identity.server if not config.server else config.server
        host = server_of(server).host
        self.spool = Spool(
            world,
            f"{config.state}/spool",
            config.spool_bytes_max,
            config.spool_age_max_s,
        )
        where = server_of(
            server,
            ca_pem=identity.ca_pem,
            plaintext=config.allow_plaintext_loopback,
            proxy=proxy_of(config.proxy, host, proxies()),
        )
        self.link = Link(
            world,
            where,
            identity,
            self.spool,
            self.facts,
            say,
        )
        interval_ms = round(config.tick_interval_s * 1000)
        self.ticker = Ticker(world.clock, interval_ms, phase_of(identity.agent_id, interval_ms))
        self.groups = groups or CollectorGroups(config, world, identity.host)
        self.watch = Watch(config, world, self.link.send_crossing)
        self.link.on_tripwires = self._told_tripwires
        self._schemas: dict[str, tuple[tuple[Labels, ...], int]] = {}
        self._stop = threading.Event()
        build = own_build()
        self.desk = Desk(
            world,
            self.link,
            say,
            state=config.state,
            config_path=config_path,
            effective=effective,
            build=build,
            by=by,
            probe=probe_of(where),
            failing=lambda: failing(self.groups.runners()),
            facts=self.facts,
        )
        self.link.capabilities = self.desk.capabilities
        self.link.on_desired = self.desk.told
        self.link.state = self.desk.state
        self.link.progress = self.desk.progress
        self._proof = ProofWriter(
            world,
            f"{config.state}/launcher",
            build.build,
            effective.signed_sha256,
            effective.trouble,
            lambda: failing(self.groups.runners()),
        )
        self._publish()

    def _publish(self) -> None:
        """The channel's own series, sampled with the fast group."""
        spool, link, ticker = self.spool, self.link, self.ticker
        for name, kind, text, read in (
            ("vezha_agent_connects_total", "counter", "Connections made.", lambda: link.connects),
            (
                "vezha_agent_connect_failures_total",
                "counter",
                "Connections that failed or broke.",
                lambda: link.failures_total,
            ),
            (
                "vezha_agent_spool_disk_errors_total",
                "counter",
                "Operations that the spool's disk refused.",
                lambda: spool.disk_errors,
            ),
            (
                "vezha_agent_frames_total",
                "counter",
                "Frames made since the agent started.",
                lambda: spool.next_seq - spool.epoch_first_seq,
            ),
            (
                "vezha_agent_ticks_missed_total",
                "counter",
                "Moments at which the agent came too late to sample.",
                lambda: ticker.missed_total,
            ),
            (
                "vezha_agent_clock_jumps_total",
                "counter",
                "Times that the host's clock was set and stamps followed at once.",
                lambda: ticker.jumps_back_total + ticker.jumps_forward_total,
            ),
            (
                "vezha_agent_tripwires",
                "gauge",
                "Tripwires that the agent watches.",
                lambda: self.watch.watched,
            ),
            (
                "vezha_agent_crossings_total",
                "counter",
                "Crossings of tripwires that were told.",
                lambda: self.watch.crossings_total,
            ),
        ):
            self.groups.publish(Family(name, kind, text), _floating(read))

    def _told_tripwires(self, told: Tripwires) -> None:
        self.watch.set(from_json(told.wires))

    def facts(self) -> dict[str, Any]:
        """What the server shows about this host."""
        return host_facts(self._config)

    def tick(self) -> None:
        """Wait for the next moment, sample what is due, spool it, nudge the link."""
        tick = self.ticker.wait_tick()
        for group in self.groups.due(tick.index):
            sample = group.sample(tick.stamp_ms / 1000)
            if sample is None:
                continue
            known = self._schemas.get(group.name)
            if known is None or known[0] is not sample.series:
                schema_id, packed = pack_schema(sample.series)
                self._schemas[group.name] = known = (sample.series, schema_id)
                self.spool.put_schema(schema_id, packed)
            seq = self.spool.next_seq
            record = pack_frame(seq, known[1], tick.stamp_ms, sample.values)
            self.spool.append(seq, known[1], record)
        self.link.nudge()
        if self.desk.is_trial:
            link, spool = self.link, self.spool
            self._proof.tick(
                spool.epoch_first_seq, spool.next_seq, link.durable, link.connected, link.sent_away
            )

    def run(self) -> None:
        """Until `stop`."""
        thread = threading.Thread(target=self.link.run, name="link", daemon=True)
        thread.start()
        watching = threading.Thread(target=self.watch.run, name="watch", daemon=True)
        watching.start()
        changing = threading.Thread(target=self.desk.run, name="change", daemon=True)
        changing.start()
        # What start-up made stays; the collector need not look at it every time.
        gc.collect()
        gc.freeze()
        while not self._stop.is_set():
            self.tick()
        self.watch.stop()
        self.desk.stop()
        self.link.stop()
        thread.join(timeout=15.0)
        watching.join(timeout=2.0)
        changing.join(timeout=6.0)
        self.spool.close()
        self.groups.close()

    def stop(self) -> None:
        """End after the present tick. Safe in a signal handler."""
        self._stop.set()


def _floating(read: Any) -> Any:
    return lambda: float(read())


def host_facts(config: AgentConfig) -> dict[str, Any]:
    """Facts of this host, small and plain."""
    facts: dict[str, Any] = {
        "hostname": platform.node(),
        "os": _os_name(config.root),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "agent_version": __version__,
    }
    try:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        facts["memory_bytes"] = 0
    machine_id = _machine_id(config.root)
    if machine_id:
        facts["machine_id"] = machine_id
    facts["labels"] = dict(config.labels)
    return facts


def _machine_id(root: str) -> str:
    """Tells this machine from another of the same name. Hashed: systemd's machine-id(5) asks that
    the number itself does not leave the host."""
    try:
        with open(os.path.join(root, "etc/machine-id"), "rb") as file:
            raw = file.read(64).strip()
    except OSError:
        return ""
    return hashlib.sha256(b"vezha machine " + raw).hexdigest()[:32] if raw else ""


def _os_name(root: str) -> str:
    try:
        with open(os.path.join(root, "etc/os-release"), encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.strip().partition("=")
                if key == "PRETTY_NAME":
                    return value.strip('"')[:128]
    except OSError:
        pass
    return f"{platform.system()} {platform.release()}"


def say(text: str) -> None:
    """One line for the journal."""
    print(text, file=sys.stderr, flush=True)


def probe_of(server: Server) -> dict[str, Any]:
    """How the launcher asks by itself whether the server answers."""
    proxy = urllib.parse.urlsplit(server.proxy if "//" in server.proxy else f"//{server.proxy}")
    return {
        "host": server.host,
        "port": server.port,
        "plaintext": server.plaintext,
        "proxy": [proxy.hostname, proxy.port or 3128] if server.proxy else None,
    }


def main(state: str, config_path: str = "", world: World | None = None) -> int:
    """`run`: until SIGTERM or SIGINT. Raises AgentError.

    Under the launcher everything that can be made ready is, before this process asks to take over
    from the one that works: so the hand-over costs no sample.
    """
    world = world or World()
    by = launched(os.environ)
    effective = load_effective(world, state, config_path, by.config if by is not None else "")
    config = effective.config
    if by is not None and os.path.abspath(config.state) != os.path.abspath(state):
        raise ConfigError(
            f"state in agent.toml names {config.state}, the launcher was started with {state}: "
            "take that line out, or start it with --state naming the same"
        )
    identity = load_identity(world, config.state)
    groups = CollectorGroups(config, world, identity.host)
    if by is not None:
        by.ready()
    lock = take_lock(world, config.state, by)
    agent = Agent(effective, identity, world, groups, by, config_path)

    def stop(_number: int, _frame: object) -> None:
        agent.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    say(f"vezha-agent {__version__}: {identity.host} → {config.server or identity.server}")
    if effective.trouble:
        say(effective.trouble)
    if by is not None:
        by.watch(agent.stop)
    agent.run()
    os.close(lock)
    return 0
