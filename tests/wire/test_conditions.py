"""What policies are told of a request."""

from __future__ import annotations

import pytest

from pileus.policy.decide import Caller
from pileus.services.call import Access, Call, HttpRequest, Principal
from pileus.wire.conditions import RequestContext

OWNER = Principal.owner("000000000000")


@pytest.mark.parametrize(
    ("remote", "scheme", "unheard"),
    [
        ("127.0.0.1", "http", "true"),
        ("::1", "http", "true"),
        ("192.0.2.7", "http", "false"),
        ("192.0.2.7", "https", "true"),
        ("", "http", "false"),
    ],
)
def test_what_never_left_the_machine_is_as_good_as_tls(
    remote: str, scheme: str, unheard: str
) -> None:
    """The usual denial of requests without TLS must not close a cloud on one machine."""
    request = HttpRequest("GET", "/b/k", "", {}, remote=remote, scheme=scheme)
    call = Call("s3", "GetObject", OWNER, "us-east-1", {}, request=request)
    access = Access("s3:GetObject", "arn:aws:s3:::b/k")
    told = RequestContext(call, access, Caller("root", OWNER.account, (OWNER.arn,)))
    assert told.get("aws:securetransport") == unheard
