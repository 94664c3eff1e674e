"""The live stream: frames, the bounded viewer, the hub, the socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect
from tests.unit.api.conftest import BASE, TestClient, Tower

from vezha.access import Role
from vezha.access.host import remove_host
from vezha.access.user import SYSTEM
from vezha.api import limits
from vezha.api.app import make_app
from vezha.api.live import Hub
from vezha.api.live.frame import (
    HEAD,
    fleet_delta,
    fleet_full,
    host_changes,
    host_lines,
    host_values,
)
from vezha.api.live.hub import hosts_message
from vezha.api.live.viewer import Viewer

NODE = {"job": "node"}
TILES = st.lists(
    st.tuples(st.integers(0, 4), *[st.integers(0, 100) | st.just(255)] * 5), min_size=1, max_size=12
)


def tiles_of(rows: list[tuple[int, ...]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array(rows, np.uint8)


def apply(cells: np.ndarray[Any, Any], frame: bytes) -> None:
    """What a page does with a frame."""
    kind, full, _, _, count = HEAD.unpack_from(frame)
    assert kind == 1
    if full:
        cells[:] = np.frombuffer(frame, np.uint8, offset=HEAD.size).reshape(-1, 6)
        return
    for i in range(count):
        at = HEAD.size + i * 10
        (index,) = struct.unpack_from("<I", frame, at)
        cells[index] = np.frombuffer(frame, np.uint8, 6, at + 4)


def test_the_frames_bytes_are_fixed() -> None:
    full = fleet_full(tiles_of([(1, 2, 3, 4, 5, 255)]), 1.5, 0x1_0007)
    assert full.hex() == "01010700000000000000f83f01000000" + "0102030405ff"
    shown = tiles_of([(0, 0, 0, 0, 0, 0), (0, 10, 10, 10, 10, 10)])
    now = tiles_of([(0, 1, 1, 1, 1, 1), (2, 10, 10, 10, 10, 12)])
    delta, after = fleet_delta(shown, now, 1.5, 7)
    assert delta.hex() == "01000700000000000000f83f01000000" + "01000000" + "020a0a0a0a0c"
    assert after.tolist() == [[0] * 6, [2, 10, 10, 10, 10, 12]]
    lines = host_lines(np.array([1.0, np.nan]))
    host = host_values(lines, 1.5, 9)
    assert host.hex() == "02000900000000000000f83f02000000" + "0000803f" + "0000c07f"
    changes = host_changes(lines, host_lines(np.array([2.0, np.nan])), 1.5, 9)
    assert changes.hex() == "03000900000000000000f83f02000000" + "01" + "00000040"


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, 1e300]), min_size=9, max_size=9)))
def test_whoever_applies_a_hosts_changes_has_its_lines_bit_for_bit(
    seconds: list[list[float]],
) -> None:
    shown = host_lines(np.zeros(9))
    page = shown.copy()
    for values in seconds:
        now = host_lines(np.array(values))
        frame = host_changes(shown, now, 1.0, 1)
        mask = np.frombuffer(frame, np.uint8, 2, HEAD.size)
        changed = np.unpackbits(mask, bitorder="little", count=9).astype(bool)
        page[changed] = np.frombuffer(frame, "<f4", offset=HEAD.size + 2)
        assert page.tobytes() == now.tobytes()
        shown = now


@given(st.lists(TILES, min_size=1, max_size=6))
def test_whoever_applies_all_frames_sees_the_truth_within_the_dead_band(
    seconds: list[list[tuple[int, ...]]],
) -> None:
    count = min(map(len, seconds))
    shown = tiles_of(seconds[0][:count])
    page = np.zeros_like(shown)
    apply(page, fleet_full(shown, 0.0, 1))
    for rows in seconds:
        now = tiles_of(rows[:count])
        frame, shown = fleet_delta(shown, now, 0.0, 1)
        apply(page, frame)
        assert (page == shown).all()
        assert (page[:, 0] == now[:, 0]).all()
        assert (np.abs(page.astype(int) - now.astype(int)) < 2).all()
        assert ((page == 255) == (now == 255)).all()


def test_a_slow_creep_is_told_when_it_adds_up() -> None:
    shown, told = tiles_of([(0, 50, 0, 0, 0, 0)]), []
    for value in range(50, 60):
        frame, shown = fleet_delta(shown, tiles_of([(0, value, 0, 0, 0, 0)]), 0.0, 1)
        told.append(HEAD.unpack_from(frame)[4])
    assert told == [0, 0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_a_viewers_queue_is_bounded_and_begins_anew() -> None:
    viewer = Viewer()
    viewer.watch("fleet")
    viewer.stale = False
    for i in range(limits.LIVE_QUEUE_FRAMES_MAX):
        assert viewer.put(bytes([i]))
    assert not viewer.put(b"too much")
    assert viewer.is_caught_up, "what was waiting is thrown away"
    assert viewer.stale
    assert viewer.skipped == limits.LIVE_QUEUE_FRAMES_MAX + 1


@pytest.fixture
def watched(tower: Tower, put: Callable[..., None]) -> Tower:
    for name in ("db-1", "db-2"):
        tower.enrol(name)
        put("up", [1.0], instance=name, **NODE)
        put("node_load1", [1.0] * 3, instance=name, **NODE)
        put("node_memory_MemTotal_bytes", [100.0], instance=name, **NODE)
        put("node_memory_MemAvailable_bytes", [40.0], instance=name, **NODE)
    return tower


def hub_of(tower: Tower, incidents: Callable[[], list[Any]] | None = None) -> Hub:
    services = tower.services
    assert services.fleet is not None
    assert services.querying is not None
    return Hub(
        services.fleet, services.querying.engine, services.world, services.metrics, incidents
    )


def drain(viewer: Viewer) -> list[Any]:
    """Queued messages: JSON decoded, frames as (kind, full, revision, count)."""
    found = []
    while not viewer.is_caught_up:
        message = asyncio.run(viewer.wait_message())
        if isinstance(message, str):
            found.append(json.loads(message))
        else:
            kind, full, revision, _, count = HEAD.unpack_from(message)
            found.append((kind, full, revision, count))
    return found


def ticked(hub: Hub) -> None:
    asyncio.run(hub.tick())


def joined(hub: Hub, page: str, host: str = "") -> Viewer:
    viewer = Viewer()
    assert hub.join(viewer)
    hub.watch(viewer, page, host)
    return viewer


def test_a_new_viewer_gets_hosts_then_everything_then_changes(
    watched: Tower, put: Callable[..., None]
) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "fleet")
    ticked(hub)
    hosts, verdict, frame = drain(viewer)
    assert hosts["names"] == ["db-1", "db-2"]
    assert frame == (1, 1, hosts["revision"], 2)
    assert verdict["counts"]["normal"] == 2
    watched.clock.ahead_s += 1
    for name, free in (("db-1", 40.0), ("db-2", 10.0)):
        put("up", [1.0], instance=name, **NODE)
        put("node_memory_MemTotal_bytes", [100.0], instance=name, **NODE)
        put("node_memory_MemAvailable_bytes", [free], instance=name, **NODE)
    ticked(hub)
    assert drain(viewer) == [(1, 0, hosts["revision"], 1)]


def test_many_viewers_cost_one_computation(watched: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_of(watched)
    asked: list[str] = []
    engine = watched.services.querying.engine  # type: ignore[union-attr]
    real = engine.instant

    def counted(query: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(str(query))
        return real(query, *args, **kwargs)

    monkeypatch.setattr(engine, "instant", counted)
    joined(hub, "fleet")
    joined(hub, "host", "db-1")
    ticked(hub)
    alone = len(asked)
    for _ in range(50):
        joined(hub, "fleet")
        joined(hub, "host", "db-1")
    watched.clock.ahead_s += 1
    asked.clear()
    ticked(hub)
    assert 0 < len(asked) <= alone


def test_hosts_are_told_as_columns(watched: Tower) -> None:
    class Row(NamedTuple):
        name: str
        labels: dict[str, str]
        facts: dict[str, Any]

    rows: Any = [
        Row("a", {"site": "kyiv"}, {"os": "Debian 12", "labels": {"site": "lviv", "role": "db"}}),
        Row("b", {"site": "kyiv"}, {}),
        Row("c", {}, {"os": "Debian 12"}),
    ]
    snapshot = watched.services.fleet.snapshot()  # type: ignore[union-attr]
    told = json.loads(hosts_message(rows, replace(snapshot, names=["c", "a", "gone", "b"])))
    assert told["names"] == ["c", "a", "b"]
    assert told["labels"] == {
        "role": {"values": ["db"], "at": [-1, 0, -1]},
        "site": {"values": ["kyiv"], "at": [-1, 0, 0]},
    }
    assert told["os"] == {"values": ["Debian 12"], "at": [0, 0, -1]}


def test_who_opens_a_page_finds_the_fleet_computed(
    watched: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of(watched)
    fleet = watched.services.fleet
    assert fleet is not None
    made: list[int] = []
    make = fleet._make

    def counted() -> Any:
        made.append(1)
        return make()

    monkeypatch.setattr(fleet, "_make", counted)
    ticked(hub)
    assert made == [], "nobody watches"
    hub.expect()
    ticked(hub)
    viewer = joined(hub, "fleet")
    ticked(hub)
    assert drain(viewer)[0]["type"] == "hosts"
    assert made == [1]


def test_a_changed_list_of_hosts_is_told_before_frames_that_refer_to_it(watched: Tower) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "fleet")
    ticked(hub)
    before = drain(viewer)[0]["revision"]
    remove_host(watched.services.ledger, SYSTEM, "db-1", 1)
    hub.nudge("hosts")
    ticked(hub)
    hosts, _, frame = drain(viewer)
    assert hosts["names"] == ["db-2"]
    assert hosts["revision"] != before
    assert frame == (1, 1, hosts["revision"], 1)


def test_a_slow_viewer_is_told_everything_anew_and_others_do_not_notice(watched: Tower) -> None:
    hub = hub_of(watched)
    slow, quick = joined(hub, "fleet"), joined(hub, "fleet")
    for _ in range(limits.LIVE_QUEUE_FRAMES_MAX * 3):
        watched.clock.ahead_s += 1
        ticked(hub)
        assert drain(quick)
    watched.clock.ahead_s += 1
    ticked(hub)
    renewed = drain(slow)
    assert renewed[0]["type"] == "hosts"
    assert renewed[2][1] == 1, "a full frame"
    assert slow.skipped


def test_a_hosts_lines_are_named_before_their_values(watched: Tower) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "host", "db-1")
    ticked(hub)
    series, frame = drain(viewer)
    assert series["type"] == "series"
    assert {"chart": "load", "legend": "load", "labels": {}} in series["series"]
    assert frame == (2, 0, series["revision"], len(series["series"]))
    ticked(hub)
    assert drain(viewer) == [(3, *frame[1:])], "what changed"
    late = joined(hub, "host", "db-1")
    ticked(hub)
    assert drain(late) == [series, frame], "everything at first"
    assert drain(viewer) == [(3, *frame[1:])]


def test_a_silent_hosts_lines_are_gaps(watched: Tower) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "host", "db-1")
    watched.clock.ahead_s += 30
    ticked(hub)
    asyncio.run(viewer.wait_message())
    frame = asyncio.run(viewer.wait_message())
    assert isinstance(frame, bytes)
    assert np.isnan(np.frombuffer(frame, "<f4", offset=HEAD.size)).all()


def test_a_disk_that_comes_is_told_as_new_lines(watched: Tower, put: Callable[..., None]) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "host", "db-1")
    ticked(hub)
    before = drain(viewer)[0]
    for _ in range(10):
        put("node_disk_io_time_seconds_total", [0.0, 1.0, 2.0], instance="db-1", device="sdz",
            **NODE)  # fmt: skip
        put("node_load1", [1.0] * 3, instance="db-1", **NODE)
        ticked(hub)
    messages = [m for m in drain(viewer) if isinstance(m, dict)]
    assert messages[-1]["revision"] == before["revision"] + 1
    assert {"chart": "disk_busy", "legend": "sdz", "labels": {"device": "sdz"}} in (
        messages[-1]["series"]
    )


def test_incidents_are_told_when_they_change(watched: Tower) -> None:
    found: list[Any] = []
    hub = hub_of(watched, lambda: found)
    viewer, fleet = joined(hub, "incidents"), joined(hub, "fleet")
    ticked(hub)
    assert drain(viewer) == [{"type": "incidents", "incidents": []}]
    drain(fleet)
    ticked(hub)
    assert drain(viewer) == []
    found.append({"id": 1})
    ticked(hub)
    assert drain(viewer) == [{"type": "incidents", "incidents": [{"id": 1}]}]
    verdicts = [m for m in drain(fleet) if isinstance(m, dict)]
    assert verdicts[-1]["incidents"] == [{"id": 1}]


def test_a_store_that_fails_costs_a_second_not_the_stream(
    watched: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_of(watched)
    viewer = joined(hub, "host", "db-1")

    def broken(*_: object, **__: object) -> None:
        raise OSError("the store restarts")

    with monkeypatch.context() as patch:
        patch.setattr(watched.services.querying.engine, "instant", broken)  # type: ignore[union-attr]
        ticked(hub)
        assert drain(viewer) == []
    ticked(hub)
    assert len(drain(viewer)) == 2


def test_viewers_are_limited(watched: Tower) -> None:
    hub = hub_of(watched)
    viewers = [Viewer() for _ in range(limits.LIVE_VIEWERS_MAX + 1)]
    assert [hub.join(v) for v in viewers].count(False) == 1
    hub.leave(viewers[0])
    assert hub.join(viewers[-1])


@pytest.fixture
def site(watched: Tower) -> Iterator[Callable[..., TestClient]]:
    """The application with a running hub."""
    hub = hub_of(watched)
    watched.services.hub = hub

    @contextlib.asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        ticking = asyncio.create_task(hub.run())
        yield
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking

    app = make_app(watched.services, lifespan=lifespan)
    with TestClient(app, base_url=BASE) as client:

        def with_token(role: Role | None) -> TestClient:
            client.headers.pop("Authorization", None)
            if role is not None:
                client.headers["Authorization"] = f"Bearer {watched.token(role)}"
            return client

        yield with_token


def test_a_socket_speaks_with_one_page(site: Callable[..., TestClient]) -> None:
    with site(Role.VIEWER).websocket_connect("/api/v1/live") as socket:
        socket.send_json({"subscribe": {"page": "fleet"}})
        assert socket.receive_json()["type"] == "hosts"
        assert socket.receive_json()["type"] == "verdict"
        assert socket.receive_bytes()[:2] == b"\x01\x01"
        assert socket.receive_bytes()[:2] == b"\x01\x00", "a frame each second"


def test_the_first_wish_may_stand_in_the_address(site: Callable[..., TestClient]) -> None:
    with site(Role.VIEWER).websocket_connect("/api/v1/live?page=fleet") as socket:
        assert socket.receive_json()["type"] == "hosts"
        assert socket.receive_json()["type"] == "verdict"
        assert socket.receive_bytes()[:2] == b"\x01\x01"
        # the next one is sent as ever
        socket.send_json({"subscribe": {"page": "host", "host": "db-1"}})
        types = set()
        while "series" not in types:
            said = socket.receive()
            types.add(json.loads(said["text"])["type"] if said.get("text") else "bytes")
    with site(Role.VIEWER).websocket_connect("/api/v1/live?page=host&host=absent") as socket:
        assert socket.receive_json()["error"]["code"] == "not_found"
    with site(Role.VIEWER).websocket_connect("/api/v1/live?page=x") as socket:
        assert socket.receive_json()["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("nonsense", "invalid"), ("{}", "invalid"), ('{"subscribe":{"page":"x"}}', "invalid"),
        ('{"subscribe":{"page":"host","host":"absent"}}', "not_found"),
        ('{"subscribe":{"page":"host"}}', "not_found"),
    ],
)  # fmt: skip
def test_a_wrong_wish_is_told_and_the_socket_stays(
    site: Callable[..., TestClient], said: str, code: str
) -> None:
    with site(Role.VIEWER).websocket_connect("/api/v1/live") as socket:
        socket.send_text(said)
        assert socket.receive_json()["error"]["code"] == code
        socket.send_json({"subscribe": {"page": "host", "host": "db-1"}})
        assert socket.receive_json()["type"] == "series"


def _close_code(client: TestClient, **headers: str) -> int:
    def connect() -> None:
        with client.websocket_connect("/api/v1/live", headers=headers) as socket:
            socket.receive_text()

    with pytest.raises(WebSocketDisconnect) as caught:
        connect()
    return caught.value.code


def test_nobody_another_site_and_a_wrong_token_are_closed_out(
    site: Callable[..., TestClient],
) -> None:
    assert _close_code(site(None)) == 4401
    assert _close_code(site(None), Authorization="Bearer vzt_x") == 4401
    assert _close_code(site(Role.VIEWER), Origin="https://evil.example") == 4403


def test_a_message_that_is_too_long_ends_the_socket(site: Callable[..., TestClient]) -> None:
    with site(Role.VIEWER).websocket_connect("/api/v1/live") as socket:
        socket.send_text("x" * (limits.LIVE_MESSAGE_BYTES_MAX + 1))
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_text()
    assert caught.value.code == 1009


def test_a_session_that_ends_closes_the_open_socket(
    site: Callable[..., TestClient], watched: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIVE_RECHECK_S", 0.05)
    client = site(Role.VIEWER)
    with client.websocket_connect("/api/v1/live") as socket:
        with watched.services.ledger.begin() as connection:
            connection.exec_driver_sql("DELETE FROM api_token")
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_text()
    assert caught.value.code == 4401
