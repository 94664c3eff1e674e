"""Certificates read by our own reader are what `cryptography` reads in them."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.checks.der import BadCertificate, read_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
OIDS = (
    x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME, x509.NameOID.LOCALITY_NAME,
    x509.NameOID.EMAIL_ADDRESS, x509.NameOID.DOMAIN_COMPONENT,
)  # fmt: skip
# X.509 allows a common name 64 bytes
text = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=40
).filter(lambda value: len(value.encode()) <= 64)
ascii_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


def attribute(oid: x509.ObjectIdentifier) -> st.SearchStrategy[x509.NameAttribute[str]]:
    ascii_only = oid in (x509.NameOID.EMAIL_ADDRESS, x509.NameOID.DOMAIN_COMPONENT)
    return (ascii_text if ascii_only else text).map(lambda value: x509.NameAttribute(oid, value))


names = st.lists(st.sampled_from(OIDS).flatmap(attribute), min_size=1, max_size=6).map(x509.Name)
ends = st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2400, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=datetime.UTC)
)


def made(subject: x509.Name, issuer: x509.Name, end: datetime.datetime) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(1980, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(end)
        .sign(KEY, hashes.SHA256())
    )


@settings(max_examples=60, deadline=None)
@given(names, names, ends)
def test_it_reads_what_cryptography_reads(
    subject: x509.Name, issuer: x509.Name, end: datetime.datetime
) -> None:
    certificate = made(subject, issuer, end)
    found = read_certificate(certificate.public_bytes(serialization.Encoding.DER))
    assert found.not_after_s == certificate.not_valid_after_utc.timestamp()
    assert found.subject == certificate.subject.rfc4514_string()
    assert found.issuer == certificate.issuer.rfc4514_string()


DER = made(
    x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")]),
    x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "b")]),
    datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
).public_bytes(serialization.Encoding.DER)


@settings(max_examples=200)
@given(st.data())
def test_damage_raises_one_error_only(data: st.DataObject) -> None:
    wrong = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        wrong[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
    cut = bytes(wrong[: data.draw(st.integers(0, len(wrong)))])
    try:
        read_certificate(cut)
    except BadCertificate:
        pass


def test_rubbish_is_refused() -> None:
    for rubbish in (b"", b"\x30", b"hello", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", DER[:60]):
        with pytest.raises(BadCertificate):
            read_certificate(rubbish)
