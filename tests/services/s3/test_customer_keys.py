"""Customer keys travel over TLS, or do not leave the machine."""

from __future__ import annotations

import base64
import hashlib

import pytest

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.services.s3 import customer_keys
from pileus.services.s3.rows import CUSTOMER, Seal

KEY = bytes(range(32))
HEADERS = {
    customer_keys.ALGORITHM: "AES256",
    customer_keys.KEY: base64.b64encode(KEY).decode(),
    customer_keys.MD5: base64.b64encode(hashlib.md5(KEY).digest()).decode(),
}


def request(remote: str, scheme: str) -> HttpRequest:
    return HttpRequest("GET", "/b/k", "", HEADERS, remote=remote, scheme=scheme)


@pytest.mark.parametrize(
    ("remote", "scheme", "taken"),
    [
        ("127.0.0.1", "http", True),
        ("::1", "http", True),
        ("10.0.0.7", "https", True),
        ("10.0.0.7", "http", False),
        ("", "http", False),
        ("localhost.evil.example", "http", False),
    ],
)
def test_a_key_in_the_clear_comes_from_this_machine_only(
    remote: str, scheme: str, taken: bool
) -> None:
    if taken:
        told = customer_keys.read(HEADERS, request(remote, scheme))
        assert told is not None and told.secret == KEY
        return
    with pytest.raises(AwsError, match="secure connection") as caught:
        customer_keys.read(HEADERS, request(remote, scheme))
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)


def test_a_key_is_known_again_by_what_is_kept() -> None:
    told = customer_keys.read(HEADERS, None)
    assert told is not None
    seal = Seal(CUSTOMER, b"s" * 16, told.check(b"s" * 16))
    assert told.fits(seal)
    assert KEY not in seal.key
    assert not customer_keys.CustomerKey(bytes(32), "").fits(seal)
    assert not told.fits(Seal(CUSTOMER, b"t" * 16, seal.key))


def test_the_key_of_a_copys_source_has_headers_of_its_own() -> None:
    prefix = customer_keys.OF_SOURCE
    headers = {prefix + n.removeprefix("x-amz-"): v for n, v in HEADERS.items()}
    assert customer_keys.read(headers, None) is None
    told = customer_keys.read(headers, None, prefix)
    assert told is not None and told.secret == KEY
