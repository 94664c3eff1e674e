"""Query text to tokens, with offsets.

Rules: a keyword is an identifier until the parser wants it otherwise, for every keyword but
`bool`, `on` and the like may also name a metric. Inside brackets a colon separates; elsewhere
it belongs to names. Only `ParseError` escapes, whatever the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from vezha.query.errors import ParseError


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "identifier"
    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    OPERATOR = "operator"
    END = "end of input"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as written; for strings `value` is the decoded content, for numbers `number`."""

    kind: Kind
    text: str
    start: int
    end: int
    value: str = ""
    number: float = 0.0

    def shown(self) -> str:
        """The token in an error message."""
        if self.kind is Kind.END:
            return "end of input"
        if self.kind is Kind.OPERATOR:
            return f"<op:{self.text}>" if self.text not in "(){}[],:@" else f'"{self.text}"'
        if self.kind is Kind.STRING:
            return f"string {self.text}"
        return f'{self.kind.value} "{self.text}"'


_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORD = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?"
)
_DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m(?!s))?"
    r"(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_UNIT_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_DURATION_MS_MAX = 2**63 // 1_000_000
_OPERATORS = (
    "==", "!=", "=~", "!~", "<=", ">=", "</", ">/",
    "(", ")", "{", "}", "[", "]", ",", ":", "@", "+", "-", "*", "/", "%", "^", "<", ">", "=",
)  # fmt: skip
_OPERATOR = re.compile("|".join(re.escape(op) for op in _OPERATORS))
_ALNUM = re.compile(r"[a-zA-Z0-9_.]+")


def tokenize(query: str) -> list[Token]:
    """The tokens of *query*, the last of kind END. Raises ParseError."""
    tokens: list[Token] = []
    brackets: list[str] = []
    at = 0
    size = len(query)
    while True:
        space = _SPACE.match(query, at)
        if space:
            at = space.end()
        if at >= size:
            break
        token = _next(query, at, "[" in brackets[-1:])
        if token.kind is Kind.OPERATOR:
            _track(query, token, brackets)
        tokens.append(token)
        at = token.end
    if brackets:
        word = {"(": "parenthesis", "{": "brace", "[": "bracket"}[brackets[-1]]
        raise ParseError(f"unclosed left {word}", query, size, size)
    tokens.append(Token(Kind.END, "", size, size))
    return tokens


def _track(query: str, token: Token, brackets: list[str]) -> None:
    """Keep the open brackets; a closing one must fit."""
    text = token.text
    if text in ("(", "{", "["):
        brackets.append(text)
        return
    opening = {")": "(", "}": "{", "]": "["}.get(text)
    if opening is None:
        return
    if not brackets or brackets[-1] != opening:
        word = {")": "parenthesis", "}": "brace", "]": "bracket"}[text]
        raise ParseError(f"unexpected right {word} '{text}'", query, token.start, token.end)
    brackets.pop()


def _next(query: str, at: int, in_brackets: bool) -> Token:
    char = query[at]
    if char in "\"'`":
        return _string(query, at)
    if char.isascii() and (char.isdigit() or (char == "." and query[at + 1 : at + 2].isdigit())):
        return _number(query, at)
    name = (_WORD if in_brackets else _NAME).match(query, at)
    if name:
        return Token(Kind.IDENTIFIER, name.group(), at, name.end())
    operator = _OPERATOR.match(query, at)
    if operator:
        return Token(Kind.OPERATOR, operator.group(), at, operator.end())
    raise ParseError(f"unexpected character: {_go_char(char)}", query, at, at + 1)


def _go_char(char: str) -> str:
    return f"'{char}'" if char.isprintable() else repr(char)


def _number(query: str, at: int) -> Token:
    duration = _DURATION.match(query, at)
    if duration and duration.end() > at and not _ALNUM.match(query, duration.end()):
        total = sum(
            int(count) * unit
            for count, unit in zip(duration.groups(), _UNIT_MS, strict=True)
            if count is not None and len(count) < 20
        )
        if total > _DURATION_MS_MAX or any(len(g or "") >= 20 for g in duration.groups()):
            raise ParseError("duration out of range", query, at, duration.end())
        text = duration.group()
        return Token(Kind.DURATION, text, at, duration.end(), number=total / 1000)
    number = _NUMBER.match(query, at)
    assert number is not None, "called on a digit"
    if _ALNUM.match(query, number.end()):
        word = _ALNUM.match(query, at)
        text = word.group() if word else ""
        raise ParseError(f'bad number or duration syntax: "{text}"', query, at, at + len(text))
    text = number.group()
    return Token(Kind.NUMBER, text, at, number.end(), number=parse_number(text, query, at))


def parse_number(text: str, query: str = "", at: int = 0) -> float:
    """The value of a number literal (decimal, hexadecimal, underscores). Raises ParseError."""
    plain = text.replace("_", "")
    try:
        if plain[:2].lower() == "0x":
            value = float(int(plain, 16))
        elif (
            len(plain) > 1 and plain[0] == "0" and plain.isdigit() and set(plain) <= set("01234567")
        ):
            value = float(int(plain, 8))  # as Go reads integers
        else:
            value = float(plain)
    except (ValueError, OverflowError):
        message = f'error parsing number: strconv.ParseFloat: parsing "{text}": invalid syntax'
        raise ParseError(message, query, at, at + len(text)) from None
    return value


_ESCAPE = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "\\": b"\\", "'": b"'", '"': b'"',
}  # fmt: skip
_PLAIN = re.compile(r"[^\\\"'\n]+")


def _string(query: str, at: int) -> Token:
    quote = query[at]
    if quote == "`":
        close = query.find("`", at + 1)
        if close < 0:
            raise ParseError("unterminated raw string", query, at, len(query))
        text = query[at : close + 1]
        return Token(Kind.STRING, text, at, close + 1, value=text[1:-1].replace("\r", ""))
    out = bytearray()
    here = at + 1
    while True:
        plain = _PLAIN.match(query, here)
        if plain:
            out += plain.group().encode()
            here = plain.end()
        char = query[here : here + 1]
        if char == "" or char == "\n":
            raise ParseError("unterminated quoted string", query, at, here)
        if char == quote:
            break
        if char == "\\":
            chunk, here = _escape(query, here)
            out += chunk
        else:
            out += char.encode()
            here += 1
    value = out.decode("utf-8", "surrogateescape")
    return Token(Kind.STRING, query[at : here + 1], at, here + 1, value=value)


def _escape(query: str, at: int) -> tuple[bytes, int]:
    """The bytes that an escape sequence stands for, and where it ends (Go's rules)."""
    char = query[at + 1 : at + 2]
    if char in _ESCAPE and char:
        return _ESCAPE[char], at + 2
    digits, base, skip = {"x": (2, 16, 2), "u": (4, 16, 2), "U": (8, 16, 2)}.get(char, (3, 8, 1))
    text = query[at + skip : at + skip + digits]
    allowed = "0123456789abcdefABCDEF" if base == 16 else "01234567"
    if char == "" or len(text) < digits or any(c not in allowed for c in text):
        raise ParseError(f"unknown escape sequence {query[at : at + 2]!r}", query, at, at + 2)
    code = int(text, base)
    if char in ("u", "U"):
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ParseError("escape sequence is an invalid Unicode code point", query, at, at + 2)
        return chr(code).encode(), at + skip + digits
    if code > 255:
        raise ParseError("octal escape value > 255", query, at, at + 4)
    return bytes([code]), at + skip + digits
