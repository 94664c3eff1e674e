"""Secrets of receivers: from a file, the environment, or the settings; never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vezha.notify.errors import NotifySettingsError

_SECRET_BYTES_MAX = 10_000


class Secret:
    """Text that does not appear in logs, errors or representations."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one place that needs it."""
        return self._text

    def hide_in(self, text: str) -> str:
        """*text* without the secret, for errors that libraries word."""
        return text.replace(self._text, "***") if self._text else text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def take_secret(
    raw: dict[str, object], name: str, where: str, environment: Mapping[str, str]
) -> Secret:
    """Take *name*, *name*_file or *name*_env out of *raw*; empty if none is there.

    Raises NotifySettingsError.
    """
    given = [key for key in (name, f"{name}_file", f"{name}_env") if key in raw]
    if len(given) > 1:
        raise NotifySettingsError(f"{where}: set only one of {', '.join(given)}")
    if not given:
        return Secret("")
    value = raw.pop(given[0])
    if not isinstance(value, str) or not value:
        raise NotifySettingsError(f"{where}: {given[0]} must be text", name)
    if given[0].endswith("_file"):
        try:
            data = Path(value).read_bytes()[:_SECRET_BYTES_MAX]
            return Secret(data.decode().strip())
        except (OSError, UnicodeDecodeError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "not text"
            raise NotifySettingsError(
                f"{where}: {given[0]} {value} cannot be read: {why}"
            ) from None
    if given[0].endswith("_env"):
        if value not in environment:
            raise NotifySettingsError(f"{where}: the environment has no variable {value}")
        return Secret(environment[value].strip())
    return Secret(value)
