"""Times, durations and label names as Prometheus's HTTP API writes them."""

from __future__ import annotations

import datetime as dt
import math
import re

from vezha.api.errors import ApiError

MS_MAX = 2**53
"""Times beyond this many ms are cut off: as far as whole floats go."""
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
_UNITS_MS = (365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_ESCAPED = re.compile(r"__|_([0-9a-fA-F]{1,6})_")


def bad_parameter(name: str, why: str) -> ApiError:
    """400 in Prometheus's words."""
    return ApiError(
        400, "bad_data", f'invalid parameter "{name}": {why}', field=name, error_type="bad_data"
    )


def parse_time_ms(text: str, name: str) -> int:
    """Milliseconds of "1700000000.123" or of RFC 3339. Raises `ApiError` naming *name*."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            raise bad_parameter(
                name, f"cannot parse {_quoted(text)} to a valid timestamp"
            ) from None
        if moment.tzinfo is None:
            raise bad_parameter(
                name, f"cannot parse {_quoted(text)} to a valid timestamp"
            ) from None
        seconds = moment.timestamp()
    if not math.isfinite(seconds):
        raise bad_parameter(name, f"cannot parse {_quoted(text)} to a valid timestamp")
    return max(-MS_MAX, min(MS_MAX, round(seconds * 1000)))


def parse_duration_ms(text: str, name: str) -> int:
    """Milliseconds of "15", "0.5" (seconds) or "1h30m". Raises `ApiError` naming *name*."""
    try:
        ms = float(text) * 1000
    except ValueError:
        match = _DURATION.fullmatch(text)
        if not text or match is None:
            raise bad_parameter(name, f"cannot parse {_quoted(text)} to a valid duration") from None
        parts = zip(match.groups(), _UNITS_MS, strict=True)
        ms = float(sum(int(n) * unit for n, unit in parts if n))
    if not math.isfinite(ms) or abs(ms) > MS_MAX:
        raise bad_parameter(name, f"cannot parse {_quoted(text)} to a valid duration. It overflows")
    return round(ms)


def decode_label_name(text: str) -> str:
    """A label's name from a path: `U__a_2e_b` is the escaped form of `a.b`."""
    if not text.startswith("U__"):
        return text

    def plain(match: re.Match[str]) -> str:
        if match[1] is None:
            return "_"
        code = int(match[1], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]

    return _ESCAPED.sub(plain, text[3:])


def _quoted(text: str) -> str:
    return '"' + text[:100].replace("\\", "\\\\").replace('"', '\\"') + '"'
