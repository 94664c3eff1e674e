"""Templates as ready-made rule collections use them, and Go's ways of printing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.alerting.errors import TemplateError
from vezha.alerting.template import Scope, Template
from vezha.alerting.template_text import go_float, go_printf

LABELS = {"instance": "db-1:9100", "job": "node", "mountpoint": "/var"}
SAMPLES: list[dict[str, object]] = [
    {"Labels": {"instance": "b"}, "Value": 2.0},
    {"Labels": {"instance": "a"}, "Value": 1.5},
]


def expand(text: str, value: float = 0.93216, **labels: str) -> str:
    scope = Scope(
        {**LABELS, **labels},
        value,
        {"cluster": "eu"},
        "https://v.example/x",
        1e9,
        lambda _: SAMPLES,
    )
    return Template(text).expand(scope)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("no template at all", "no template at all"),
        ("{{ $labels.instance }} is down", "db-1:9100 is down"),
        ("{{$labels.instance}}: {{$value}}", "db-1:9100: 0.93216"),
        ("{{ .Labels.job }}/{{ .Value }}", "node/0.93216"),
        ("{{ $labels.nothing }}.", "."),
        ("{{ $externalLabels.cluster }} {{ $externalURL }}", "eu https://v.example/x"),
        ("{{ $value | humanizePercentage }}", "93.22%"),
        ("{{ humanizePercentage $value }}", "93.22%"),
        ('{{ printf "%.1f%%" $value }}', "0.9%"),
        ('{{ $value | printf "%.2f" }}', "0.93"),
        ('{{ printf "%s on %q" $labels.job $labels.mountpoint }}', 'node on "/var"'),
        ('{{ if eq $labels.job "node" }}yes{{ else }}no{{ end }}', "yes"),
        ("{{ if gt $value 0.95 }}A{{ else if gt $value 0.9 }}B{{ else }}C{{ end }}", "B"),
        ('{{ if and (eq $labels.job "node") (lt $value 1.0) }}both{{ end }}', "both"),
        ('{{ with query "up" }}{{ . | first | value }}{{ end }}', "2"),
        ('{{ query "up" | first | label "instance" }}', "b"),
        ('{{ range query "up" }}{{ .Labels.instance }}={{ .Value }} {{ end }}', "b=2 a=1.5 "),
        ('{{ range $i, $s := query "up" }}{{ $i }}{{ $s.Value }};{{ end }}', "02;11.5;"),
        (
            '{{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}{{ end }}',
            "ab",
        ),
        ("{{ range $k, $v := $labels }}{{ $k }} {{ end }}", "instance job mountpoint "),
        ("a {{- /* comment */ -}} b", "ab"),
        ("a\n  {{- $labels.job -}}\n  b", "anodeb"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
        ('{{ define "t" }}[{{ . }}]{{ end }}{{ template "t" $labels.job }}', "[node]"),
        ('{{ reReplaceAll "(.*):\\\\d+" "$1" $labels.instance }}', "db-1"),
        ("{{ $labels.instance | stripPort }}", "db-1"),
        ('{{ "web-1.example.org:80" | stripDomain }}', "web-1:80"),
        ('{{ $labels.job | toUpper }} {{ title "big disk" }}', "NODE Big Disk"),
        ('{{ len $labels }} {{ index $labels "job" }}', "3 node"),
        ('{{ print 1 2 "a" 3 }}', "1 2a3"),
        ('{{ range query "up" }}{{ if eq .Value 1.5 }}{{ break }}{{ end }}x{{ end }}', "x"),
        ('{{ match "^db" $labels.instance }}', "true"),
        ("{{ `raw` }}", "raw"),
        # of a newer Prometheus than Debian's, so after its documentation
        ('{{ "a b&c" | urlQueryEscape }}', "a+b%26c"),
        (
            "{{ 3723.5 | toDuration }} {{ 0.0015 | toDuration }} {{ 0 | toDuration }}",
            "1h2m3.5s 1.5ms 0s",
        ),
        ("{{ (5400 | toDuration).Minutes }} {{ (-90 | toDuration) }}", "90 -1m30s"),
        ("{{ now }} {{ (now | toTime).Unix }}", "1e+09 1000000000"),
        (
            '{{ (now | toTime).Format "Monday, 02 January 06, 03:04:05.000 pm MST Z07:00" }}',
            "Sunday, 09 September 01, 01:46:40.000 am UTC Z",
        ),
        ("{{ externalURL }} {{ pathPrefix }}", "https://v.example/x /x"),
        ('{{ block "b" $labels.job }}[{{ . }}]{{ end }}{{ template "b" 1 }}', "[node][1]"),
    ],
)
def test_expands(text: str, wanted: str) -> None:
    assert expand(text) == wanted


@pytest.mark.parametrize(
    ("function", "value", "wanted"),
    [
        ("humanize", 1234567.0, "1.235M"),
        ("humanize", 0.0123, "12.3m"),
        ("humanize", 0.0, "0"),
        ("humanize", 999.0, "999"),
        ("humanize1024", 1048576.0, "1Mi"),
        ("humanize1024", 0.5, "0.5"),
        ("humanizeDuration", 90061.0, "1d 1h 1m 1s"),
        ("humanizeDuration", 3661.0, "1h 1m 1s"),
        ("humanizeDuration", 59.5, "59.5s"),
        ("humanizeDuration", 0.0012, "1.2ms"),
        ("humanizeDuration", -61.0, "-1m 1s"),
        ("humanizeDuration", math.inf, "+Inf"),
        ("humanizePercentage", 0.1234567, "12.35%"),
        ("humanizeTimestamp", 1435065584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
    ],
)
def test_humanize_family_agrees_with_prometheus(function: str, value: float, wanted: str) -> None:
    assert expand(f"{{{{ $value | {function} }}}}", value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.1, "0.1"),
        (100.0, "100"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (0.0001, "0.0001"),
        (123456789.123, "1.23456789123e+08"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
        (-0.0, "-0"),
    ],
)
def test_floats_print_as_in_go(value: float, wanted: str) -> None:
    assert go_float(value) == wanted


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_printed_floats_read_back_the_same(value: float) -> None:
    assert float(go_float(value)) == value


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("%d", 5), "5"),
        (("%d", 5.0), "%!d(float64=5)"),
        (("%05.1f|%-6s|%6s", 3.14159, "ab", "cd"), "003.1|ab    |    cd"),
        (("%s",), "%!s(MISSING)"),
        (("%v", "a", "b"), "a%!(EXTRA string=b)"),
        (("%t %x %e", True, 255, 1234.5), "true ff 1.234500e+03"),
        (("%+.2f", 1.0), "+1.00"),
        (("100%%",), "100%"),
    ],
)
def test_printf_as_in_go(args: tuple[object, ...], wanted: str) -> None:
    assert go_printf(str(args[0]), list(args[1:])) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "{{ $labels.instance",
        "{{ }}",
        "{{ if $value }}never ended",
        "{{ end }}",
        "{{ noSuchFunction 1 }}",
        "{{ $value | }}",
        "{{ ( $value }}",
        "{{ 'a }}",
        "{{ block x . }}{{ end }}",
        '{{ block "x" . }}',
        "{{ else }}",
    ],
)
def test_faults_are_found_when_parsed(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text)


@pytest.mark.parametrize(
    "text",
    [
        '{{ query "up" | first | value | index 3 }}',
        "{{ $undeclared }}",
        '{{ "x" | humanize }}',
        '{{ reReplaceAll "(" "" "x" }}',
        "{{ $labels.instance . }}",
        '{{ ($value | toTime).Frmat "2006" }}',
        "{{ 1e300 | toTime }}",
        '{{ lt 1 "a" }}',
        '{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}',
    ],
)
def test_faults_at_expansion_stand_in_the_text(text: str) -> None:
    scope = Scope(LABELS, 1.0, {}, "", 0.0, lambda _: SAMPLES)
    assert Template(text).expand_or_error(scope).startswith("<error expanding template: ")


@given(st.text(alphabet="{}$.|()\"'`-/* abc19=:,", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_gives_text_or_a_template_error(text: str) -> None:
    try:
        expanded = Template(text).expand_or_error(Scope(LABELS, 1.0, {}, "", 0.0, lambda _: []))
    except TemplateError:
        return
    assert isinstance(expanded, str)
