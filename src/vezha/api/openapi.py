"""The API's description (OpenAPI 3.1), made from the table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vezha import __version__
from vezha.access import ACTIONS
from vezha.api.route import Route

_REFERENCE = "#/components/schemas/{name}"


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong: a code for programs, a sentence for people, the field if there is one."""

    code: str
    message: str
    field: str = ""


class ErrorView(msgspec.Struct):
    """Every answer that is not a success."""

    error: ErrorDetail


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The description as a JSON-able document."""
    types = [t for r in routes for t in (r.body, r.result, _form_of(r)) if t is not None]
    unique = list(dict.fromkeys([*types, ErrorView]))
    shown, components = msgspec.json.schema_components(unique, ref_template=_REFERENCE)
    schemas = dict(zip(unique, shown, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.websocket:
            continue
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vezha", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-vezha"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    rule = ACTIONS[route.action]
    role = rule.role.value if rule.role else "anyone"
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{_identifier(route.path)}",
        "summary": route.summary,
        "description": f"Action `{route.action.value}`; role: {role}.",
        "tags": [route.tag],
        "parameters": _parameters(route),
        "responses": {
            str(route.status): _success(route, schemas),
            "default": {
                "description": "An error.",
                "content": {"application/json": {"schema": schemas[ErrorView]}},
            },
        },
        "security": [] if rule.role is None else [{"session": []}, {"token": []}],
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    form = _form_of(route)
    if form is not None:
        operation["requestBody"] = {
            "content": {"application/x-www-form-urlencoded": {"schema": schemas[form]}}
        }
    return operation


def _form_of(route: Route) -> type[Any] | None:
    return route.query if route.form and route.method == "POST" else None


def _success(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    if route.result is None:
        return {"description": "Done."}
    return {
        "description": "Done.",
        "content": {"application/json": {"schema": schemas[route.result]}},
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.parameters
    ]
    if route.query is None:
        return found
    _, components = msgspec.json.schema_components([route.query], ref_template=_REFERENCE)
    schema = components[route.query.__name__]
    required = schema.get("required", [])
    for name, shape in schema["properties"].items():
        found.append({"name": name, "in": "query", "required": name in required, "schema": shape})
    return found


def _identifier(path: str) -> str:
    return "_".join(part.strip("{}").replace(":path", "") for part in path.split("/") if part)
