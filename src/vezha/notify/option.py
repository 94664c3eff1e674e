"""What a receiver's form asks for, and whether what was given is that. Pure.

Only what a provider names here can be saved while running: files and the environment (`password_file`,
`password_env`) are for `notify.toml`, since whoever may change settings need not be able to read this
machine's files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from vezha.notify.errors import NotifySettingsError
from vezha.notify.limits import OPTION_CHARS_MAX, OPTION_TEXTS_MAX, RATE_MESSAGES_DEFAULT

Value = str | int | bool | list[str]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to set. `kind`: text, texts, number, flag, choice, or secret.

    `leads` says that it decides where secrets are sent to: who changes it gives them again, so that a
    secret that nobody can read is not sent to a server of somebody's choice. `make` gives the secret
    where nobody does.
    """

    name: str
    kind: str = "text"
    needed: bool = False
    default: str | int | bool | None = None
    choices: tuple[str, ...] = ()
    leads: bool = False
    make: Callable[[], str] | None = None


COMMON = (
    Option("language", "choice", default="en", choices=("en", "uk")),
    Option("time_zone", default="UTC"),
    Option("rate", "number", default=RATE_MESSAGES_DEFAULT),
    Option("quiet"),
    Option("quiet_days", "texts"),
    Option("quiet_below", "choice", default="critical", choices=("critical", "warning", "info")),
)
"""What every receiver has."""


def check_options(
    options: Sequence[Option], given: Mapping[str, object], where: str
) -> dict[str, Value]:
    """*given* without what is empty, each of its kind. Raises NotifySettingsError."""
    known = {o.name: o for o in options if o.kind != "secret"}
    out: dict[str, Value] = {}
    for name, value in given.items():
        if name not in known:
            raise NotifySettingsError(f"{where}: {name[:63]} is not known here", name[:63])
        if value is None or value in ("", []):
            continue
        out[name] = _of_kind(known[name], value, where)
    for option in known.values():
        if option.needed and option.name not in out:
            raise NotifySettingsError(f"{where}: {option.name} is missing", option.name)
    return out


def _of_kind(option: Option, value: object, where: str) -> Value:
    if _FITS[option.kind](option, value):
        return cast(Value, value)
    must = _MUST_BE[option.kind](option)
    raise NotifySettingsError(f"{where}: {option.name} must be {must}", option.name)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= OPTION_CHARS_MAX


_FITS: Mapping[str, Callable[[Option, object], bool]] = {
    "flag": lambda o, value: isinstance(value, bool),
    "number": lambda o, value: isinstance(value, int) and not isinstance(value, bool),
    "texts": lambda o, value: (
        isinstance(value, list)
        and len(value) <= OPTION_TEXTS_MAX
        and all(_is_text(one) for one in value)
    ),
    "text": lambda o, value: _is_text(value),
    "choice": lambda o, value: value in o.choices,
}
_MUST_BE: Mapping[str, Callable[[Option], str]] = {
    "flag": lambda o: "true or false",
    "number": lambda o: "a whole number",
    "texts": lambda o: f"a list of at most {OPTION_TEXTS_MAX} texts",
    "text": lambda o: f"text of at most {OPTION_CHARS_MAX} characters",
    "choice": lambda o: f"one of {', '.join(o.choices)}",
}


def check_secrets(
    options: Sequence[Option],
    given: Mapping[str, str],
    kept: Sequence[str],
    moved: Sequence[str],
    where: str,
) -> dict[str, str]:
    """The secrets to seal anew; those *kept* need not be given, unless options that lead were *moved*.

    Raises NotifySettingsError.
    """
    known = {o.name: o for o in options if o.kind == "secret"}
    fresh = {name: text for name, text in given.items() if text}
    for name, text in fresh.items():
        if name not in known:
            raise NotifySettingsError(f"{where}: {name[:63]} is not known here", name[:63])
        if len(text) > OPTION_CHARS_MAX:
            raise NotifySettingsError(
                f"{where}: {name} must be text of at most {OPTION_CHARS_MAX} characters", name
            )
    for name, option in known.items():
        if name in fresh:
            continue
        if name in kept and option.make is None and moved:
            raise NotifySettingsError(
                f"{where}: give {name} again, since {', '.join(moved)} changed", name
            )
        if name not in kept and option.make is not None:
            fresh[name] = option.make()
        elif name not in kept and option.needed:
            raise NotifySettingsError(f"{where}: {name} is missing", name)
    return fresh
