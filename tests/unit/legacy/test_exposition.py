"""The text format against Prometheus's own Python parser, and by hand where that is silent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from vezha.legacy.errors import BadBody
from vezha.legacy.exposition import Exposition
from vezha.legacy.series import SeriesTable
from vezha.model.exemplar import Exemplar
from vezha.model.labels import Labels, labels_of, metric
from vezha.model.metadata import MetricMetadata

NOW = 1_700_000_000_000


def rows(text: str, **how: object) -> list[tuple[Labels, int, float]]:
    table = SeriesTable()
    reader = Exposition(table, **how)  # type: ignore[arg-type]
    for _ in range(2):  # the second time by the dictionary
        batch = reader.decode(text.encode(), NOW)
    return [
        (table.labels(n), ts, v)
        for n, ts, v in zip(
            batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True
        )
    ]


name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda n: not n.startswith("__"))
value = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\\"\n,}{ #='), max_size=8
)


@given(st.lists(st.tuples(name, st.dictionaries(name, value, max_size=3), st.floats()), max_size=8))
def test_agrees_with_the_reference(lines: list[tuple[str, dict[str, str], float]]) -> None:
    text = ""
    for metric_name, labels, number in lines:
        inner = ",".join(
            '{}="{}"'.format(k, v.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"'))
            for k, v in labels.items()
        )
        shown = "NaN" if math.isnan(number) else repr(number).replace("inf", "Inf")
        text += f"{metric_name}{{{inner}}} {shown}\n" if inner else f"{metric_name} {shown}\n"
    wanted = [
        (labels_of({**s.labels, "__name__": s.name}), s.value)
        for family in text_string_to_metric_families(text)
        for s in family.samples
    ]
    got = [(labels, v) for labels, _, v in rows(text)]
    assert sorted(map(str, got)) == sorted(map(str, wanted))


def test_times_comments_spaces_and_utf8_names() -> None:
    text = '# HELP a b\n# TYPE a gauge\na 1\n\na{x="1"} 2 1234\n  b  { y = "z" , } +Inf\n{"my.metric",k="v"} 3\n'
    assert rows(text) == [
        (metric("a"), NOW, 1.0),
        (metric("a", x="1"), 1234, 2.0),
        (metric("b", y="z"), NOW, math.inf),
        (labels_of({"__name__": "my.metric", "k": "v"}), NOW, 3.0),
    ]


def test_labels_of_the_target() -> None:
    extra = labels_of({"instance": "h:1", "job": "node"})
    text = 'a{instance="mine"} 1\n'
    assert rows(text, extra=extra)[0][0] == metric(
        "a", instance="h:1", job="node", exported_instance="mine"
    )
    assert rows(text, extra=extra, honor_labels=True)[0][0] == metric(
        "a", instance="mine", job="node"
    )


def test_openmetrics_times_are_seconds_and_exemplars_are_kept() -> None:
    table = SeriesTable()
    body = (
        b'a_total{x="1"} 5 12.5 # {trace_id="t"} 1.0\n'
        b'b_bucket{le="1"} 7 # {span_id="#",trace_id="u"} 0.5 12.25\nc 1 # {} 3\n# EOF\n'
    )
    batch = Exposition(table).decode(body, NOW, openmetrics=True)
    assert (batch.ts_ms.tolist(), batch.values.tolist()) == ([12500, NOW, NOW], [5.0, 7.0, 1.0])
    assert batch.exemplars == [
        Exemplar(metric("a_total", x="1"), (("trace_id", "t"),), 1.0, 12500, timed=False),
        Exemplar(metric("b_bucket", le="1"), (("span_id", "#"), ("trace_id", "u")), 0.5, 12250),
        Exemplar(metric("c"), (), 3.0, NOW, timed=False),
    ]
    for bad in ("a 1 # {", "a 1 # 5", 'a 1 # {a="1"}', 'a 1 # {a="1"} x', 'a 1 # {a="1"} 1 2 3'):
        with pytest.raises(BadBody):
            Exposition(table).decode(bad.encode(), NOW, openmetrics=True)


def test_comments_become_metadata_once() -> None:
    reader = Exposition(SeriesTable())
    body = (
        b"# HELP a_seconds Says\\nhow\\\\long.\n# TYPE a_seconds histogram\n"
        b"# UNIT a_seconds seconds\n# TYPE b counter\n# just words\n#\n# HELP\n"
        b"# TYPE c what\na_seconds_sum 1\n"
    )
    assert reader.decode(body, NOW).metadata == [
        ("a_seconds", MetricMetadata("histogram", "Says\nhow\\long.", "seconds")),
        ("b", MetricMetadata("counter")),
        ("c", MetricMetadata("unknown")),
    ]
    assert reader.decode(body, NOW).metadata == []
    assert reader.metadata["b"].kind == "counter"
    again = Exposition(SeriesTable()).decode(b"# TYPE b counter\n# HELP d_total x\n", NOW, True)
    assert [name for name, _ in again.metadata] == ["b_total", "d_total"]


@pytest.mark.parametrize(
    "line", ["a", "a x", 'a{x="1" 2', "a{x=1} 2", "a 1 2 3", "{} 1", "1a 2", 'a{x="1",x="2"} 3']
)
def test_bad_lines_name_their_number(line: str) -> None:
    with pytest.raises(BadBody):
        rows(f"ok 1\n{line}\n")


@given(st.binary(max_size=200))
def test_rubbish(data: bytes) -> None:
    try:
        Exposition(SeriesTable()).decode(data, NOW)
    except BadBody:
        pass
