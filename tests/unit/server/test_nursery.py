"""Which workers the supervisor forks on request."""

from __future__ import annotations

import os
import socket

import pytest

from vezha.server.nursery import Nursery, wanted

KNOWN = {"query": None, "forecast": None}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ('["query"]', ["query"]),
        ('["forecast", "/a b/store", "x"]', ["forecast", "/a b/store", "x"]),
        ('["sh", "-c", "true"]', []),
        ("[]", []),
        ('["query", 1]', []),
        ('{"query": 1}', []),
        ('"query"', []),
        ("query", []),
        ("", []),
    ],
)
def test_only_what_is_known(request_: str, words: list[str]) -> None:
    assert wanted(request_, KNOWN) == words


def test_a_request_that_makes_no_sense_goes_unanswered_and_keeps_nothing_open() -> None:
    nursery = Nursery({}, lambda *_: None)
    answer, theirs = socket.socketpair()
    given = [os.dup(theirs.fileno()) for _ in range(3)]
    theirs.close()
    nursery.start("web", '["query"]', given)
    answer.settimeout(5)
    assert answer.recv(1) == b""
    answer.close()
    for descriptor in given:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
