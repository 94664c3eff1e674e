"""Secrets of saved receivers at rest: sealed with a key that lies in the state folder, not in the ledger.

Who gets the ledger alone (a dump, a replica, a backup of the database) cannot open them. Each is bound
to its place (*about*), so that a row copied into another does not carry its secret there. AES-256-GCM.
"""

from __future__ import annotations

import base64

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
        self._chance = chance or Chance()

    def seal(self, text: str, about: str) -> str:
        """*text*, sealed, in base64. Raises NotifySettingsError where the key cannot be used."""
        nonce = self._chance.token(_NONCE_BYTES)
        return base64.b64encode(
            nonce + self._cipher().encrypt(nonce, text.encode(), about.encode())
        ).decode()

    def open(self, sealed: str, about: str) -> Secret:
        """What was sealed. Raises NotifySettingsError for what this key did not seal."""
        try:
            data = base64.b64decode(sealed, validate=True)
            text = self._cipher().decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            raise NotifySettingsError(
                f"it was sealed with another key than {self._path}; give it again"
            ) from None
        return Secret(text.decode())

    def _cipher(self) -> AESGCM:
        try:
            key = read_or_make(self._path, lambda: self._chance.token(_KEY_BYTES))
        except OSError as fault:
            raise NotifySettingsError(
                f"the key {self._path} cannot be read: {fault.strerror}"
            ) from None
        if len(key) != _KEY_BYTES:
            raise NotifySettingsError(
                f"the key {self._path} is damaged: it must be {_KEY_BYTES} bytes"
            )
        return AESGCM(key)
