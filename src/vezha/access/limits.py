"""Named limits of access, each with its unit."""

from __future__ import annotations

SECRET_BYTES = 32
"""Random bytes in a session, token, invitation or agent's secret."""
PASSWORD_CHARS_MIN = 10
PASSWORD_CHARS_MAX = 256
"""argon2 takes any length; the upper bound keeps hashing from being a weapon."""
SESSION_IDLE_S = 12 * 3600.0
"""A session unused for this long ends."""
SESSION_LIFETIME_S = 7 * 86400.0
"""A session ends after this long, used or not."""
SESSION_TOUCH_S = 60.0
"""The time of last use is written no more often than this."""
SESSIONS_PER_USER_MAX = 32
"""More sign-ins of one person end the oldest session."""
ENROLMENT_LIFETIME_S = 24 * 3600.0
"""An invitation that nobody used in this time is void."""
ENROLMENT_LIFETIME_S_MAX = 30 * 86400.0
ENROLMENTS_OPEN_MAX = 10_000
"""Invitations open at the same time."""
THROTTLE_FREE_FAILURES = 5
"""Failed sign-ins per name or address before waiting begins."""
THROTTLE_FIRST_S = 2.0
"""The first wait; each further failure doubles it."""
THROTTLE_MAX_S = 900.0
"""The longest wait."""
THROTTLE_FORGET_S = 3600.0
"""Failures older than this no longer count."""
THROTTLE_KEYS_MAX = 10_000
"""Names and addresses remembered."""
PASSWORD_HASHES_AT_ONCE = 2
"""argon2 runs at the same time; each takes 64 MiB and ~0.1 s of a core."""
AUDIT_DETAIL_CHARS_MAX = 4_000
"""Characters of an audit row's detail."""
AUDIT_REFUSALS_PER_MINUTE_MAX = 60
"""Refused actions of one subject written to the audit per minute; the rest is only counted."""
FACTS_BYTES_MAX = 64 * 1024
"""What an agent may say of its host, as JSON."""
HOSTS_MAX = 100_000
"""Hosts in one ledger."""
HOST_LABELS_MAX = 32
"""Labels of one host."""
LABEL_CHARS_MAX = 128
"""Characters of a label's name or value."""
TOKEN_LIFETIME_S_MAX = 10 * 366 * 86400.0
"""Longest life of an API token that expires at all."""
REFUSAL_SUBJECTS_MAX = 1_000
"""Subjects whose refusals are counted in one minute."""
