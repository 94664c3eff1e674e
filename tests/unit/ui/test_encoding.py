"""What a browser asks for, chosen from what there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.ui.encoding import choose_encoding, choose_language, weights


@pytest.mark.parametrize(
    ("header", "available", "chosen"),
    [
        ("gzip, deflate, br, zstd", ("identity", "br", "gzip"), "br"),
        ("gzip, deflate", ("identity", "br", "gzip"), "gzip"),
        ("br;q=0, gzip", ("identity", "br", "gzip"), "gzip"),
        ("br", ("identity", "gzip"), "identity"),
        ("*", ("identity", "gzip"), "gzip"),
        ("*;q=0", ("identity", "gzip"), "identity"),
        ("", ("identity", "br", "gzip"), "identity"),
        ("gzip;q=broken", ("identity", "gzip"), "identity"),
    ],
)
def test_encoding(header: str, available: tuple[str, ...], chosen: str) -> None:
    assert choose_encoding(header, available) == chosen


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, "uk-UA,uk;q=0.9,en;q=0.8", "uk"),
        (None, "en-GB,en;q=0.9,uk;q=0.8", "en"),
        (None, "de,fr;q=0.9,uk;q=0.1", "uk"),
        (None, "de", "en"),
        (None, "", "en"),
        ("uk", "en", "uk"),
        ("xx", "uk", "uk"),
        (None, "uk;q=0", "en"),
    ],
)
def test_language(cookie: str | None, header: str, language: str) -> None:
    assert choose_language(cookie, header, ("en", "uk")) == language


@given(st.text(max_size=200))
def test_any_header_can_be_read(header: str) -> None:
    assert all(name for name in weights(header))
    assert choose_encoding(header, ("identity", "br")) in ("identity", "br")
    assert choose_language(header, header, ("en", "uk")) in ("en", "uk")
