"""Certificates that a server showed: when the first of them ends."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

from vezha.checks.der import BadCertificate, read_certificate
from vezha.checks.limits import CHAIN_MAX
from vezha.checks.outcome import Report


def note_certificates(tls: Any, report: Report) -> None:
    """Figures of a finished handshake (`ssl.SSLObject`): expiry, protocol, the leaf's identity."""
    report.set("probe_tls_version_info", 1.0, version=str(tls.version()))
    chain = []
    for der in shown_chain(tls)[:CHAIN_MAX]:
        try:
            chain.append((der, read_certificate(der)))
        except BadCertificate:
            continue  # one of the chain that nobody can read has no date to watch
    if not chain:
        return
    ends = [certificate.not_after_s for _, certificate in chain]
    der, leaf = chain[0]
    report.set("probe_ssl_earliest_cert_expiry", min(ends))
    report.set("vezha_check_certificate_expiry_timestamp_seconds", ends[0])
    report.set("vezha_check_certificate_chain_length", float(len(chain)))
    report.set(
        "probe_ssl_last_chain_info",
        1.0,
        fingerprint_sha256=hashlib.sha256(der).hexdigest(),
        subject=leaf.subject[:200],
        issuer=leaf.issuer[:200],
    )


def shown_chain(tls: Any) -> list[bytes]:
    """The certificates as the server sent them, DER, leaf first.

    Python gives the chain openly since 3.13 and by an inner name before; without either, the
    leaf alone.
    """
    if hasattr(tls, "get_unverified_chain"):
        return [bytes(der) for der in tls.get_unverified_chain() or ()]
    inner: Any = getattr(tls, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):
        encoding = ssl._ssl.ENCODING_DER  # type: ignore[attr-defined]
        return [bytes(one.public_bytes(encoding)) for one in inner.get_unverified_chain() or ()]
    leaf = tls.getpeercert(binary_form=True)
    return [leaf] if leaf else []
