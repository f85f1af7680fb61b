"""TLS at a worker's own door to the AWS endpoint: a certificate for 127.0.0.1, and who vouches for
it.

Some programs in functions speak to the endpoint only by TLS at port 443: the answer of a custom
resource is sent so by AWS's cfn-response module and by every handler of the CDK, whatever port
the address tells. The authority is made anew at each start of the runtime, and its key is thrown
away at once: it vouches for one certificate, to this runtime's workers alone.

``python -m pileus.runtime.authority`` writes key, certificate and authority as PEM. It is a process
of its own, so that the library which makes certificates takes no memory afterwards.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import ssl
import sys
from dataclasses import dataclass
from functools import cached_property

from pileus.errors import Unavailable

YEARS = 10  # longer than any runtime lives
END = b"-----END CERTIFICATE-----\n"


@dataclass(frozen=True)
class Authority:
    """``pem`` is what clients have to trust, ``chain`` the key and the certificate of the door."""

    chain: bytes
    pem: str

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Serves TLS. Made when it is first asked for: the library takes 3 MB, and most functions
        never speak TLS to the endpoint."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        fd = os.memfd_create("certificate", os.MFD_CLOEXEC)  # the library reads files only
        try:
            os.write(fd, self.chain)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return context


async def make() -> Authority:
    """A new authority and its one certificate; ``Unavailable`` where none can be made."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-s", "-m", "pileus.runtime.authority"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise Unavailable("no certificate could be made for functions", "see the log above")
    end = told.index(END) + len(END)
    return Authority(told[:end], told[end:].decode())


def pem() -> bytes:
    """Key, certificate and authority (RFC 5280, with what strict clients ask of both)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    span = now - datetime.timedelta(days=1), now + datetime.timedelta(days=365 * YEARS)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def begun(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(name(issuer), name(subject), key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(span[0])
            .not_valid_after(span[1])
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(known, False)
        )

    def usage(**allowed: bool) -> x509.KeyUsage:
        names = (
            *("digital_signature", "content_commitment", "key_encipherment", "key_cert_sign"),
            *("data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"),
        )
        return x509.KeyUsage(**{n: allowed.get(n, False) for n in names})

    issuer = "Pileus: the AWS endpoint of functions"
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    authority = (
        begun(issuer, root)
        .add_extension(x509.BasicConstraints(True, 0), True)
        .add_extension(usage(key_cert_sign=True), True)
        .sign(root, hashes.SHA256())
    )
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate = (
        begun("localhost", leaf)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage(digital_signature=True), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .sign(root, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    key = leaf.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key + certificate.public_bytes(encoding) + authority.public_bytes(encoding)


if __name__ == "__main__":
    sys.stdout.buffer.write(pem())
