"""The cluster's own authority and the certificates by which its nodes know each other.

EC keys (P-256). A node's certificate names its address and its name and serves both ends of a
connection; nothing outside the cluster has reason to trust the authority.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS, NODE_DAYS = 36_500, 36_500
BEFORE = datetime.timedelta(days=2)  # clocks of new machines are often wrong
PEM = serialization.Encoding.PEM


def new_key() -> bytes:
    """A private key, PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_authority(key: bytes, cluster: str, now: datetime.datetime) -> bytes:
    """A self-signed certificate over ``key``, PEM."""
    private = _private(key)
    name = _name(f"Pileus cluster {cluster}")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    made = (
        _dated(x509.CertificateBuilder(), now, AUTHORITY_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(PEM)


def request(key: bytes) -> bytes:
    """A signing request over ``key``, PEM: it proves that its author holds the key, no more."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name("a new node"))
    return builder.sign(_private(key), hashes.SHA256()).public_bytes(PEM)


def public_mark(csr: bytes) -> str:
    """SHA-256 (hex) of the public key in a signing request; ``ValueError`` when the request is
    malformed or not signed by that key."""
    asked = x509.load_pem_x509_csr(csr)
    if not asked.is_signature_valid or not isinstance(
        asked.public_key(), ec.EllipticCurvePublicKey
    ):
        raise ValueError("the signing request is not signed by its own key")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = asked.public_key().public_bytes(serialization.Encoding.DER, form)
    return hashlib.sha256(der).hexdigest()


def sign(
    csr: bytes,
    authority: bytes,
    authority_key: bytes,
    *,
    name: str,
    address: str,
    now: datetime.datetime,
) -> bytes:
    """A certificate for node ``name`` at ``address`` over the request's key, PEM. What the request
    itself says of names is not believed."""
    public_mark(csr)
    asked, issuer = x509.load_pem_x509_csr(csr), x509.load_pem_x509_certificate(authority)
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    made = (
        _dated(x509.CertificateBuilder(), now, NODE_DAYS)
        .subject_name(_name(name))
        .issuer_name(issuer.subject)
        .public_key(asked.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(_names(name, address), critical=False)
        .sign(_private(authority_key), hashes.SHA256())
    )
    return made.public_bytes(PEM)


def mark(certificate: bytes) -> bytes:
    """SHA-256 of a certificate (DER)."""
    read = x509.load_pem_x509_certificate(certificate)
    return read.fingerprint(hashes.SHA256())


def _names(name: str, address: str) -> x509.SubjectAlternativeName:
    told: list[x509.GeneralName] = [x509.DNSName(name)]
    try:
        told.append(x509.IPAddress(ipaddress.ip_address(address)))
    except ValueError:
        told.append(x509.DNSName(address))
    return x509.SubjectAlternativeName(told)


def _dated(
    builder: x509.CertificateBuilder, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    read = serialization.load_pem_private_key(key, None)
    if not isinstance(read, ec.EllipticCurvePrivateKey):
        raise ValueError("not an EC key")
    return read
