"""What a request brings is read as it was meant."""

from __future__ import annotations

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from vezha.api.body import read_query

_TEXTS = st.text(alphabet="aé=&+%2 B7Bd0ff;", max_size=24)


@given(_TEXTS)
def test_a_query_string_is_read_as_the_standard_library_reads_it(text: str) -> None:
    raw = text.encode("latin-1")
    assert read_query(raw) == parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
