"""Passwords: argon2id hashes and what a password must at least be.

The cost is RFC 9106's second recommendation (64 MiB, 3 passes): about 0.1 s of a core, which
is why nothing here may run on an event loop.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vezha.access.errors import WeakPasswordError
from vezha.access.limits import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN
from vezha.world import Chance

_ONE_TIME_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that are mistaken for one another when typed from a screen."""
_OBVIOUS = ("password", "12345", "qwerty", "vezha", "admin", "letmein", "пароль", "йцукен")


class Passwords:
    """Hashes and checks passwords. Thread-safe; each call blocks for about 0.1 s."""

    def __init__(self, passes: int = 3, memory_kib: int = 65_536, lanes: int = 4) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._nobody = ""

    def hash(self, password: str) -> str:
        """The argon2id hash with its parameters and salt."""
        return self._hasher.hash(password)

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits; None (nobody of that name) takes as long and never fits."""
        if len(password) > PASSWORD_CHARS_MAX:
            return False
        # An unknown name has a hash checked too, so that names cannot be told by time.
        if not self._nobody:
            self._nobody = self._hasher.hash("nobody has this password")
        try:
            return self._hasher.verify(password_hash or self._nobody, password) and (
                password_hash is not None
            )
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost and should be made anew."""
        return self._hasher.check_needs_rehash(password_hash)


def check_new_password(password: str, name: str) -> None:
    """Raises `WeakPasswordError` where a password is too short, too long or obvious."""
    if len(password) < PASSWORD_CHARS_MIN:
        raise WeakPasswordError(f"A password needs at least {PASSWORD_CHARS_MIN} characters.")
    if len(password) > PASSWORD_CHARS_MAX:
        raise WeakPasswordError(f"A password has at most {PASSWORD_CHARS_MAX} characters.")
    folded = password.casefold()
    if len(set(folded)) < 5:
        raise WeakPasswordError("This password repeats too few characters.")
    rest = folded
    for word in (*_OBVIOUS, name.casefold()):
        if word:
            rest = rest.replace(word, "")
    if len(rest) < 4:
        raise WeakPasswordError("This password is a common word or the name itself.")


def one_time_password(chance: Chance) -> str:
    """A password to be typed once: four groups of four, 79 bits."""
    letters: list[str] = []
    size = len(_ONE_TIME_ALPHABET)
    limit = 256 - 256 % size
    while len(letters) < 16:
        # Bytes above the limit are thrown away, or some letters would come more often.
        letters += [_ONE_TIME_ALPHABET[b % size] for b in chance.token(32) if b < limit]
    return "-".join("".join(letters[i : i + 4]) for i in range(0, 16, 4))
