"""Reading an operator's YAML strictly: every key is taken, typed, or refused with a fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

from vezha.checks.errors import CheckConfigError
from vezha.checks.limits import SECRET_BYTES_MAX

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


class Secret:
    """Text that does not appear in logs, errors or representations."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"


class Options:
    """One mapping of the file. Each method takes a key out; `done` refuses what is left.

    All raise CheckConfigError with the place. *read_file* reads a secret's file.
    """

    def __init__(self, raw: Any, place: str, read_file: Callable[[str], bytes]) -> None:
        self.place = place
        if not isinstance(raw, dict):
            raise CheckConfigError(f"{place}: wants keys and values, such as `name: shop`")
        self._raw = {str(key): value for key, value in raw.items()}
        self._known: list[str] = []
        self._read_file = read_file

    def elsewhere(self) -> Options:
        """The same for another machine's use: its files are not here to be read."""
        self._read_file = _not_here
        return self

    def take(self, key: str) -> Any:
        """The value as it is; None where the key is absent."""
        self._known.append(key)
        return self._raw.pop(key, None)

    def wrong(self, key: str, fix: str) -> CheckConfigError:
        """The error that *key*'s value cannot be used."""
        return CheckConfigError(f"{self.place}: {key} {fix}")

    def text(self, key: str, default: str = "") -> str:
        """Text; numbers are refused, since YAML reads some text as numbers."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, f"is {value!r}, not text; put it in quotes")
        return value

    def choice(self, key: str, among: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value not in among:
            raise self.wrong(key, f"is {value!r}; use one of {', '.join(among)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, f"is {value!r}; write true or false")
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"is {value!r}; write a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number within bounds."""
        value = self.take(key)
        if value is None:
            return default
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise self.wrong(key, f"is {value!r}; write a number from {low:g} to {high:g}")
        return float(value)

    def duration_s(self, key: str, default: float, low: float, high: float) -> float:
        """A duration in seconds, written as `1m30s`."""
        value = self.take(key)
        if value is None:
            return default
        found = _DURATION.fullmatch(str(value))
        if found is None or not any(found.groups()):
            raise self.wrong(key, f"is {value!r}; write a duration, such as 15s or 1m30s")
        days, hours, minutes, seconds, ms = (int(g or 0) for g in found.groups())
        total = days * 86_400 + hours * 3600 + minutes * 60 + seconds + ms / 1000
        if not low <= total <= high:
            raise self.wrong(key, f"is {value}; use {low:g}s to {high:g}s")
        return total

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        value = self.take(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        for item in items:
            if not isinstance(item, str) or not item:
                raise self.wrong(key, f"has {item!r}, which is not text; put it in quotes")
        return tuple(items)

    def mapping(self, key: str) -> dict[str, str]:
        """Names with texts."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, "wants names with values, such as {team: web}")
        for name, item in value.items():
            if not isinstance(name, str) or not isinstance(item, str):
                raise self.wrong(key, f"has {name!r}: {item!r}, not both text; use quotes")
        return dict(value)

    def pattern(self, key: str) -> re.Pattern[str] | None:
        """A regular expression."""
        text = self.text(key)
        return compiled(text, f"{self.place}: {key}") if text else None

    def secret(self, key: str) -> Secret:
        """The content of the file that `<key>_file` names, without white space at its ends."""
        name = f"{key}_file"
        if key in self._raw:
            raise self.wrong(key, f"is a secret; put it into a file and set {name} to its path")
        path = self.text(name)
        if not path:
            return Secret()
        try:
            return Secret(self._read_file(path)[:SECRET_BYTES_MAX].decode().strip())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            raise self.wrong(name, f"{path} cannot be read: {why}") from None

    def content(self, key: str, bytes_max: int) -> bytes:
        """The content of the file that *key* names; empty where it is not set, or is elsewhere."""
        path = self.text(key)
        if not path or self._read_file is _not_here:
            return b""
        try:
            found = self._read_file(path)
        except OSError as error:
            raise self.wrong(key, f"{path} cannot be read: {error.strerror}") from None
        if len(found) > bytes_max:
            raise self.wrong(key, f"{path} is over {bytes_max} bytes")
        return found

    def done(self) -> None:
        """Refuse what nobody took."""
        for key in self._raw:
            near = difflib.get_close_matches(key, self._known, 1)
            fix = (
                f"did you mean {near[0]}?"
                if near
                else f"known are {', '.join(sorted(self._known))}"
            )
            raise CheckConfigError(f"{self.place}: unknown key {key}; {fix}")


def _not_here(_path: str) -> bytes:
    return b"read on the host that runs the check"


def compiled(text: str, place: str) -> re.Pattern[str]:
    """A regular expression. Raises CheckConfigError."""
    try:
        return re.compile(text)
    except re.error as error:
        raise CheckConfigError(f"{place} {text!r} is no regular expression: {error}") from None


def host_port(target: str, default_port: int, place: str) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]`, `[v6]:port`. Raises CheckConfigError."""
    if target.startswith("["):
        host, _, rest = target[1:].partition("]")
        port_text = rest.removeprefix(":")
        bad = bool(rest) and not rest.startswith(":")
    elif target.count(":") > 1:
        host, port_text, bad = target, "", False
    else:
        host, _, port_text = target.partition(":")
        bad = False
    port = default_port if not port_text else int(port_text) if port_text.isdecimal() else 0
    if bad or not host or not 0 < port < 65_536 or any(c.isspace() or c == "/" for c in host):
        example = f"db.example:{default_port or 8080}"
        raise CheckConfigError(f"{place}: target {target!r} is no host:port, such as {example}")
    return host, port
