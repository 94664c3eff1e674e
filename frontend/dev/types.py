"""TypeScript types of the API, from the server's own description (OpenAPI).

    .venv/bin/python frontend/dev/types.py frontend/src/api/schema.ts

The file is made before each check of types and never kept in the repository, so it cannot be out
of date: a field that a page reads and the server no longer sends fails the check.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec.inspect

from vezha.api.openapi import describe
from vezha.server.web import ROUTES

_HEAD = "/** Made by dev/types.py from the server's description of its API. Do not edit. */\n"
_SIMPLE = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}  # fmt: skip


def identifier(name: str) -> str:
    """A schema's name: of two with one name, the description says the module's name, too."""
    return re.sub(r"\W+", "_", name)


def typescript(schema: dict[str, Any]) -> str:
    """A JSON schema as a type; what it does not say is `unknown`."""
    if "$ref" in schema:
        return identifier(str(schema["$ref"]).rsplit("/", 1)[1])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(typescript(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        inside = typescript(schema.get("items") or {})
        return f"({inside})[]" if " " in inside else f"{inside}[]"
    if kind == "object":
        inside = schema.get("additionalProperties")
        return f"Record<string, {typescript(inside) if isinstance(inside, dict) else 'unknown'}>"
    return _SIMPLE.get(str(kind), "unknown")


def structs(roots: list[Any]) -> dict[str, type]:
    """All msgspec structs that can be reached from `roots`, by name."""
    found: dict[str, type] = {}

    def visit(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls.__name__ in found:
                return
            found[info.cls.__name__] = info.cls
            found[f"{info.cls.__module__}.{info.cls.__name__}"] = info.cls
        for name in getattr(info, "__struct_fields__", ()):
            value = getattr(info, name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, msgspec.Struct):
                    visit(one)

    for root in roots:
        visit(msgspec.inspect.type_info(root))
    return found


def interface(name: str, schema: dict[str, Any], sparse: bool) -> str:
    """One struct. `sparse`: fields with a default may be absent."""
    required = set(schema.get("required", ()))
    lines = [f"export interface {identifier(name)} {{"]
    for field, shape in schema.get("properties", {}).items():
        absent = "?" if sparse and field not in required else ""
        key = field if re.fullmatch(r"[A-Za-z_]\w*", field) else f"'{field}'"
        lines.append(f"  {key}{absent}: {typescript(shape)}")
    return "\n".join([*lines, "}"])


def document() -> str:
    """The whole file."""
    schemas: dict[str, Any] = describe(ROUTES)["components"]["schemas"]
    sent = structs([r.body for r in ROUTES if r.body is not None])
    answered = structs([r.result for r in ROUTES if r.result is not None])
    parts = [_HEAD]
    for name in sorted(schemas):
        schema = schemas[name]
        if schema.get("type") != "object" or "properties" not in schema:
            parts.append(f"export type {identifier(name)} = {typescript(schema)}")
            continue
        cls = answered.get(name)
        always = cls is not None and not cls.__struct_config__.omit_defaults  # type: ignore[attr-defined]
        parts.append(interface(name, schema, sparse=not always or name in sent))
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    text = document()
    if not target.is_file() or target.read_text("utf-8") != text:
        target.write_text(text, "utf-8")
