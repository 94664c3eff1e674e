"""`checks.yml`: what it gives, and what it says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checks.servers import read_file

from vezha.checks.check import KINDS
from vezha.checks.config import parse_checks
from vezha.checks.errors import CheckConfigError
from vezha.checks.options import Secret, host_port

GOOD = """
defaults: {interval: 5s, timeout: 2s, failures_before_down: 3}
checks:
  - name: shop
    type: http
    targets: ["https://a.example/", "https://b.example/"]
    labels: {team: web}
  - {name: cert, type: tls, targets: [a.example], interval: 1m30s, timeout: 4s, slow_after: 3s}
  - {name: nightly, type: heartbeat, period: 1d, token_sha256: "%s"}
""" % ("0f" * 32)


def test_a_file() -> None:
    shop, cert, nightly = parse_checks(GOOD, read_file, "checks.yml")
    assert (shop.interval_s, shop.timeout_s, shop.failures_before_down) == (5, 2, 3)
    assert (shop.slow_after_s, shop.labels) == (1, (("team", "web"),))
    assert (cert.interval_s, cert.timeout_s, cert.slow_after_s) == (90, 4, 3)
    assert (nightly.targets, nightly.failures_before_down) == (("nightly",), 1)
    assert parse_checks("", read_file, "checks.yml") == []


def entry(more: str) -> str:
    return f"checks: [{{name: a, {more}}}]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not YAML"),
        ("[]", "wants `checks:`|no checks"),
        ("check: []", "unknown key check; did you mean checks?"),
        ("checks: {}", ""),
        ("checks: [{type: tcp}]", "check 1: name '' must be letters"),
        (entry("type: htpp"), "check a: type 'htpp' is unknown; use one of http, tcp"),
        (entry("type: tcp"), "check a: targets is missing"),
        (entry("type: tcp, targets: [b]"), "target 'b' is no host:port"),
        (entry("type: tcp, targets: ['b:1', 'b:1']"), "one twice"),
        (entry("type: tcp, targets: ['b:1'], timout: 1s"), "did you mean timeout?"),
        (entry("type: tcp, targets: ['b:1'], interval: 0s"), "interval is 0s; use 1s to 240s"),
        (entry("type: tcp, targets: ['b:1'], interval: 1h"), "interval is 1h"),
        (entry("type: tcp, targets: ['b:1'], interval: soon"), "write a duration"),
        (entry("type: tcp, targets: ['b:1'], interval: 1s, timeout: 2s"), "longer than the interv"),
        (entry("type: tcp, targets: ['b:1'], labels: {job: x}"), "no free label name"),
        (entry("type: tcp, targets: ['b:1'], expect: '('"), "no regular expression"),
        (entry("type: tcp, targets: ['b:1'], ca_file: x"), "add `tls: true`"),
        (entry("type: http, targets: [a.example]"), "write a URL"),
        (entry("type: http, targets: ['http://a/'], status: [999]"), "write statuses"),
        (entry("type: http, targets: ['http://a/'], password: x, username: b"), "into a file"),
        (entry("type: http, targets: ['http://a/'], bearer_token_file: /none"), "cannot be read"),
        (entry("type: http, targets: ['http://a/'], name: b"), "the key name stands twice"),
        (entry("type: ping, targets: ['b:1']"), "ping knows no ports"),
        (entry("type: dns, targets: [b]"), "query is missing"),
        (entry("type: dns, targets: [b], query: x, record: SPF"), "use one of A, NS"),
        (entry("type: plugin, command: [/bin/true]"), "allow_plugins: true"),
        ("allow_plugins: true\n" + entry("type: plugin, command: [x]"), "absolute path"),
        (entry("type: heartbeat, period: 1h"), "vezha check token"),
        (entry(f"type: heartbeat, token_sha256: '{'0' * 64}'"), "period is missing"),
        ("checks: [{name: a, type: tls, targets: [b]}, {name: a, type: tls, targets: [b]}]",
         "two checks are named a"),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_with_its_place(text: str, says: str) -> None:
    if text in ("[]", "checks: {}"):
        # an empty list or mapping is simply nothing
        assert parse_checks(text, read_file, "checks.yml") == []
        return
    with pytest.raises(CheckConfigError) as caught:
        parse_checks(text, read_file, "checks.yml")
    told = str(caught.value)
    assert told.startswith("checks.yml")
    assert says in told
    assert "\n" not in told


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hunter2-hunter2-hunter2\n")
    text = entry(f"type: redis, targets: [b], password_file: {tmp_path}/s")
    found = parse_checks(text, read_file, "x")
    assert "hunter2" not in repr(found)
    assert Secret("a") == Secret("a") != Secret("b")


@given(st.dictionaries(st.sampled_from(["name", "type", "targets", "interval", "labels", "query"]),
                       st.one_of(st.none(), st.integers(), st.text(max_size=8), st.booleans(),
                                 st.lists(st.text(max_size=4), max_size=3),
                                 st.sampled_from(sorted(KINDS)))))  # fmt: skip
def test_nothing_but_a_sentence_comes_of_nonsense(raw: dict[str, object]) -> None:
    import json

    try:
        parse_checks(json.dumps({"checks": [raw]}), read_file, "checks.yml")
    except CheckConfigError as error:
        assert str(error).startswith("checks.yml")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("a", ("a", 5)), ("a:7", ("a", 7)), ("[::1]", ("::1", 5)), ("[::1]:7", ("::1", 7)),
     ("::1", ("::1", 5))],
)  # fmt: skip
def test_a_target_with_a_port(text: str, pair: tuple[str, int]) -> None:
    assert host_port(text, 5, "x") == pair
