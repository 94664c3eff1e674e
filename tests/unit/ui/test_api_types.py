"""The types of the API that the pages are checked against come from the server's description."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from vezha.api.openapi import describe
from vezha.server.web import ROUTES

SCRIPT = Path(__file__).parents[3] / "frontend" / "dev" / "types.py"


class Inner(msgspec.Struct):
    a: int


class Outer(msgspec.Struct):
    inner: list[Inner | None]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vezha_dev_types", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"type": "integer"}, "number"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number | null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/HostView"}}, "HostView[]"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
         "(string | null)[]"),
        ({"enum": ["admin", "viewer"]}, "'admin' | 'viewer'"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "Record<string, string>"),
        ({"type": "object"}, "Record<string, unknown>"),
        ({}, "unknown"),
    ],
)  # fmt: skip
def test_a_shape_is_written(script: ModuleType, schema: dict[str, object], written: str) -> None:
    assert script.typescript(schema) == written


def test_a_field_with_a_default_may_be_left_out_only_of_what_is_sent(script: ModuleType) -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    assert script.interface("T", schema, sparse=True) == (
        "export interface T {\n  a: string\n  b?: string\n}"
    )
    assert "?" not in script.interface("T", schema, sparse=False)


def test_structs_are_found_inside_others(script: ModuleType) -> None:
    found = script.structs([dict[str, Outer]])
    assert (found["Outer"], found["Inner"]) == (Outer, Inner)


def test_every_schema_is_there(script: ModuleType) -> None:
    text = script.document()
    for name in describe(ROUTES)["components"]["schemas"]:
        written = script.identifier(name)
        assert f"export interface {written} " in text or f"export type {written} " in text
