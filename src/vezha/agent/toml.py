"""The part of TOML that `agent.toml` needs, on every Python and without `tomllib`'s memory.

Understood: tables (`[a.b]`, quoted parts), `key = value` with bare, quoted or dotted keys, basic
and literal one-line strings, integers (with `_`), floats, booleans, arrays of these over any
number of lines, comments. Refused with the line's number: everything else of TOML 1.0 (dates,
inline tables, arrays of tables, multi-line strings, other bases). What is understood reads
exactly as `tomllib` reads it; a property test compares them.
"""

from __future__ import annotations

import re
from typing import Union

Value = Union[str, int, float, bool, "list[Value]"]
Table = dict[str, Union[Value, "Table"]]

_KEY_PART = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')[ \t]*""")
_STRING = re.compile(r"""(?!\"\"\")"((?:[^"\\\n]|\\.)*)"|(?!''')'([^'\n]*)'""")
_NUMBER = re.compile(
    r"[+-]?(?:inf|nan|(?:0|[1-9](?:_?[0-9])*)(\.[0-9](?:_?[0-9])*)?([eE][+-]?[0-9](?:_?[0-9])*)?)"
)
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_LINE_END = re.compile(r"[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
_WORD_END = re.compile(r"[\s,\]#]|\Z")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class TomlError(ValueError):
    """The text is not in the understood part of TOML; the message names the line."""


def parse(text: str) -> Table:
    """The tables of *text*. Raises `TomlError`."""
    return _Parser(text).document()


def dump(table: Table) -> str:
    """*table* as text: the same tables give the same text, which `parse` reads back."""
    lines: list[str] = []
    _dump(table, (), lines)
    return "\n".join(lines) + "\n" if lines else ""


def _dump(table: Table, path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    if path and (plain or not table):
        lines.append(f"[{'.'.join(map(_key, path))}]")
    lines.extend(f"{_key(key)} = {_written(plain[key])}" for key in sorted(plain))
    for key in sorted(table):
        inner = table[key]
        if isinstance(inner, dict):
            _dump(inner, (*path, key), lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        control = _CONTROL.search(text)
        if control is not None:
            self._at = control.start()
            raise self._error("a control character")

    def document(self) -> Table:
        root: Table = {}
        table = root
        opened: set[tuple[str, ...]] = set()
        self._skip_space()
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                raise self._error("arrays of tables ([[…]]) are not supported here")
            if self._text[self._at] == "[":
                self._at += 1
                path = self._key()
                self._expect("]")
                self._end_line()
                if tuple(path) in opened:
                    raise self._error(f"table [{'.'.join(path)}] stands here twice")
                opened.add(tuple(path))
                table = self._descend(root, path)
            else:
                path = self._key()
                self._expect("=")
                holder = self._descend(table, path[:-1])
                if path[-1] in holder:
                    raise self._error(f"{path[-1]} is set twice")
                holder[path[-1]] = self._value()
                self._end_line()
            self._skip_space()
        return root

    def _descend(self, table: Table, path: list[str]) -> Table:
        for part in path:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                raise self._error(f"{part} is a value and cannot hold other keys")
            table = inner
        return table

    def _key(self) -> list[str]:
        parts = []
        while True:
            match = _KEY_PART.match(self._text, self._at)
            if match is None:
                raise self._error("a key is expected here, such as: server = …")
            bare, basic, literal = match.groups()
            if bare is not None:
                parts.append(bare)
            else:
                parts.append(self._unescape(basic) if basic is not None else literal)
            self._at = match.end()
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self) -> Value:
        self._at = self._match(re.compile(r"[ \t]*")).end()
        if self._text.startswith("[", self._at):
            return self._array()
        string = _STRING.match(self._text, self._at)
        if string is not None:
            self._at = string.end()
            basic, literal = string.groups()
            return self._unescape(basic) if basic is not None else str(literal)
        for word, value in (("true", True), ("false", False)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                self._match(_WORD_END)
                return value
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._error('a value is expected: "text", a number, true, false or [a list]')
        self._at = number.end()
        self._match(_WORD_END)
        digits = number.group().replace("_", "")
        if number.group(1) or number.group(2) or digits.lstrip("+-") in ("inf", "nan"):
            return float(digits)
        return int(digits)

    def _array(self) -> list[Value]:
        self._at += 1
        items: list[Value] = []
        while True:
            self._skip_space()
            if self._text.startswith("]", self._at):
                self._at += 1
                return items
            items.append(self._value())
            self._skip_space()
            if self._text.startswith(",", self._at):
                self._at += 1
            elif not self._text.startswith("]", self._at):
                raise self._error("a comma or ] is expected in the list")

    def _unescape(self, text: str) -> str:
        def one(match: re.Match[str]) -> str:
            code = match.group(1)
            if code[0] in "uU" and len(code) > 1:
                number = int(code[1:], 16)
                if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                    raise self._error(f"\\{code} is no character")
                return chr(number)
            if code not in _ESCAPES:
                raise self._error(f"unknown escape \\{code}; write \\\\ for a backslash")
            return _ESCAPES[code]

        return _ESCAPE.sub(one, text)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._error("unexpected text")
        return match

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise self._error(f"{sign} is expected here")
        self._at += len(sign)

    def _end_line(self) -> None:
        self._at = self._match(_LINE_END).end()

    def _skip_space(self) -> None:
        self._at = self._match(_SPACE).end()

    def _error(self, what: str) -> TomlError:
        line = self._text.count("\n", 0, self._at) + 1
        return TomlError(f"line {line}: {what}")
