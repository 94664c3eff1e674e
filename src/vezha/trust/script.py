"""What is signed of a script besides its content, and whether parameters fit it.

The signed `custom` of a script:

```json
{"interpreter": ["/bin/sh"], "user": "nobody", "timeout_s": 30, "output_bytes_max": 16384,
 "dry_run": true, "arguments": ["unit"],
 "parameters": [{"name": "unit", "type": "text", "pattern": "[a-z-]+", "about": "what to restart"}]}
```

Types: `text` (with `pattern`, anchored, and `chars_max`), `whole` (with `low`, `high`), `choice`
(with `choices`), `flag`. A parameter with a `default` may be left out. Values reach the script as
environment variables `VEZHA_PARAM_<NAME>`, and those named in `arguments` as arguments, in that
order; never by way of a shell's command line. `dry_run` says that the script knows `VEZHA_DRY_RUN=1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Dict, Tuple  # noqa: UP035

from vezha.trust.errors import Refused
from vezha.trust.limits import (
    PARAMETER_CHARS_MAX,
    PARAMETERS_MAX,
    SCRIPT_OUTPUT_BYTES_DEFAULT,
    SCRIPT_OUTPUT_BYTES_MAX,
    SCRIPT_TIMEOUT_DEFAULT_S,
    SCRIPT_TIMEOUT_MAX_S,
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KNOWN = {
    "interpreter", "user", "timeout_s", "output_bytes_max", "dry_run", "arguments", "parameters",
    "about",
}  # fmt: skip


@dataclass(frozen=True)
class Script:
    """How a script may be run, as it was signed."""

    interpreter: Tuple[str, ...]  # noqa: UP006
    user: str
    timeout_s: float
    output_bytes_max: int
    knows_dry_run: bool
    arguments: Tuple[str, ...]  # noqa: UP006
    parameters: Tuple[Mapping[str, Any], ...]  # noqa: UP006


def script_of(custom: Mapping[str, Any]) -> Script:
    """The script that *custom* describes. Raises Refused `malformed`, naming the field."""
    unknown = sorted(set(custom) - _KNOWN)
    if unknown:
        raise _malformed(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    interpreter = custom.get("interpreter", ["/bin/sh"])
    if not _are_texts(interpreter) or not interpreter or not interpreter[0].startswith("/"):
        raise _malformed('interpreter must be a list that begins with a path, such as ["/bin/sh"]')
    timeout_s = custom.get("timeout_s", SCRIPT_TIMEOUT_DEFAULT_S)
    if not _is_whole(timeout_s) or not 1 <= timeout_s <= SCRIPT_TIMEOUT_MAX_S:
        # signed JSON is canonical, which has no numbers with a point
        raise _malformed(f"timeout_s must be a whole number from 1 to {SCRIPT_TIMEOUT_MAX_S}")
    output = custom.get("output_bytes_max", SCRIPT_OUTPUT_BYTES_DEFAULT)
    if not _is_whole(output) or not 0 <= output <= SCRIPT_OUTPUT_BYTES_MAX:
        raise _malformed(f"output_bytes_max must be from 0 to {SCRIPT_OUTPUT_BYTES_MAX}")
    user, dry_run = custom.get("user", ""), custom.get("dry_run", False)
    if not isinstance(user, str) or not isinstance(dry_run, bool):
        raise _malformed("user must be text, dry_run true or false")
    parameters = custom.get("parameters", [])
    if not isinstance(parameters, list) or len(parameters) > PARAMETERS_MAX:
        raise _malformed(f"parameters must be a list of at most {PARAMETERS_MAX}")
    names = [_check_parameter(p) for p in parameters]
    if len(set(names)) != len(names):
        raise _malformed("two parameters have the same name")
    arguments = custom.get("arguments", [])
    if not _are_texts(arguments) or not set(arguments) <= set(names):
        raise _malformed("arguments must name parameters")
    return Script(
        tuple(interpreter),
        user,
        float(timeout_s),
        output,
        dry_run,
        tuple(arguments),
        tuple(parameters),
    )


def _check_parameter(parameter: Any) -> str:
    if not isinstance(parameter, dict) or not _NAME.fullmatch(str(parameter.get("name"))):
        raise _malformed("a parameter needs a name of a-z, 0-9 and _, beginning with a letter")
    name, kind = str(parameter["name"]), parameter.get("type")
    allowed = {
        "text": {"pattern", "chars_max"},
        "whole": {"low", "high"},
        "choice": {"choices"},
        "flag": set(),
    }
    if kind not in allowed:
        raise _malformed(f"parameter {name}: type must be one of {', '.join(allowed)}")
    wrong = set(parameter) - {"name", "type", "about", "default"} - allowed[kind]
    if wrong:
        raise _malformed(f"parameter {name}: a {kind} has no {sorted(wrong)[0]}")
    if kind == "choice" and not (_are_texts(parameter.get("choices")) and parameter["choices"]):
        raise _malformed(f"parameter {name}: choices must be a list of texts")
    try:
        re.compile(parameter.get("pattern", ""))
    except (re.error, TypeError):
        raise _malformed(f"parameter {name}: pattern is not a regular expression") from None
    for bound in ("low", "high", "chars_max"):
        if bound in parameter and not _is_whole(parameter[bound]):
            raise _malformed(f"parameter {name}: {bound} must be a whole number")
    if "default" in parameter:
        try:
            _value(parameter, parameter["default"])
        except Refused as error:
            raise _malformed(f"its default: {error}") from None
    return name


def values_of(script: Script, given: Mapping[str, Any]) -> Dict[str, str]:  # noqa: UP006
    """The parameters' values as texts, all of them. Raises Refused `bad_params`."""
    known = {str(p["name"]): p for p in script.parameters}
    for name in given:
        if name not in known:
            raise Refused("bad_params", f"the script has no parameter {str(name)[:40]!r}")
    values = {}
    for name, parameter in known.items():
        if name not in given and "default" not in parameter:
            raise Refused("bad_params", f"the parameter {name} is missing")
        values[name] = _value(parameter, given.get(name, parameter.get("default")))
    return values


def _value(parameter: Mapping[str, Any], value: Any) -> str:
    name, kind = parameter["name"], parameter["type"]
    if kind == "flag":
        if not isinstance(value, bool):
            raise Refused("bad_params", f"{name} must be true or false")
        return "1" if value else "0"
    if kind == "whole":
        low, high = parameter.get("low", -(1 << 63)), parameter.get("high", (1 << 63) - 1)
        if not _is_whole(value) or not low <= value <= high:
            raise Refused("bad_params", f"{name} must be a whole number from {low} to {high}")
        return str(value)
    if not isinstance(value, str) or "\0" in value:
        raise Refused("bad_params", f"{name} must be text")
    if kind == "choice":
        if value not in parameter["choices"]:
            raise Refused("bad_params", f"{name} must be one of {', '.join(parameter['choices'])}")
        return value
    if len(value) > parameter.get("chars_max", PARAMETER_CHARS_MAX):
        raise Refused("bad_params", f"{name} is too long")
    pattern = parameter.get("pattern", "")
    if pattern and not re.fullmatch(pattern, value):
        raise Refused("bad_params", f"{name} does not fit its signed pattern {pattern}")
    return value


def _malformed(text: str) -> Refused:
    return Refused("malformed", f"a script's description: {text}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
