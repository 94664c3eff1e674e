"""What processes that read the store keep of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.server.settings import load_settings
from vezha.server.source import Reading
from vezha.server.state import StateFolder


@pytest.mark.parametrize(
    ("asked", "kept"), [(None, 64 << 20), (32 << 20, 32 << 20), (128 << 20, 64 << 20)]
)
def test_no_process_keeps_more_unpacked_samples_than_the_operator_allows(
    tmp_path: Path, asked: int | None, kept: int
) -> None:
    settings = load_settings(StateFolder(tmp_path), {}, ["query.cache_bytes_max=64MiB"])
    reader = Reading.of(settings).reader(asked)
    assert reader._reading.cache._bytes_max == kept
    reader.close()
