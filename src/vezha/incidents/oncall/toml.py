"""A document as TOML text: the few shapes that ours have, tables of tables and inline tables. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_INLINE = ("windows",)
"""Lists of tables that stand on one line each."""


def as_toml(document: Mapping[str, Any]) -> str:
    """The text; `tomllib` reads it back as it was."""
    lines: list[str] = []
    _write(document, "", lines)
    return "\n".join(lines).strip() + "\n" if lines else ""


def _write(table: Mapping[str, Any], path: str, lines: list[str]) -> None:
    nested = {k: v for k, v in table.items() if _is_tables(k, v)}
    for key, value in table.items():
        if key not in nested:
            lines.append(f"{key} = {_value(value)}")
    for key, value in nested.items():
        inner = f"{path}.{key}" if path else key
        for one in value:
            lines += ["", f"[[{inner}]]"]
            _write(one, inner, lines)


def _is_tables(key: str, value: object) -> bool:
    return (
        key not in _INLINE
        and isinstance(value, list)
        and bool(value)
        and all(isinstance(v, Mapping) for v in value)
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    # JSON's escapes are TOML's; but DEL, which only TOML wants escaped
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
