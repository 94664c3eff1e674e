"""Sealing for one browser: RFC 8291 (message encryption), RFC 8292 (who we are: VAPID).

A message is one record of `aes128gcm` (RFC 8188): salt, record size, our one-time public key, and the
sealed text. The browser's public key and secret come with its subscription; ours is made for each message.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vezha.notify.keyfile import read_or_make
from vezha.world import Chance

TOKEN_S = 12 * 3600
"""How long a token of ours holds; push services take at most 24 h."""
_RECORD_BYTES = 4096
_POINT_BYTES = 65
_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a browser gives: where to POST, its public key (65 bytes), its secret (16 bytes)."""

    endpoint: str
    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """Our own key, by which push services know us."""

    private: ec.EllipticCurvePrivateKey

    @property
    def public_text(self) -> str:
        """The public key, uncompressed, in base64url."""
        return to_text(point_of(self.private.public_key()))


def read_subscription(text: str) -> Subscription:
    """A subscription from the browser's JSON. Raises ValueError."""
    try:
        document = orjson.loads(text)
        endpoint = document["endpoint"]
        public, secret = (from_text(document["keys"][name]) for name in ("p256dh", "auth"))
    except (orjson.JSONDecodeError, KeyError, TypeError) as fault:
        raise ValueError("endpoint, keys.p256dh and keys.auth are needed") from fault
    if not isinstance(endpoint, str) or urlsplit(endpoint).scheme not in ("https", "http"):
        raise ValueError("endpoint must be an address")
    if len(secret) != 16:
        raise ValueError("keys.auth must have 16 bytes")
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    return Subscription(endpoint, public, secret)


def new_key() -> str:
    """A new key as PEM."""
    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def load_key(data: bytes) -> Key:
    """The key in *data* (PEM). Raises ValueError."""
    private = serialization.load_pem_private_key(data, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ValueError("it must hold a P-256 key")
    return Key(private)


def read_key(path: str) -> Key:
    """The key in the file at *path* (PEM), made where there is none. Raises OSError, ValueError."""
    return load_key(read_or_make(path, lambda: new_key().encode()))


def seal(text: bytes, to: Subscription, chance: Chance) -> bytes:
    """The body of a push message with a fresh salt and key."""
    # from [1, order): a number that nobody can guess
    number = int.from_bytes(chance.token(48), "big") % (_CURVE_ORDER - 1) + 1
    return seal_with(text, to, ec.derive_private_key(number, ec.SECP256R1()), chance.token(16))


def seal_with(text: bytes, to: Subscription, own: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The same with a given one-time key and salt."""
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), to.public)
    point = point_of(own.public_key())
    shared = own.exchange(ec.ECDH(), theirs)
    material = _expand(_hmac(to.secret, shared), b"WebPush: info\x00" + to.public + point, 32)
    root = _hmac(salt, material)
    key = _expand(root, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _expand(root, b"Content-Encoding: nonce\x00", 12)
    if len(text) + 1 + 16 > _RECORD_BYTES:
        raise ValueError("a push message is one record")
    # 2 marks the last record
    sealed = AESGCM(key).encrypt(nonce, text + b"\x02", None)
    head = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes([_POINT_BYTES]) + point
    return head + sealed


def bearer(key: Key, endpoint: str, contact: str, now_s: int) -> str:
    """The Authorization header: a signed token for the origin of *endpoint*."""
    parts = urlsplit(endpoint)
    claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": now_s + TOKEN_S, "sub": contact}
    signed = ".".join(
        to_text(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256"}, claims)
    )
    der = key.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"vapid t={signed}.{to_text(signature)}, k={key.public_text}"


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as 65 bytes."""
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def to_text(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """The bytes of base64url, padded or not."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    return _hmac(key, info + b"\x01")[:length]
