"""Our part of TOML reads as `tomllib` reads it, and refuses the rest by line."""

from __future__ import annotations

from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from vezha.agent.toml import TomlError, dump, parse

_key = st.text("abcXYZ019_-", min_size=1, max_size=6) | st.text(
    st.characters(codec="utf-8", exclude_categories=["C"]), min_size=0, max_size=5
)
_scalar = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
)
_value = _scalar | st.lists(_scalar, max_size=4)
_tables = st.dictionaries(_key, st.dictionaries(_key, _value, max_size=4) | _value, max_size=5)


def write(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(
            f"\\u{ord(c):04X}" if ord(c) < 32 or ord(c) == 127 else c
            for c in value.replace("\\", "\\\\").replace('"', '\\"')
        )
        return f'"{escaped}"'
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    return str(value)


def document(tables: dict[str, Any]) -> str:
    """A document of plain values first, then tables."""
    lines = [
        f"{write(k)} = {write(v)} # note" for k, v in tables.items() if not isinstance(v, dict)
    ]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{write(name)}]"]
            lines += [f"{write(k)}={write(v)}" for k, v in table.items()]
    return "\n".join(lines)


@given(_tables)
def test_it_reads_what_tomllib_reads(tables: dict[str, Any]) -> None:
    text = document(tables)
    assert parse(text) == tomllib.loads(text) == tables


@given(st.text(" ab=\"'[]{}.,#\n\\-+_0123456789truefalsn", max_size=40))
def test_what_it_accepts_tomllib_reads_alike(text: str) -> None:
    try:
        ours = parse(text)
    except TomlError:
        return
    try:
        theirs = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # We are laxer only in when a table may be opened again.
        assert any(w in str(error) for w in ("Cannot", "twice", "overwrite")), (text, error)
        return
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb 2", "line 2: = is expected"),
        ("a = 1979-05-27", "line 1: unexpected text"),
        ("a = {b = 1}", "line 1: a value is expected"),
        ("[[a]]", "line 1: arrays of tables"),
        ("a = 1\n\na = 2", "line 3: a is set twice"),
        ("[a]\n[b]\n[a]", "line 3: table [a] stands here twice"),
        ('a = """x"""', "line 1: "),
        ("a = 0x1f", "line 1: unexpected text"),
        ("a = 'x", "line 1: a value is expected"),
        ('a = "\\q"', "unknown escape \\q"),
        ("a = [1 2]", "a comma or ]"),
        ("a = 1\nb = 2 c = 3", "line 2: unexpected text"),
        ("a = \x00", "a control character"),
        ("a = 1\n[a.b]\n", "a is a value"),
    ],
)
def test_it_refuses_by_line(text: str, said: str) -> None:
    with pytest.raises(TomlError) as error:
        parse(text)
    assert said in str(error.value)


@given(_tables)
def test_what_it_writes_it_reads(tables: dict[str, Any]) -> None:
    text = dump(tables)
    assert parse(text) == tables == tomllib.loads(text)
    assert dump(dict(reversed(tables.items()))) == text
