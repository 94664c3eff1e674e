"""What each host should run, what its agent tells of that, and what it runs.

Delivery writes `directive` and nudges the bus topic `directives`; the gateway sends the rows as
`Desired`. The gateway writes `progress` (nudging `progress`) and `running`; delivery follows them.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata, part_of

directive = Table(
    "directive",
    metadata,
    part_of("host_id", "host.id", primary_key=True, autoincrement=False),
    # release, config, script
    Column("kind", String(16), primary_key=True),
    # a script's run, "" for the others
    Column("run", String(64), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    # "": back to what the host had by itself (its first release, its own configuration)
    Column("target", String(512), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("length", BigInteger, nullable=False),
    # {"params", "dry_run", "timeout_s", "output_bytes_max", "forced"}
    Column("detail", JSON, nullable=False),
    Column("rollout_id", Integer),
    Column("updated_ms", BigInteger, nullable=False, index=True),
)

progress = Table(
    "progress",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("agent_id", String(32), nullable=False),
    Column("host_id", Integer, nullable=False, index=True),
    # counts at the agent; what is sent again is the same row
    Column("number", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    # downloaded, staged, started, proven, reverted, refused, quarantined, finished
    Column("step", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    UniqueConstraint("agent_id", "number"),
    sqlite_autoincrement=True,
)

running = Table(
    "running",
    metadata,
    part_of("host_id", "host.id", primary_key=True, autoincrement=False),
    Column("agent_id", String(32), nullable=False),
    # the running code: build id, version as a person reads it, hash of its file
    Column("build", String(64), nullable=False),
    Column("version", String(NAME_CHARS_MAX), nullable=False),
    Column("release_sha256", String(64), nullable=False),
    # the configuration in effect ("" where it is the host's own file), and of that file
    Column("config_sha256", String(64), nullable=False),
    Column("effective_sha256", String(64), nullable=False),
    # the newest generation that the agent took, by kind
    Column("generations", JSON, nullable=False),
    # hashes that the agent went back from, and what it can do: launcher, scripts …
    Column("quarantined", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("reported_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

# what was in effect on a host when it first ran its delivered configuration, to tell drift by
proven_config = Table(
    "proven_config",
    metadata,
    part_of("host_id", "host.id", primary_key=True, autoincrement=False),
    # of the directive that it belongs to
    Column("generation", BigInteger, nullable=False),
    Column("effective_sha256", String(64), nullable=False),
    Column("text", Text, nullable=False),
    # who took a later edit on the host for meant ("" where nobody had to)
    Column("accepted_by", String(NAME_CHARS_MAX), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
