"""A real Caddy before two real edge listeners."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import urllib.error
import urllib.request
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
