"""A real Caddy before two real edge listeners."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pileus.config import Config
from pileus.edge import caddy
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import serve
from tests.edge.conftest import World, told_of
from tests.ports import free_ports


def _get(url: str, **headers: str) -> tuple[int, bytes, Any]:
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=unverified) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as e:
        return e.code, e.read(), e.headers


async def _until_up(url: str, **headers: str) -> None:
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(OSError):  # urllib's errors are some
                if (await asyncio.to_thread(_get, url, **headers))[0] < 500:
                    return
            await asyncio.sleep(0.05)


def test_caddy_serves_tls_and_survives_a_dead_front(run: Any, tmp_path: Path) -> None:
    plain_port, tls_port = free_ports(2)
    config = Config(home=tmp_path, edge_port=plain_port, edge_tls_port=tls_port)
    seen: list[HttpRequest] = []

    async def body(w: World) -> None:
        w.put("a", b"hello")
        id_ = await w.make()

        async def watched(request: HttpRequest) -> HttpResponse:
            answer = await told_of(w.edge.serve_proxied(request))
            if request.path == "/a":  # Caddy asks for the fronts' health at any moment
                seen.append(request)
            return answer

        fronts = [await serve(watched, str(caddy.socket_path(config, i))) for i in range(2)]
        words = caddy.command(caddy.write(config, 2))
        process = subprocess.Popen(
            words, env=caddy.environment(config.home), stderr=subprocess.DEVNULL
        )
        try:
            await visit(id_, fronts)
        finally:
            process.terminate()
            process.wait(60)
            for front in fronts:
                await front.stop()

    async def visit(id_: str, fronts: list[Any]) -> None:
        host = f"{id_.lower()}.cloudfront.localhost"
        plain = f"http://127.0.0.1:{config.edge_port}/a"
        forged = {"Host": f"{host}:{config.edge_port}", "X-Forwarded-For": "6.6.6.6"}
        await _until_up(plain, **forged)
        status, text, headers = await asyncio.to_thread(_get, plain, **forged)
        assert (status, text) == (200, b"hello")
        assert headers["X-Cache"] == "Hit from cloudfront"
        assert seen[-1].remote == "127.0.0.1" and seen[-1].scheme == "http"
        secure = f"https://127.0.0.1:{config.edge_tls_port}/a"
        await _until_up(secure, Host=host)  # its certificate may come a moment later
        status, text, headers = await asyncio.to_thread(_get, secure, Host=host)
        assert (status, text) == (200, b"hello") and "h3=" in headers["Alt-Svc"]
        assert seen[-1].scheme == "https"
        await fronts[0].stop()
        os.unlink(caddy.socket_path(config, 0))
        answers = [await asyncio.to_thread(_get, plain, **forged) for _ in range(20)]
        assert [a[0] for a in answers] == [200] * 20
        admin = config.home / "run" / "caddy-admin.sock"
        assert admin.stat().st_mode & 0o077 == 0

    run(body)


HUNG_S = 3.5  # longer than anything may be tried for by time


class Front:
    """A front end of which a test says what it does with ``/work``: answer, hold it, or go away
    in the middle of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.does = "answers"
        self.asked: list[str] = []
        self.looked_at = 0  # asked for its health
        self.let_go = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def close(self) -> None:
        assert self._server is not None
        self.let_go.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if " /work " in head:
                    self.asked.append(head.partition(" ")[0])
                    if self.does == "breaks off":
                        return
                    if self.does == "holds":
                        await self.let_go.wait()
                        if self.does == "breaks off":
                            return
                else:
                    self.looked_at += 1
                    if self.does == "hangs":
                        await self.let_go.wait()
                last = "connection: close" in head.lower()
                told = b"connection: close\r\n" if last else b""
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + told + b"\r\n")
                if last:
                    return


@contextlib.asynccontextmanager
async def _two_fronts(tmp_path: Path) -> AsyncIterator[tuple[str, Front, Front]]:
    """Caddy before two of them; the address of their work."""
    plain_port, tls_port = free_ports(2)
    config = Config(home=tmp_path, edge_port=plain_port, edge_tls_port=tls_port)
    (tmp_path / "run").mkdir(exist_ok=True)
    first, second = (Front(caddy.socket_path(config, index)) for index in range(2))
    for front in (first, second):
        await front.open()
    words = caddy.command(caddy.write(config, 2))
    process = subprocess.Popen(words, env=caddy.environment(tmp_path), stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{plain_port}/work"
        await _until_up(url)
        yield url, first, second
    finally:
        process.terminate()
        process.wait(60)
        for front in (first, second):
            await front.close()


def _ask(url: str, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as told:
            return int(told.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_least_busy_front_comes_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with _two_fronts(tmp_path) as (url, first, second):
            first.does = "holds"
            held = []
            while "GET" not in first.asked[-1:] or not held:  # till it has one under way
                first.asked.clear()
                held.append(asyncio.create_task(asyncio.to_thread(_ask, url)))
                await asyncio.sleep(0.2)
            first.asked.clear()
            second.asked.clear()
            for _ in range(20):
                assert await asyncio.to_thread(_ask, url) == 200
                await asyncio.sleep(0.05)
            # One that was just answered may count still: then both have as many under way.
            assert len(first.asked) <= 4 and len(second.asked) >= 16
            first.let_go.set()
            assert set(await asyncio.gather(*held)) == {200}

    asyncio.run(body())


def test_what_may_be_asked_twice_is_and_nothing_else(tmp_path: Path) -> None:
    """A front that dies over a request: another takes it where that does no harm."""

    async def body() -> None:
        async with _two_fronts(tmp_path) as (url, first, second):
            first.does = "breaks off"
            for method, status in (("GET", {200}), ("PUT", {200}), ("POST", {200, 502})):
                first.asked.clear()
                second.asked.clear()
                tries = 0
                while not first.asked and tries < 200:  # till the request has hit it
                    tries += 1
                    told = await asyncio.to_thread(_ask, url, method)
                    assert told in status
                    await asyncio.sleep(0.1)  # one that failed is passed over for a second
                assert first.asked == [method] or method != "POST"
                if method == "POST":
                    assert told == 502 and len(second.asked) == tries - 1, "sent once"
                else:
                    assert told == 200 and second.asked[-1] == method

    asyncio.run(body())


def test_what_hung_for_long_is_asked_again_when_its_front_dies(tmp_path: Path) -> None:
    """A front that hangs is killed by its supervisor, seconds later."""

    async def body() -> None:
        async with _two_fronts(tmp_path) as (url, first, second):
            first.does = "holds"
            held = []
            while not first.asked or not held:  # till it has one under way
                first.asked.clear()
                held.append(asyncio.create_task(asyncio.to_thread(_ask, url)))
                await asyncio.sleep(0.2)
            await asyncio.sleep(HUNG_S)
            first.does = "breaks off"
            first.let_go.set()
            assert set(await asyncio.gather(*held)) == {200}
            assert second.asked

    asyncio.run(body())


def test_a_front_that_hangs_is_passed_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with _two_fronts(tmp_path) as (url, first, second):
            first.does = "hangs"  # it takes connections and answers no question for its health
            quiet = 0
            while quiet < 20:  # its share would be every second request
                first.asked.clear()
                assert await asyncio.to_thread(_ask, url) == 200
                quiet = 0 if first.asked else quiet + 1
            assert second.asked
            # It is looked at on: no other front's answer is taken for its own.
            first.looked_at, tries = 0, 0
            while first.looked_at < 12 and tries < 600:
                tries += 1
                await asyncio.sleep(0.05)
            assert first.looked_at >= 12
            assert await asyncio.to_thread(_ask, url) == 200 and not first.asked

    asyncio.run(body())


def test_fronts_are_asked_though_none_seems_well(tmp_path: Path) -> None:
    """On a busy machine all may be late with the word that they are; viewers got 503 at once."""

    async def body() -> None:
        async with _two_fronts(tmp_path) as (url, first, second):
            first.does = second.does = "hangs"
            told = set()
            for _ in range(60):
                told.add(await asyncio.to_thread(_ask, url, "POST"))
                await asyncio.sleep(0.05)
            assert told == {200}

    asyncio.run(body())


def test_viewers_are_limited_by_address(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1")
        host = f"{await w.make()}.cloudfront.localhost".lower()

        async def visit(address: str) -> int:
            headers = {"host": host, "x-forwarded-for": address}
            asked = HttpRequest("GET", "/a", "", headers)
            return (await told_of(w.edge.serve_proxied(asked))).status

        w.clock.monotonic = lambda: 5.0  # type: ignore[method-assign]
        told = [await visit("10.0.0.1") for _ in range(4200)]
        assert 429 in told and told[0] == 200
        assert await visit("10.0.0.2") == 200

    run(body)
