"""Messages: the first byte says which, the rest is a frame, a few packed numbers, or JSON.

Hot messages (frames, acks) are binary. The rest is small and rare, so JSON, where an unknown
field is ignored: that is how a newer peer stays understandable to an older one. Byte 0x00 is
kept for OpAMP, whose WebSocket header begins with it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple, Type, TypeVar, Union, get_type_hints  # noqa: UP035

from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    CHUNK_BYTES_MAX,
    JSON_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    RANGES_PER_MESSAGE_MAX,
    SCHEMAS_PER_HELLO_MAX,
)

LIVE = 0x01
BACKLOG = 0x02
HELLO = 0x10
SCHEMA = 0x11
STATUS = 0x12
STATE = 0x13
CROSSING = 0x14
BYE = 0x15
TIME = 0x16
ENROL = 0x17
FETCH = 0x18
PROGRESS = 0x19
WELCOME = 0x20
ACK = 0x21
DESIRED = 0x22
TRIPWIRES = 0x23
SEND_STATE = 0x24
TIME_REPLY = 0x26
ENROLLED = 0x27
CHUNK = 0x28
PROGRESS_ACK = 0x29
ERROR = 0x2F

CHUNK_HERE, CHUNK_ABSENT, CHUNK_LATER = 0, 1, 2
"""A chunk's status."""

LIVE_PREFIX = bytes([LIVE])
BACKLOG_PREFIX = bytes([BACKLOG])

_ACK_HEAD = struct.Struct("<BBHIq")
_RANGE = struct.Struct("<QQ")
_SCHEMA_HEAD = struct.Struct("<BQ")
_TIME = struct.Struct("<Bq")
_TIME_REPLY = struct.Struct("<Bqq")
_CHUNK_HEAD = struct.Struct("<BBHIQQ")
_PROGRESS_ACK = struct.Struct("<BQ")

RangeList = List[Tuple[int, int]]  # noqa: UP006  evaluated at run time on Python 3.10


@dataclass(frozen=True)
class Hello:
    """The agent's first words. `stream` names its spool; `schemas` are those of frames to come."""

    generation: int
    generation_min: int
    agent_id: str
    stream: str
    session: str
    next_seq: int
    time_ms: int
    version: str = ""
    schemas: List[int] = field(default_factory=list)  # noqa: UP006
    capabilities: List[str] = field(default_factory=list)  # noqa: UP006


@dataclass(frozen=True)
class Welcome:
    """The server's answer: what of the stream is durable, and which schemas it must be told."""

    generation: int
    time_ms: int
    window: int
    host: str
    durable: RangeList
    need_schemas: List[int]  # noqa: UP006


@dataclass(frozen=True)
class Schema:
    """A schema that frames will name; `packed` is zlib of its canonical bytes."""

    schema_id: int
    packed: bytes


@dataclass(frozen=True)
class Status:
    """How the agent is; sent every few seconds, and the heart-beat of an idle connection."""

    time_ms: int
    next_seq: int
    epoch_first_seq: int
    spool_bytes: int
    spool_frames: int
    dropped_frames: int
    offset_ms: float = 0.0


@dataclass(frozen=True)
class State:
    """Everything that the agent tells of itself; sent at first and when asked for.

    `release`: build, version, slot, sha256 (of the running file), generation. `config`: sha256 (of
    the signed configuration in use, or empty), effective_sha256, text, generation, drift (keys that
    differ from the signed one). `quarantined`: hashes that it went back from. `capabilities`: which
    kinds of directives it acts on.
    """

    facts: Dict[str, Any]  # noqa: UP006
    config: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006
    release: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006
    quarantined: List[str] = field(default_factory=list)  # noqa: UP006
    capabilities: List[str] = field(default_factory=list)  # noqa: UP006


@dataclass(frozen=True)
class Crossing:
    """A tripwire's threshold was crossed; sent at once, out of turn. `labels` say where on the
    host (a mount, a unit), without those that the server sets."""

    tripwire: str
    active: bool
    time_ms: int
    value: float
    labels: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006


@dataclass(frozen=True)
class Bye:
    """The agent goes on purpose: its silence is planned for `back_in_s` seconds."""

    reason: str
    back_in_s: float = 0.0


@dataclass(frozen=True)
class Time:
    """The agent asks what o'clock it is."""

    agent_ms: int


@dataclass(frozen=True)
class TimeReply:
    """The server's clock, with the agent's question beside it."""

    agent_ms: int
    server_ms: int


@dataclass(frozen=True)
class Ack:
    """Durable ranges of the stream, and how many frames may be in flight from now on."""

    window: int
    time_ms: int
    ranges: RangeList


@dataclass(frozen=True)
class Desired:
    """All that the host should run now; one entry is a `directive.Directive` as JSON. It takes the
    place of what was desired before, and an agent never accepts an older generation."""

    directives: List[Dict[str, Any]] = field(default_factory=list)  # noqa: UP006


@dataclass(frozen=True)
class Fetch:
    """The agent wants *length* bytes at *offset* of a published file. One at a time; `request`
    comes back with the answer."""

    request: int
    path: str
    offset: int
    length: int


@dataclass(frozen=True)
class Chunk:
    """The answer to a Fetch: a piece of a file of *total* bytes, which may be shorter than asked.
    `status`: 0 here it is, 1 there is no such file, 2 come again later."""

    request: int
    status: int
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True)
class Progress:
    """What became of a directive. `number` counts up per agent, for ever; kept on the agent's disk
    until a ProgressAck says that it is in the ledger. Steps: `directive.STEPS`."""

    number: int
    kind: str
    generation: int
    sha256: str
    step: str
    time_ms: int
    run: str = ""
    reason: str = ""
    detail: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006


@dataclass(frozen=True)
class ProgressAck:
    """Every Progress up to this number is in the ledger."""

    number: int


@dataclass(frozen=True)
class Tripwires:
    """Thresholds that the agent watches itself, ten times a second."""

    generation: int
    wires: List[Dict[str, Any]]  # noqa: UP006


@dataclass(frozen=True)
class SendState:
    """The server wants the full state."""


@dataclass(frozen=True)
class Enrol:
    """A new host introduces itself; the one-time token is in the HTTP request."""

    host: str
    facts: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006


@dataclass(frozen=True)
class Enrolled:
    """The new agent's identity. `secret` is stored by the agent with mode 0600, never logged.
    `root` is the signed metadata of the keys that changes must come from (JSON text; empty: this
    server delivers none)."""

    agent_id: str
    secret: str
    host: str
    ca_pem: str = ""
    root: str = ""


@dataclass(frozen=True)
class Error:
    """The server hangs up, and says why and when to come again."""

    code: str
    text: str
    retry_after_s: float = 0.0


_JSON_TYPES: dict[int, type[Any]] = {
    HELLO: Hello,
    STATUS: Status,
    STATE: State,
    CROSSING: Crossing,
    BYE: Bye,
    ENROL: Enrol,
    FETCH: Fetch,
    PROGRESS: Progress,
    WELCOME: Welcome,
    DESIRED: Desired,
    TRIPWIRES: Tripwires,
    SEND_STATE: SendState,
    ENROLLED: Enrolled,
    ERROR: Error,
}
_KIND_OF = {cls: kind for kind, cls in _JSON_TYPES.items()}
_HINTS = {cls: get_type_hints(cls) for cls in _JSON_TYPES.values()}

Message = Union[  # noqa: UP007  evaluated at run time on Python 3.10
    Hello, Welcome, Schema, Status, State, Crossing, Bye, Time, TimeReply, Ack, Desired,
    Tripwires, SendState, Enrol, Enrolled, Error, Fetch, Chunk, Progress, ProgressAck,
]  # fmt: skip


def pack(message: Message) -> bytes:
    """The bytes of any message but a frame, which is its lane's prefix and the frame's record."""
    if isinstance(message, Ack):
        head = _ACK_HEAD.pack(ACK, len(message.ranges), message.window, 0, message.time_ms)
        return head + b"".join([_RANGE.pack(*r) for r in message.ranges])
    if isinstance(message, Schema):
        return _SCHEMA_HEAD.pack(SCHEMA, message.schema_id) + message.packed
    if isinstance(message, Time):
        return _TIME.pack(TIME, message.agent_ms)
    if isinstance(message, TimeReply):
        return _TIME_REPLY.pack(TIME_REPLY, message.agent_ms, message.server_ms)
    if isinstance(message, Chunk):
        head = _CHUNK_HEAD.pack(
            CHUNK, message.status, 0, message.request, message.offset, message.total
        )
        return head + message.data
    if isinstance(message, ProgressAck):
        return _PROGRESS_ACK.pack(PROGRESS_ACK, message.number)
    body = json.dumps(vars(message), separators=(",", ":"), allow_nan=False)
    return bytes([_KIND_OF[type(message)]]) + body.encode()


def unpack(data: bytes) -> Message:
    """A message that is not a frame. Raises ProtocolError `bad_message` or `too_large`."""
    if not data:
        raise ProtocolError("bad_message", "empty")
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolError("too_large", f"{len(data)} bytes")
    kind = data[0]
    try:
        if kind == ACK:
            return _unpack_ack(data)
        if kind == SCHEMA:
            _, schema_id = _SCHEMA_HEAD.unpack_from(data)
            return Schema(schema_id, data[_SCHEMA_HEAD.size :])
        if kind == TIME:
            return Time(_TIME.unpack(data)[1])
        if kind == TIME_REPLY:
            return TimeReply(*_TIME_REPLY.unpack(data)[1:])
        if kind == CHUNK:
            return _unpack_chunk(data)
        if kind == PROGRESS_ACK:
            return ProgressAck(_PROGRESS_ACK.unpack(data)[1])
    except struct.error as error:
        raise ProtocolError("bad_message", f"kind {kind:#04x}: {error}") from None
    cls = _JSON_TYPES.get(kind)
    if cls is None:
        raise ProtocolError("bad_message", f"unknown kind {kind:#04x}")
    if len(data) > JSON_BYTES_MAX:
        raise ProtocolError("too_large", f"{len(data)} bytes of JSON")
    try:
        body = json.loads(data[1:])
    except (ValueError, RecursionError):
        raise ProtocolError("bad_message", f"kind {kind:#04x} is not JSON") from None
    if not isinstance(body, dict):
        raise ProtocolError("bad_message", f"kind {kind:#04x} is not an object")
    message: Message = _build(cls, body)
    return message


def _unpack_ack(data: bytes) -> Ack:
    _, count, window, _, time_ms = _ACK_HEAD.unpack_from(data)
    if count > RANGES_PER_MESSAGE_MAX or len(data) != _ACK_HEAD.size + count * _RANGE.size:
        raise ProtocolError("bad_message", "an ack's length does not fit")
    ranges = [_RANGE.unpack_from(data, _ACK_HEAD.size + i * _RANGE.size) for i in range(count)]
    return Ack(window, time_ms, _checked_ranges(ranges))


def _unpack_chunk(data: bytes) -> Chunk:
    _, status, _, request, offset, total = _CHUNK_HEAD.unpack_from(data)
    piece = data[_CHUNK_HEAD.size :]
    if len(piece) > CHUNK_BYTES_MAX:
        raise ProtocolError("too_large", f"a chunk of {len(piece)} bytes")
    if status > CHUNK_LATER or (status != CHUNK_HERE and piece):
        raise ProtocolError("bad_message", f"a chunk of status {status}")
    if offset + len(piece) > total and status == CHUNK_HERE:
        raise ProtocolError("bad_message", "a chunk goes beyond its file's end")
    return Chunk(request, status, offset, total, piece)


def _checked_ranges(ranges: Sequence[Any]) -> RangeList:
    out: RangeList = []
    for item in ranges:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise ProtocolError("bad_message", "a range is two numbers")
        low, high = item
        if not _is_u63(low) or not _is_u63(high) or low > high:
            raise ProtocolError("bad_message", f"not a range: {low!r}..{high!r}")
        out.append((low, high))
    return out


def _is_u63(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


T = TypeVar("T")


def _build(cls: Type[T], body: Mapping[str, Any]) -> T:  # noqa: UP006
    known: dict[str, Any] = {}
    for name, hint in _HINTS[cls].items():
        if name in body:
            known[name] = _checked(cls.__name__, name, hint, body[name])
    try:
        return cls(**known)
    except TypeError:
        missing = [n for n in _HINTS[cls] if n not in known]
        raise ProtocolError("bad_message", f"{cls.__name__} lacks {missing}") from None


def _checked(message: str, name: str, hint: Any, value: Any) -> Any:
    if hint == RangeList and isinstance(value, list) and len(value) <= RANGES_PER_MESSAGE_MAX:
        return _checked_ranges(value)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return int(value)
    if hint is float and isinstance(value, (int, float)) and abs(value) < 1e300:
        return float(value)
    if hint is str and isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ProtocolError("bad_message", f"{message}.{name} is not valid UTF-8") from None
        return value
    if hint == Dict[str, Any] and isinstance(value, dict):  # noqa: UP006
        return value
    if hint == List[int] and isinstance(value, list) and len(value) <= SCHEMAS_PER_HELLO_MAX:  # noqa: UP006
        if all(isinstance(v, int) and 0 <= v < 1 << 64 for v in value):
            return value
    elif hint == List[str] and isinstance(value, list):  # noqa: UP006
        if all(isinstance(v, str) for v in value):
            return value
    elif (
        hint == List[Dict[str, Any]]  # noqa: UP006
        and isinstance(value, list)
        and all(isinstance(v, dict) for v in value)
    ):
        return value
    raise ProtocolError("bad_message", f"{message}.{name} cannot be {str(value)[:60]!r}")
