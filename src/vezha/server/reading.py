"""How settings are read: one value at a time from text or TOML into a dataclass's field.

Rule 1: a name that no section has is an error, wherever it stands.
Rule 2: every error names the setting as the operator wrote it, what it got, and what fits.
Rule 3: text (environment, command line) is parsed by the field's type; TOML must have that
type already, except that durations ("30d"), sizes ("2 GiB") and addresses are strings.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import tomllib

from vezha.server.errors import SettingError
from vezha.server.limits import SECRET_FILE_BYTES_MAX, SETTINGS_FILE_BYTES_MAX

PREFIX = "VEZHA_"
OTHERS = (
    "VEZHA_STATE",
    "VEZHA_LIFELINE_FD",
    "VEZHA_AGENT_",
    "VEZHA_TEST_",
    "VEZHA_BUILD_",
    "VEZHA_SECRET_",
    "VEZHA_SKIP_UI",
    "VEZHA_UI_OUT",
)
"""Names (or beginnings) in the environment that are not settings of the server."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|y)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Address(NamedTuple):
    """Where to listen; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_duration(text: str) -> float:
    """Seconds of "90", "1.5h" or "1d12h". Raises ValueError."""
    stripped = text.strip()
    try:
        return float(stripped)
    except ValueError:
        pass
    parts = _DURATION.findall(stripped)
    if not parts or _DURATION.sub("", stripped).strip():
        raise ValueError("a duration such as 45s, 12h or 30d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(text: str) -> int:
    """Bytes of "4096", "2 GiB" or "500MB". Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError("a size such as 512MiB or 20GB")
    number, prefix, binary = match.groups()
    power = " kmgt".index(prefix.lower() or " ")
    return int(float(number) * (1024 if binary else 1000) ** power)


def parse_address(text: str) -> Address:
    """Host and port of "127.0.0.1:8470", "[::1]:8470" or ":8470". Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    wrong = ":" in bare and not host.startswith("[")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or wrong:
        raise ValueError("an address such as 127.0.0.1:8470")
    return Address(bare or "0.0.0.0", int(port))  # noqa: S104 - ":port" means everywhere


def read_sections(
    sections: Mapping[str, type[Any]],
    file: Path,
    environment: Mapping[str, str],
    assignments: Sequence[str],
) -> dict[str, Any]:
    """One filled dataclass for each of *sections*. Raises `SettingError`."""
    values: dict[str, dict[str, Any]] = {name: {} for name in sections}
    _read_file(sections, file, values)
    _read_environment(sections, environment, values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise SettingError(f"--set takes section.key=value, not {assignment!r}")
        _assign(sections, values, section, key, text, f"--set {name.strip()}", file.parent)
    return {name: kind(**values[name]) for name, kind in sections.items()}


def _read_file(
    sections: Mapping[str, type[Any]], file: Path, values: dict[str, dict[str, Any]]
) -> None:
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingError(f"cannot read {file}: {error.strerror}") from error
    if len(raw) > SETTINGS_FILE_BYTES_MAX:
        raise SettingError(f"{file} has more than {SETTINGS_FILE_BYTES_MAX} bytes")
    try:
        tables = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not TOML: {error}") from error
    for section, table in tables.items():
        if section not in sections:
            raise SettingError(_unknown(f"[{section}] in {file}", section, sections))
        if not isinstance(table, dict):
            raise SettingError(f"{section} in {file} must be a section: write [{section}]")
        for key, value in table.items():
            _assign(
                sections, values, section, key, value, f"{section}.{key} in {file}", file.parent
            )


def _read_environment(
    sections: Mapping[str, type[Any]],
    environment: Mapping[str, str],
    values: dict[str, dict[str, Any]],
) -> None:
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name.startswith(OTHERS):
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("_")
        if section not in sections:
            known = [f"{PREFIX}{s.upper()}_..." for s in sections]
            raise SettingError(
                f"{name} in the environment is not a setting: unset it, or use one of "
                f"{', '.join(known)}"
            )
        _assign(sections, values, section, key, environment[name], name, Path())


def _assign(
    sections: Mapping[str, type[Any]],
    values: dict[str, dict[str, Any]],
    section: str,
    key: str,
    value: object,
    written: str,
    folder: Path,
) -> None:
    """Put *value* into *values* under the field that *section* and *key* name.

    *written* is the setting as the operator wrote it; relative secret files are looked for in
    *folder*.
    """
    if section not in sections:
        raise SettingError(_unknown(written, section, sections))
    known = {f.name: f for f in fields(sections[section])}
    stem = key.removesuffix("_file")
    if key not in known and stem in known and known[stem].metadata.get("secret"):
        if not isinstance(value, str):
            raise SettingError(f"{written} must be the path of a file")
        value, key = _secret(folder / value, written), stem
    if key not in known:
        names = [n for n, f in known.items()]
        names += [f"{n}_file" for n, f in known.items() if f.metadata.get("secret")]
        raise SettingError(_unknown(written, key, names))
    kind = get_type_hints(sections[section])[key]
    try:
        row_kind = _row_kind(kind)
        if row_kind is not None:
            values[section][key] = _rows(value, row_kind, section, key, written)
        else:
            values[section][key] = _convert(value, known[key], kind)
    except ValueError as error:
        raise SettingError(f"{written} is {value!r} but must be {error}") from error


def _secret(file: Path, written: str) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(SECRET_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingError(f"{written}: cannot read {file}: {error.strerror}") from error
    if len(raw) > SECRET_FILE_BYTES_MAX:
        raise SettingError(f"{written}: {file} has more than {SECRET_FILE_BYTES_MAX} bytes")
    return raw.decode().rstrip("\r\n")


def _convert(value: object, about: Field[Any], kind: object) -> object:
    """*value* as the type *kind* of a field. Raises ValueError saying what would fit."""
    text = value if isinstance(value, str) else None
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    unit = about.metadata.get("unit", "")
    if kind is bool:
        if text is not None and text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        if isinstance(value, bool):
            return value
        raise ValueError("true or false")
    if kind is Address and text is not None:
        return parse_address(text)
    if kind == tuple[str, ...]:
        return _convert_list(value)
    if kind is str and text is not None:
        return _one_of(text, about)
    if kind is float or kind is int:
        if text is not None:
            number = _parse_number(text, unit, whole=kind is int)
        if number is not None and number >= 0 and (kind is float or number == int(number)):
            return kind(number)
        raise ValueError(_fitting(unit, whole=kind is int))
    raise ValueError("text in quotes")


def _row_kind(kind: object) -> type[Any] | None:
    """The dataclass whose rows a field holds; None for any other field."""
    inner = get_args(kind)
    if get_origin(kind) is tuple and len(inner) == 2 and is_dataclass(inner[0]):
        return inner[0] if isinstance(inner[0], type) else None
    return None


def _rows(value: object, kind: type[Any], section: str, key: str, written: str) -> tuple[Any, ...]:
    """A dataclass for each table of a list of tables."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"written in the settings file, as tables [[{section}.{key}]]")
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    place = written.partition(" in ")[2]
    rows = []
    for at, row in enumerate(value):
        filled: dict[str, Any] = {}
        for name, item in row.items():
            where = f"{section}.{key}[{at}].{name}" + (f" in {place}" if place else "")
            if name not in known:
                raise SettingError(_unknown(where, name, known))
            try:
                filled[name] = _convert(item, known[name], hints[name])
            except ValueError as error:
                raise SettingError(f"{where} is {item!r} but must be {error}") from error
        rows.append(kind(**filled))
    return tuple(rows)


def _one_of(text: str, about: Field[Any]) -> str:
    choices: Sequence[str] = about.metadata.get("choices", ())
    if choices and text not in choices:
        raise ValueError(f"one of {', '.join(choices)}")
    return text


def _convert_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError("a list of texts")


def _parse_number(text: str, unit: str, *, whole: bool) -> float:
    if unit == "s":
        return parse_duration(text)
    if unit == "bytes":
        return parse_size(text)
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise ValueError(_fitting(unit, whole=whole)) from None


def _fitting(unit: str, *, whole: bool) -> str:
    if unit == "s":
        return "a duration such as 45s, 12h or 30d"
    if unit == "bytes":
        return "a size such as 512MiB or 20GB"
    return "a whole number, 0 or more" if whole else "a number, 0 or more"


def _unknown(written: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return f"{written} is not a setting: {hint}"
