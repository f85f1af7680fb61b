"""SSE-C: the key comes with each request and is never kept.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
AWS takes such requests over TLS only. A cloud on one's own machine answers plain HTTP there: from
the machine itself they are taken, from elsewhere they must come by TLS.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.services.s3 import faults
from pileus.services.s3.rows import Seal

ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
KEY = "x-amz-server-side-encryption-customer-key"
MD5 = "x-amz-server-side-encryption-customer-key-md5"
NAMES = (ALGORITHM, KEY, MD5)
METHOD = "x-amz-server-side-encryption"  # what S3's errors name, whichever header is wrong
OF_SOURCE = "x-amz-copy-source-"
KEY_BYTES = 32
_REQUESTS = "Requests specifying Server Side Encryption with Customer provided keys must"


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A key as it was sent, and its MD5 in base64."""

    secret: bytes
    md5: str

    def check(self, salt: bytes) -> bytes:
        """What is kept to know the key again: nothing can be read with it."""
        return hashlib.blake2b(
            salt, key=self.secret, digest_size=32, person=b"pileus-s3-check"
        ).digest()

    def fits(self, seal: Seal) -> bool:
        return hmac.compare_digest(self.check(seal.salt), seal.key)


def told(headers: Mapping[str, str], prefix: str = "") -> bool:
    """Whether any of the three headers is there. ``prefix``: ``x-amz-copy-source-`` for the key
    of a copy's source, whose headers have no second ``x-amz-``."""
    return any(_named(name, prefix) in headers for name in NAMES)


def _named(name: str, prefix: str) -> str:
    return prefix + name.removeprefix("x-amz-") if prefix else name


def read(
    headers: Mapping[str, str], request: HttpRequest | None, prefix: str = ""
) -> CustomerKey | None:
    """The key of a request, None where it tells none; S3's errors for a wrong one."""
    if not told(headers, prefix):
        return None
    algorithm, key, md5 = (headers.get(_named(name, prefix)) for name in NAMES)
    if algorithm is None:
        raise _wrong(f"{_REQUESTS} provide a valid encryption algorithm.")
    if algorithm != "AES256":
        raise AwsError(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
            fields={"ArgumentName": METHOD, "ArgumentValue": algorithm},
        )
    if key is None:
        raise _wrong(f"{_REQUESTS} provide an appropriate secret key.")
    if md5 is None:
        raise _wrong(f"{_REQUESTS} provide the client calculated MD5 of the secret key.")
    _check_way(request)
    secret = _base64(key)
    if len(secret) != KEY_BYTES:
        raise _wrong("The secret key was invalid for the specified algorithm.")
    if _base64(md5) != hashlib.md5(secret, usedforsecurity=False).digest():
        raise _wrong("The calculated MD5 hash of the key did not match the hash that was provided.")
    return CustomerKey(secret, md5)


def _wrong(message: str) -> AwsError:
    return faults.invalid_argument(message, METHOD, None)


def another() -> AwsError:
    """The key is not the one the version was written with."""
    return faults.access_denied(f"{_REQUESTS} provide the correct secret key.")


def _check_way(request: HttpRequest | None) -> None:
    """A key must not be read on its way."""
    if request is None or request.scheme == "https" or _here(request.remote):
        return
    raise faults.invalid_request(f"{_REQUESTS} be made over a secure connection.")


def _here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        return b""
