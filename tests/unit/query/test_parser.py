"""The parser: trees, types, positions, and that only ParseError ever escapes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vezha.model.columns import Matcher, MatchOp
from vezha.query.ast import (
    Aggregate,
    Binary,
    Call,
    Card,
    Extension,
    MatrixSelector,
    Number,
    String,
    Subquery,
    Unary,
    VectorSelector,
    unwrap,
    walk,
)
from vezha.query.errors import ParseError
from vezha.query.limits import DEPTH_MAX, OPERATORS_MAX, QUERY_BYTES_MAX
from vezha.query.parser import parse, parse_selector


def shape(query: str) -> str:
    """A query with all its parentheses."""

    def text(node: object) -> str:
        if isinstance(node, Binary):
            return f"({text(unwrap(node.left))} {node.op} {text(unwrap(node.right))})"
        if isinstance(node, Unary):
            return f"{node.op}{text(unwrap(node.expr))}"
        if isinstance(node, Number):
            return f"{node.value:g}"
        assert isinstance(node, VectorSelector)
        return node.name

    return text(unwrap(parse(query)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a * b)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a + b == c - d", "((a + b) == (c - d))"),
        ("a % b atan2 c", "((a % b) atan2 c)"),
        ("2 ^ - a", "(2 ^ -a)"),
        ("a AND b", "(a and b)"),
        ("1h + a", "(3600 + a)"),
    ],
)
def test_operators_bind_as_in_prometheus(query: str, expected: str) -> None:
    assert shape(query) == expected


def test_a_selector_keeps_its_matchers() -> None:
    node = parse('up{job="node", instance!~"db-.+",}')
    assert isinstance(node, VectorSelector)
    assert node.name == "up"
    assert node.matchers == (
        Matcher("job", MatchOp.EQ, "node"),
        Matcher("instance", MatchOp.NRE, "db-.+"),
        Matcher("__name__", MatchOp.EQ, "up"),
    )
    assert parse_selector('{"a.b", c="d"}')[-1] == Matcher("__name__", MatchOp.EQ, "a.b")


def test_modifiers_of_a_selector() -> None:
    node = parse("rate(x[5m] offset -1m @ end())")
    assert isinstance(node, Call)
    matrix = node.args[0]
    assert isinstance(matrix, MatrixSelector)
    assert matrix.range == 300.0
    assert matrix.selector.offset == -60.0
    assert matrix.selector.at is not None
    assert matrix.selector.at.edge == "end"
    smoothed = parse("x smoothed")
    assert isinstance(smoothed, VectorSelector)
    assert smoothed.extension is Extension.SMOOTHED


def test_subqueries_and_aggregations() -> None:
    node = parse("max_over_time(sum by (a, b) (x)[1h:1m] @ 10)")
    assert isinstance(node, Call)
    subquery = node.args[0]
    assert isinstance(subquery, Subquery)
    assert (subquery.range, subquery.step) == (3600.0, 60.0)
    assert isinstance(subquery.expr, Aggregate)
    assert subquery.expr.grouping == ("a", "b")


def test_matching_of_vectors() -> None:
    node = parse("a / on(x) group_left(y) fill_right(0) b")
    assert isinstance(node, Binary)
    assert node.matching is not None
    assert node.matching.card is Card.MANY_TO_ONE
    assert node.matching.on
    assert node.matching.include == ("y",)
    assert (node.matching.fill_left, node.matching.fill_right) == (None, 0.0)


def test_keywords_may_name_metrics() -> None:
    for name in ("sum", "fill", "offset", "by", "step", "anchored", "and"):
        node = parse(f"1 + {name}")
        assert isinstance(node, Binary)
        assert isinstance(node.right, VectorSelector)
        assert node.right.name == name


def test_strings_as_go_reads_them() -> None:
    for text, value in (
        (r'"a\n\x41\u00e9\101"', "a\nAéA"),
        ("`raw\\n`", "raw\\n"),
        ("'it\\'s'", "it's"),
    ):
        node = parse(text)
        assert isinstance(node, String)
        assert node.text == value


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "1:1: parse error: no expression found in input"),
        (
            "rate(x)",
            '1:6: parse error: expected type range vector in call to function "rate", got instant vector',
        ),
        ("foo(x)", '1:1: parse error: unknown function with name "foo"'),
        ("1 > 2", "1:1: parse error: comparisons between scalars must use BOOL modifier"),
        ("a +", "1:4: parse error: unexpected end of input"),
        ("a and 1", '1:1: parse error: set operator "and" not allowed in binary scalar expression'),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            '{a=~".*"}',
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("a + bool b", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("a and on(x) group_left b", '1:7: parse error: no grouping allowed for "and" operation'),
        ("sum(a) offset 5m", None),
        ("a[5m][5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:2: parse error: unexpected right parenthesis ')'"),
        ('a{x="y', "1:5: parse error: unterminated quoted string"),
        (
            "a\n+ b\n+ rate(c)",
            '3:8: parse error: expected type range vector in call to function "rate", got instant vector',
        ),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ('up{"up"}', '1:4: parse error: metric name must not be set twice: "up" or "up"'),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("-a[5m]", None),
        ('"a" + 1', None),
        ('a{b=~"("}', None),
        ("a offset 1m offset 1m", None),
        ("a @ 1 @ 2", None),
        ("5mx", None),
        ("a ! b", None),
        ("a on(b) c", None),
        ("label_replace(a)", None),
        ("sum by (a b) (c)", None),
        ("info(a, b[5m])", None),
    ],
)
def test_errors_say_what_and_where(query: str, message: str | None) -> None:
    if message is None:
        with pytest.raises(ParseError):
            parse(query)
        return
    with pytest.raises(ParseError) as caught:
        parse(query)
    assert str(caught.value) == message


def test_every_node_knows_its_text() -> None:
    query = 'sum by (a) (rate(x{b="c"}[5m] offset 1m)) / on(a) y > 3'
    texts = {query[node.start : node.end] for node in walk(parse(query))}
    assert 'rate(x{b="c"}[5m] offset 1m)' in texts
    assert 'x{b="c"}[5m] offset 1m' in texts
    assert "y" in texts


@pytest.mark.parametrize(
    "query",
    [
        "(" * 50_000,
        "(" * 9_000 + "a" + ")" * 9_000,
        "-" * 30_000 + "a",
        "a" + "+a" * 8_000,
        "a^" * 8_000 + "a",
        "x[" + "(" * 9_000,
        "x[" + "-" * 9_000 + "1]",
        "sum(" * 5_000,
        "a[1h:" * 900,
        "{" * 5_000,
        'a{b=~"' + "(" * 3_000 + ")" * 3_000 + '"}',
        "a" * (QUERY_BYTES_MAX + 1),
    ],
    ids=lambda query: query[:8],
)
def test_hostile_text_is_refused(query: str) -> None:
    with pytest.raises(ParseError):
        parse(query)


def test_limits_leave_room_for_real_queries() -> None:
    parse("a" + " + a" * (OPERATORS_MAX - 1))
    depth = DEPTH_MAX - 2
    parse("(" * depth + "a" + ")" * depth)


WORDS = st.sampled_from(
    [
        "a", "up", "sum", "by", "without", "(", ")", "{", "}", "[", "]", ",", ":", "@", "+", "-",
        "*", "/", "%", "^", "==", "!=", "=~", "=", "<", ">", "and", "or", "unless", "on",
        "ignoring", "group_left", "bool", "offset", "start()", "end()", "5m", "1", "0x1F", '"x"',
        "'y'", "`z`", "rate", "fill(0)", "anchored", "smoothed", "step()", "nan", "inf", "\\", "#",
        "\n", "й", "\ud800", "\x00", "</", "topk", "info", "min_of(1,2)", "1e999", "1e-999",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
@example("a{b=~'\\\\'}")
@example("x[1/0]")
@example("x[(0-1)^0.5]")
@example("x offset 1e300")
@example("a @ 1e300")
def test_only_parse_errors_escape(query: str) -> None:
    try:
        node = parse(query)
    except ParseError as error:
        assert 0 <= error.start <= error.end
        assert str(error)
    else:
        assert all(0 <= part.start <= part.end <= len(query) for part in walk(node))
