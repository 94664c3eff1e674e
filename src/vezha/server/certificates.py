"""The channel's certificates: an authority of our own, and a server certificate signed by it.

Made at first start where the operator brings none. The authority lasts; the server's
certificate is made anew, by the same authority, when it is about to run out or when this server
got another name, so that agents, who know the authority, never notice. Keys are EC P-256, since
10,000 agents reconnecting at once cost a handshake each (an RSA one costs ten times that).
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import ipaddress
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vezha.server.errors import SettingError
from vezha.server.limits import (
    AUTHORITY_LIFE_DAYS,
    CERTIFICATE_LIFE_DAYS,
    CERTIFICATE_NAMES_MAX,
    CERTIFICATE_RENEW_DAYS,
)
from vezha.server.settings import Settings
from vezha.world import World

_DAY = datetime.timedelta(days=1)


def ensure_certificates(settings: Settings, world: World) -> None:
    """See to it that the channel's three files are there and usable.

    Files that the settings name are only checked; our own are made or renewed.
    Raises `SettingError`.
    """
    ca, cert, key = (Path(path) for path in settings.tls_files)
    own = settings.tls
    if bool(own.cert) != bool(own.key):
        raise SettingError("tls.cert and tls.key go together: set both or neither")
    if own.ca and not own.cert:
        raise SettingError("tls.ca is set without tls.cert and tls.key: set all three or none")
    if own.cert:
        _check(cert, key)
        return
    now = datetime.datetime.fromtimestamp(world.clock.now(), datetime.UTC)
    ca_key_file = ca.with_suffix(".key")
    if not ca.exists() or not ca_key_file.exists():
        _make_authority(ca, ca_key_file, now, world)
    names = server_names(settings)
    if _needs_renewal(cert, key, names, now):
        _make_certificate(cert, key, ca, ca_key_file, names, now, world)


def fingerprint(cert: str) -> str:
    """`sha256:<hex>` of the first certificate in the PEM file *cert*, as agents pin it."""
    der = ssl.PEM_cert_to_DER_cert(_first_pem(Path(cert).read_text()))
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def server_names(settings: Settings) -> list[str]:
    """Names and addresses by which agents may reach this server, the best one first.

    The settings' `channel.public_names`, then this machine's name, its addresses, loopback.
    """
    names = list(settings.channel.public_names)
    host = socket.gethostname()
    names += [host, *_addresses(), "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(name for name in names if name))[:CERTIFICATE_NAMES_MAX]


def _first_pem(text: str) -> str:
    end = "-----END CERTIFICATE-----"
    start = text.index("-----BEGIN CERTIFICATE-----")
    return text[start : text.index(end, start) + len(end)]


def _check(cert: Path, key: Path) -> None:
    for setting, file in (("tls.cert", cert), ("tls.key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise SettingError(f"{setting}: cannot read {file}: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise SettingError(
            f"tls.cert {cert} and tls.key {key} do not belong together or are not PEM: "
            f"{error.reason or error}"
        ) from error


def _make_authority(ca: Path, key_file: Path, now: datetime.datetime, world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Vezha authority of {socket.gethostname()}"[:64])]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + AUTHORITY_LIFE_DAYS * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The key first: an authority whose key is lost could sign nothing.
    world.disk.write_whole(str(key_file), _key_pem(key))
    world.disk.write_whole(str(ca), certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_certificate(
    cert: Path,
    key_file: Path,
    ca: Path,
    ca_key_file: Path,
    names: Sequence[str],
    now: datetime.datetime,
    world: World,
) -> None:
    authority = x509.load_pem_x509_certificate(ca.read_bytes())
    authority_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + CERTIFICATE_LIFE_DAYS * _DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    world.disk.write_whole(str(key_file), _key_pem(key))
    world.disk.write_whole(str(cert), pem + ca.read_bytes(), 0o644)


def _needs_renewal(cert: Path, key: Path, names: Sequence[str], now: datetime.datetime) -> bool:
    """Whether our own certificate is absent, unusable, nearly over, or lacks one of *names*."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return True
    left = certificate.not_valid_after_utc - now
    return left < CERTIFICATE_RENEW_DAYS * _DAY or not set(_general_names(names)) <= set(covered)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            # A host name with letters beyond ASCII cannot stand in a certificate; it is left out.
            with contextlib.suppress(ValueError):
                general.append(x509.DNSName(name))
    return general


def _addresses() -> list[str]:
    """This machine's own addresses that others may reach, as far as the system tells."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        found += [str(i[4][0]) for i in socket.getaddrinfo(socket.gethostname(), None)]
    get_address = 0x8915  # Linux: SIOCGIFADDR, the IPv4 address of an interface
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex() if os.uname().sysname == "Linux" else ():
            with contextlib.suppress(OSError):
                asked = struct.pack("256s", os.fsencode(name)[:15])
                answer = fcntl.ioctl(probe.fileno(), get_address, asked)
                found.append(socket.inet_ntoa(answer[20:24]))
    reachable = []
    for text in dict.fromkeys(found):
        address = ipaddress.ip_address(text.partition("%")[0])
        if not (address.is_loopback or address.is_link_local or address.is_unspecified):
            reachable.append(str(address))
    return reachable
