"""Two real Caddies of one cluster: near fronts first, then the least busy of all (E3)."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.edge import caddy
from pileus.edge.neighbours import Neighbours
from pileus.errors import Unavailable
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import Server, serve
from tests.nodes.certificates import Authority
from tests.ports import free_ports

HELD_MAX = 8 * caddy.NEAR_ACTIVE  # until the other node is known to be well, more stay near
HOST, VIEWER = "127.0.0.1", "127.0.0.9"
SHOWN = ("x-forwarded-for", "x-forwarded-proto", "host")


class Node:
    """A node as its Caddy knows it, with one front that tells who asked."""

    def __init__(self, name: str, home: Path, authority: Authority) -> None:
        self.name, self.home = name, home
        plain, tls = free_ports(2)
        self.config = Config(home=home, edge_port=plain, edge_tls_port=tls)
        self.folder = authority.lay(home / "cluster", name)
        self.held = asyncio.Event()
        self.front: Server | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def knows(self, *others: Node) -> Neighbours | None:
        where = tuple((o.name, f"{HOST}:{o.config.edge_tls_port}") for o in others)
        return Neighbours(self.name, where, self.folder, self.home / "run") if where else None

    async def open(self) -> None:
        (self.home / "run").mkdir(exist_ok=True)
        self.front = await serve(self._answer, str(caddy.socket_path(self.config, 0)))

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/hold":
            await self.held.wait()
        told = {name: request.headers.get(name, "") for name in SHOWN}
        body = await request.read(1_000_000)
        return HttpResponse(
            200, [], json.dumps(told | {"node": self.name, "body": body.decode()}).encode()
        )

    async def shut(self) -> None:
        assert self.front is not None
        await self.front.stop()
        os.unlink(caddy.socket_path(self.config, 0))

    def start(self, *others: Node) -> None:
        words = caddy.command(caddy.write(self.config, 1, self.knows(*others)))
        with (self.home / "caddy.log").open("wb") as log:
            self.process = subprocess.Popen(words, env=caddy.environment(self.home), stderr=log)

    def ask(self, path: str = "/", method: str = "GET", body: bytes = b"") -> dict[str, Any]:
        """The answer's JSON, or its status where there is none."""
        port = self.config.edge_port
        line = http.client.HTTPConnection(HOST, port, timeout=60, source_address=(VIEWER, 0))
        try:
            headers = {"Host": "a.example:80", "X-Forwarded-For": "6.6.6.6"}
            line.request(method, path, body or None, headers)
            told = line.getresponse()
            text = told.read()
            return dict(json.loads(text)) if told.status == 200 else {"status": told.status}
        except OSError:
            return {"status": 0}
        finally:
            line.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    authority = Authority()
    made = Node("n1", tmp_path / "n1", authority), Node("n2", tmp_path / "n2", authority)
    try:
        yield made
    finally:
        for node in made:
            if node.process is not None:
                node.process.terminate()
                node.process.wait(60)


def test_near_first_then_whoever_lives_and_has_time(nodes: tuple[Node, Node]) -> None:
    first, second = nodes

    async def body() -> None:
        await first.open()
        await second.open()
        first.start(second)
        second.start(first)
        for node in nodes:
            await _until(lambda n=node: n.ask().get("node") == n.name)
        with ThreadPoolExecutor(HELD_MAX) as pool:
            await _near_while_not_busy(first, second, pool)
        await _another_when_all_near_are_gone(first, second)
        await asyncio.to_thread(_a_stranger_is_a_viewer, second)
        await asyncio.to_thread(caddy.reload, first.config, 1, None)
        assert (await asyncio.to_thread(first.ask))["status"] in (502, 503)
        await second.shut()
        await asyncio.to_thread(caddy.reload, first.config, 1, first.knows(second))
        before = len(_complaints(first))
        assert second.process is not None
        second.process.kill()  # looked at twice a second from now on
        await asyncio.sleep(2)
        assert len(_complaints(first)) == before

    asyncio.run(body())


@pytest.mark.parametrize("loses", ["its fronts", "its life"])
def test_what_met_a_dead_node_is_asked_again_and_no_further(
    loses: str, nodes: tuple[Node, Node]
) -> None:
    """The near front is busy, so the other node is asked; then that is dead, or its fronts are."""
    first, second = nodes

    async def body() -> None:
        for node in nodes:
            await node.open()
        first.start(second)
        second.start(first)
        await _until(lambda: second.ask().get("node") == "n2")
        with ThreadPoolExecutor(HELD_MAX) as pool:
            held = await _make_busy(first, pool)
            try:
                await _until(lambda: first.ask().get("node") == "n2")
                if loses == "its fronts":
                    await second.shut()
                else:
                    assert second.process is not None
                    second.process.kill()
                told = [await asyncio.to_thread(first.ask) for _ in range(20)]
            finally:
                for node in nodes:
                    node.held.set()
                await asyncio.gather(*held)
        # The viewer as the first Caddy saw him: nothing came back through the second.
        assert [t.get("node", t) for t in told] == ["n1"] * 20
        assert {(t["x-forwarded-for"], t["x-forwarded-proto"]) for t in told} == {(VIEWER, "http")}

    asyncio.run(body())


def _complaints(node: Node) -> list[str]:
    """Of a node that is away, told by the error or as a request that was answered so."""
    lines = (node.home / "caddy.log").read_text().splitlines()
    return [line for line in lines if "dial" in line or "http.log.access" in line]


async def _until(true: Any) -> None:
    for _ in range(2000):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come to pass")


async def _make_busy(first: Node, pool: ThreadPoolExecutor) -> list[asyncio.Future[Any]]:
    """What its front holds until it is told, as much as it is to have at once."""
    # A front that stood still for a second (it is in this process) is passed over for a moment.
    await _until(lambda: all(first.ask().get("node") == "n1" for _ in range(5)))
    held: list[asyncio.Future[Any]] = []
    # A request that has just been answered may count still: then one of these goes to the other.
    while len(held) < caddy.NEAR_ACTIVE or (await asyncio.to_thread(first.ask)).get("node") == "n1":
        assert len(held) < HELD_MAX
        held.append(asyncio.get_running_loop().run_in_executor(pool, first.ask, "/hold"))
        await asyncio.sleep(0.05)
    return held


async def _near_while_not_busy(first: Node, second: Node, pool: ThreadPoolExecutor) -> None:
    held = await _make_busy(first, pool)
    for node in (first, second):
        node.held.set()
    answered = [told["node"] for told in await asyncio.gather(*held)]
    assert answered.count("n1") >= caddy.NEAR_ACTIVE - 1
    await _until(lambda: first.ask().get("node") == "n1")


async def _another_when_all_near_are_gone(first: Node, second: Node) -> None:
    await first.shut()
    for method, body in (("GET", b""), ("POST", b"sent once"), ("PUT", b"x" * 200_000)):
        told = await asyncio.to_thread(first.ask, "/", method, body)
        assert told.pop("body") == body.decode()
        assert told == {
            "node": "n2",
            "host": "a.example:80",
            "x-forwarded-for": VIEWER,
            "x-forwarded-proto": "http",
        }


def _a_stranger_is_a_viewer(node: Node) -> None:
    """Who asks a node by its name must show a certificate; without the name he is a viewer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, status in (("localhost", b"200"), (node.name, b"")):
        told = b""
        with socket.create_connection((HOST, node.config.edge_tls_port), 60) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=name) as line:
                    line.sendall(
                        b"GET / HTTP/1.1\r\nHost: n2\r\nX-Forwarded-For: 6.6.6.6\r\n"
                        b"Connection: close\r\n\r\n"
                    )
                    while piece := line.recv(65536):
                        told += piece
            except (ssl.SSLError, ConnectionError):  # what we sent met a closed door
                assert name == node.name
        assert told[9:12] == status and b"6.6.6.6" not in told


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def test_a_refused_configuration_is_told(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    caddy.reload(first.config, 1, None)  # none runs: the file is there for its start
    first.start()

    async def body() -> None:
        await _until(lambda: _listens(first.home / "run" / "caddy-admin.sock"))
        (first.folder / "node.pem").unlink()
        with pytest.raises(Unavailable, match=r"node\.pem"):
            await asyncio.to_thread(caddy.reload, first.config, 1, first.knows(second))

    asyncio.run(body())
