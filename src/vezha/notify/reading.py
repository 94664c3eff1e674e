"""Takes values out of a settings table, strictly; what is left over was not known."""

from __future__ import annotations

from collections.abc import Mapping

from vezha.notify.errors import NotifySettingsError


def take_text(raw: dict[str, object], key: str, where: str, default: str | None = None) -> str:
    """Take text out of *raw*; without a default it must be there. Raises NotifySettingsError."""
    if key not in raw:
        if default is None:
            raise NotifySettingsError(f"{where}: {key} is missing", key)
        return default
    value = raw.pop(key)
    if not isinstance(value, str) or (not value and default is None):
        raise NotifySettingsError(f"{where}: {key} must be text", key)
    return value


def take_texts(raw: dict[str, object], key: str, where: str) -> list[str]:
    """Take a list of texts (one text counts as a list). Raises NotifySettingsError."""
    value = raw.pop(key, [])
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise NotifySettingsError(f"{where}: {key} must be a list of texts", key)
    return [str(v) for v in value]


def take_int(
    raw: dict[str, object], key: str, where: str, default: int, least: int, most: int
) -> int:
    """Take a whole number between bounds. Raises NotifySettingsError."""
    value = raw.pop(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise NotifySettingsError(
            f"{where}: {key} must be a whole number from {least} to {most}", key
        )
    return value


def leave_none(raw: Mapping[str, object], where: str) -> None:
    """Raises NotifySettingsError if a key is left that nobody knew."""
    if raw:
        raise NotifySettingsError(f"{where}: {', '.join(sorted(raw))} is not known here", min(raw))
