"""How Go prints values, and Prometheus's `humanize` family: what templates need of both."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

from vezha.alerting.errors import TemplateError

_VERB = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(.)?", re.DOTALL)


def go_float(value: float, verb: str = "g", precision: int = -1) -> str:
    """*value* as Go's strconv writes it with format 'e', 'f' or 'g' (-1: shortest exact)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb in "fF":
        return f"{value:.{precision}f}" if precision >= 0 else _plain(value)
    if verb in "eE":
        text = f"{value:.{precision}e}" if precision >= 0 else _scientific(value)
        return text.upper() if verb == "E" else text
    if precision >= 0:
        return f"{value:.{max(precision, 1)}g}"
    digits = _scientific(value)
    exponent = int(digits.split("e")[1])
    # a million is 1e+06: without a precision Go decides by one of six figures
    return digits if exponent < -4 or exponent >= 6 else _plain(value)


def _scientific(value: float) -> str:
    """Shortest exact digits with an exponent of at least two figures, as Go writes it."""
    mantissa, _, _ = f"{value!r}".partition("e")
    digits = len(mantissa.replace("-", "").replace(".", "").strip("0")) or 1
    for precision in range(max(0, digits - 2), 18):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            return text
    raise AssertionError("seventeen digits always suffice")


def _plain(value: float) -> str:
    text = repr(value)
    if "e" in text:
        text = f"{value:.340f}".rstrip("0") if abs(value) < 1 else f"{value:.0f}"
    return text[:-2] if text.endswith(".0") else text.rstrip(".")


def go_print(value: object) -> str:
    """*value* as Go's `%v` prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{go_print(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(go_print(v) for v in value) + "]"
    return str(value)


def _type_name(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {int: "int", float: "float64", str: "string", dict: "map[string]string"}
    return names.get(type(value), "interface {}")


def go_quote(text: str) -> str:
    """*text* in double quotes as Go's `%q`."""
    out = ['"']
    for ch in text:
        if ch in '"\\':
            out.append("\\" + ch)
        elif ch in "\n\t\r":
            out.append({"\n": "\\n", "\t": "\\t", "\r": "\\r"}[ch])
        elif ord(ch) < 0x20 or ord(ch) == 0x7F:
            out.append(f"\\x{ord(ch):02x}")
        else:
            out.append(ch)
    return "".join(out) + '"'


def _verb_text(verb: str, flags: str, precision: int, value: object) -> str | None:
    """The unpadded text of one verb, or None where verb and type do not fit."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if verb == "v":
        return go_print(value)
    if verb == "t" and isinstance(value, bool):
        return go_print(value)
    if verb == "s" and isinstance(value, str):
        return value[:precision] if precision >= 0 else value
    if verb == "s" and isinstance(value, (dict, list, tuple)):
        return go_print(value)
    if verb == "q" and isinstance(value, str):
        return go_quote(value)
    if verb in "xX" and isinstance(value, str):
        text = value.encode().hex()
        return text.upper() if verb == "X" else text
    if verb in "feEgGF" and isinstance(value, float):
        if verb in "feEF" and precision < 0:
            precision = 6
        text = go_float(value, verb.lower() if verb != "E" else "E", precision)
        return text if "+" not in flags or text[0] in "+-" else "+" + text
    if number and isinstance(value, int) and verb in "doxXbc":
        text = chr(value) if verb == "c" else format(value, verb)
        return text if "+" not in flags or value < 0 else "+" + text
    return None


def go_printf(template: str, args: list[object]) -> str:
    """Go's `fmt.Sprintf` for the verbs v, t, s, q, x, X, d, o, b, c, e, E, f, F, g, G."""
    used = 0

    def take() -> tuple[bool, object]:
        nonlocal used
        used += 1
        return (True, args[used - 1]) if used <= len(args) else (False, None)

    def replace(match: re.Match[str]) -> str:
        flags, width_text, precision_text, verb = match.groups()
        if verb == "%":
            return "%"
        if verb is None:
            return "%!(NOVERB)"
        width = _star(width_text, take) if width_text else 0
        precision = -1
        if "." in match.group(0):
            precision = _star(precision_text, take) if precision_text else 0
        there, value = take()
        if not there:
            return f"%!{verb}(MISSING)"
        text = _verb_text(verb, flags, precision, value)
        if text is None:
            return f"%!{verb}({_type_name(value)}={go_print(value)})"
        return _pad(text, flags, width, value)

    text = _VERB.sub(replace, template)
    if used < len(args):
        extra = ", ".join(f"{_type_name(a)}={go_print(a)}" for a in args[used:])
        text += f"%!(EXTRA {extra})"
    return text


def _star(text: str, take: object) -> int:
    if text != "*":
        return min(int(text), 1_000)
    assert callable(take)
    _, value = take()
    return min(int(value), 1_000) if isinstance(value, int) else 0


def _pad(text: str, flags: str, width: int, value: object) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and isinstance(value, (int, float)) and not isinstance(value, bool):
        sign = text[0] if text[:1] in "+-" else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def to_float(value: object) -> float:
    """A number from what a template has at hand. Raises TemplateError."""
    if isinstance(value, bool):
        raise TemplateError("a number is needed, not a truth value")
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise TemplateError(f'"{value}" is not a number') from None
    raise TemplateError(f"a number is needed, not {_type_name(value)}")


def humanize(value: object) -> str:
    """Four figures with a metric prefix: 1234567 → `1.235M`."""
    number = to_float(value)
    if number == 0 or math.isnan(number) or math.isinf(number):
        return f"{number:.4g}" if number == number and not math.isinf(number) else go_float(number)
    prefix = ""
    if abs(number) >= 1:
        for p in "kMGTPEZY":
            if abs(number) < 1000:
                break
            prefix, number = p, number / 1000
    else:
        for p in "munpfazy":
            if abs(number) >= 1:
                break
            prefix, number = p, number * 1000
    return f"{_four(number)}{prefix}"


def humanize1024(value: object) -> str:
    """Four figures with a binary prefix: 1048576 → `1Mi`."""
    number = to_float(value)
    if abs(number) <= 1 or math.isnan(number) or math.isinf(number):
        return go_float(number) if not math.isfinite(number) else _four(number)
    prefix = ""
    for p in ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(number) < 1024:
            break
        prefix, number = p, number / 1024
    return f"{_four(number)}{prefix}"


def _four(number: float) -> str:
    text = f"{number:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{exponent[0]}{exponent[1:].rjust(2, '0')}"
    return text


def humanize_duration(value: object) -> str:
    """Seconds as `1d 2h 3m 4s`, below a minute with four figures, below a second with prefixes."""
    number = to_float(value)
    if not math.isfinite(number):
        return go_float(number)
    if number == 0:
        return f"{_four(number)}s"
    if abs(number) < 1:
        prefix = ""
        for p in "munpfazy":
            if abs(number) >= 1:
                break
            prefix, number = p, number * 1000
        return f"{_four(number)}{prefix}s"
    sign = "-" if number < 0 else ""
    whole = int(abs(number))
    seconds, minutes = whole % 60, whole // 60 % 60
    hours, days = whole // 3600 % 24, whole // 86400
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{_four(number)}s"


def humanize_percentage(value: object) -> str:
    """A ratio as a percentage with four figures: 0.12345 → `12.35%`."""
    return f"{_four(to_float(value) * 100)}%"


def humanize_timestamp(value: object) -> str:
    """Seconds since the epoch as Go prints a UTC time."""
    number = to_float(value)
    if not math.isfinite(number):
        return go_float(number)
    try:
        moment = datetime.fromtimestamp(number, timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise TemplateError(f"{go_float(number)} is not a time that can be shown") from None
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return moment.strftime("%Y-%m-%d %H:%M:%S") + fraction + " +0000 UTC"
