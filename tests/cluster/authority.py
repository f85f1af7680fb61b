"""A cluster's own certificate authority for tests: one CA, one certificate for each node."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.engine.cluster.nats import TlsFiles

DAY = datetime.timedelta(days=1)


class Authority:
    """Keeps its certificate in ``directory`` as ``ca.pem``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test cluster")])
        made = (
            self._begun(self._name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        (directory / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def certify(self, node: str, host: str = "127.0.0.1") -> TlsFiles:
        """A key and a certificate for ``node`` at the address ``host``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        where = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            self._begun(name, key.public_key())
            .add_extension(where, critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate, secret = self._directory / f"{node}.pem", self._directory / f"{node}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return TlsFiles(certificate, secret, self._directory / "ca.pem")

    def _begun(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )
