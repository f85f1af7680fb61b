"""Heads that were proven before: recognised with what differs cut out, and with nothing else."""

from __future__ import annotations

import random
import time
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.services.call import Credential, HttpRequest
from pileus.wire.known_heads import KnownHeads
from pileus.wire.names import SERVICES
from pileus.wire.router import Route
from pileus.wire.sigv4 import Verifier
from pileus.wire.whole import WholeRequests
from tests.wire.door import KEY, ROOT, SECRET

ROUTE = Route(SERVICES["dynamodb"], "GetItem", "json", {})
PLAN: Any = SimpleNamespace(meter=0)
RETRY = "11111111-2222-4333-8444-555555555555"


def raw(body: bytes, retry: str = RETRY, **more: str) -> bytes:
    """A request as boto3 sends it, signed now."""
    headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "User-Agent": "Boto3/1 ua/2.1"}
    request = AWSRequest("POST", "http://h:4566/", headers, body)
    auth.SigV4Auth(Credentials(KEY, SECRET), "dynamodb", "eu-west-3").add_auth(request)
    told = {n.replace("_", "-"): v for n, v in more.items()}
    lines = ["POST / HTTP/1.1", "host: h:4566", *[f"{n}: {v}" for n, v in request.headers.items()]]
    lines += [f"amz-sdk-invocation-id: {retry}"] if retry else []
    lines += [*[f"{n}: {v}" for n, v in told.items()], f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Known:
    """Heads, verifier and directory of one process, and what was signed in one second of it."""

    def __init__(self) -> None:
        self.held: Credential | None = Credential(SECRET, ROOT)
        self.later_ms = 0
        self.verifier = Verifier(self, self.now_ms)
        self.heads = KnownHeads(self, self.now_ms)
        self.whole = WholeRequests(32768)

    def lookup(self, access_key_id: str, session_token: str | None) -> Credential | None:
        return self.held if access_key_id == KEY else None

    def now_ms(self) -> int:
        return int(time.time() * 1000) + self.later_ms

    def learn(self, data: bytes) -> None:
        request = self.strict(data)
        self.verifier.verify(request, "dynamodb", "dynamodb")
        evidence = self.verifier.proven(request, "dynamodb")
        assert evidence is not None
        self.heads.learn(request, ROUTE, PLAN, evidence)

    def strict(self, data: bytes) -> HttpRequest:
        request = self.whole.read(data, "1.2.3.4")
        assert request is not None
        return request

    def read(self, data: bytes) -> HttpRequest | None:
        return self.heads.read(data, "1.2.3.4")


def pair(*bodies: bytes, **more: str) -> list[bytes]:
    """Requests signed in the same second."""
    for _ in range(20):
        made = [raw(body, **more) for body in bodies]
        dates = {m.split(b"X-Amz-Date: ")[1][:16] for m in made}
        if len(dates) == 1:
            return made
    raise AssertionError("the clock jumps")


def test_a_known_head_around_another_body():
    known = Known()
    first, second = pair(b'{"a":1}', b'{"b":"another length"}')
    assert known.read(first) is None
    known.learn(first)
    for data in (first, second, second.replace(RETRY.encode(), b"a" * 36)):
        found, strict = known.read(data), known.strict(data)
        assert found is not None
        head, told = found.head
        assert (head.route, head.plan, head.held.principal) == (ROUTE, PLAN, ROOT)
        assert told.decode() == strict.headers["amz-sdk-invocation-id"]
        assert (found.method, found.path, found.query) == ("POST", "/", "")
        assert (found.body, found.remote) == (strict.body, "1.2.3.4")
        cut = ("authorization", "content-length", "amz-sdk-invocation-id")
        assert found.headers == {n: v for n, v in strict.headers.items() if n not in cut}


def test_what_is_not_the_same_is_read_from_the_start():
    known = Known()
    first, second = pair(b'{"a":1}', b'{"b":2}')
    known.learn(first)
    assert known.read(second) is not None
    retry = RETRY.encode()
    for wrong in (
        second[:-1],  # short of a byte
        second + b"x",  # and one too many
        second + second,
        second.replace(b'{"b":2}', b'{"b":3}'),
        second.replace(b"Content-Length: 7", b"Content-Length: 07"),
        second.replace(b"Content-Length: 7", b"Content-Length: 7\r\nContent-Length: 7"),
        second.replace(b"Content-Length: 7", b"content-length: 7"),
        second.replace(b"POST / ", b"PUT / "),
        second.replace(b"host: h:4566", b"host: other"),
        second.replace(b"User-Agent", b"Transfer-Encoding: chunked\r\nUser-Agent"),
        second.replace(b"User-Agent", b"Expect: 100-continue\r\nUser-Agent"),
        second.replace(retry, retry[:-2] + b"\r\n"),
        second.replace(retry, b"\r\nExpect: 100-continue\r\nX-Other: abcd"[:36]),
        second.replace(retry, retry[:-1]),
        second.replace(b"Signature=", b"Signature=0"),
        second.replace(b"\r\n\r\n", b"\r\n"),
        second.replace(b"GetItem", b"PutItem"),
    ):
        assert wrong != second
        assert known.read(wrong) is None, wrong


def test_a_head_ends_with_its_key_its_time_and_its_second():
    known = Known()
    first, second = pair(b"{}", b'{"b":2}')
    known.learn(first)
    held = known.held
    for known.held in (None, Credential(SECRET, ROOT), Credential("another", ROOT)):
        assert known.read(second) is None
    known.held = held
    for known.later_ms in (301_000, -301_000):
        assert known.read(second) is None
    known.later_ms = 0
    assert known.read(second) is not None
    known.heads._heads.clear()
    known.held = Credential(SECRET, ROOT, known.now_ms() + 60_000)
    known.learn(first)
    assert known.read(second) is not None
    known.later_ms = 61_000
    assert known.read(second) is None


@pytest.mark.parametrize(
    "more",
    [
        {"x_amz_content_sha256": sha256(b"").hexdigest()},
        {"content_encoding": "gzip"},
        {"x_comment": "Signature=" + "0" * 64},
        {"retry": "not-a-uuid"},
    ],
    ids=str,
)
def test_heads_that_tell_of_their_body_are_not_kept(more):
    known = Known()
    data = raw(b"", **more)
    request = known.strict(data)
    known.verifier.verify(request, "dynamodb", "dynamodb")
    evidence = known.verifier.proven(request, "dynamodb")
    assert evidence is not None
    known.heads.learn(request, ROUTE, PLAN, evidence)
    assert known.read(data) is None


def test_any_byte_changed_is_not_recognised_as_another_request():
    """Whatever is changed in a request: it is not recognised, or the strict reader sees the same
    in it."""
    known = Known()
    (first,) = pair(b'{"a":1}')
    known.learn(first)
    chance = random.Random(7)
    recognised = 0
    for _ in range(4000):
        data = bytearray(first)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 2)] = chance.choice((b"", b"\r\n", b"0", b": ", b"a"))
        found = known.read(bytes(data))
        if found is None:
            continue
        recognised += 1
        strict = known.strict(bytes(data))
        assert strict.body == found.body
        told = strict.headers["amz-sdk-invocation-id"]
        assert found.head[1].decode() == told
        assert {**strict.headers, **found.headers} == strict.headers
    assert recognised
