"""The channel's certificates: an own authority, made at first start, and the server's.

ECDSA on P-256, SHA-256. The authority lives ten years and signs one server certificate with
all the names by which agents reach this machine; that one is made anew a month before it
ends, or when a name is added. An agent trusts the authority whose fingerprint (SHA-256 of the
certificate's DER form, in hex) stands in its enrolment command. Keys are readable by this user only (0600).

An operator's own certificate is taken as it is, after checking that it is one, that its key
fits and that it has not ended.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vezha.access.errors import CertificateError
from vezha.world import World

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""What clients of today accept at most."""
RENEW_BEFORE_DAYS = 30
_BACKDATED = dt.timedelta(hours=1)
"""Clocks of hosts may be slow."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of the authority's certificate, the server's certificate and its key (PEM)."""

    authority: str
    certificate: str
    key: str


def ensure_certificates(world: World, folder: str, names: Sequence[str] = ()) -> TlsFiles:
    """Make what is missing in *folder* (`ca.pem`, `ca.key`, `server.pem`, `server.key`).

    *names* (DNS names and addresses) join this machine's name and the loopback's. Idempotent:
    what is there and good is kept. Raises `CertificateError` for files that are unreadable.
    """
    files = TlsFiles(f"{folder}/ca.pem", f"{folder}/server.pem", f"{folder}/server.key")
    authority_key_file = f"{folder}/ca.key"
    now = dt.datetime.fromtimestamp(world.clock.now(), dt.timezone.utc)
    world.disk.make_folder(folder)
    disk = world.disk
    if not (disk.exists(files.authority) and disk.exists(authority_key_file)):
        key, certificate = make_authority(now, world.network.hostname())
        disk.write_whole(authority_key_file, _key_pem(key))
        disk.write_whole(files.authority, _pem(certificate), 0o644)
    authority = _read_certificate(world, files.authority)
    wanted = _names(names, world.network.hostname())
    if _is_good(world, files, authority, wanted, now):
        return files
    authority_key = _read_key(world, authority_key_file)
    server_key, server = make_server_certificate(authority, authority_key, wanted, now)
    # The key goes first: a crash between the two leaves a pair that does not fit, which the
    # next start sees and makes anew.
    disk.write_whole(files.key, _key_pem(server_key))
    disk.write_whole(files.certificate, _pem(server) + _pem(authority), 0o644)
    return files


def check_given(world: World, certificate_file: str, key_file: str) -> None:
    """Check an operator's own certificate. Raises `CertificateError` with the fix."""
    certificate = _read_certificate(world, certificate_file)
    key = _read_key(world, key_file)
    if _public(key) != _public_of(certificate):
        raise CertificateError(f"the key {key_file} does not belong to {certificate_file}")
    now = dt.datetime.fromtimestamp(world.clock.now(), dt.timezone.utc)
    if now >= certificate.not_valid_after_utc:
        raise CertificateError(
            f"the certificate {certificate_file} ended on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}: renew it"
        )


def fingerprint(world: World, certificate_file: str) -> str:
    """SHA-256 of the first certificate in the file (its DER form), 64 hex digits."""
    return _read_certificate(world, certificate_file).fingerprint(hashes.SHA256()).hex()


def expires_at(world: World, certificate_file: str) -> float:
    """When the first certificate in the file ends, in seconds since the epoch."""
    return _read_certificate(world, certificate_file).not_valid_after_utc.timestamp()


def make_authority(
    now: dt.datetime, host_name: str
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A new authority that may sign server certificates and nothing further down."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vezha"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Vezha authority of {host_name}"[:64]),
        ]
    )
    certificate = (
        _builder(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def make_server_certificate(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: dt.datetime,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A new key and certificate for *names*, signed by the authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    days = min(SERVER_DAYS, max(1, (authority.not_valid_after_utc - now).days))
    certificate = (
        _builder(subject, authority.subject, key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return key, certificate


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(given: Sequence[str], host_name: str) -> list[str]:
    """Given names first; a name that no certificate can carry is the operator's error."""
    wanted: dict[str, None] = {}
    for name in (*given, host_name, *_LOCAL):
        if name:
            wanted[_shown(_general_name(name))] = None
    return list(wanted)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]").split("%")[0]))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode() if not name.isascii() else name
        return x509.DNSName(ascii_name)
    except (ValueError, UnicodeError) as e:
        raise CertificateError(
            f"setting `channel.public_names` has {name!r}, which is neither a name nor an address"
        ) from e


def _shown(name: x509.GeneralName) -> str:
    return str(name.value)


def _is_good(
    world: World,
    files: TlsFiles,
    authority: x509.Certificate,
    names: Sequence[str],
    now: dt.datetime,
) -> bool:
    if not (world.disk.exists(files.certificate) and world.disk.exists(files.key)):
        return False
    try:
        server = _read_certificate(world, files.certificate)
        key = _read_key(world, files.key)
        server.verify_directly_issued_by(authority)
        have = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CertificateError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        _public(key) == _public_of(server)
        and now < server.not_valid_after_utc - dt.timedelta(days=RENEW_BEFORE_DAYS)
        and set(names) <= {_shown(n) for n in have}
    )


def _read_certificate(world: World, path: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(world.disk.read(path))
    except OSError as e:
        raise CertificateError(f"the certificate {path} cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise CertificateError(f"{path} is no certificate in PEM form") from e


def _read_key(world: World, path: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(world.disk.read(path), password=None)
    except OSError as e:
        raise CertificateError(f"the key {path} cannot be read: {e.strerror}") from e
    except TypeError as e:
        raise CertificateError(f"the key {path} has a password: give one without") from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise CertificateError(f"{path} is no private key in PEM form") from e
    return key  # type: ignore[return-value]  # an operator's own may be RSA; only its public half is used


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _spki(key.public_key())


def _public_of(certificate: x509.Certificate) -> bytes:
    return _spki(certificate.public_key())


def _spki(public_key: object) -> bytes:
    encoded: bytes = public_key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
