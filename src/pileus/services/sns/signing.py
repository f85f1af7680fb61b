"""Signatures of messages, and the certificate that shows whose they are.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
A cloud has one RSA key: made before its first delivery, kept wrapped under the root key. Its
certificate is its own (nobody else vouches for it) and is told to whoever asks.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pileus.services.call import HttpRequest, HttpResponse, Parts
from pileus.services.sns import rows
from pileus.services.vault import NONCE_BYTES, Rewrap, Vault
from pileus.state.draft import Draft

PREFIX = "/_sns/"
DEFAULT_VERSION = "1"
VERSIONS: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}
KEY_BITS, DAYS = 2048, 36_500
BEFORE = datetime.timedelta(days=2)  # clocks of new machines are often wrong
SUBJECT = "sns.amazonaws.com"  # whom validators expect
KEPT_MAX = 1000  # signatures: one serves all subscriptions that a text goes to
API_VERSION = "2010-03-31"
_NAME = "sns/signing"
_OF_CONFIRMATIONS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn")
_OF_NOTIFICATIONS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn")


class Signer:
    """The cloud's key. ``path``: where its certificate is."""

    def __init__(self, key: rsa.RSAPrivateKey, certificate: bytes) -> None:
        self._key, self.path = key, path_of(certificate)
        self._signed = lru_cache(KEPT_MAX)(self._sign)

    def sign(self, text: bytes, version: str) -> str:
        """By RSA PKCS #1 v1.5 over the hash that ``version`` names, in base64."""
        return self._signed(hashlib.new(VERSIONS[version].name, text).digest(), version)

    def _sign(self, digest: bytes, version: str) -> str:
        made = self._key.sign(digest, padding.PKCS1v15(), Prehashed(VERSIONS[version]))
        return base64.b64encode(made).decode()


@dataclass(frozen=True, slots=True)
class Sender:
    """How a topic's messages come from this cloud. ``endpoint``: its API's address; ``version``:
    of signatures."""

    endpoint: str
    signer: Signer
    version: str = DEFAULT_VERSION

    def link(self, action: str, **params: str) -> str:
        """An address that does this without a signature."""
        asked = urlencode({"Action": action, "Version": API_VERSION, **params})
        return f"{self.endpoint}/?{asked}"

    def signature(self, told: dict[str, Any], certificate: str = "SigningCertURL") -> Any:
        """The members that show who says what is ``told``; ``certificate``: the name of the last
        one."""
        return {
            "SignatureVersion": self.version,
            "Signature": self.signer.sign(signed_text(told), self.version),
            certificate: self.endpoint + self.signer.path,
        }


def signed_text(told: dict[str, Any]) -> bytes:
    """What is signed of a message's members: a line with the name, a line with the value."""
    names = _OF_NOTIFICATIONS if told["Type"] == "Notification" else _OF_CONFIRMATIONS
    lines = [f"{n}\n{told[n]}\n" for n in (*names, "Type") if told.get(n) is not None]
    return "".join(lines).encode()


class Signing:
    """The key's keeper. ``serve`` is mounted for ``PREFIX`` in every process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._signer: Signer | None = None
        self._alone = asyncio.Lock()  # the first deliveries come many at a time

    async def signer(self) -> Signer:
        """The cloud's, which is made when it is first asked for. ``Unavailable`` where the state
        is, or the kept key is damaged."""
        async with self._alone:
            if self._signer is None:
                kept = self._parts.store.get_json(rows.SIGNING_KEY) or await self._make()
                wrapped, vault = base64.b64decode(kept["wrapped"]), self._parts.vault
                key = serialization.load_der_private_key(vault.unwrap(wrapped, _NAME), None)
                assert isinstance(key, rsa.RSAPrivateKey)
                self._signer = Signer(key, kept["certificate"].encode())
            return self._signer

    async def _make(self) -> dict[str, str]:
        """Durable before anything is signed by it; of two that make one the first stays."""
        clock, vault = self._parts.clock, self._parts.vault
        assert isinstance(vault, Vault), "messages are signed: that needs the root key"
        now = datetime.datetime.fromtimestamp(clock.now_ms() / 1000, datetime.UTC)
        secret, certificate = await asyncio.to_thread(_pair, now)
        wrapped = vault.wrap(secret, _NAME, clock.random_bytes(NONCE_BYTES))
        told = {"wrapped": base64.b64encode(wrapped).decode(), "certificate": certificate.decode()}

        def change(draft: Draft) -> dict[str, str]:
            found: dict[str, str] | None = draft.get_json(rows.SIGNING_KEY)
            if found is None:
                draft.put_json(rows.SIGNING_KEY, told)
            return found or told

        made: dict[str, str] = await self._parts.store.transact(change)
        return made

    def serve(self, request: HttpRequest) -> HttpResponse:
        """The certificate, PEM, under the name that messages tell."""
        kept = self._parts.store.get_json(rows.SIGNING_KEY)
        certificate = kept["certificate"].encode() if kept else b""
        named = certificate and request.path == path_of(certificate)
        if not named or request.method not in ("GET", "HEAD"):
            return HttpResponse(404, [("content-type", "text/plain")], b"No such certificate\n")
        headers = [("content-type", "application/x-pem-file"), ("cache-control", "max-age=86400")]
        body = certificate if request.method == "GET" else b""
        return HttpResponse(200, headers, body)


def path_of(certificate: bytes) -> str:
    mark = hashlib.sha256(certificate).hexdigest()[:32]
    return f"{PREFIX}SimpleNotificationService-{mark}.pem"


def _pair(now: datetime.datetime) -> tuple[bytes, bytes]:
    """A new key (PKCS #8) and its certificate (PEM)."""
    from cryptography import x509  # 3 MB, needed once in a cloud's life
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, KEY_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Pileus"),
            x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT),
        ]
    )
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SUBJECT)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(*form, serialization.NoEncryption())
    return secret, made.public_bytes(serialization.Encoding.PEM)


def rewrapped(store: Any, rewrap: Rewrap) -> Iterator[tuple[bytes, bytes]]:
    """The key's row under another root key (``pileus rekey``)."""
    kept = store.get_json(rows.SIGNING_KEY)
    if kept is not None:
        wrapped = rewrap(base64.b64decode(kept["wrapped"]), _NAME)
        kept["wrapped"] = base64.b64encode(wrapped).decode()
        yield rows.SIGNING_KEY, orjson.dumps(kept)
