"""The tables, one file per noun, all on one `metadata`.

Names of constraints follow one convention on both databases, so that migrations can name
them. `JSON` columns hold small documents that nothing queries inside.
"""

from __future__ import annotations

from vezha.ledger.tables.agent import agent, enrolment
from vezha.ledger.tables.audit import audit
from vezha.ledger.tables.base import metadata
from vezha.ledger.tables.host import host
from vezha.ledger.tables.session import session, throttle
from vezha.ledger.tables.setting import setting
from vezha.ledger.tables.token import api_token
from vezha.ledger.tables.user import user

__all__ = [
    "agent",
    "api_token",
    "audit",
    "enrolment",
    "host",
    "metadata",
    "session",
    "setting",
    "throttle",
    "user",
]
