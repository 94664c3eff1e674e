"""The text-file folder: whole files or nothing, parsed only when they changed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.agent.catalogue import BY_NAME
from vezha.agent.collect.group import Sample
from vezha.agent.collect.host import Host
from vezha.agent.collect.text import format_samples
from vezha.agent.collect.textfile import Collector, TextError, parse
from vezha.model.labels import Labels, format_labels, labels_of, metric
from vezha.world import World


def collector_for(folder: Path) -> Collector:
    options = {**BY_NAME["textfile"].options, "folder": str(folder)}
    collector = Collector(Host(World()).with_options(options))
    collector.start()
    return collector


def read(collector: Collector) -> dict[str, float]:
    values = collector.read(1.0)
    return {
        format_labels(labels): value
        for labels, value in zip(collector.series, values, strict=True)
        if "mtime" not in format_labels(labels)
    }


def test_files_are_carried_with_their_time(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text('# HELP x y\nfault_gauge{kind="disk"} 0\n')
    (tmp_path / "b.txt").write_text("ignored 1\n")
    os.utime(tmp_path / "a.prom", (1_700_000_000, 1_700_000_000))
    collector = collector_for(tmp_path)
    assert read(collector) == {"node_textfile_scrape_error": 0.0, 'fault_gauge{kind="disk"}': 0.0}
    name = metric("node_textfile_mtime_seconds", file=str(tmp_path / "a.prom"))
    at = collector.series.index(name)
    assert collector.read(2.0)[at] == 1_700_000_000


def test_a_flip_is_seen_and_announces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.prom"
    file.write_text("fault_gauge 0\n")
    collector = collector_for(tmp_path)
    read(collector)
    before = collector.series
    (tmp_path / "new").write_text("fault_gauge 1\n")
    (tmp_path / "new").rename(file)
    assert read(collector)["fault_gauge"] == 1.0
    assert collector.series is before
    file.write_text("fault_gauge 1\nother 2\n")
    assert read(collector)["other"] == 2.0
    assert collector.series is not before


def test_a_bad_file_is_left_out_whole_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("good 1\n")
    (tmp_path / "b.prom").write_text("fine 1\nnot a sample at all\n")
    collector = collector_for(tmp_path)
    assert read(collector) == {"node_textfile_scrape_error": 1.0, "good": 1.0}
    (tmp_path / "b.prom").unlink()
    assert read(collector) == {"node_textfile_scrape_error": 0.0, "good": 1.0}


def test_no_folder_is_no_fault(tmp_path: Path) -> None:
    collector = collector_for(tmp_path / "later")
    assert read(collector) == {"node_textfile_scrape_error": 0.0}
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.prom").write_text("now 1\n")
    assert read(collector)["now"] == 1.0


def test_labels_that_are_ours_keep_a_prefix() -> None:
    assert parse('x{instance="a",job="b",c="d"} 1\n') == [
        (metric("x", exported_instance="a", exported_job="b", c="d"), 1.0)
    ]


def test_the_format_is_read() -> None:
    samples = parse(
        '# comment\n\n a:b_1 1e3\nx{} +Inf\ny{a="}",} -Inf\nz{ a = "q\\"\\\\\\n{" , b="" }\tNaN\n'
    )
    assert [labels for labels, _ in samples] == [
        metric("a:b_1"),
        metric("x"),
        metric("y", a="}"),
        metric("z", a='q"\\\n{'),
    ]
    values = [value for _, value in samples]
    assert values[:3] == [1000.0, math.inf, -math.inf]
    assert math.isnan(values[3])


@pytest.mark.parametrize(
    "text",
    [
        "x 1",
        "x\n",
        "x{a=b} 1\n",
        'x{a="b" 1\n',
        'x{a="b"c="d"} 1\n',
        "x 1 1700000000000\n",
        "x one\n",
        "x 1_000\n",
        "1x 1\n",
        'x{a="b"} 1 2 3\n',
    ],
)
def test_what_is_not_the_format_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        parse(text)


_name = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
_series = st.builds(
    lambda name, labels: labels_of({**labels, "__name__": name}),
    st.from_regex(r"[a-z_][a-z0-9_:]{0,8}", fullmatch=True),
    st.dictionaries(
        _name.filter(lambda n: n not in ("instance", "job", "__name__")),
        st.text(
            st.characters(
                codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"
            ),
            max_size=8,
        ),
        max_size=3,
    ),
)


@given(st.dictionaries(_series, st.floats(allow_nan=False), max_size=6))
def test_what_we_write_we_read(samples: dict[Labels, float]) -> None:
    from array import array

    text = format_samples([Sample(tuple(samples), array("d", samples.values()))], [])
    assert dict(parse(text if samples else "")) == samples
