"""Settings: frozen, parsed once at start, unknown names fatal.

They come from four places, the later over the earlier: the defaults below, `settings.toml` in
the state folder, the environment (`VEZHA_WEB_LISTEN` is `listen` of `[web]`), and the command
line (`--set web.listen=...`). A secret may stand in a file: `url_file = "..."`, or
`VEZHA_LEDGER_URL_FILE`. Each section is a plain frozen dataclass; a field's `help` and `unit`
metadata are its documentation, from which `docs/reference/settings.md` is generated, so a
section may as well be the dataclass of another room.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vezha.server.errors import SettingError
from vezha.server.limits import LOG_FILE_BYTES_DEFAULT, LOG_FILES_DEFAULT
from vezha.server.reading import Address, read_sections
from vezha.server.state import StateFolder

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def _about(
    help_: str, *, unit: str = "", secret: bool = False, choices: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {"help": help_, "unit": unit, "secret": secret, "choices": choices}


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The pages and the HTTP API."""

    listen: Address = field(
        default=Address("127.0.0.1", 8470),
        metadata=_about(
            "Where the pages and the API listen: plain HTTP on a loopback address, TLS on any other."
        ),
    )
    public_url: str = field(
        default="",
        metadata=_about(
            "The address that people type and that messages link to, where a proxy stands in "
            "front. Empty: made from `listen`."
        ),
    )
    tls_cert: str = field(
        default="",
        metadata=_about(
            "Certificate file (PEM, with its chain) of the pages. Empty: the channel's certificate, "
            "where it is needed."
        ),
    )
    tls_key: str = field(default="", metadata=_about("Private key file (PEM) of `tls_cert`."))
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata=_about("Addresses of proxies whose `X-Forwarded-*` headers are believed."),
    )
    session_lifetime_s: float = field(
        default=12 * 3600.0,
        metadata=_about("How long a person stays signed in without doing anything.", unit="s"),
    )


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """The agents' channel: one TLS WebSocket each."""

    listen: Address = field(
        default=Address("0.0.0.0", 8471),  # noqa: S104 - agents come from outside; always TLS
        metadata=_about("Where agents connect. Always TLS."),
    )
    public_names: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            "Names and addresses by which agents reach this server. They go into the "
            "certificate; the first goes into the command that adds a host. Empty: this "
            "machine's name and addresses."
        ),
    )


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The channel's certificate; an authority is made at first start where none is given."""

    ca: str = field(
        default="", metadata=_about("Authority's certificate (PEM). Empty: `tls/ca.pem`.")
    )
    cert: str = field(
        default="", metadata=_about("Server's certificate (PEM). Empty: `tls/server.pem`.")
    )
    key: str = field(
        default="", metadata=_about("Server's private key (PEM). Empty: `tls/server.key`.")
    )


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """The relational state: people, hosts, incidents, messages."""

    url: str = field(
        default="",
        metadata=_about(
            "Database address, such as `postgresql+psycopg://user@host/vezha`. Empty: "
            "`ledger.db` (SQLite) in the state folder.",
            secret=True,
        ),
    )


_AS_GENERAL = -1.0
"""What a policy does not say is as in `[retention]`."""


@dataclass(frozen=True, slots=True)
class RetentionPolicySettings:
    """`[[retention.policies]]`: series that are kept longer or shorter than the others. Of several
    policies the first that fits a series counts; what one leaves out is as in `[retention]`."""

    name: str = field(
        default="",
        metadata=_about("A short word; the folder of its files in `store/kept/` is called so."),
    )
    match: str = field(
        default="",
        metadata=_about('Which series, as a PromQL selector, such as `{job="ci"}`.'),
    )
    samples_s: float = field(
        default=_AS_GENERAL, metadata=_about("How long samples are kept.", unit="s")
    )
    ten_seconds_s: float = field(
        default=_AS_GENERAL, metadata=_about("How long roll-ups to 10 seconds are kept.", unit="s")
    )
    minutes_s: float = field(
        default=_AS_GENERAL, metadata=_about("How long roll-ups to a minute are kept.", unit="s")
    )
    hours_s: float = field(
        default=_AS_GENERAL, metadata=_about("How long roll-ups to an hour are kept.", unit="s")
    )


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long samples are kept and how much disk they may take."""

    samples_s: float = field(
        default=30 * 86400.0, metadata=_about("How long samples are kept.", unit="s")
    )
    ten_seconds_s: float = field(
        default=2 * 86400.0,
        metadata=_about("How long roll-ups to 10 seconds are kept. 0: none are made.", unit="s"),
    )
    minutes_s: float = field(
        default=90 * 86400.0,
        metadata=_about("How long roll-ups to a minute are kept. 0: none are made.", unit="s"),
    )
    hours_s: float = field(
        default=730 * 86400.0,
        metadata=_about("How long roll-ups to an hour are kept. 0: none are made.", unit="s"),
    )
    disk_bytes_max: int = field(
        default=0,
        metadata=_about(
            "Most disk that samples and roll-ups may take; the oldest samples go first. "
            "0: no limit.",
            unit="bytes",
        ),
    )
    policies: tuple[RetentionPolicySettings, ...] = field(
        default=(),
        metadata=_about("Other times for some series: a table `[[retention.policies]]` each."),
    )


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """A remote engine that gets every sample too, and answers for what is older than is kept here:
    VictoriaMetrics, Mimir, Thanos, Prometheus."""

    write_url: str = field(
        default="",
        metadata=_about(
            "The engine's remote-write address. Empty: samples stay in the own store only."
        ),
    )
    query_url: str = field(
        default="",
        metadata=_about(
            "The engine's address before `/api/v1/query`. What is older than this server keeps is "
            "asked there. Empty: only the own store is read."
        ),
    )
    kept_s: float = field(
        default=0.0,
        metadata=_about(
            "How far back queries read the own store; the rest is asked of `query_url`. "
            "0: as far as samples are kept (`retention.samples_s`).",
            unit="s",
        ),
    )
    token: str = field(
        default="",
        metadata=_about("Bearer token for the engine.", secret=True),
    )
    queue_bytes_max: int = field(
        default=8 << 30,
        metadata=_about("Disk for samples that wait while the engine is away.", unit="bytes"),
    )


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """What other tools send, and what is scraped."""

    zero_at_start: bool = field(
        default=False,
        metadata=_about(
            "Whether a counter that says when it began (remote write 2.0, OTLP, OpenMetrics, the "
            "protobuf exposition) gets a sample of zero at that time, so that its first increase "
            "counts. Prometheus: `created-timestamp-zero-ingestion`."
        ),
    )


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What one query may cost."""

    samples_max: int = field(
        default=50_000_000, metadata=_about("Most samples that one query may read.")
    )
    timeout_s: float = field(
        default=30.0, metadata=_about("How long one query may take.", unit="s")
    )
    lookback_s: float = field(
        default=300.0,
        metadata=_about("How far back an instant selector looks for a sample.", unit="s"),
    )
    slow_s: float = field(
        default=1.0, metadata=_about("Queries slower than this are logged.", unit="s")
    )
    bytes_max: int = field(
        default=4_000_000_000,
        metadata=_about(
            "Most memory that one query's intermediate results may take.", unit="bytes"
        ),
    )
    cache_bytes_max: int = field(
        default=128 << 20,
        metadata=_about("Memory for unpacked samples, per process that queries.", unit="bytes"),
    )
    answers_bytes_max: int = field(
        default=32 << 20,
        metadata=_about(
            "Memory for answers that are remembered, per process that queries; 0 evaluates every "
            "query anew.",
            unit="bytes",
        ),
    )


@dataclass(frozen=True, slots=True)
class RulesSettings:
    """Alert and recording rules, in Prometheus's format."""

    folders: tuple[str, ...] = field(
        default=(),
        metadata=_about("More folders of `*.yml` rule files, besides `rules/` of the state."),
    )
    builtin: bool = field(
        default=True, metadata=_about("Whether the built-in rules for servers are on.")
    )


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Messages to people. Receivers and routes stand in a file of their own."""

    file: str = field(
        default="",
        metadata=_about("File with receivers and routes. Empty: `notify.toml` of the state."),
    )


@dataclass(frozen=True, slots=True)
class DeadmanSettings:
    """The dead man's switch: who is told, by our silence, that this server does not work."""

    url: str = field(
        default="",
        metadata=_about(
            "Address that is asked for (GET) once per interval while samples are taken, rules "
            "evaluated and messages sent; whoever is behind it notices when that ends.",
            secret=True,
        ),
    )
    interval_s: float = field(
        default=60.0, metadata=_about("Time between two heartbeats.", unit="s")
    )
    peer_url: str = field(
        default="",
        metadata=_about(
            "Address of another Vezha's pages. Where it does not answer three times in a row, or "
            "says that its data does not flow, there is an alert."
        ),
    )


@dataclass(frozen=True, slots=True)
class HooksSettings:
    """Web hooks: GitHub and GitLab tell of deploys (without a secret a door is shut), gates ask."""

    github_secret: str = field(
        default="",
        metadata=_about(
            "The web hook's secret at GitHub, which signs what it sends to "
            "`/api/v1/changes/github`.",
            secret=True,
        ),
    )
    gitlab_token: str = field(
        default="",
        metadata=_about(
            "The web hook's secret token at GitLab, which sends to `/api/v1/changes/gitlab`.",
            secret=True,
        ),
    )
    gate_secret: str = field(
        default="",
        metadata=_about(
            "Signs what a change's `webhook` gates ask the outside, in `X-Vezha-Signature`.",
            secret=True,
        ),
    )


@dataclass(frozen=True, slots=True)
class DiarySettings:
    """The weekly page, made on Monday morning."""

    time_zone: str = field(
        default="UTC", metadata=_about("Where weeks begin, such as `Europe/Kyiv`.")
    )
    receivers: tuple[str, ...] = field(
        default=(),
        metadata=_about("Receivers that get each finished page."),
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the server says about itself."""

    level: str = field(
        default="info",
        metadata=_about(
            "From which level on the server speaks.",
            choices=("debug", "info", "warning", "error"),
        ),
    )
    format: str = field(
        default="text",
        metadata=_about("`text` is for people, `json` for machines.", choices=("text", "json")),
    )
    file_bytes_max: int = field(
        default=LOG_FILE_BYTES_DEFAULT,
        metadata=_about("A log file this big is put aside and a new one begun.", unit="bytes"),
    )
    files_max: int = field(
        default=LOG_FILES_DEFAULT, metadata=_about("How many files of each log are kept.")
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server, and the folder that it lives in."""

    state: StateFolder
    web: WebSettings = field(default_factory=WebSettings)
    channel: ChannelSettings = field(default_factory=ChannelSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    remote: RemoteSettings = field(default_factory=RemoteSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    query: QuerySettings = field(default_factory=QuerySettings)
    rules: RulesSettings = field(default_factory=RulesSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    deadman: DeadmanSettings = field(default_factory=DeadmanSettings)
    hooks: HooksSettings = field(default_factory=HooksSettings)
    diary: DiarySettings = field(default_factory=DiarySettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def ledger_url(self) -> str:
        """The ledger's database address, the default filled in."""
        return self.ledger.url or f"sqlite:///{self.state.ledger_file}"

    @property
    def public_url(self) -> str:
        """The address of the pages without a slash at the end, the default filled in."""
        if self.web.public_url:
            return self.web.public_url.rstrip("/")
        host = self.web.listen.host
        if host in _EVERYWHERE:
            host = next(iter(self.channel.public_names), "127.0.0.1")
        scheme = "https" if self.serves_https else "http"
        return f"{scheme}://{Address(host, self.web.listen.port)}"

    @property
    def serves_https(self) -> bool:
        """Whether the pages speak TLS by themselves: always, but on loopback."""
        return bool(self.web.tls_cert) or not is_loopback(self.web.listen.host)

    @property
    def tls_files(self) -> tuple[str, str, str]:
        """Paths of the channel's authority, certificate and key, the defaults filled in."""
        own = self.state.tls
        return (
            self.tls.ca or str(own / "ca.pem"),
            self.tls.cert or str(own / "server.pem"),
            self.tls.key or str(own / "server.key"),
        )

    @property
    def rule_folders(self) -> tuple[str, ...]:
        """Folders with rule files: the state's own, those that came as changes, others."""
        delivered = self.state.delivered / "current"
        return (str(self.state.rules), str(delivered), *self.rules.folders)

    @property
    def checklist_folders(self) -> tuple[str, ...]:
        """Folders with checklists over the shipped ones: those that came as changes, the own."""
        return (str(self.state.delivered / "current"), str(self.state.checklists))

    @property
    def diary_time_zone(self) -> str:
        """The zone in which weeks begin. Raises `SettingError` for one that is not known."""
        try:
            ZoneInfo(self.diary.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingError(
                f"diary.time_zone is {self.diary.time_zone!r}, which is no time zone: write one "
                "such as Europe/Kyiv"
            ) from None
        return self.diary.time_zone

    @property
    def notify_key(self) -> str:
        """The file with the key that seals secrets of saved receivers."""
        return str(self.state.path / "notify.key")

    @property
    def notify_file(self) -> str:
        """The file with receivers and routes, the default filled in."""
        return self.notify.file or str(self.state.path / "notify.toml")


def is_loopback(host: str) -> bool:
    """Whether *host* (a name or an address) can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


SECTIONS: dict[str, type[Any]] = {
    "web": WebSettings,
    "channel": ChannelSettings,
    "tls": TlsSettings,
    "ledger": LedgerSettings,
    "retention": RetentionSettings,
    "remote": RemoteSettings,
    "ingest": IngestSettings,
    "query": QuerySettings,
    "rules": RulesSettings,
    "notify": NotifySettings,
    "deadman": DeadmanSettings,
    "hooks": HooksSettings,
    "diary": DiarySettings,
    "log": LogSettings,
}


def load_settings(
    state: StateFolder,
    environment: Mapping[str, str],
    assignments: Sequence[str] = (),
) -> Settings:
    """The settings of the server in *state*. Raises `SettingError`.

    *environment* is searched for `VEZHA_*`; *assignments* are the command line's
    `section.key=value`.
    """
    sections = read_sections(SECTIONS, state.settings_file, environment, assignments)
    if sections["retention"].policies:
        # PromQL's parser is not loaded for those who need none of it
        from vezha.server.retention import store_policies

        store_policies(sections["retention"])
    return Settings(state=state, **sections)
