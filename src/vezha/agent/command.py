"""The agent's own command line, which its single file runs: argparse, nothing beyond Python.

`vezha agent …` offers the same verbs; both end in the functions below.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vezha import __version__
from vezha.agent.build import own as own_build
from vezha.agent.config import CONFIG_NAME, AgentConfig, load_config
from vezha.agent.errors import AgentError
from vezha.world import World

if TYPE_CHECKING:
    import argparse

EXIT_WRONG, EXIT_INTERRUPTED = 2, 130


def default_state() -> str:
    """The agent's folder where none is named."""
    named = os.environ.get("VEZHA_AGENT_STATE")
    if named:
        return named
    if os.geteuid() == 0:
        return "/var/lib/vezha-agent"
    return os.path.expanduser("~/.local/state/vezha-agent")


def config_of(world: World, state: str, config: str) -> AgentConfig:
    """The settings: of the file *config* where named, else of `agent.toml` in *state* where it
    is there, else the defaults. Raises `ConfigError`."""
    path = config or f"{state}/{CONFIG_NAME}"
    if not config and not world.disk.exists(path):
        return AgentConfig(state=state)
    found = load_config(world, path)
    # A state folder named on the command line wins over that of a settings file elsewhere.
    return found.with_state(state) if config and state else found


def run(state: str, config: str = "") -> int:
    """`run`: until SIGTERM or SIGINT."""
    from vezha.agent.run import main as run_main

    return run_main(state, config)


def trust(state: str, file: str) -> int:
    """`trust`: pin the keys that changes must be signed by, on a host that was enrolled without."""
    from vezha.agent.enrol import pin
    from vezha.trust.errors import Refused
    from vezha.trust.verify import Trusted

    world = World()
    try:
        root = world.disk.read(file, size=1 << 20)
        Trusted(root)
    except OSError as error:
        raise AgentError(f"{file} cannot be read: {error.strerror}") from None
    except Refused as error:
        raise AgentError(f"{file} is not the keys' metadata: {error}") from None
    pin(world, state, root)
    print("Pinned. From the next start on this host takes what these keys signed, and only that.")
    return 0


def enrol(
    state: str,
    server: str,
    token: str,
    fingerprint: str,
    name: str = "",
    labels: Sequence[str] = (),
    proxy: str = "",
    plaintext: bool = False,
    say_next: bool = True,
) -> int:
    """`enrol`: make this host known to *server* and keep its identity in *state*."""
    from vezha.agent.enrol import enrol as ask
    from vezha.agent.run import host_facts

    world = World()
    config = config_of(world, state, "")
    given = dict(config.labels)
    for pair in labels:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise AgentError(f"--label {pair} must be NAME=VALUE, such as --label site=kyiv")
        given[key] = value
    facts = host_facts(AgentConfig(root=config.root, labels=tuple(sorted(given.items()))))
    world.disk.make_folder(state)
    identity = ask(
        world,
        state,
        server,
        token,
        fingerprint.removeprefix("sha256:"),
        name or config.name,
        facts,
        proxy or config.proxy,
        plaintext or config.allow_plaintext_loopback,
    )
    next_ = f" Next: run --state {state}" if say_next else ""
    print(f"{identity.host} is enrolled with {identity.server}.{next_}")
    return 0


def install(
    folder: str,
    source: str,
    server: str,
    token: str,
    fingerprint: str,
    name: str = "",
    labels: Sequence[str] = (),
    proxy: str = "",
    plaintext: bool = False,
) -> int:
    """`install`: enrol, and stay: as a service where systemd runs. *source* is the single file."""
    from vezha.agent.install import System
    from vezha.agent.install import install as put

    def enrol_in(place: str) -> None:
        enrol(place, server, token, fingerprint, name, labels, proxy, plaintext, say_next=False)

    return put(System(), folder, source, enrol_in)


def uninstall(folder: str, purge: bool = False) -> int:
    """`uninstall`: the other way."""
    from vezha.agent.install import System
    from vezha.agent.install import uninstall as remove

    return remove(System(), folder, purge)


def collect(state: str, config: str = "", status: bool = False) -> int:
    """`collect`: one sample of everything as Prometheus text, or the collectors' table."""
    from vezha.agent.collect.schedule import CollectorGroups
    from vezha.agent.collect.text import format_samples

    world = World()
    groups = CollectorGroups(config_of(world, state, config), world)
    try:
        now = world.clock.now()
        # The agent's own series tell of the others, so the fast group comes last.
        samples = [group.sample(now) for group in reversed(groups.due(0))]
        if not status:
            found = [sample for sample in samples if sample is not None]
            sys.stdout.write(format_samples(found, groups.families()))
            return 0
        for runner in sorted(groups.runners(), key=lambda runner: runner.name):
            state_text = f"off: {runner.off_reason}" if runner.off_reason else runner.last_error
            print(
                f"{runner.name:<13} each {runner.interval_s:>4} s  {len(runner.series):>5} series"
                f"  {runner.duration_s * 1e6:>8.0f} us  {state_text or 'ok'}"
            )
        return 0
    finally:
        groups.close()


def collect_loop(state: str, config: str = "", seconds: float = 0.0) -> int:
    """`collect --loop`: sample as `run` does but send nothing; print the cost at the end.

    For measuring: one line with seconds, ticks, samples, processor time and memory.
    """
    import gc
    import time

    from vezha.agent.collect.kernelfile import read_or
    from vezha.agent.collect.schedule import CollectorGroups
    from vezha.agent.ticker import Ticker

    world = World()
    settings = config_of(world, state, config)
    groups = CollectorGroups(settings, world)
    ticker = Ticker(world.clock, round(settings.tick_interval_s * 1000))
    gc.collect()
    gc.freeze()
    samples = ticks = 0
    began, cpu_began = world.clock.monotonic(), time.process_time()
    try:
        while not seconds or world.clock.monotonic() - began < seconds:
            tick = ticker.wait_tick()
            for group in groups.due(tick.index):
                sample = group.sample(tick.stamp_ms / 1000)
                samples += len(sample.values) if sample is not None else 0
            ticks += 1
            if ticks == 1:
                # The first tick opens everything; the measure is what follows.
                began, cpu_began, samples = world.clock.monotonic(), time.process_time(), 0
    except KeyboardInterrupt:
        pass
    lasted_s = world.clock.monotonic() - began
    cpu_s = time.process_time() - cpu_began
    memory = [line for line in read_or("/proc/self/status").splitlines() if "VmRSS" in line]
    print(
        f"seconds={lasted_s:.1f} ticks={ticks} missed={ticker.missed_total} samples={samples}"
        f" cpu_seconds={cpu_s:.3f} cpu_percent={100 * cpu_s / max(lasted_s, 1e-9):.3f}"
        f" us_per_sample={1e6 * cpu_s / max(samples, 1):.2f}"
        f" rss_kb={memory[0].split()[1] if memory else 0}"
    )
    groups.close()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the single file. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["take"]:  # the child process of a running agent
            from vezha.agent.change.take import main as take

            return take()
        if words == ["checks"]:  # the child process that runs checks from outside
            from vezha.agent.checking import main as run_checks

            return run_checks()
        service = _service(words)
        if service is not None:
            return run(*service)
        return _do(_parser().parse_args(words))
    except AgentError as error:
        print(f"vezha-agent: {error}", file=sys.stderr)
        return EXIT_WRONG
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0


def _service(words: list[str]) -> tuple[str, str] | None:
    """State and settings of the plain `run [--state FOLDER] [--config FILE]` that a service
    manager starts, read by hand: argparse would stay in memory (1.4 MB) for ever."""
    given = {"--state": "", "--config": ""}
    if words[:1] != ["run"] or len(words) % 2 == 0:
        return None
    for name, value in zip(words[1::2], words[2::2], strict=True):
        if name not in given or value.startswith("-"):
            return None
        given[name] = value
    return given["--state"] or default_state(), given["--config"]


def _do(given: argparse.Namespace) -> int:
    if given.verb == "run":
        return run(given.state, given.config)
    if given.verb == "enrol":
        return enrol(
            given.state,
            given.server,
            given.token,
            given.fingerprint,
            given.name,
            given.label,
            given.proxy,
            given.plaintext,
        )
    if given.verb == "install":
        return install(
            given.folder,
            sys.argv[0],
            given.server,
            given.token,
            given.fingerprint,
            given.name,
            given.label,
            given.proxy,
            given.plaintext,
        )
    if given.verb == "uninstall":
        return uninstall(given.folder, given.purge)
    if given.verb == "trust":
        return trust(given.state, given.file)
    if given.verb == "collect":
        if given.loop:
            return collect_loop(given.state, given.config, given.seconds)
        return collect(given.state, given.config, given.status)
    build = own_build().build
    print(f"vezha-agent {__version__}, Python {sys.version.split()[0]}, build {build}")
    return 0


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser("vezha-agent", description="Watches this host for Vezha.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, text: str, has_config: bool = True, has_state: bool = True
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        if has_state:
            made.add_argument(
                "--state", default=default_state(), metavar="FOLDER", help="the agent's folder"
            )
        if has_config:
            made.add_argument("--config", default="", metavar="FILE", help="settings (agent.toml)")
        return made

    verb("run", "Collect and send, until told to stop.")
    asked = verb("enrol", "Make this host known to a server, once.", has_config=False)
    put = verb("install", "Enrol this host and stay: as a service.", False, False)
    for one in (asked, put):
        one.add_argument("--server", required=True, metavar="HOST:PORT")
        one.add_argument("--token", required=True, help="the one-time token")
        one.add_argument("--fingerprint", default="", help="SHA-256 of the server's certificate")
        one.add_argument("--name", default="", help="the host's name; default: its host name")
        one.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
        one.add_argument("--proxy", default="", metavar="URL", help="HTTP proxy")
        one.add_argument("--plaintext", action="store_true", help="without TLS, loopback only")
    gone = verb("uninstall", "Stop and remove what install made.", False, False)
    for one in (put, gone):
        one.add_argument(
            "--folder", default=default_state(), metavar="FOLDER", help="the agent's folder"
        )
    gone.add_argument(
        "--purge", action="store_true", help="also identity, settings, what waits to be sent"
    )
    pinned = verb("trust", "Pin the keys that changes must be signed by.", has_config=False)
    pinned.add_argument("file", metavar="FILE", help="what `vezha release root` printed")
    once = verb("collect", "Print one sample of everything, as Prometheus text.")
    once.add_argument("--status", action="store_true", help="print the collectors instead")
    once.add_argument(
        "--loop", action="store_true", help="keep sampling; print the cost at the end"
    )
    once.add_argument("--seconds", type=float, default=0.0, help="end of --loop; 0 = never")
    verb("version", "Print the version.", False, False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
