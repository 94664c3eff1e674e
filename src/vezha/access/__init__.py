"""Who may do what: people, roles, sessions, tokens, agents' identities, the audit.

Owns the decision table (`decide`), passwords, sessions, API tokens, enrolment of agents,
their authentication, and the hash-chained audit. In come credentials and wishes, out go
identities, decisions and audit rows. It refuses unknown actions (a type error), credentials
that are wrong, expired, revoked or throttled, and never keeps or logs a secret: only hashes
of random tokens and argon2 hashes of passwords lie in the ledger.
"""

from __future__ import annotations

from vezha.access.action import ACTIONS, Action, ActionRule
from vezha.access.decision import Decision, decide
from vezha.access.subject import NOBODY, Role, Subject, SubjectKind

__all__ = [
    "ACTIONS",
    "NOBODY",
    "Action",
    "ActionRule",
    "Decision",
    "Role",
    "Subject",
    "SubjectKind",
    "decide",
]
