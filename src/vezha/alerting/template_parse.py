"""Parses the template language of rule annotations (Go's text/template) into a small tree.

Rules of this module:
1. It understands what ready-made rule collections use: text, pipelines, fields, variables, methods of
   times, `if`/`else if`/`else`, `range`, `with`, `define`/`template`, `block`, `break`, `continue`,
   comments and trim marks. Anything else is a `TemplateError` that says where.
2. It evaluates nothing; `template` does. A parsed template is immutable and shared.

Source of the language: the documentation of Go's text/template package.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from vezha.alerting.errors import TemplateError
from vezha.alerting.limits import TEMPLATE_CHARS_MAX, TEMPLATE_DEPTH_MAX


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: object


@dataclass(frozen=True, slots=True)
class Dot:
    """The current value, `.`."""


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`; `$` alone is the value the template was called with."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function by name (a bare word with no arguments is a call, too)."""

    name: str
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """`term.name.name`."""

    of: Term
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """`term.Name argument`: a method of a value, called with arguments."""

    of: Term
    name: str
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands; each one's value is the last argument of the next."""

    commands: tuple[Term, ...]


Term = Literal | Dot | Variable | Call | Field | Method | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    """Printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Print:
    """`{{ pipeline }}`, or an assignment that prints nothing."""

    pipe: Pipe
    assign: str = ""
    declare: bool = False


@dataclass(frozen=True, slots=True)
class If:
    """`{{ if }}`."""

    pipe: Pipe
    then: tuple[Node, ...]
    other: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class With:
    """`{{ with }}`: the pipeline's value becomes the dot, if it is not empty."""

    variable: str
    pipe: Pipe
    then: tuple[Node, ...]
    other: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """`{{ range }}` with its optional variables."""

    key: str
    item: str
    pipe: Pipe
    body: tuple[Node, ...]
    other: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Invoke:
    """`{{ template "name" pipeline }}`."""

    name: str
    pipe: Pipe | None


@dataclass(frozen=True, slots=True)
class Jump:
    """`{{ break }}` or `{{ continue }}`."""

    word: str


Node = Text | Print | If | With | Range | Invoke | Jump

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<raw>`[^`]*`)
  | (?P<char>'(?:[^'\\\n]|\\.)+')
  | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))
  | (?P<variable>\$[A-Za-z_0-9]*)
  | (?P<field>\.[A-Za-z_][A-Za-z_0-9]*)
  | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<assign>:=|=)
  | (?P<sign>[().,|])
    """,
    re.VERBOSE,
)
_KEYWORDS = {"if", "else", "end", "range", "with", "define", "template", "block"}
_KEYWORDS |= {"break", "continue"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    spaced: bool


@dataclass(frozen=True, slots=True)
class _Action:
    line: int
    tokens: tuple[_Token, ...]


def parse_template(text: str) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    """The nodes of *text* and its named templates. Raises TemplateError."""
    if len(text) > TEMPLATE_CHARS_MAX:
        raise TemplateError(f"the template is longer than {TEMPLATE_CHARS_MAX} characters")
    parser = _Parser(_split(text))
    nodes, ending = parser.nodes(0)
    if ending is not None:
        raise TemplateError(f"line {ending.line}: {{{{{ending.tokens[0].text}}}}} without a start")
    return nodes, parser.defined


def _split(text: str) -> list[str | _Action]:
    """Text and actions in turn, with trim marks already obeyed and comments left out."""
    out: list[str | _Action] = []
    at, trim_next = 0, False
    while True:
        start = text.find("{{", at)
        literal = text[at:] if start < 0 else text[at:start]
        if trim_next:
            literal = literal.lstrip()
        if start < 0:
            if literal:
                out.append(literal)
            return out
        line = text.count("\n", 0, start) + 1
        inner = start + 2
        if text.startswith("- ", inner) or text.startswith("-\n", inner):
            literal, inner = literal.rstrip(), inner + 1
        if literal:
            out.append(literal)
        action, at, trim_next = _action(text, inner, line)
        if action is not None:
            out.append(action)


def _action(text: str, at: int, line: int) -> tuple[_Action | None, int, bool]:
    """One action from behind its `{{`: itself (None: a comment), its end, "trim what follows"."""
    comment = re.compile(r"\s*/\*.*?\*/(\s+-)?\s*\}\}", re.DOTALL).match(text, at)
    if comment:
        return None, comment.end(), bool(comment.group(1))
    tokens: list[_Token] = []
    spaced = False
    while True:
        if text.startswith("}}", at):
            return _checked(tokens, line), at + 2, False
        if spaced and text.startswith("-}}", at):
            return _checked(tokens, line), at + 3, True
        match = _TOKEN.match(text, at)
        if match is None:
            where = text[at : at + 12].split("\n")[0]
            if at >= len(text):
                raise TemplateError(f"line {line}: {{{{ is never closed by }}}}")
            raise TemplateError(f'line {line}: cannot read "{where}"')
        kind = match.lastgroup or ""
        if kind == "space":
            spaced = True
        else:
            tokens.append(_Token(kind, match.group(), spaced))
            spaced = False
        at = match.end()


def _checked(tokens: list[_Token], line: int) -> _Action:
    if not tokens:
        raise TemplateError(f"line {line}: {{{{}}}} is empty")
    return _Action(line, tuple(tokens))


class _Parser:
    """Turns split text into nodes; actions nest by recursion."""

    def __init__(self, parts: list[str | _Action]) -> None:
        self._parts = parts
        self._at = 0
        self.defined: dict[str, tuple[Node, ...]] = {}

    def nodes(self, depth: int) -> tuple[tuple[Node, ...], _Action | None]:
        """Nodes up to an `else` or `end` of this level (returned), or up to the end (None)."""
        if depth > TEMPLATE_DEPTH_MAX:
            raise TemplateError(f"nested deeper than {TEMPLATE_DEPTH_MAX}")
        out: list[Node] = []
        while self._at < len(self._parts):
            part = self._parts[self._at]
            self._at += 1
            if isinstance(part, str):
                out.append(Text(part))
                continue
            first = part.tokens[0]
            if first.kind == "word" and first.text in ("else", "end"):
                return tuple(out), part
            node = self._statement(part, depth)
            if node is not None:
                out.append(node)
        return tuple(out), None

    def _statement(self, action: _Action, depth: int) -> Node | None:
        word = action.tokens[0].text if action.tokens[0].kind == "word" else ""
        rest = _Action(action.line, action.tokens[1:])
        if word == "if":
            pipe = _Expression(rest).pipe()
            then, other = self._branches(action, depth)
            return If(pipe, then, other)
        if word == "with":
            names, pipe = _Expression(rest).declared(1)
            then, other = self._branches(action, depth)
            return With(names[0] if names else "", pipe, then, other)
        if word == "range":
            names, pipe = _Expression(rest).declared(2)
            key, item = names if len(names) == 2 else ("", names[0] if names else "")
            body, other = self._branches(action, depth)
            return Range(key, item, pipe, body, other)
        if word == "define":
            name = _name_of(rest)
            body, other = self._branches(action, depth)
            self.defined[name] = body
            return None
        if word == "block":
            name = _name_of(rest)
            tail = _Action(action.line, rest.tokens[1:])
            pipe = _Expression(tail).pipe()
            body, _ = self._branches(action, depth)
            self.defined.setdefault(name, body)
            return Invoke(name, pipe)
        if word == "template":
            name = _name_of(rest)
            tail = _Action(action.line, rest.tokens[1:])
            return Invoke(name, _Expression(tail).pipe() if tail.tokens else None)
        if word in ("break", "continue"):
            return Jump(word)
        if word in _KEYWORDS:
            raise TemplateError(f"line {action.line}: {{{{{word}}}}} is not supported")
        return _Expression(action).printed()

    def _branches(self, opening: _Action, depth: int) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        then, ending = self.nodes(depth + 1)
        if ending is None:
            word = opening.tokens[0].text
            raise TemplateError(f"line {opening.line}: {{{{{word}}}}} has no {{{{end}}}}")
        if ending.tokens[0].text == "end":
            return then, ()
        if len(ending.tokens) > 1:
            # `else if …` is an `if` inside the other branch that shares our `end`
            chained = _Action(ending.line, ending.tokens[1:])
            if chained.tokens[0].text not in ("if", "with"):
                raise TemplateError(f"line {ending.line}: only if or with may follow else")
            node = self._statement(chained, depth + 1)
            assert node is not None
            return then, (node,)
        other, last = self.nodes(depth + 1)
        if last is None or last.tokens[0].text != "end":
            raise TemplateError(f"line {ending.line}: {{{{else}}}} has no {{{{end}}}}")
        return then, other


def _name_of(action: _Action) -> str:
    if not action.tokens or action.tokens[0].kind not in ("string", "raw"):
        raise TemplateError(f"line {action.line}: the name of a template must be a string")
    return str(_constant(action.tokens[0], action.line))


def _constant(token: _Token, line: int) -> object:
    if token.kind == "raw":
        return token.text[1:-1]
    try:
        if token.kind == "number":
            text = token.text
            return (
                int(text, 0) if re.fullmatch(r"[-+]?(0[xX][\da-fA-F]+|\d+)", text) else float(text)
            )
        if token.kind == "char":
            return ord(ast.literal_eval(token.text))
        return ast.literal_eval(token.text)
    except (ValueError, SyntaxError, TypeError):
        raise TemplateError(f"line {line}: cannot read {token.text}") from None


class _Expression:
    """Parses the inside of one action."""

    def __init__(self, action: _Action) -> None:
        self._tokens = action.tokens
        self._line = action.line
        self._at = 0
        self._depth = 0

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _fault(self, text: str) -> TemplateError:
        return TemplateError(f"line {self._line}: {text}")

    def printed(self) -> Print:
        tokens = self._tokens
        if len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].kind == "assign":
            self._at = 2
            return Print(self.pipe(), tokens[0].text[1:], tokens[1].text == ":=")
        return Print(self.pipe())

    def declared(self, names_max: int) -> tuple[list[str], Pipe]:
        """Leading `$a, $b :=`, if there is one, and the pipeline behind it."""
        names: list[str] = []
        at = 0
        while at < len(self._tokens) and self._tokens[at].kind == "variable":
            names.append(self._tokens[at].text[1:])
            at += 1
            sign = self._tokens[at] if at < len(self._tokens) else None
            if sign is not None and sign.text == ":=" and len(names) <= names_max:
                self._at = at + 1
                return names, self.pipe()
            if sign is None or sign.text != ",":
                break
            at += 1
        return [], self.pipe()

    def pipe(self) -> Pipe:
        """The rest of the action as one pipeline."""
        pipe = self._pipe()
        token = self._peek()
        if token is not None:
            raise self._fault(f'"{token.text}" is not expected here')
        return pipe

    def _pipe(self) -> Pipe:
        self._depth += 1
        if self._depth > TEMPLATE_DEPTH_MAX:
            raise self._fault(f"nested deeper than {TEMPLATE_DEPTH_MAX}")
        commands = [self._command()]
        while (token := self._peek()) is not None and token.text == "|":
            self._at += 1
            commands.append(self._command())
        for later in commands[1:]:
            if not isinstance(later, (Call, Method)):
                raise self._fault("behind | a function must stand")
        self._depth -= 1
        return Pipe(tuple(commands))

    def _command(self) -> Term:
        terms: list[Term] = []
        while (token := self._peek()) is not None and token.text not in ("|", ")", ","):
            if token.kind == "assign":
                raise self._fault(f'"{token.text}" is not expected here')
            terms.append(self._term())
        if not terms:
            raise self._fault("a value is missing")
        head = terms[0]
        if isinstance(head, Call) and not head.args:
            return Call(head.name, tuple(terms[1:]))
        if len(terms) > 1:
            if not isinstance(head, Field):
                raise self._fault("only a function can take arguments")
            of = Field(head.of, head.names[:-1]) if len(head.names) > 1 else head.of
            return Method(of, head.names[-1], tuple(terms[1:]))
        return head

    def _term(self) -> Term:
        token = self._tokens[self._at]
        self._at += 1
        term: Term
        if token.kind in ("string", "raw", "number", "char"):
            term = Literal(_constant(token, self._line))
        elif token.kind == "variable":
            term = Variable(token.text[1:])
        elif token.kind == "field":
            term = Field(Dot(), (token.text[1:],))
        elif token.text == ".":
            term = Dot()
        elif token.kind == "word":
            constants = {"true": True, "false": False, "nil": None}
            if token.text in constants:
                term = Literal(constants[token.text])
            elif token.text in _KEYWORDS:
                raise self._fault(f'"{token.text}" is not expected here')
            else:
                term = Call(token.text, ())
        elif token.text == "(":
            term = self._pipe()
            closing = self._peek()
            if closing is None or closing.text != ")":
                raise self._fault("( is never closed")
            self._at += 1
        else:
            raise self._fault(f'"{token.text}" is not expected here')
        return self._fields(term)

    def _fields(self, term: Term) -> Term:
        names: list[str] = []
        while (token := self._peek()) is not None and token.kind == "field" and not token.spaced:
            names.append(token.text[1:])
            self._at += 1
        if not names:
            return term
        if isinstance(term, Field):
            return Field(term.of, (*term.names, *names))
        return Field(term, tuple(names))
