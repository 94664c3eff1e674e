"""Expands the templates of labels and annotations: `{{ $labels.instance }} is down`.

In: text, the alert's labels and value, the server's external labels and a way to query.
Out: text. A template is parsed once, when its rule file is loaded; a fault in it is an error of
the file. A fault at expansion stands in the text itself, as in Prometheus, because an alert with
a poor sentence is better than no alert.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote_plus

from vezha.alerting.durations import parse_duration
from vezha.alerting.errors import TemplateError
from vezha.alerting.limits import (
    TEMPLATE_OUTPUT_CHARS_MAX,
    TEMPLATE_QUERIES_MAX,
    TEMPLATE_STEPS_MAX,
)
from vezha.alerting.template_parse import (
    Call,
    Dot,
    Field,
    If,
    Invoke,
    Literal,
    Method,
    Node,
    Pipe,
    Print,
    Range,
    Term,
    Text,
    Variable,
    With,
    parse_template,
)
from vezha.alerting.template_text import (
    go_print,
    go_printf,
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    to_float,
)
from vezha.alerting.template_time import GoDuration, GoTime
from vezha.query.regex import RegexError, translate

Sample = dict[str, object]
"""What `query` gives to a template: {"Labels": {...}, "Value": float}."""
QueryFunction = Callable[[str], Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template can see."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str]
    external_url: str
    now_s: float
    query: QueryFunction | None = None


class Template:
    """A parsed template. Raises TemplateError when made of text that does not parse."""

    __slots__ = ("_defined", "_nodes", "constant", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._nodes, self._defined = parse_template(source)
        self.constant = "{{" not in source
        _check_functions(self._nodes)
        for body in self._defined.values():
            _check_functions(body)

    def expand(self, scope: Scope) -> str:
        """The text. Raises TemplateError."""
        if self.constant:
            return self.source
        run = _Run(scope, self._defined)
        run.nodes(self._nodes, run.root, run.variables)
        return "".join(run.out)

    def expand_or_error(self, scope: Scope) -> str:
        """The text, or `<error expanding template: …>`."""
        try:
            return self.expand(scope)
        except TemplateError as fault:
            return f"<error expanding template: {fault}>"


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def _truth(value: object) -> bool:
    """Go's notion: zero, empty and nil are false; NaN is not zero."""
    return bool(value)


def _field(value: object, name: str) -> object:
    if isinstance(value, Mapping):
        # a missing key of labels is the empty text (the option missingkey=zero)
        return value.get(name, "")
    if isinstance(value, (GoTime, GoDuration)):
        return value.call(name, [])
    raise TemplateError(f"{go_print(value)} has no field {name}")


def _check_functions(nodes: Sequence[Node]) -> None:
    """Raises TemplateError for a function that does not exist, before anything is expanded."""

    def term(t: Term) -> None:
        if isinstance(t, Call):
            if t.name not in FUNCTIONS:
                raise TemplateError(f'there is no function "{t.name}"')
            for a in t.args:
                term(a)
        elif isinstance(t, Field):
            term(t.of)
        elif isinstance(t, Method):
            term(t.of)
            for a in t.args:
                term(a)
        elif isinstance(t, Pipe):
            for c in t.commands:
                term(c)

    for node in nodes:
        if isinstance(node, (Print, If, With, Range)) or (isinstance(node, Invoke) and node.pipe):
            assert node.pipe is not None
            term(node.pipe)
        if isinstance(node, (If, With)):
            _check_functions(node.then)
            _check_functions(node.other)
        elif isinstance(node, Range):
            _check_functions(node.body)
            _check_functions(node.other)


class _Run:
    """One expansion."""

    def __init__(self, scope: Scope, defined: Mapping[str, tuple[Node, ...]]) -> None:
        self.scope = scope
        self.defined = defined
        self.out: list[str] = []
        self.chars = 0
        self.steps = 0
        self.depth = 0
        self.queries = 0
        self.root: object = {
            "Labels": dict(scope.labels),
            "Value": scope.value,
            "ExternalLabels": dict(scope.external_labels),
            "ExternalURL": scope.external_url,
        }
        self.variables: dict[str, object] = {
            "": self.root,
            "labels": dict(scope.labels),
            "value": scope.value,
            "externalLabels": dict(scope.external_labels),
            "externalURL": scope.external_url,
        }

    def write(self, text: str) -> None:
        self.chars += len(text)
        if self.chars > TEMPLATE_OUTPUT_CHARS_MAX:
            raise TemplateError(f"the text grew over {TEMPLATE_OUTPUT_CHARS_MAX} characters")
        self.out.append(text)

    def nodes(self, nodes: Sequence[Node], dot: object, variables: dict[str, object]) -> None:
        for node in nodes:
            self.steps += 1
            if self.steps > TEMPLATE_STEPS_MAX:
                raise TemplateError(f"more than {TEMPLATE_STEPS_MAX} steps")
            self.node(node, dot, variables)

    def node(self, node: Node, dot: object, variables: dict[str, object]) -> None:
        if isinstance(node, Text):
            self.write(node.text)
        elif isinstance(node, Print):
            value = self.term(node.pipe, dot, variables)
            if not node.assign:
                self.write(go_print(value))
            else:
                self._assign(node, value, variables)
        elif isinstance(node, If):
            chosen = node.then if _truth(self.term(node.pipe, dot, variables)) else node.other
            self._block(chosen, dot, variables)
        elif isinstance(node, With):
            value = self.term(node.pipe, dot, variables)
            if _truth(value):
                extra = {node.variable: value} if node.variable else {}
                self._block(node.then, value, variables, extra)
            else:
                self._block(node.other, dot, variables)
        elif isinstance(node, Range):
            self._range(node, dot, variables)
        elif isinstance(node, Invoke):
            self._invoke(node, dot, variables)
        else:
            raise _Break if node.word == "break" else _Continue

    def _assign(self, node: Print, value: object, variables: dict[str, object]) -> None:
        if not node.declare and node.assign not in variables:
            raise TemplateError(f"${node.assign} is not declared")
        variables[node.assign] = value

    def _block(
        self,
        nodes: Sequence[Node],
        dot: object,
        variables: dict[str, object],
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Run *nodes* in a scope of their own; what they set on outer variables stays set."""
        inner = {**variables, **(extra or {})}
        declared = {n.assign for n in nodes if isinstance(n, Print) and n.declare}
        declared |= set(extra or {})
        try:
            self.nodes(nodes, dot, inner)
        finally:
            for name in variables:
                if name not in declared:
                    variables[name] = inner[name]

    def _range(self, node: Range, dot: object, variables: dict[str, object]) -> None:
        value = self.term(node.pipe, dot, variables)
        items: list[tuple[object, object]]
        if isinstance(value, Mapping):
            items = sorted(value.items(), key=lambda pair: str(pair[0]))
        elif isinstance(value, (list, tuple)):
            items = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            if value > TEMPLATE_STEPS_MAX:
                raise TemplateError(f"more than {TEMPLATE_STEPS_MAX} steps")
            items = [(i, i) for i in range(value)]
        elif value is None:
            items = []
        else:
            raise TemplateError(f"range cannot go over {go_print(value)}")
        if not items:
            self._block(node.other, dot, variables)
            return
        for key, item in items:
            extra = {name: v for name, v in ((node.key, key), (node.item, item)) if name}
            try:
                self._block(node.body, item, variables, extra)
            except _Break:
                break
            except _Continue:
                continue

    def _invoke(self, node: Invoke, dot: object, variables: dict[str, object]) -> None:
        if node.name not in self.defined:
            raise TemplateError(f'there is no template "{node.name}"')
        self.depth += 1
        if self.depth > 20:
            raise TemplateError(f'template "{node.name}" calls itself without end')
        value = self.term(node.pipe, dot, variables) if node.pipe else None
        self.nodes(self.defined[node.name], value, {"": value})
        self.depth -= 1

    def term(self, term: Term, dot: object, variables: dict[str, object]) -> object:
        if isinstance(term, Literal):
            return term.value
        if isinstance(term, Dot):
            return dot
        if isinstance(term, Variable):
            if term.name not in variables:
                raise TemplateError(f"${term.name} is not declared")
            return variables[term.name]
        if isinstance(term, Field):
            value = self.term(term.of, dot, variables)
            for name in term.names:
                value = _field(value, name)
            return value
        if isinstance(term, Method):
            return self._method(term, [], dot, variables)
        if isinstance(term, Pipe):
            value = self.term(term.commands[0], dot, variables)
            for command in term.commands[1:]:
                if isinstance(command, Method):
                    value = self._method(command, [value], dot, variables)
                    continue
                assert isinstance(command, Call)
                args = [self.term(a, dot, variables) for a in command.args]
                value = self.call(command.name, [*args, value])
            return value
        if term.name in ("and", "or"):
            return self._short(term, dot, variables)
        return self.call(term.name, [self.term(a, dot, variables) for a in term.args])

    def _method(
        self, term: Method, last: list[object], dot: object, variables: dict[str, object]
    ) -> object:
        value = self.term(term.of, dot, variables)
        if not isinstance(value, (GoTime, GoDuration)):
            raise TemplateError(f"{go_print(value)} has no method {term.name}")
        return value.call(term.name, [*(self.term(a, dot, variables) for a in term.args), *last])

    def _short(self, term: Call, dot: object, variables: dict[str, object]) -> object:
        value: object = None
        for arg in term.args:
            value = self.term(arg, dot, variables)
            if _truth(value) == (term.name == "or"):
                break
        return value

    def call(self, name: str, args: list[object]) -> object:
        try:
            return FUNCTIONS[name](self, *args)
        except TemplateError as fault:
            raise TemplateError(f"{name}: {fault}") from None
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, re.error):
            shown = " ".join(go_print(a) for a in args)
            raise TemplateError(f"{name} cannot be called with ({shown})") from None

    def query(self, text: str) -> list[Sample]:
        self.queries += 1
        if self.queries > TEMPLATE_QUERIES_MAX:
            raise TemplateError(f"more than {TEMPLATE_QUERIES_MAX} queries")
        if self.scope.query is None:
            raise TemplateError("queries cannot be asked here")
        return list(self.scope.query(text))


def _index(_run: _Run, value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, (list, tuple, str)) and isinstance(key, int) and key >= 0:
            value = value[key]
        else:
            raise TemplateError("cannot take an item of that")
    return value


def _slice(_run: _Run, value: object, *bounds: object) -> object:
    numbers = [b for b in bounds if isinstance(b, int) and b >= 0]
    if len(numbers) != len(bounds) or not isinstance(value, (str, list, tuple)):
        raise TemplateError("cannot be sliced so")
    return value[slice(*numbers)] if len(numbers) > 1 else value[numbers[0] if numbers else 0 :]


def _same(a: object, b: object) -> bool:
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    if not numbers and type(a) is not type(b):
        raise TemplateError(f"{go_print(a)} and {go_print(b)} cannot be compared")
    return a == b


def _order(a: object, b: object) -> int:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return (a > b) - (a < b)
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    raise TemplateError(f"{go_print(a)} and {go_print(b)} cannot be ordered")


def _print(args: tuple[object, ...]) -> str:
    """Go's Sprint: a space between operands when neither is a string."""
    out = ""
    for i, arg in enumerate(args):
        if i and not isinstance(arg, str) and not isinstance(args[i - 1], str):
            out += " "
        out += go_print(arg)
    return out


def _first(_run: _Run, samples: list[Sample]) -> Sample:
    if not samples:
        raise TemplateError("no result to take the first of")
    return samples[0]


def _sort_by_label(_run: _Run, name: str, samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: str(_field(s["Labels"], name)))


def _link(tab: int) -> Callable[..., str]:
    def link(_run: _Run, text: str) -> str:
        return f"/graph?g0.expr={quote_plus(text)}&g0.tab={tab}"

    return link


_EXPANDED = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def _replace_all(_run: _Run, pattern: str, replacement: str, text: str) -> str:
    """Go's `ReplaceAllString`: `$1`, `${1}x`, `$name`; what is no group is empty, `$$` is a dollar."""

    def expand(found: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if name is None:
                return "$"
            try:
                return found[int(name) if name.isdigit() else name] or ""
            except IndexError:
                return ""

        return _EXPANDED.sub(group, replacement)

    return _regex(pattern).sub(expand, text)


@lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(translate(pattern))
    except (RegexError, re.error) as fault:
        raise TemplateError(str(fault)) from None


_HTML = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;", "\0": "\ufffd"}
)
_SCRIPT = str.maketrans(
    {"\\": r"\\", "'": r"\'", '"': r"\"", "<": r"\u003C", ">": r"\u003E", "&": r"\u0026",
     "=": r"\u003D", "\n": r"\u000A", "\t": r"\u0009", "\r": r"\u000D"}
)  # fmt: skip


def _path_prefix(run: _Run) -> str:
    slash, path = run.scope.external_url.partition("://")[2].partition("/")[1:]
    return slash + path


def _strip_domain(_run: _Run, text: str) -> str:
    host, colon, port = text.partition(":")
    if re.fullmatch(r"[\d.]+", host) or "[" in text:
        return text
    return host.split(".")[0] + colon + port


def _strip_port(_run: _Run, text: str) -> str:
    match = re.fullmatch(r"\[(.*)\](?::\d+)?|([^:]+):\d+", text)
    return (match.group(1) or match.group(2)) if match else text


def _length(_run: _Run, value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, tuple, Mapping)):
        return len(value)
    raise TemplateError("has no length")


FUNCTIONS: dict[str, Callable[..., object]] = {
    "and": lambda _run, *a: a[-1],
    "or": lambda _run, *a: a[-1],
    "not": lambda _run, a: not _truth(a),
    "eq": lambda _run, a, *b: any(_same(a, x) for x in b),
    "ne": lambda _run, a, b: not _same(a, b),
    "lt": lambda _run, a, b: _order(a, b) < 0,
    "le": lambda _run, a, b: _order(a, b) <= 0,
    "gt": lambda _run, a, b: _order(a, b) > 0,
    "ge": lambda _run, a, b: _order(a, b) >= 0,
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": lambda _run, *a: _print(a),
    "println": lambda _run, *a: " ".join(go_print(x) for x in a) + "\n",
    "printf": lambda _run, f, *a: go_printf(f, list(a)),
    "html": lambda _run, *a: _print(a).translate(_HTML),
    "js": lambda _run, *a: _print(a).translate(_SCRIPT),
    "urlquery": lambda _run, *a: quote_plus(_print(a)),
    "urlQueryEscape": lambda _run, text: quote_plus(text),
    "query": lambda run, text: run.query(text),
    "first": _first,
    "label": lambda _run, name, sample: _field(sample["Labels"], name),
    "value": lambda _run, sample: sample["Value"],
    "strvalue": lambda _run, sample: _field(sample["Labels"], "__value__"),
    "sortByLabel": _sort_by_label,
    "args": lambda _run, *a: {f"arg{i}": x for i, x in enumerate(a)},
    "reReplaceAll": _replace_all,
    "safeHtml": lambda _run, text: text,
    "match": lambda _run, pattern, text: _regex(pattern).search(text) is not None,
    "title": lambda _run, text: re.sub(r"\b[^\W\d]", lambda m: m.group().upper(), text),
    "toUpper": lambda _run, text: text.upper(),
    "toLower": lambda _run, text: text.lower(),
    "graphLink": _link(0),
    "tableLink": _link(1),
    "humanize": lambda _run, v: humanize(v),
    "humanize1024": lambda _run, v: humanize1024(v),
    "humanizeDuration": lambda _run, v: humanize_duration(v),
    "humanizePercentage": lambda _run, v: humanize_percentage(v),
    "humanizeTimestamp": lambda _run, v: humanize_timestamp(v),
    "toTime": lambda _run, v: GoTime(to_float(v)),
    "toDuration": lambda _run, v: GoDuration(to_float(v)),
    "parseDuration": lambda _run, text: parse_duration(text) / 1000,
    "now": lambda run: run.scope.now_s,
    "externalURL": lambda run: run.scope.external_url,
    "pathPrefix": _path_prefix,
    "stripPort": _strip_port,
    "stripDomain": _strip_domain,
}
