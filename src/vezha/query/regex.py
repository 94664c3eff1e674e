"""RE2 patterns, as label matchers use them, by Python's `re`.

Patterns are anchored and `.` fits a newline, as in Prometheus 3. What RE2 forbids
(backreferences, looking around) is refused; what Python spells otherwise is rewritten: flags
in the middle (`((?i)pro).*`), `\\z`, `\\Q…\\E`, POSIX classes.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Protocol

from vezha.query.limits import REGEX_CHARS_MAX
from vezha.query.regex_linear import LinearPattern, TooLarge, is_doubtful


class RegexError(ValueError):
    """Not a pattern that RE2 takes."""


_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7F", "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F", "digit": "0-9", "graph": "!-~", "lower": "a-z",
    "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\\t\\n\\v\\f\\r ", "upper": "A-Z",
    "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")


class Fullmatch(Protocol):
    """What matchers need of a compiled pattern."""

    def fullmatch(self, string: str, /) -> object | None:
        """Something true where the whole text fits, else None."""
        ...


@lru_cache(maxsize=4096)
def compile_matcher(pattern: str) -> Fullmatch:
    """*pattern* for matchers: in linear time where backtracking might not end soon.

    Raises RegexError.
    """
    compiled = compile_regex(pattern)
    try:
        return LinearPattern(compiled.pattern) if is_doubtful(compiled.pattern) else compiled
    except (TooLarge, RecursionError) as error:
        raise RegexError(f"{error}: `{pattern}`") from None


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> re.Pattern[str]:
    """*pattern* compiled with its groups; use `fullmatch`. Raises RegexError."""
    if len(pattern) > REGEX_CHARS_MAX:
        raise RegexError(f"expression is longer than {REGEX_CHARS_MAX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(translate(pattern), re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise RegexError(f"{error}: `{pattern}`") from None


def translate(pattern: str) -> str:
    """*pattern* as Python spells it. Raises RegexError for what RE2 refuses."""
    out: list[str] = []
    open_flags = [0]  # groups opened by a bare flag, per open parenthesis
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            text, at = _escape(pattern, at)
            out.append(text)
        elif char == "[":
            text, at = _class(pattern, at)
            out.append(text)
        elif char == "(":
            text, at, bare = _group(pattern, at)
            out.append(text)
            if bare:
                open_flags[-1] += 1
            else:
                open_flags.append(0)
        elif char == ")":
            if len(open_flags) == 1:
                raise RegexError(f"unexpected ): `{pattern}`")
            out.append(")" * (open_flags.pop() + 1))
            at += 1
        elif char == "|" and open_flags[-1]:
            # a bare flag reaches over alternatives to the end of its group
            out.append("|")
            at += 1
        elif char == "$":
            out.append(r"\Z")
            at += 1
        elif char in "*+?}" and pattern[at + 1 : at + 2] == "+":
            raise RegexError(f"invalid nested repetition operator: `{pattern[at : at + 2]}`")
        else:
            out.append(char)
            at += 1
    out.append(")" * open_flags[0])
    return "".join(out)


def _escape(pattern: str, at: int) -> tuple[str, int]:
    following = pattern[at + 1 : at + 2]
    if following == "":
        raise RegexError("trailing backslash at end of expression: ``")
    if following == "Q":
        close = pattern.find(r"\E", at + 2)
        close = len(pattern) if close < 0 else close
        return re.escape(pattern[at + 2 : close]), min(close + 2, len(pattern))
    if following == "z":
        return r"\Z", at + 2
    if following == "Z" or following in "123456789":
        raise RegexError(f"invalid escape sequence: `\\{following}`")
    if following in "dDwWsS":
        ascii_class = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}[following.lower()]
        return f"[{'^' if following.isupper() else ''}{ascii_class}]", at + 2
    if following == "x" and pattern[at + 2 : at + 3] == "{":
        close = pattern.find("}", at)
        digits = pattern[at + 3 : close]
        if close < 0 or not re.fullmatch(r"[0-9a-fA-F]{1,6}", digits) or int(digits, 16) > 0x10FFFF:
            raise RegexError("invalid escape sequence: `\\x`")
        return re.escape(chr(int(digits, 16))), close + 1
    if following in "pPC":
        raise RegexError(f"character class `\\{following}` is not supported here")
    if following.isalnum() and following not in "abfnrtvxABu0":
        raise RegexError(f"invalid escape sequence: `\\{following}`")
    return pattern[at : at + 2], at + 2


def _class(pattern: str, at: int) -> tuple[str, int]:
    out = ["["]
    here = at + 1
    if pattern[here : here + 1] == "^":
        out.append("^")
        here += 1
    if pattern[here : here + 1] == "]":
        out.append("\\]")
        here += 1
    while here < len(pattern) and pattern[here] != "]":
        if pattern.startswith("[:", here):
            close = pattern.find(":]", here)
            name = pattern[here + 2 : close]
            if close < 0 or name not in _POSIX:
                raise RegexError(f"invalid character class range: `{pattern[here:]}`")
            out.append(_POSIX[name])
            here = close + 2
        elif pattern[here] == "\\":
            following = pattern[here + 1 : here + 2]
            inside = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}.get(following)
            out.append(inside if inside else pattern[here : here + 2])
            here += 2
        else:
            out.append("\\[" if pattern[here] == "[" else pattern[here])
            if pattern[here] in "&~|" and pattern[here + 1 : here + 2] == pattern[here]:
                out[-1] = "\\" + pattern[here]  # Python reserves doubled signs
            here += 1
    if here >= len(pattern):
        raise RegexError(f"missing closing ]: `{pattern[at:]}`")
    return "".join(out) + "]", here + 1


def _group(pattern: str, at: int) -> tuple[str, int, bool]:
    """The opening of a group: its Python spelling, where it ends, whether it was a bare flag."""
    if pattern[at + 1 : at + 2] != "?":
        return "(", at + 1, False
    flags = _FLAGS.match(pattern, at)
    if flags:
        on, off, close = flags.groups()
        on, off = (on or "").replace("U", ""), (off or "").replace("U", "")
        spelt = f"(?{on}{'-' + off if off else ''}:"
        return spelt, flags.end(), close == ")"
    named = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>").match(pattern, at)
    if named:
        return f"(?P<{named.group(1)}>", named.end(), False
    raise RegexError(f"invalid or unsupported Perl syntax: `{pattern[at : at + 3]}`")
