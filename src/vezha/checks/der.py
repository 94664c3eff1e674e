"""The few fields of a certificate that a check tells, read from its DER. Pure.

Format: RFC 5280, section 4.1 (Certificate, Validity, Name), in DER (X.690). Own, since the agent
carries no `cryptography`; tests compare it with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from vezha.checks.limits import CERTIFICATE_NAME_PARTS_MAX

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}
_SHORT = {
    "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
    "2.5.4.10": "O", "2.5.4.11": "OU", "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}  # fmt: skip


class BadCertificate(ValueError):
    """The bytes are no certificate that can be read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`not_after_s` in seconds since the epoch; names as RFC 4514 writes them."""

    not_after_s: float
    subject: str
    issuer: str


def read_certificate(der: bytes) -> Certificate:
    """The fields of a certificate. Raises BadCertificate, and nothing else."""
    try:
        outer, _ = _inner(der, 0, _SEQUENCE)
        body, _ = _inner(outer, 0, _SEQUENCE)
        at = 0
        if body[:1] == bytes((_VERSION,)):
            _, _, at = _element(body, at)
        for _ in range(2):  # the serial number, the signature's algorithm
            _, _, at = _element(body, at)
        issuer, at = _inner(body, at, _SEQUENCE)
        validity, at = _inner(body, at, _SEQUENCE)
        subject, at = _inner(body, at, _SEQUENCE)
        _, _, after = _element(validity, 0)
        kind, text, _ = _element(validity, after)
        return Certificate(_moment(kind, text), _name(subject), _name(issuer))
    except BadCertificate:
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise BadCertificate(str(error)) from None


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content, and where the next element begins."""
    if at + 2 > len(data):
        raise BadCertificate("it is cut")
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= 4:
            raise BadCertificate("a length is not DER")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > len(data):
        raise BadCertificate("it is cut")
    return tag, data[at : at + size], at + size


def _inner(data: bytes, at: int, wanted: int) -> tuple[bytes, int]:
    tag, content, end = _element(data, at)
    if tag != wanted:
        raise BadCertificate(f"tag {tag:#x} where {wanted:#x} belongs")
    return content, end


def _moment(kind: int, text: bytes) -> float:
    said = text.decode("ascii")
    if kind == _UTC_TIME:
        # RFC 5280: 50 to 99 are of the last century
        said = ("19" if said[:2] >= "50" else "20") + said
    elif kind != _GENERALIZED_TIME:
        raise BadCertificate("its end is no time")
    found = datetime.strptime(said, "%Y%m%d%H%M%SZ")  # noqa: DTZ007 - Z is UTC, put in here
    return found.replace(tzinfo=timezone.utc).timestamp()


def _name(data: bytes) -> str:
    parts: list[str] = []
    at = 0
    while at < len(data) and len(parts) < CERTIFICATE_NAME_PARTS_MAX:
        several, at = _inner(data, at, _SET)
        inside, together = 0, []
        while inside < len(several):
            pair, inside = _inner(several, inside, _SEQUENCE)
            oid, value_at = _inner(pair, 0, _OID)
            kind, value, _ = _element(pair, value_at)
            text = value.decode(_ENCODINGS.get(kind, "latin-1"), "replace")
            together.append(f"{_SHORT.get(_dotted(oid), _dotted(oid))}={_escaped(text)}")
        parts.append("+".join(together))
    return ",".join(reversed(parts))


def _dotted(oid: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise BadCertificate("a name has no kind")
    first = min(numbers[0] // 40, 2)
    return ".".join(str(n) for n in (first, numbers[0] - 40 * first, *numbers[1:]))


def _escaped(text: str) -> str:
    """RFC 4514, section 2.4."""
    out = "".join("\\" + c if c in '\\"+,;<>' else "\\00" if c == "\0" else c for c in text)
    if out[:1] in ("#", " "):
        out = "\\" + out
    if out[-1:] == " " and len(out) > 1:
        out = out[:-1] + "\\ "
    return out
