"""A throw-away authority and node certificates, laid as a node has them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs what it is asked to."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("test authority")
        built = self._about(self._subject, self.key.public_key())
        built = built.add_extension(x509.BasicConstraints(True, 0), True)
        self.certificate = built.sign(self.key, hashes.SHA256())

    def _about(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def lay(self, directory: Path, node: str) -> Path:
        """``ca.pem``, ``node.pem`` and ``node.key`` of a node."""
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._about(_name(node), key.public_key()).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(node)]), False
        )
        signed = built.sign(self.key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        (directory / "ca.pem").write_bytes(self.certificate.public_bytes(pem))
        (directory / "node.pem").write_bytes(signed.public_bytes(pem))
        (directory / "node.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return directory
