"""Requests that leave the cloud: one policy, and own hosts asked in process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.runtime.egress import Allowed
from pileus.services.call import FileBody, HttpRequest, HttpResponse
from pileus.services.inside import own_host
from pileus.services.outbound import Outbound, OutboundError
from pileus.wire.http import serve


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://app.localhost:1/",
        "http://[::1]:1/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://224.0.0.1/",
        "http://2130706433/",
    ],
)
def test_inner_addresses_are_refused(url: str) -> None:
    with pytest.raises(OutboundError, match="egress_allow"):
        asyncio.run(Outbound().send("GET", url, []))


def test_opened_target_is_reached_at_its_port_only() -> None:
    async def body() -> None:
        server = await serve(lambda r: HttpResponse(200, [], b"lan"), ("127.0.0.1", 0))
        there, elsewhere = f"127.0.0.1:{server.port}", "127.0.0.1:9"
        outbound = Outbound(Allowed.parse([there]))
        answer = await outbound.send("GET", f"http://{there}/", [])
        assert await answer.read(10) == b"lan"
        with pytest.raises(OutboundError, match="egress_allow"):
            await outbound.send("GET", f"http://{elsewhere}/", [])
        await outbound.close()
        await server.stop()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("b.s3.eu-west-1.amazonaws.com", "b.s3.localhost"),
        ("a.s3-x.b.s3.amazonaws.com", "a.s3-x.b.s3.localhost"),
        ("s3.us-east-1.amazonaws.com", "s3.localhost"),
        ("b.s3-website-us-east-1.amazonaws.com", "b.s3-website.localhost"),
        ("b.s3-website.localhost", "b.s3-website.localhost"),
        ("x1.execute-api.us-east-1.amazonaws.com", "x1.execute-api.localhost"),
        ("D1.cloudfront.net", "d1.cloudfront.localhost"),
        ("f.lambda-url.us-east-1.on.aws", "f.lambda-url.localhost"),
        ("execute-api.localhost", ""),
        ("app.localhost", ""),
        ("b.s3.example.com", ""),
        ("cognito-idp.us-east-1.amazonaws.com", ""),
    ],
)
def test_own_hosts(name: str, own: str) -> None:
    assert own_host(name) == own


class Left(AsyncIterator[bytes]):
    """A body without end that knows when nobody wants it."""

    closed = False

    async def __anext__(self) -> bytes:
        return b"more"

    async def aclose(self) -> None:
        self.closed = True


def test_own_hosts_are_asked_in_process_and_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 600_000)
    outbound = Outbound()
    seen: list[HttpRequest] = []

    left = Left()

    async def front(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        if request.path == "/circle":
            try:
                await outbound.send("GET", "http://d.cloudfront.net/circle", [])
            except OutboundError as e:
                return HttpResponse(502, [], str(e).encode())
            return HttpResponse(502, [], b"around")
        if request.path == "/leave":
            return HttpResponse(200, [], left)
        fd = os.open(tmp_path / "long", os.O_RDONLY)
        return HttpResponse(200, [("ETag", "e")], FileBody(fd, 100_000, 500_000))

    async def body() -> None:
        outbound.connect(front)
        url = "http://b.s3.localhost:4566/k?a=b"
        answer = await outbound.send("GET", url, [("x-a", "1")], remote="192.0.2.9")
        assert (answer.header("etag"), answer.header("content-length")) == ("e", "500000")
        assert await answer.read(1_000_000) == b"x" * 500_000
        asked = seen[0]
        assert (asked.headers, asked.query) == ({"x-a": "1", "host": "b.s3.localhost"}, "a=b")
        assert asked.remote == "192.0.2.9"
        told = await outbound.send("HEAD", url, [])  # the front's answer has its body all the same
        assert (told.header("content-length"), await told.read(0)) == ("500000", b"")
        seen.clear()
        await outbound.send("GET", "http://d.cloudfront.net/circle", [])
        assert len(seen) == 4
        answer = await outbound.send("GET", "http://b.s3.localhost:4566/leave", [])
        assert not left.closed
        await answer.body.aclose()  # type: ignore[attr-defined]
        assert left.closed  # before any of it was read

    asyncio.run(body())
