"""The channel's certificates are made once, renewed in time, and trusted by the authority."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from vezha.server.certificates import ensure_certificates, fingerprint, server_names
from vezha.server.errors import SettingError
from vezha.server.limits import CERTIFICATE_LIFE_DAYS
from vezha.server.settings import ChannelSettings, Settings, TlsSettings
from vezha.server.state import StateFolder
from vezha.world import SystemClock, World


class Later(SystemClock):
    """A clock that is some days ahead."""

    def __init__(self, days: float) -> None:
        self._ahead_s = days * 86400

    def now(self) -> float:
        return super().now() + self._ahead_s


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = StateFolder.at(tmp_path)
    state.make()
    return Settings(state)


def shake_hands(settings: Settings, name: str) -> bytes:
    """The server's certificate (DER) as a client that trusts our authority sees it."""
    ca, cert, key = settings.tls_files
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=ca)
    left, right = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(right, server_side=True) as side:
            side.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(left, server_hostname=name) as side:
            der = side.getpeercert(binary_form=True)
            side.send(b"x")
    finally:
        left.close()
        thread.join()
    assert der is not None
    return der


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", socket.gethostname()])
def test_a_client_that_knows_the_authority_trusts_the_server(settings: Settings, name: str) -> None:
    ensure_certificates(settings, World())
    shake_hands(settings, name)


def test_the_fingerprint_is_that_of_what_a_client_sees(settings: Settings) -> None:
    import hashlib

    ensure_certificates(settings, World())
    seen = hashlib.sha256(shake_hands(settings, "localhost")).hexdigest()
    assert fingerprint(settings.tls_files[1]) == f"sha256:{seen}"


def test_a_second_start_changes_nothing(settings: Settings) -> None:
    ensure_certificates(settings, World())
    before = [Path(f).read_bytes() for f in settings.tls_files]
    ensure_certificates(settings, World())
    assert [Path(f).read_bytes() for f in settings.tls_files] == before


def test_keys_are_for_their_owner_only(settings: Settings) -> None:
    ensure_certificates(settings, World())
    for name in ("ca.key", "server.key"):
        assert (settings.state.tls / name).stat().st_mode & 0o777 == 0o600


def test_it_is_renewed_in_time_by_the_same_authority(settings: Settings) -> None:
    ensure_certificates(settings, World())
    ca, cert, _ = (Path(f).read_bytes() for f in settings.tls_files)
    ensure_certificates(settings, World(clock=Later(CERTIFICATE_LIFE_DAYS - 31)))
    assert Path(settings.tls_files[1]).read_bytes() == cert
    ensure_certificates(settings, World(clock=Later(CERTIFICATE_LIFE_DAYS - 29)))
    assert Path(settings.tls_files[1]).read_bytes() != cert
    assert Path(settings.tls_files[0]).read_bytes() == ca


def test_a_new_name_makes_a_new_certificate(settings: Settings) -> None:
    ensure_certificates(settings, World())
    named = replace(settings, channel=ChannelSettings(public_names=("watch.example.org",)))
    assert server_names(named)[0] == "watch.example.org"
    ensure_certificates(named, World())
    shake_hands(named, "watch.example.org")


def test_a_torn_certificate_is_replaced(settings: Settings) -> None:
    ensure_certificates(settings, World())
    Path(settings.tls_files[1]).write_text("half a cert")
    ensure_certificates(settings, World())
    shake_hands(settings, "localhost")


def test_the_operators_own_are_checked_and_left_alone(settings: Settings, tmp_path: Path) -> None:
    ensure_certificates(settings, World())
    ca, cert, key = settings.tls_files
    own = replace(settings, tls=TlsSettings(ca=ca, cert=cert, key=key))
    ensure_certificates(own, World(clock=Later(4000)))
    assert own.tls_files == settings.tls_files
    for wrong, sentence in (
        (TlsSettings(cert=cert), "go together"),
        (TlsSettings(ca=ca), "set all three or none"),
        (TlsSettings(cert=str(tmp_path / "no"), key=key), "tls.cert: cannot read"),
        (TlsSettings(cert=cert, key=ca), "do not belong together"),
    ):
        with pytest.raises(SettingError, match=sentence):
            ensure_certificates(replace(settings, tls=wrong), World())
