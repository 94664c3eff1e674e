"""Secrets of saved receivers at rest: sealed with a key that lies in the state folder, not in the ledger.

Who gets the ledger alone (a dump, a replica, a backup of the database) cannot open them. Each is bound
to its place (*about*), so that a row copied into another does not carry its secret there. AES-256-GCM.

The key is changed in three steps, and a stop between any two of them loses nothing: a next key is made
beside it, with which everything is sealed from then on; every row is sealed anew; the next key takes
the place of the old. Meanwhile both open.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vezha.notify.errors import NotifySettingsError
from vezha.notify.keyfile import read_or_make
from vezha.notify.secret import Secret
from vezha.world import Chance

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    """Seals and opens with the key in the file at *path*, which is made at first use."""

    def __init__(self, path: str, chance: Chance | None = None) -> None:
        self._path = path
        self._next = f"{path}.next"
        self._chance = chance or Chance()

    def seal(self, text: str, about: str) -> str:
        """*text*, sealed, in base64. Raises NotifySettingsError where the key cannot be used."""
        nonce = self._chance.token(_NONCE_BYTES)
        return base64.b64encode(
            nonce + self._ciphers()[-1].encrypt(nonce, text.encode(), about.encode())
        ).decode()

    def open(self, sealed: str, about: str) -> Secret:
        """What was sealed. Raises NotifySettingsError for what this key did not seal."""
        with suppress(ValueError):
            data = base64.b64decode(sealed, validate=True)
            for cipher in self._ciphers():
                with suppress(InvalidTag):
                    text = cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], about.encode())
                    return Secret(text.decode())
        raise NotifySettingsError(
            f"it was sealed with another key than {self._path}; give it again"
        )

    def begin_change(self) -> None:
        """Make the next key, unless a change that was broken off has. Raises NotifySettingsError."""
        self._cipher(self._path)
        self._cipher(self._next)

    def end_change(self) -> None:
        """Put the next key in the place of the old. Raises NotifySettingsError."""
        try:
            Path(self._next).replace(self._path)
            folder = os.open(Path(self._path).parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as fault:
            raise NotifySettingsError(
                f"the key {self._path} cannot be written: {fault.strerror}"
            ) from None

    def _ciphers(self) -> list[AESGCM]:
        """The key's, and the next one's while it is being changed."""
        found = [self._cipher(self._path)]
        if Path(self._next).exists():
            found.append(self._cipher(self._next))
        return found

    def _cipher(self, path: str) -> AESGCM:
        try:
            key = read_or_make(path, lambda: self._chance.token(_KEY_BYTES))
        except OSError as fault:
            raise NotifySettingsError(f"the key {path} cannot be read: {fault.strerror}") from None
        if len(key) != _KEY_BYTES:
            raise NotifySettingsError(f"the key {path} is damaged: it must be {_KEY_BYTES} bytes")
        return AESGCM(key)
