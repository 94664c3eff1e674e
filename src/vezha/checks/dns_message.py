"""DNS messages: a question in, an answer's records out. Pure. Format: RFC 1035, RFC 3596."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
    "CAA": 257,
}  # fmt: skip
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_RECORDS_MAX = 1_000
_POINTERS_MAX = 64
_HEADER = struct.Struct("!HHHHHH")


class BadMessage(Exception):
    """The bytes are no DNS message, or not the answer to this question."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer: its owner, type and value as people write it."""

    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """An answer's code, sections' sizes, and the records of its answer section."""

    rcode: str
    truncated: bool
    records: tuple[Record, ...]
    authorities: int
    additionals: int


def question(identifier: int, name: str, kind: str, recursive: bool = True) -> bytes:
    """A query with one question. Raises ValueError for a name that DNS cannot carry."""
    flags = 0x0100 if recursive else 0
    head = _HEADER.pack(identifier, flags, 1, 0, 0, 0)
    return head + encode_name(name) + struct.pack("!HH", TYPES[kind], 1)


def encode_name(name: str) -> bytes:
    """A name as labels. Raises ValueError."""
    out = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else ():
        data = label.encode("idna") if not label.isascii() else label.encode()
        if not 0 < len(data) < 64:
            raise ValueError(f"{name!r} is no DNS name")
        out += bytes((len(data),)) + data
    if len(out) > 254:
        raise ValueError(f"{name!r} is too long for a DNS name")
    return out + b"\0"


def read_answer(data: bytes, identifier: int, name: str, kind: str) -> DnsAnswer:
    """The answer to that question. Raises BadMessage."""
    try:
        return _read(data, identifier, name, kind)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise BadMessage(f"cut short or malformed: {error}") from None


def _read(data: bytes, identifier: int, name: str, kind: str) -> DnsAnswer:
    number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if number != identifier or not flags & 0x8000:
        raise BadMessage("not the answer to this question")
    at = _HEADER.size
    if questions != 1 and flags & 15 == 0:
        raise BadMessage(f"repeats {questions} questions")
    for _ in range(questions):
        asked, at = read_name(data, at)
        asked_type, _ = struct.unpack_from("!HH", data, at)
        at += 4
        wanted = encode_name(name).lower()
        if asked_type != TYPES[kind] or encode_name(asked).lower() != wanted:
            raise BadMessage("answers another question")
    if answers > _RECORDS_MAX:
        raise BadMessage(f"has {answers} records")
    truncated = bool(flags & 0x0200)
    records = []
    for _ in range(0 if truncated else answers):
        record, at = _record(data, at)
        records.append(record)
    code = flags & 15
    rcode = RCODES[code] if code < len(RCODES) else f"RCODE{code}"
    return DnsAnswer(rcode, truncated, tuple(records), authorities, additionals)


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """A name, perhaps compressed, and where what follows it begins. Raises BadMessage."""
    labels: list[str] = []
    end = -1
    jumps = size = 0
    while True:
        length = data[at]
        if length & 0xC0 == 0xC0:
            end = at + 2 if end < 0 else end
            at = (length & 0x3F) << 8 | data[at + 1]
            jumps += 1
            if jumps > _POINTERS_MAX:
                raise BadMessage("a name points in circles")
            continue
        if length & 0xC0:
            raise BadMessage("a label of an unknown kind")
        at += 1
        if length == 0:
            return ".".join(labels), end if end >= 0 else at
        size += length + 1
        label = data[at : at + length]
        if size > 255 or len(label) < length:
            raise BadMessage("a name is too long or cut short")
        labels.append(label.decode("ascii").replace(".", "\\."))
        at += length


def _record(data: bytes, at: int) -> tuple[Record, int]:
    name, at = read_name(data, at)
    number, _, _, length = struct.unpack_from("!HHIH", data, at)
    at += 10
    if at + length > len(data):
        raise BadMessage("a record is cut short")
    kind = _TYPE_NAMES.get(number, f"TYPE{number}")
    return Record(name, kind, _value(data, at, length, kind)), at + length


def _value(data: bytes, at: int, length: int, kind: str) -> str:
    body = data[at : at + length]
    if kind in ("A", "AAAA"):
        if len(body) != (4 if kind == "A" else 16):
            raise BadMessage(f"an {kind} record of {len(body)} bytes")
        return str(ipaddress.ip_address(body))
    if kind in ("NS", "CNAME", "PTR"):
        return read_name(data, at)[0]
    if kind == "MX":
        return f"{int.from_bytes(body[:2], 'big')} {read_name(data, at + 2)[0]}"
    if kind == "SRV":
        priority, weight, port = struct.unpack_from("!HHH", body)
        return f"{priority} {weight} {port} {read_name(data, at + 6)[0]}"
    if kind == "TXT":
        return _strings(body)
    if kind == "SOA":
        primary, after = read_name(data, at)
        person, after = read_name(data, after)
        numbers = struct.unpack_from("!IIIII", data, after)
        return f"{primary} {person} {' '.join(map(str, numbers))}"
    if kind == "CAA" and len(body) > 2:
        tag = body[2 : 2 + body[1]].decode("ascii", "replace")
        return f"{body[0]} {tag} {body[2 + body[1] :].decode('ascii', 'replace')}"
    return body.hex()


def _strings(body: bytes) -> str:
    out = b""
    at = 0
    while at < len(body):
        size = body[at]
        if at + 1 + size > len(body):
            raise BadMessage("a text is cut short")
        out += body[at + 1 : at + 1 + size]
        at += 1 + size
    return out.decode("utf-8", "replace")
