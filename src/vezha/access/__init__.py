"""Who may do what: people, roles, sessions, tokens, agents' identities, the audit.

Owns the decision table (`decide`), passwords, sessions, API tokens, enrolment of agents,
their authentication, and the hash-chained audit. In come credentials and wishes, out go
identities, decisions and audit rows. It refuses unknown actions (a type error), credentials
that are wrong, expired, revoked or throttled, and never keeps or logs a secret: only hashes
of random tokens and argon2 hashes of passwords lie in the ledger.
"""

from __future__ import annotations

from vezha.access.action import ACTIONS, Action, ActionRule
from vezha.access.agent import AgentIdentity, authenticate_agent, revoke_agent
from vezha.access.decision import Decision, Reason, decide
from vezha.access.enrolment import Enrolled, Invitation, create_enrolment, enrol_agent
from vezha.access.errors import AccessError, EnrolmentError
from vezha.access.session import Sessions, SignedIn
from vezha.access.subject import NOBODY, Role, Subject, SubjectKind
from vezha.access.user import SYSTEM, first_start

__all__ = [
    "ACTIONS",
    "NOBODY",
    "SYSTEM",
    "AccessError",
    "Action",
    "ActionRule",
    "AgentIdentity",
    "Decision",
    "Enrolled",
    "EnrolmentError",
    "Invitation",
    "Reason",
    "Role",
    "Sessions",
    "SignedIn",
    "Subject",
    "SubjectKind",
    "authenticate_agent",
    "create_enrolment",
    "decide",
    "enrol_agent",
    "first_start",
    "revoke_agent",
]
