"""Directives: there and back, and nothing malformed comes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.wire.directive import Directive, directive_of
from vezha.wire.errors import ProtocolError

SHA = "0f" * 32
RELEASE = Directive("release", 4, "agent/vezha-agent/0.2.0/vezha-agent.pyz", SHA, 12)
SCRIPT = Directive(
    "script", 5, "script/restart/1/run.sh", SHA, 3, "run-7", {"params": {"unit": "nginx"}}
)


OWN = Directive("config", 9, "", "", 0)


@pytest.mark.parametrize("directive", [RELEASE, SCRIPT, OWN], ids=lambda d: d.kind)
def test_there_and_back(directive: Directive) -> None:
    assert directive_of(directive.as_json()) == directive


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "rules"),
        ("run", "run-7"),  # a release has no run
        ("generation", 0),
        ("generation", True),
        ("length", 1 << 40),
        ("target", "x" * 600),
        ("length", 0),
        ("sha256", "0F" * 32),
        ("detail", []),
    ],
)
def test_wrong_values_are_named(name: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=name):
        directive_of({**RELEASE.as_json(), name: value})


def test_only_release_and_configuration_can_go_back_to_the_own_ones() -> None:
    assert directive_of(OWN.as_json()).is_own
    assert not directive_of(RELEASE.as_json()).is_own
    with pytest.raises(ProtocolError, match="target"):
        directive_of({**SCRIPT.as_json(), "target": ""})
    with pytest.raises(ProtocolError, match="length"):
        directive_of({**RELEASE.as_json(), "target": ""})
    with pytest.raises(ProtocolError, match="sha256"):
        directive_of({**RELEASE.as_json(), "sha256": ""})


def test_a_script_needs_a_run() -> None:
    with pytest.raises(ProtocolError, match="run"):
        directive_of({**SCRIPT.as_json(), "run": ""})
    with pytest.raises(ProtocolError, match="run"):
        directive_of({**SCRIPT.as_json(), "run": "../../etc"})


rubbish = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(sorted(RELEASE.as_json())), rubbish))
def test_rubbish_is_a_protocol_error_or_a_directive(entry: dict[str, object]) -> None:
    try:
        assert isinstance(directive_of(entry), Directive)
    except ProtocolError as error:
        assert error.code == "bad_message"
