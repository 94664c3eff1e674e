"""Signing keys: ed25519 in PEM, encrypted by a pass phrase or plain. Not part of the agent.

A private key is never printed, and its `repr` says nothing.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from vezha.trust.errors import TrustError

ENCRYPTED_MARK = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


class SigningKey:
    """One private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.signer = CryptoSigner(private)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id[:12]})"

    @property
    def key_id(self) -> str:
        """The public key's id in metadata."""
        return str(self.signer.public_key.keyid)

    def pem(self, pass_phrase: str) -> bytes:
        """The file of this key; encrypted unless *pass_phrase* is empty."""
        how: KeySerializationEncryption = (
            BestAvailableEncryption(pass_phrase.encode()) if pass_phrase else NoEncryption()
        )
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def generate() -> SigningKey:
    """A new key."""
    return SigningKey(Ed25519PrivateKey.generate())


def is_encrypted(pem: bytes) -> bool:
    """Whether a key file wants a pass phrase."""
    return pem.lstrip().startswith(ENCRYPTED_MARK)


def load(pem: bytes, pass_phrase: str = "", where: str = "the key") -> SigningKey:
    """The key of a file's content. Raises TrustError."""
    try:
        private = load_pem_private_key(pem, pass_phrase.encode() or None)
    except TypeError:
        if is_encrypted(pem):
            raise TrustError(
                f"{where} is encrypted: set VEZHA_SECRET_KEYS, or type the pass phrase"
            ) from None
        # a pass phrase for a key that needs none
        return load(pem, "", where)
    except ValueError:
        raise TrustError(
            f"{where} cannot be read: the pass phrase is wrong, or it is no PEM key"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise TrustError(f"{where} is not an ed25519 key: make one with `vezha release keygen`")
    return SigningKey(private)
