"""Requests for objects known by their bytes: answered as the strict reader's, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.hot import Route
from bench.load import signed
from pileus import assembly
from pileus.config import Config
from pileus.services.call import HttpRequest, Principal
from pileus.wire.http import Server, serve
from pileus.wire.limits import Limits
from pileus.wire.whole import WholeRequests

HOST = "127.0.0.1:4566"
VALUES = {"authorization", "x-amz-content-sha256", "content-length", "amz-sdk-invocation-id"}
OWN = (b"x-amz-request-id", b"x-amz-id-2", b"date", b"last-modified")


class Cloud:
    """One process's parts behind two servers: one recognises heads."""

    def __init__(self, front: Any, keys: dict[str, str]) -> None:
        self.front = front
        self.key, self.secret = keys["access_key_id"], keys["secret_access_key"]
        self.objects = front.objects
        self.usual = Server(front.api.handle, Limits())
        self.quick = Server(front.api.handle, Limits(), objects=front.objects)
        for server in (self.usual, self.quick):
            server._sweep()

    def request(
        self, method: str, path: str, body: bytes = b"", host: str = HOST, **more: str
    ) -> bytes:
        told = {n.replace("_", "-"): v for n, v in more.items()}
        data = signed(
            host, "s3", self.key, self.secret, method=method, path=path, body=body, headers=told
        )
        line = f"\r\namz-sdk-invocation-id: {uuid.uuid4()}\r\n\r\n"
        return data.replace(b"\r\n\r\n", line.encode(), 1)

    def pair(self, *wishes: tuple[Any, ...], **more: str) -> list[bytes]:
        """Requests signed in one second."""
        for _ in range(20):
            made = [self.request(*wish, **more) for wish in wishes]
            if len({m.split(b"X-Amz-Date: ")[1][:16] for m in made}) == 1:
                return made
        raise AssertionError("the clock jumps")

    async def ask(self, server: Server, data: bytes) -> bytes:
        path = Route(server, [data], True, 1)
        await path.once(1)
        return path.sinks[0].answer

    async def iam(self, operation: str, **params: Any) -> Any:
        owner = Principal.owner(self.front.config.account)
        return await self.front.parts.dispatch("iam", operation, params, principal=owner)

    async def stored(self, path: str, body: bytes) -> None:
        server = await serve(self.front.api.handle, ("127.0.0.1", 0), Limits())
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(self.request("PUT", path, body))
        assert await answered(reader) == b""
        writer.close()
        await server.stop(0)

    async def learn(self, data: bytes) -> None:
        for _ in range(3):  # the signature's head, then two in one second
            await self.ask(self.quick, data)

    async def both(self, data: bytes) -> bytes:
        """The same answer of both; its status line and body."""
        quick, usual = await self.ask(self.quick, data), await self.ask(self.usual, data)
        assert comparable(quick) == comparable(usual)
        head, _, body = quick.partition(b"\r\n\r\n")
        return head[9:12] + b" " + body

    def writes(self) -> int:
        return sum(name[:3] == b"PUT" for name in self.objects._heads)

    def known(self, data: bytes) -> bool:
        return self.objects.get(data, b"") is not None


def comparable(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(OWN)]
    if head[9:12] != b"200":
        body = b""  # it names the request's ids
    return lines, body


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Cloud], Any]], None]:
    async def within(test: Callable[[Cloud], Any]) -> None:
        front = await assembly.assemble(Config(home=tmp_path, port=0), 0)
        try:
            cloud = Cloud(front, json.loads((tmp_path / "credentials.json").read_text()))
            await cloud.ask(cloud.usual, cloud.request("PUT", "/bucket"))
            await test(cloud)
        finally:
            await front.parts.store.close()

    return lambda test: asyncio.run(within(test))


def test_another_object_under_a_known_head(run: Any) -> None:
    async def test(c: Cloud) -> None:
        for key, body in (("k", b"hello"), ("a/b.txt", b"deeper"), ("large", bytes(100_000))):
            await c.ask(c.usual, c.request("PUT", f"/bucket/{key}", body))
        first, second, missing, large, hinted = c.pair(
            ("GET", "/bucket/k"),
            ("GET", "/bucket/a/b.txt"),
            ("GET", "/bucket/none"),
            ("GET", "/bucket/large"),
            ("GET", "/bucket/k?x-id=GetObject"),
        )
        assert not c.known(second)
        await c.learn(first)
        assert c.known(second) and not c.known(missing) and not c.known(large)
        assert not c.known(hinted)
        assert await c.both(second) == b"200 deeper"
        assert (await c.both(missing))[:3] == b"404"
        here = "bucket.s3.localhost:4566"
        inner, other = c.pair(("GET", "/a/b.txt", b"", here), ("GET", "/a/c.txt", b"", here))
        await c.learn(inner)
        await c.ask(c.usual, c.request("PUT", "/bucket/a/c.txt", b"there"))
        assert c.known(other) and await c.both(other) == b"200 there"

    run(test)


def test_a_write_under_a_known_head_is_kept_whole(run: Any) -> None:
    async def test(c: Cloud) -> None:
        more = {"content_type": "text/x", "x_amz_meta_a": "50%", "cache_control": "no-cache"}
        first, second = c.pair(("PUT", "/bucket/k", b"one"), ("PUT", "/bucket/l/m", b"two"), **more)
        await c.learn(first)
        before = c.writes()
        assert (await c.both(second))[:3] == b"200"
        assert await c.both(c.request("GET", "/bucket/l/m")) == b"200 two"
        found = await c.ask(c.usual, c.request("GET", "/bucket/l/m"))
        assert b"x-amz-meta-a: 50%\r\n" in found and b"cache-control: no-cache\r\n" in found
        assert b"content-type: text/x\r\n" in found
        assert c.writes() == before == 1

    run(test)


def test_values_are_cut_in_their_own_lines_only(run: Any) -> None:
    async def test(c: Cloud) -> None:
        for more in (
            {"user_agent": "length: 5"},
            {"user_agent": "sha256: 5"},
            {"user_agent": "invocation-id: 5"},
            {"content_type": "Signature=5"},
        ):
            put, get = c.pair(("PUT", "/bucket/k", b"hello"), ("GET", "/bucket/k"), **more)
            await c.learn(put)
            await c.learn(get)
            assert c.known(get) and await c.both(get) == b"200 hello", more
            found = c.objects._heads.values()
            assert {n for head in found for n, *_ in head.layout.spans} == VALUES
            c.objects._heads.clear()

    run(test)


def test_a_repeated_write_has_one_effect(run: Any) -> None:
    """Under the same retry id a write is not made again, whichever way it takes."""

    async def test(c: Cloud) -> None:
        enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        await c.ask(c.usual, c.request("PUT", "/bucket?versioning", enabled))
        first, second = c.pair(("PUT", "/bucket/k", b"one"), ("PUT", "/bucket/l", b"two"))
        await c.learn(first)
        versions = [
            line
            for _ in range(2)
            for server in (c.quick, c.usual)
            for line in (await c.ask(server, second)).split(b"\r\n")
            if line.startswith(b"x-amz-version-id")
        ]
        assert len(versions) == 4 and len(set(versions)) == 1

    run(test)


def test_what_is_wrong_is_refused_as_ever(run: Any) -> None:
    async def test(c: Cloud) -> None:
        wishes = ("GET", "/bucket/k"), *2 * [("PUT", "/bucket/k", b"hello")]
        get, first, put = c.pair(*wishes)
        await c.learn(first)
        await c.learn(get)
        assert c.known(get)
        for wrong in (
            get.replace(b"/bucket/k", b"/bucket/j"),
            get.replace(b"/bucket/k", b"/bucket/../k"),
            get.replace(b"Signature=", b"Signature=0"),
            get.replace(b"Host: 127", b"Host: 128"),
            get.replace(b"GET", b"HEAD"),
            get + get,
            get.replace(b"\r\n\r\n", b"\r\nRange: bytes=0-1\r\n\r\n"),
            get.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"),
        ):
            assert not c.known(wrong), wrong
        for wrong, status in (
            (put.replace(b"hello", b"jello"), b"400"),
            (put.replace(b"/bucket/k", b"/bucket/j"), b"403"),
            (put.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n", 1), b"412"),
            (put.replace(b"invocation-id: ", b"invocation-id: z"), b"200"),
        ):
            assert (await c.both(wrong))[:3] == status, wrong

    run(test)


def test_permissions_and_keys_hold_at_once(run: Any) -> None:
    async def test(c: Cloud) -> None:
        iam = c.iam
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        await iam("CreateUser", UserName="u")
        made = (await iam("CreateAccessKey", UserName="u"))["AccessKey"]
        statement = {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::bucket/*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=document)
        c.key, c.secret = made["AccessKeyId"], made["SecretAccessKey"]
        get = c.request("GET", "/bucket/k")
        await c.learn(get)
        assert c.known(get)
        await iam("UpdateAccessKey", UserName="u", AccessKeyId=c.key, Status="Inactive")
        assert not c.known(get) and (await c.both(get))[:3] == b"403"
        await iam("UpdateAccessKey", UserName="u", AccessKeyId=c.key, Status="Active")
        assert c.known(get)
        await iam("DeleteUserPolicy", UserName="u", PolicyName="p")
        assert not c.known(get) and (await c.both(get))[:3] == b"403"

    run(test)


def test_a_large_object_in_memory_is_sent_whole(run: Any) -> None:
    """Also to a client that takes its time, and before what it asks next."""

    async def test(c: Cloud) -> None:
        body = os.urandom(1_000_000)
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"small"))
        await c.stored("/bucket/large", body)
        server = await serve(
            c.front.api.handle, ("127.0.0.1", 0), Limits(), objects=c.front.objects
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
        get, next_one = c.pair(("GET", "/bucket/large"), ("GET", "/bucket/k"))
        await c.learn(next_one)
        for _ in range(3):  # the second asking keeps it in memory
            writer.write(get)
            assert await answered(reader) == body
        found = c.objects.get(get, b"")
        assert found is not None and found[2] is not None
        os.close(found[2].fd)
        writer.write(get)
        await asyncio.sleep(0.1)  # the socket is full by now
        writer.write(next_one)
        assert await answered(reader) == body
        assert await answered(reader) == b"small"
        writer.write(get)
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await server.stop(0)

    run(test)


async def answered(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


def test_an_old_signature_is_not_believed(run: Any) -> None:
    async def test(c: Cloud) -> None:
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        get = c.request("GET", "/bucket/k")
        await c.learn(get)
        now_ms = c.front.api.now_ms()
        for later_ms, known in ((200_000, True), (400_000, False), (-400_000, False)):
            c.objects._now_ms = lambda at=now_ms + later_ms: at
            for head in c.objects._heads.values():
                head.until_ns = 0  # it is looked at again
            assert c.known(get) == known

    run(test)


def test_any_byte_changed_is_not_taken_for_another_request(run: Any) -> None:
    """With every signature believed: what is recognised, the strict reader reads the same."""

    async def test(c: Cloud) -> None:
        get, put = c.pair(("GET", "/bucket/k"), ("PUT", "/bucket/k", b"hello"))
        await c.ask(c.usual, put)
        await c.learn(put)
        await c.learn(get)
        seen: list[tuple[str, bytes]] = []
        objects = c.objects
        hexadecimal = re.compile(rb"[0-9a-f]{64}")
        objects._believed = lambda known, request, signature: (
            known.verdict if hexadecimal.fullmatch(signature) else None
        )
        objects._objects = Asked(seen)
        chance, whole = random.Random(7), WholeRequests(32768)
        recognised = 0
        for data in (get, put) * 2000:
            spoilt = bytearray(data)
            for _ in range(chance.choice((1, 1, 2, 3))):
                at = chance.randrange(len(spoilt))
                if chance.random() < 0.3:
                    at = data.find(b" ") + chance.randrange(12)
                spoilt[at] = chance.choice((*b"/k.=?% \r\n:0aA~", chance.randrange(256)))
            seen.clear()
            now = bytes(spoilt)
            objects.get(now, b"")
            objects.put(now, Line(), 0)
            if not seen:
                continue
            recognised += 1
            strict, before = whole.read(now, ""), whole.read(data, "")
            assert strict is not None and before is not None
            assert strict.path == f"/bucket/{seen[0][0]}" and strict.query == ""
            assert strict.body == seen[0][1] and rest(strict) == rest(before)
        assert recognised > 50

    run(test)


class Line:
    """A connection."""

    _current: Any = None


class Asked:
    """Notes what it is asked for."""

    def __init__(self, seen: list[tuple[str, bytes]]) -> None:
        self._seen = seen

    def small(self, bucket: Any, key: bytes, checked: bool) -> None:
        self._seen.append((key.decode(), b""))

    def storing(self, bucket: Any, told: Any) -> Any:
        return lambda key, data, *more: self._seen.append((key, data))


def rest(request: HttpRequest) -> dict[str, str]:
    cut = {"authorization", "content-length", "x-amz-content-sha256", "amz-sdk-invocation-id"}
    return {n: v for n, v in request.headers.items() if n not in cut} | {"": request.method}
