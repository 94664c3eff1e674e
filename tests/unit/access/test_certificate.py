"""The authority, the server's certificate, an operator's own."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from vezha.access.certificate import (
    SERVER_DAYS,
    TlsFiles,
    check_given,
    ensure_certificates,
    expires_at,
    fingerprint,
)
from vezha.access.errors import CertificateError
from vezha.world import SystemClock, World

DAY_S = 86_400.0


@dataclass
class Clock(SystemClock):
    ahead_s: float = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock=clock)


def make(world: World, folder: Path, *names: str) -> TlsFiles:
    return ensure_certificates(world, str(folder / "tls"), names)


def talk(files: TlsFiles, server_name: str) -> dict[str, object]:
    """Shake hands for real; the client trusts the authority only."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.authority)
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(10)
        other.settimeout(10)

        def serve() -> None:
            try:
                server.wrap_socket(one, server_side=True).close()
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with client.wrap_socket(other, server_hostname=server_name) as wrapped:
                return dict(wrapped.getpeercert() or {})
        finally:
            thread.join()


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", "vezha.example.org", "192.0.2.9"]
)
def test_a_client_that_trusts_the_authority_accepts_every_name(
    world: World, tmp_path: Path, name: str
) -> None:
    files = make(world, tmp_path, "vezha.example.org", "192.0.2.9")
    assert talk(files, name)


def test_another_name_is_not_accepted(world: World, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(make(world, tmp_path), "elsewhere.example.org")


def test_keys_are_for_this_user_only(world: World, tmp_path: Path) -> None:
    files = make(world, tmp_path)
    for key in (files.key, str(tmp_path / "tls" / "ca.key")):
        assert stat.S_IMODE(Path(key).stat().st_mode) == 0o600


def test_what_is_good_stays(world: World, tmp_path: Path) -> None:
    before = fingerprint(world, make(world, tmp_path, "a.example").certificate)
    assert fingerprint(world, make(world, tmp_path, "a.example").certificate) == before
    assert fingerprint(world, make(world, tmp_path).certificate) == before


def test_a_new_name_and_the_near_end_renew_under_the_same_authority(
    world: World, clock: Clock, tmp_path: Path
) -> None:
    files = make(world, tmp_path)
    authority, first = fingerprint(world, files.authority), fingerprint(world, files.certificate)
    make(world, tmp_path, "b.example")
    second = fingerprint(world, files.certificate)
    assert second != first
    clock.ahead_s = (SERVER_DAYS - 40) * DAY_S
    make(world, tmp_path, "b.example")
    assert fingerprint(world, files.certificate) == second
    clock.ahead_s = (SERVER_DAYS - 20) * DAY_S
    make(world, tmp_path, "b.example")
    assert fingerprint(world, files.certificate) != second
    assert expires_at(world, files.certificate) > clock.now() + 300 * DAY_S
    assert fingerprint(world, files.authority) == authority


@pytest.mark.parametrize("broken", ["server.pem", "server.key"])
def test_a_torn_or_foreign_file_is_made_anew(world: World, tmp_path: Path, broken: str) -> None:
    files = make(world, tmp_path / "a")
    other = make(world, tmp_path / "b")
    for content in (b"", b"-----BEGIN", Path(other.key).read_bytes()):
        (tmp_path / "a" / "tls" / broken).write_bytes(content)
        ensure_certificates(world, str(tmp_path / "a" / "tls"))
        assert talk(files, "localhost")


def test_a_name_that_is_none_names_the_setting(world: World, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"channel\.public_names"):
        make(world, tmp_path, "bad..name.ї" + "x" * 300)


def test_an_operators_own_certificate_is_checked(
    world: World, clock: Clock, tmp_path: Path
) -> None:
    files, other = make(world, tmp_path / "a"), make(world, tmp_path / "b")
    check_given(world, files.certificate, files.key)
    with pytest.raises(CertificateError, match="does not belong"):
        check_given(world, files.certificate, other.key)
    with pytest.raises(CertificateError, match="cannot be read"):
        check_given(world, str(tmp_path / "absent.pem"), files.key)
    with pytest.raises(CertificateError, match="no certificate"):
        check_given(world, files.key, files.key)
    with pytest.raises(CertificateError, match="no private key"):
        check_given(world, files.certificate, files.certificate)
    clock.ahead_s = 500 * DAY_S
    with pytest.raises(CertificateError, match="ended on"):
        check_given(world, files.certificate, files.key)


def test_the_fingerprint_is_what_openssl_and_the_agent_compute(
    world: World, tmp_path: Path
) -> None:
    import hashlib

    files = make(world, tmp_path)
    pem = Path(files.certificate).read_text().split("-----END CERTIFICATE-----")[0]
    der = ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n")
    assert fingerprint(world, files.certificate) == hashlib.sha256(der).hexdigest()
