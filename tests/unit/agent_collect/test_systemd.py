"""D-Bus against the specification's own layout, and unit states against a bus of our own."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.agent.catalogue import BY_NAME, Option
from vezha.agent.collect import dbus
from vezha.agent.collect.collector import NotHere
from vezha.agent.collect.dbus import DbusError, decode, encode_call, message_size, split_signature
from vezha.agent.collect.host import Host
from vezha.agent.collect.systemd import Collector
from vezha.model.labels import format_labels
from vezha.world import World

UNITS = "/org/freedesktop/systemd1/unit/"


class Writer:
    """Marshals, by the specification, what a bus answers."""

    def __init__(self) -> None:
        self.data = b""

    def align(self, size: int) -> None:
        self.data += b"\0" * (-len(self.data) % size)

    def put(self, kind: str, value: Any) -> None:
        code = kind[0]
        if code in "so":
            self.align(4)
            raw = value.encode()
            self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        elif code == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif code in "ui":
            self.align(4)
            self.data += struct.pack("<I" if code == "u" else "<i", value)
        elif code == "t":
            self.align(8)
            self.data += struct.pack("<Q", value)
        elif code == "b":
            self.put("u", int(value))
        elif code == "y":
            self.data += bytes([value])
        elif code == "v":
            inner, content = value
            self.put("g", inner)
            self.put(inner, content)
        elif code == "(":
            self.align(8)
            for part, item in zip(split_signature(kind[1:-1]), value, strict=True):
                self.put(part, item)
        elif code == "a":
            self.align(4)
            at = len(self.data)
            self.data += b"\0\0\0\0"
            self.align(8 if kind[1] in "({t" else 4 if kind[1] in "suoiba" else 1)
            start = len(self.data)
            pairs = value.items() if kind[1] == "{" else value
            for item in pairs:
                if kind[1] == "{":
                    self.align(8)
                    for part, half in zip(split_signature(kind[2:-1]), item, strict=True):
                        self.put(part, half)
                else:
                    self.put(kind[1:], item)
            size = struct.pack("<I", len(self.data) - start)
            self.data = self.data[:at] + size + self.data[at + 4 :]
        else:
            raise AssertionError(kind)


def message(
    kind: int, signature: str = "", body: tuple[Any, ...] = (), reply: int = 0, **fields: str
) -> bytes:
    inside = Writer()
    for part, value in zip(split_signature(signature), body, strict=True):
        inside.put(part, value)
    codes: list[tuple[int, tuple[str, Any]]] = []
    for name, code, what in (
        ("path", 1, "o"),
        ("interface", 2, "s"),
        ("member", 3, "s"),
        ("error", 4, "s"),
    ):
        if name in fields:
            codes.append((code, (what, fields[name])))
    if reply:
        codes.append((5, ("u", reply)))
    if signature:
        codes.append((8, ("g", signature)))
    head = Writer()
    head.data = struct.pack("<cBBBII", b"l", kind, 0, 1, len(inside.data), 77)
    head.put("a(yv)", codes)
    head.align(8)
    return head.data + inside.data


class Systemd(threading.Thread):
    """A bus that answers as systemd does, on a socket; tests change its units and tell of it."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self.units = {"ssh.service": "active", "cron.timer": "active", "-.slice": "active"}
        self.loads: dict[str, str] = {}
        self.restarts = 2
        self.calls: list[str] = []
        self.connections: list[socket.socket] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        try:
            while b"\r\n" not in buffer:
                buffer += connection.recv(100)
            assert buffer.startswith(b"\0AUTH EXTERNAL ")
            connection.sendall(b"OK 1234deadbeef\r\n")
            buffer = b""
            while b"BEGIN\r\n" not in buffer:
                buffer += connection.recv(100)
            buffer = buffer.partition(b"BEGIN\r\n")[2]
            while True:
                size = message_size(buffer)
                while not size or len(buffer) < size:
                    more = connection.recv(65536)
                    if not more:
                        return
                    buffer += more
                    size = message_size(buffer)
                raw, buffer = buffer[:size], buffer[size:]
                connection.sendall(self._answer(raw))
        except OSError:
            return
        finally:
            connection.close()

    def _answer(self, raw: bytes) -> bytes:
        call = decode(raw)
        serial = struct.unpack_from("<I", raw, 8)[0]
        self.calls.append(call.member)
        if call.member == "ListUnits":
            rows = [
                (
                    name,
                    "about",
                    self.loads.get(name, "loaded"),
                    state,
                    "sub",
                    "",
                    path_of(name),
                    0,
                    "",
                    "/",
                )
                for name, state in self.units.items()
            ]
            return message(dbus.RETURN, "a(ssssssouso)", (rows,), serial)
        if call.member == "Get":
            what = call.body[1]
            if what in ("Type", "NRestarts") and "ssh" not in call.path:
                return message(dbus.ERROR, "s", ("no such unit",), serial, error="x.NoSuchUnit")
            if what == "NRestarts":
                return message(dbus.RETURN, "v", (("u", self.restarts),), serial)
            said = {"Version": "252.39-1", "SystemState": "degraded", "Type": "notify"}[what]
            return message(dbus.RETURN, "v", (("s", said),), serial)
        return message(dbus.RETURN, reply=serial)

    def change(self, name: str, state: str) -> None:
        self.units[name] = state
        changed = {"ActiveState": ("s", state), "Since": ("t", 5), "Flags": ("ab", [True])}
        self._tell_changed(name, "Unit", changed)

    def restart(self, name: str) -> None:
        """systemd starts a service again that ended, and says so."""
        self.restarts += 1
        self._tell_changed(name, "Service", {"NRestarts": ("u", self.restarts)})

    def _tell_changed(self, name: str, kind: str, changed: dict[str, Any]) -> None:
        self.tell(
            message(
                dbus.SIGNAL,
                "sa{sv}as",
                (f"org.freedesktop.systemd1.{kind}", changed, ["Gone"]),
                path=path_of(name),
                interface="org.freedesktop.DBus.Properties",
                member="PropertiesChanged",
            )
        )

    def tell(self, raw: bytes) -> None:
        # In two pieces, as the network may.
        self.connections[-1].sendall(raw[:20])
        self.connections[-1].sendall(raw[20:])

    def end(self) -> None:
        for connection in self.connections:
            connection.close()
        self._listener.close()


def path_of(name: str) -> str:
    return UNITS + name.replace(".", "_2e").replace("-", "_2d")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    (tmp_path / "run/systemd").mkdir(parents=True)
    bus = Systemd(str(tmp_path / "run/systemd/private"))
    yield bus
    bus.end()


def start(folder: Path, **options: Option) -> Collector:
    host = Host(World(), root=str(folder))
    collector = Collector(host.with_options({**BY_NAME["systemd"].options, **options}))
    collector.start()
    return collector


def read(collector: Collector) -> dict[str, float]:
    values = collector.read(1.0)
    return {
        format_labels(labels): value for labels, value in zip(collector.series, values, strict=True)
    }


def state(found: dict[str, float], name: str, kind: str = "") -> str:
    tail = f', type="{kind}"' if kind else ""
    states = ("active", "activating", "deactivating", "inactive", "failed")
    held = [
        s for s in states if found[f'node_systemd_unit_state{{name="{name}", state="{s}"{tail}}}']
    ]
    assert len(held) == 1
    return held[0]


def wait_news(collector: Collector) -> None:
    for _ in range(500):
        if collector.has_news():
            return
        threading.Event().wait(0.01)
    raise AssertionError("no news in 5 s")


def test_states_are_listed_once_and_then_told(tmp_path: Path, systemd: Systemd) -> None:
    collector = start(tmp_path)
    found = read(collector)
    assert state(found, "ssh.service", "notify") == "active"
    assert state(found, "cron.timer") == "active"
    assert not any("slice" in name for name in found)
    assert found['node_systemd_units{state="active"}'] == 3
    assert found["node_systemd_system_running"] == 0
    assert found['node_systemd_version{version="252.39-1"}'] == 252.39
    before = collector.series
    assert not collector.has_news()
    systemd.change("ssh.service", "failed")
    wait_news(collector)
    found = read(collector)
    assert state(found, "ssh.service", "notify") == "failed"
    assert found['node_systemd_units{state="failed"}'] == 1
    assert collector.series is before
    assert systemd.calls.count("ListUnits") == 1
    collector.stop()


def test_what_is_not_loaded_or_not_wanted_is_left_out(tmp_path: Path, systemd: Systemd) -> None:
    systemd.loads = {"ssh.service": "not-found"}
    without_ssh = start(tmp_path)
    assert not any("ssh" in name for name in read(without_ssh))
    without_ssh.stop()
    without_cron = start(tmp_path, unit_exclude="cron.*")
    assert not any("cron" in name for name in read(without_cron))
    without_cron.stop()


def test_restarts_of_services_are_counted_as_systemd_tells_of_them(
    tmp_path: Path, systemd: Systemd
) -> None:
    systemd.units["old.service"] = "active"  # of a systemd that does not count
    name = 'node_systemd_service_restart_total{name="ssh.service"}'
    collector = start(tmp_path)
    found = read(collector)
    assert found[name] == 2
    assert [n for n in found if "restart_total" in n] == [name]
    systemd.restart("ssh.service")
    wait_news(collector)
    assert read(collector)[name] == 3
    assert systemd.calls.count("ListUnits") == 1
    collector.stop()


def test_new_units_are_listed_after_a_while(tmp_path: Path, systemd: Systemd) -> None:
    collector = start(tmp_path)
    read(collector)
    systemd.units["new.timer"] = "active"
    told = ("new.timer", path_of("new.timer"))
    systemd.tell(
        message(
            dbus.SIGNAL,
            "so",
            told,
            path="/org/freedesktop/systemd1",
            interface="org.freedesktop.systemd1.Manager",
            member="UnitNew",
        )
    )
    wait_news(collector)
    assert not any("new" in name for name in read(collector))  # at most every five seconds
    collector._list_at = collector._listed_at = 0.0
    assert state(read(collector), "new.timer") == "active"
    collector.stop()


def test_a_bus_that_goes_is_a_failure_and_then_made_anew(tmp_path: Path, systemd: Systemd) -> None:
    collector = start(tmp_path)
    read(collector)
    systemd.connections[-1].shutdown(socket.SHUT_RDWR)
    wait_news(collector)
    with pytest.raises(OSError, match="closed"):
        read(collector)
    collector.stop()
    collector.start()
    assert state(read(collector), "ssh.service", "notify") == "active"
    collector.stop()


def test_no_systemd_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="systemd is not running"):
        start(tmp_path)


def test_a_call_is_the_specifications_bytes() -> None:
    raw = encode_call(1, "", "/a", "i.f", "M", "xy", "z")
    assert message_size(raw) == len(raw)
    assert raw[:4] == b"l\x01\x00\x01"
    call = decode(raw)
    assert (call.path, call.interface, call.member, call.signature) == ("/a", "i.f", "M", "ss")
    assert call.body == ["xy", "z"]


_values = {
    "s": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
    "u": st.integers(0, 2**32 - 1),
    "t": st.integers(0, 2**64 - 1),
    "b": st.booleans(),
    "as": st.lists(st.text("abc", max_size=3), max_size=3),
    "a{su}": st.dictionaries(st.text("abc", max_size=3), st.integers(0, 9), max_size=3),
    "(su)": st.tuples(st.text("abc", max_size=3), st.integers(0, 9)),
    "a(yt)": st.lists(st.tuples(st.integers(0, 255), st.integers(0, 9)), max_size=3),
}


@given(st.data(), st.lists(st.sampled_from(sorted(_values)), max_size=6))
def test_bodies_come_back_as_they_were(data: st.DataObject, kinds: list[str]) -> None:
    body = tuple(data.draw(_values[kind]) for kind in kinds)
    raw = message(dbus.RETURN, "".join(kinds), body, reply=9)
    assert message_size(raw) == len(raw)
    back = decode(raw)
    assert (back.kind, back.reply_to) == (dbus.RETURN, 9)
    assert back.body == list(body)


@given(st.binary(max_size=200), st.integers(0, 199), st.binary(min_size=1, max_size=4))
def test_a_broken_message_raises_nothing_but_its_error(noise: bytes, at: int, patch: bytes) -> None:
    good = message(dbus.RETURN, "sa{sv}as", ("x", {"a": ("as", ["b"])}, ["c"]), reply=3)
    for raw in (noise, good[:at] + patch + good[at + len(patch) :], good[:at]):
        try:
            size = message_size(raw)
            if size and len(raw) >= size:
                _ = decode(raw[:size]).body
        except DbusError:
            pass


def test_an_array_of_nothing_ends() -> None:
    raw = struct.pack("<II", 8, 0) + b"\0" * 8
    with pytest.raises(DbusError, match="have no size"):
        dbus._Reader(raw, 0, True).value("a()")


@pytest.mark.parametrize("signature", ["a", "(s", "a{s", "((s)"])
def test_bad_signatures_are_refused(signature: str) -> None:
    with pytest.raises(DbusError):
        split_signature(signature)
