"""Sessions: signing in, being recognised, changing the own password, signing out.

A session is a random secret in a cookie; the ledger has its hash. It ends after a time
without use, after a longer time in any case, at sign-out, when the person is disabled, and
when the password changes. Signing in always makes a new one and ends the one that the
request came with.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from vezha.access import limits
from vezha.access.audit import REFUSED, append_audit
from vezha.access.errors import SignInError, ThrottledError
from vezha.access.password import Passwords, check_new_password
from vezha.access.secret import SECRET_CHARS, SESSION_PREFIX, hash_secret, make_secret
from vezha.access.subject import Role, Subject, SubjectKind
from vezha.access.throttle import forget_failures, note_failure, read_wait_ms, throttle_keys
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import session, user
from vezha.world import Chance


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its secret (for the cookie, shown nowhere else) and whose it is."""

    secret: str
    subject: Subject
    expires_ms: int


class Sessions:
    """Opens, recognises and ends sessions. Thread-safe; `sign_in` blocks for about 0.1 s."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        passwords: Passwords | None = None,
        chance: Chance | None = None,
        idle_s: float = limits.SESSION_IDLE_S,
        lifetime_s: float = limits.SESSION_LIFETIME_S,
    ) -> None:
        self._ledger = ledger
        self.passwords = passwords or Passwords()
        self._chance = chance or Chance()
        self._idle_ms = int(idle_s * 1000)
        self._lifetime_ms = int(max(lifetime_s, idle_s) * 1000)
        self._hashing = threading.BoundedSemaphore(limits.PASSWORD_HASHES_AT_ONCE)

    def sign_in(
        self, name: str, password: str, address: str, now_ms: int, old_secret: str = ""
    ) -> SignedIn:
        """Check name and password and open a session; *old_secret*'s session ends.

        Raises `ThrottledError`, `SignInError`.
        """
        keys = throttle_keys(name, address)
        # The wait is looked at with the semaphore held: attempts that arrive together cannot
        # all pass before the first failure is counted.
        with self._hashing:
            with self._ledger.read() as connection:
                wait = read_wait_ms(connection, keys, now_ms)
                row = connection.execute(select(user).where(user.c.name == name)).first()
            if wait:
                raise ThrottledError(wait / 1000)
            fits = self.passwords.verify(None if row is None else row.password_hash, password)
            if row is None or not fits or row.disabled:
                self._note_refused(name, address, keys, now_ms)
                raise SignInError("Name or password is wrong.")
        return self._open(row, password, address, now_ms, old_secret)

    def recognise(self, secret: str, address: str, now_ms: int) -> Subject | None:
        """Whose session *secret* is, or None. Notes the use, at most once a minute."""
        if not secret.startswith(SESSION_PREFIX) or len(secret) != SECRET_CHARS:
            return None
        token_hash = hash_secret(secret)
        wanted = (
            select(
                session.c.used_ms,
                session.c.expires_ms,
                user.c.name,
                user.c.role,
                user.c.must_change_password,
                user.c.disabled,
            )
            .join_from(session, user)
            .where(session.c.token_hash == token_hash)
        )
        with self._ledger.read() as connection:
            row = connection.execute(wanted).first()
        if row is None or row.disabled:
            return None
        if now_ms >= row.expires_ms or now_ms - row.used_ms >= self._idle_ms:
            self.end(secret)
            return None
        if now_ms - row.used_ms >= limits.SESSION_TOUCH_S * 1000:
            with self._ledger.begin() as connection:
                connection.execute(
                    session.update()
                    .where(session.c.token_hash == token_hash)
                    .values(used_ms=now_ms, address=address[:64])
                )
        return _subject(row, address)

    def change_password(self, name: str, old: str, new: str, address: str, now_ms: int) -> SignedIn:
        """Change the own password: all of the person's sessions end, a new one begins.

        Raises `SignInError` for a wrong old password (throttled like signing in),
        `ThrottledError`, `WeakPasswordError`.
        """
        keys = throttle_keys(name, address)
        with self._hashing:
            with self._ledger.read() as connection:
                wait = read_wait_ms(connection, keys, now_ms)
                row = connection.execute(select(user).where(user.c.name == name)).first()
            if wait:
                raise ThrottledError(wait / 1000)
            fits = self.passwords.verify(None if row is None else row.password_hash, old)
            if row is None or not fits or row.disabled:
                self._note_refused(name, address, keys, now_ms, "password.change_own")
                raise SignInError("The old password is wrong.", "old")
            check_new_password(new, name)
            if new == old:
                raise SignInError("The new password is the old one.", "new")
            password_hash = self.passwords.hash(new)
        with self._ledger.begin() as connection:
            connection.execute(
                user.update()
                .where(user.c.id == row.id)
                .values(
                    password_hash=password_hash,
                    must_change_password=False,
                    password_changed_ms=now_ms,
                )
            )
            end_sessions(connection, row.id)
            fresh = connection.execute(select(user).where(user.c.id == row.id)).one()
            subject = _subject(fresh, address)
            append_audit(
                connection,
                subject=subject,
                action="password.change_own",
                now_ms=now_ms,
                target=name,
            )
            return self._insert(connection, fresh, address, now_ms)

    def end(self, secret: str) -> None:
        """Sign out."""
        with self._ledger.begin() as connection:
            connection.execute(delete(session).where(session.c.token_hash == hash_secret(secret)))

    def _open(
        self, row: AnyRow, password: str, address: str, now_ms: int, old_secret: str
    ) -> SignedIn:
        values: dict[str, Any] = {"last_sign_in_ms": now_ms}
        if self.passwords.is_outdated(row.password_hash):
            values["password_hash"] = self.passwords.hash(password)
        with self._ledger.begin() as connection:
            connection.execute(
                delete(session).where(
                    (session.c.token_hash == hash_secret(old_secret))
                    | (session.c.expires_ms <= now_ms)
                    | (session.c.used_ms <= now_ms - self._idle_ms)
                )
            )
            connection.execute(user.update().where(user.c.id == row.id).values(**values))
            forget_failures(connection, row.name)
            append_audit(
                connection,
                subject=_subject(row, address),
                action="session.open",
                now_ms=now_ms,
                target=row.name,
            )
            return self._insert(connection, row, address, now_ms)

    def _insert(self, connection: Connection, row: AnyRow, address: str, now_ms: int) -> SignedIn:
        secret = make_secret(SESSION_PREFIX, self._chance)
        expires_ms = now_ms + self._lifetime_ms
        connection.execute(
            session.insert().values(
                token_hash=hash_secret(secret),
                user_id=row.id,
                created_ms=now_ms,
                used_ms=now_ms,
                expires_ms=expires_ms,
                address=address[:64],
            )
        )
        newest = (
            select(session.c.token_hash)
            .where(session.c.user_id == row.id)
            .order_by(session.c.created_ms.desc(), session.c.token_hash)
            .limit(limits.SESSIONS_PER_USER_MAX)
        )
        connection.execute(
            delete(session).where(
                session.c.user_id == row.id, session.c.token_hash.not_in(newest.scalar_subquery())
            )
        )
        return SignedIn(secret, _subject(row, address), expires_ms)

    def _note_refused(
        self,
        name: str,
        address: str,
        keys: tuple[str, str],
        now_ms: int,
        action: str = "session.open",
    ) -> None:
        with self._ledger.begin() as connection:
            note_failure(connection, keys, now_ms)
            # The name that was typed may be a password typed into the wrong field: only the
            # name of somebody who exists is written down.
            known = connection.execute(select(user.c.name).where(user.c.name == name)).first()
            append_audit(
                connection,
                subject=Subject(SubjectKind.NOBODY, "", address=address),
                action=action,
                now_ms=now_ms,
                target=name if known else "(unknown name)",
                outcome=REFUSED,
            )


def end_sessions(connection: Connection, user_id: int) -> None:
    """End all sessions of a person, in the caller's transaction."""
    connection.execute(delete(session).where(session.c.user_id == user_id))


def _subject(row: AnyRow, address: str) -> Subject:
    return Subject(
        SubjectKind.USER,
        row.name,
        Role(row.role),
        must_change_password=bool(row.must_change_password),
        address=address,
    )
