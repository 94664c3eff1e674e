"""Reading what a request brings: bounded, typed, with errors that name the field."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, get_origin
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.requests import Request

from vezha.api import limits
from vezha.api.errors import ApiError, InvalidError

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_JSON = ("application/json", "text/json")
_FORM = "application/x-www-form-urlencoded"


async def read_bytes(request: Request, bytes_max: int) -> bytes:
    """The body. Raises `ApiError` 413 as soon as it is longer than *bytes_max*."""
    too_long = ApiError(413, "too_long", f"The body is longer than {bytes_max} bytes.")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > bytes_max:
        raise too_long
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_long
        chunks.append(chunk)
    return b"".join(chunks)


def decode_json(data: bytes, content_type: str, wanted: Any) -> Any:
    """The body as an instance of the msgspec type *wanted*. Raises `ApiError` 400 or 415."""
    if content_type.split(";")[0].strip().lower() not in _JSON:
        raise ApiError(415, "not_json", "Send the body as application/json.")
    if not data:
        raise InvalidError("The body is empty; a JSON object is expected.")
    try:
        return _decoder(wanted).decode(data)
    except msgspec.ValidationError as e:
        raise _field_error(e) from e
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidError(f"The body is not JSON: {e}") from e


def read_form(data: bytes, content_type: str) -> list[tuple[str, str]]:
    """Pairs of a form body. Raises `ApiError`."""
    if not data:
        return []
    if content_type.split(";")[0].strip().lower() != _FORM:
        raise ApiError(415, "not_form", f"Send the body as {_FORM}.")
    try:
        return parse_qsl(
            data.decode(), keep_blank_values=True, max_num_fields=limits.FORM_FIELDS_MAX
        )
    except (ValueError, UnicodeDecodeError) as e:
        raise InvalidError(f"The form cannot be read: {e}") from e


def read_query(raw: bytes) -> list[tuple[str, str]]:
    """Pairs of a query string, as browsers mean them; what is not UTF-8 becomes replacement
    characters."""
    pairs = []
    for part in raw.decode("latin-1").split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_unescaped(name), _unescaped(value)))
    return pairs


def _unescaped(text: str) -> str:
    if "%" not in text:
        return text.replace("+", " ")
    # queries are asked again and again; long ones are not kept
    return _kept(text) if len(text) <= limits.ESCAPED_KEPT_CHARS_MAX else _unquoted(text)


def _unquoted(text: str) -> str:
    return unquote(text.replace("+", " "))


_kept = lru_cache(limits.ESCAPED_KEPT)(_unquoted)


def convert_parameters(pairs: list[tuple[str, str]], wanted: Any) -> Any:
    """Query parameters as an instance of the msgspec Struct *wanted*.

    Where a field is a list or tuple, it collects all of its parameters; else the first one
    counts. Unknown parameters are left alone: clients send extras.
    """
    many = _collecting(wanted)
    values: dict[str, Any] = {}
    for name, value in pairs:
        collects = many.get(name)
        if collects is None:
            continue
        if collects:
            values.setdefault(name, []).append(value)
        elif name not in values:
            values[name] = value
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as e:
        raise _field_error(e) from e


@lru_cache(maxsize=256)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


@lru_cache(maxsize=256)
def _collecting(wanted: Any) -> dict[str, bool]:
    return {
        f.encode_name: get_origin(f.type) in (list, tuple) for f in msgspec.structs.fields(wanted)
    }


def _field_error(error: msgspec.ValidationError) -> InvalidError:
    match = _AT.match(str(error))
    assert match is not None
    what = match["what"].replace("`", "")
    path = (match["path"] or "").lstrip(".")
    missing = re.search(r"required field (\S+)", what)
    unknown = re.search(r"unknown field (\S+)", what)
    found = missing or unknown
    if found is not None:
        name = f"{path}.{found[1]}".lstrip(".")
        return InvalidError(f"The field {name} is {'missing' if missing else 'unknown'}.", name)
    return InvalidError(f"{path or 'The body'}: {what}.", path or None)
