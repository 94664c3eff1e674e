"""The outbox: every message to people, from the decision to the provider's yes."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

message = Table(
    "message",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("receiver", String(NAME_CHARS_MAX), nullable=False),
    # what belongs together at the receiver: "incident:7", "test", "digest"
    Column("thread", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    # the same decision taken twice (a crash between two commits) makes one row
    Column("dedup_key", String(200), nullable=False, unique=True),
    Column("payload", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    # who sends it now, and until when others leave it alone
    Column("claim", String(64), nullable=False),
    Column("claim_until_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Column("error", Text, nullable=False),
    # what the provider called it; never a secret
    Column("reference", JSON),
    Index("ix_message_state_next_ms", "state", "next_ms"),
    Index("ix_message_receiver_thread", "receiver", "thread"),
    sqlite_autoincrement=True,
)

message_thread = Table(
    "message_thread",
    metadata,
    Column("receiver", String(NAME_CHARS_MAX), primary_key=True),
    Column("thread", String(64), primary_key=True),
    # what the provider needs to edit or answer to the thread's first message
    Column("reference", JSON, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
