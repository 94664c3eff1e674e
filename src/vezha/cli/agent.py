"""The agent: run, enrol, look at what it collects, build its single file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vezha.agent import command
from vezha.agent.errors import AgentError
from vezha.cli import agent_process
from vezha.cli.app import EXIT_WRONG
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

StateOption = Annotated[
    str,
    typer.Option(
        "--state", help="The agent's folder.", envvar="VEZHA_AGENT_STATE", metavar="FOLDER"
    ),
]
ConfigOption = Annotated[
    str, typer.Option("--config", help="Settings; default: agent.toml there.", metavar="FILE")
]
DEFAULT_STATE = "state/agent"


@app.command()
def run(state: StateOption = DEFAULT_STATE, config: ConfigOption = "") -> None:
    """Collect and send, until told to stop."""
    # Whatever is wrong with the settings is said here, by the process that was started.
    _check(lambda: command.config_of(World(), state, config))
    arguments = ["run", "--state", state] + (["--config", config] if config else [])
    agent_process.become(arguments)


@app.command()
def enrol(
    server: Annotated[str, typer.Option(help="HOST:PORT of the agents' channel.")],
    token: Annotated[str, typer.Option(help="The one-time token.")],
    fingerprint: Annotated[str, typer.Option(help="SHA-256 of the server's certificate.")] = "",
    name: Annotated[str, typer.Option(help="The host's name; default: its host name.")] = "",
    label: Annotated[list[str], typer.Option(help="NAME=VALUE, such as site=kyiv.")] = [],  # noqa: B006
    proxy: Annotated[str, typer.Option(help="HTTP proxy: http://host:port, or none.")] = "",
    plaintext: Annotated[bool, typer.Option(help="Without TLS, on loopback only.")] = False,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Make this host known to a server, once."""
    _leave(lambda: command.enrol(state, server, token, fingerprint, name, label, proxy, plaintext))


FolderOption = Annotated[
    str, typer.Option("--folder", help="The agent's folder.", metavar="FOLDER")
]


@app.command()
def install(
    server: Annotated[str, typer.Option(help="HOST:PORT of the agents' channel.")],
    token: Annotated[str, typer.Option(help="The one-time token.")],
    fingerprint: Annotated[str, typer.Option(help="SHA-256 of the server's certificate.")] = "",
    name: Annotated[str, typer.Option(help="The host's name; default: its host name.")] = "",
    label: Annotated[list[str], typer.Option(help="NAME=VALUE, such as site=kyiv.")] = [],  # noqa: B006
    proxy: Annotated[str, typer.Option(help="HTTP proxy: http://host:port, or none.")] = "",
    plaintext: Annotated[bool, typer.Option(help="Without TLS, on loopback only.")] = False,
    folder: FolderOption = "",
) -> None:
    """Enrol this host and stay: as a service where systemd runs."""
    import tempfile

    from vezha.agent.zipapp import build as build_file

    def do() -> int:
        with tempfile.TemporaryDirectory() as place:
            source = Path(place) / "vezha-agent.pyz"
            build_file(source)
            where = folder or command.default_state()
            return command.install(
                where, str(source), server, token, fingerprint, name, label, proxy, plaintext
            )

    _leave(do)


@app.command()
def uninstall(
    folder: FolderOption = "",
    purge: Annotated[
        bool, typer.Option("--purge", help="Also identity, settings, what waits to be sent.")
    ] = False,
) -> None:
    """Stop and remove what install made."""
    _leave(lambda: command.uninstall(folder or command.default_state(), purge))


@app.command()
def collect(
    state: StateOption = DEFAULT_STATE,
    config: ConfigOption = "",
    status: Annotated[bool, typer.Option("--status", help="The collectors instead.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Keep on; the cost at the end.")] = False,
    seconds: Annotated[float, typer.Option(help="End of --loop; 0 = never.")] = 0.0,
) -> None:
    """Print one sample of everything, as Prometheus text."""
    if loop:
        _leave(lambda: command.collect_loop(state, config, seconds))
    _leave(lambda: command.collect(state, config, status))


@app.command()
def trust(
    file: Annotated[str, typer.Argument(help="What `vezha release root` printed.")],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Pin the keys that changes must be signed by, on a host that was enrolled without."""
    _leave(lambda: command.trust(state, file))


@app.command()
def build(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", metavar="FILE")
    ] = Path("vezha-agent.pyz"),
) -> None:
    """Build the agent's single file, the same bytes wherever it is built."""
    import hashlib

    from vezha.agent.zipapp import build as build_file

    def make() -> int:
        size = build_file(output)
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        typer.echo(f"{output}: {size} bytes, sha256 {digest}")
        return 0

    _leave(make)


@app.command()
def metrics() -> None:
    """Print the table of metrics, as docs/reference/agent-metrics.md holds it."""
    from vezha.agent.collect.reference import page

    typer.echo(page(), nl=False)


@app.command()
def version() -> None:
    """Print the version."""
    _leave(lambda: command.main(["version"]))


def _check(do: Callable[[], object]) -> None:
    """Do it; an operator's mistake is one sentence and the end."""
    try:
        do()
    except AgentError as error:
        typer.echo(f"vezha: {error}", err=True)
        raise typer.Exit(EXIT_WRONG) from None


def _leave(do: Callable[[], int]) -> NoReturn:
    """Do it and exit with its code; an operator's mistake is one sentence."""
    try:
        code = do()
    except AgentError as error:
        typer.echo(f"vezha: {error}", err=True)
        code = EXIT_WRONG
    raise typer.Exit(code)
