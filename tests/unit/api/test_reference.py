"""The pages of docs/reference say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.access import limits as access_limits
from vezha.api import limits
from vezha.api.app import check_table
from vezha.api.openapi import describe
from vezha.api.reference import actions_table, charts_table, routes_table
from vezha.server import doors, web

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
ALL_ROUTES = (*web.ROUTES, *doors.ROUTES)


@pytest.mark.parametrize(
    ("page", "name", "table"),
    [
        ("api.md", "routes", routes_table(ALL_ROUTES)),
        ("api.md", "charts", charts_table()),
        ("access.md", "actions", actions_table()),
    ],
)
def test_tables_are_those_of_the_code(page: str, name: str, table: str) -> None:
    text = (REFERENCE / page).read_text()
    between = text.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]
    assert between == table


def test_figures_in_the_text_are_the_limits() -> None:
    api, access = ((REFERENCE / page).read_text() for page in ("api.md", "access.md"))
    assert f"{limits.QUERIES_WAITING_MAX} wait" in api
    assert limits.QUERY_THREADS == limits.QUERY_WORKERS == 2
    assert f"{limits.LIGHT_SAMPLES_MAX:,} samples".replace(",", " ") in api
    assert f"{limits.LISTING_SERIES_MAX:,} series".replace(",", " ") in api
    assert f"takes nothing of it for {limits.STREAM_STALL_S:g} s" in api
    assert limits.STREAM_FROM_BYTES == 1 << 20
    assert limits.WORKER_PATIENCE_S == 0.5
    assert f"{limits.LIVE_VIEWERS_MAX} viewers" in api
    assert limits.LIVE_QUEUE_FRAMES_MAX == 4
    assert limits.BODY_BYTES_MAX == 256 * 1024
    low, high = access_limits.PASSWORD_CHARS_MIN, access_limits.PASSWORD_CHARS_MAX
    assert f"{low} to {high} characters" in access
    assert access_limits.THROTTLE_FREE_FAILURES == 5
    assert access_limits.THROTTLE_MAX_S == 15 * 60
    assert f"refusals {access_limits.AUDIT_REFUSALS_PER_MINUTE_MAX} a minute" in access


def test_the_whole_table_of_the_server_is_sound() -> None:
    check_table(ALL_ROUTES)


def test_each_schema_has_a_name_of_its_own() -> None:
    # msgspec writes two structs of one name with their modules, which no client should have to read
    schemas = describe(ALL_ROUTES)["components"]["schemas"]
    assert [name for name in schemas if not name.isalnum()] == []
