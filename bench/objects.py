"""S3's hot operations and the edge's hit, inside one process and under load:
``python -m bench.objects`` (``--load`` starts a cloud and asks over sockets).

In process: CPU µs per request (minimum of the rounds) and how many opcodes one request runs, which
no noise disturbs. Every request is signed for itself and asks for another of a thousand
objects, so that no cache of answers could help.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from bench.disk import MEGABYTE, plain_us
from bench.hot import Route, reference_us
from bench.load import measure, signed
from bench.peers import pileus
from lab.distributions import of_bucket
from lab.policies import public_read
from pileus import assembly
from pileus.config import Config
from pileus.services.call import Principal
from pileus.wire.http import Limits, Server

OBJECTS = 1000
TIMED = frozenset({"_sweep", "check", "counted"})  # what runs by the clock is no request's


class Requests:
    """Signed requests for one endpoint."""

    def __init__(self, port: int, key: str, secret: str) -> None:
        self._host, self._key, self._secret = f"127.0.0.1:{port}", key, secret

    def s3(self, method: str, path: str, body: bytes = b"") -> bytes:
        return signed(
            self._host, "s3", self._key, self._secret, method=method, path=path, body=body
        )

    def objects(self, method: str, body: bytes = b"", count: int = OBJECTS) -> list[bytes]:
        return [self.s3(method, f"/bench/o{i:04d}", body) for i in range(count)]

    def page(self, host: str) -> bytes:
        """What a browser asks of a distribution."""
        return (
            f"GET /page HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n"
            "Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n"
        ).encode()


async def counted(path: Route) -> tuple[int, int]:
    """(opcodes, Python functions) that one request takes: 20-29 ns an opcode."""
    told = {"opcode": 0, "call": 0}

    def note(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_name in TIMED:
            return None
        frame.f_trace_opcodes = True
        if event in told:
            told[event] += 1
        return note

    sys.settrace(note)
    try:
        path.doors[0].data_received(path.requests[-1])
        while path.doors[0]._current is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        path.outbox.flush()
    finally:
        sys.settrace(None)
    return told["opcode"], told["call"]


async def _inside(told: argparse.Namespace, home: Path) -> None:
    front = await assembly.assemble(Config(home=home, port=0), 0)
    for service in front.services.values():
        if service.start is not None and service.name == "s3":
            await service.start()
    keys = json.loads((home / "credentials.json").read_text())
    known = front.api.heads.read, front.edge.direct.answer
    server = Server(front.api.handle, Limits(), *known, objects=front.objects)
    viewers = Server(front.edge.serve, Limits(), *known)
    for each in (server, viewers):
        each._sweep()
    requests = Requests(4566, keys["access_key_id"], keys["secret_access_key"])
    paths = await _paths(front, server, viewers, requests)
    for name, path in paths.items():
        if told.only and told.only != name:
            continue
        await path.once(2000 if "1 KB" in name or "edge" in name else 64)
        if told.profile:
            profiler = cProfile.Profile()
            profiler.enable()
            await path.once(20_000)
            profiler.disable()
            profiler.print_stats("tottime")
            continue
        count = told.requests if "MB" not in name else 128
        best = min([await path.once(count) for _ in range(told.rounds)])
        calls = await counted(path)
        print(
            f"{name:<16} {best:6.1f} µs   {calls[0]} opcodes, {calls[1]} calls"
            f"   reference {min(reference_us(2000) for _ in range(5)):.2f} µs",
            flush=True,
        )
    for each in (server, viewers):
        await each.stop(0)
    for service in front.services.values():
        if service.stop is not None and service.name == "s3":
            await service.stop()
    await front.parts.store.close()


async def _paths(
    front: Any, server: Server, viewers: Server, requests: Requests
) -> dict[str, Route]:
    put, get = requests.objects("PUT", os.urandom(1024)), requests.objects("GET")
    await _send(server, requests.s3("PUT", "/bench"))
    await Route(server, put, True, 32).once(1024)
    await _send(server, requests.s3("PUT", "/bench-edge"))
    await _send(server, requests.s3("PUT", "/bench-edge/page", b"x" * 10_240))
    await _send(server, requests.s3("DELETE", "/bench-edge?publicAccessBlock"))
    policy = public_read("bench-edge").encode()
    await _send(server, requests.s3("PUT", "/bench-edge?policy", policy))
    account = front.config.account
    owner = Principal("root", account, f"arn:aws:iam::{account}:root", id=account)
    made = await front.parts.dispatch(
        "cloudfront",
        "CreateDistribution",
        {"DistributionConfig": of_bucket("bench-edge")},
        principal=owner,
    )
    page = requests.page(made["Distribution"]["DomainName"])
    await _send(viewers, page)
    return {
        "GET 1 KB": Route(server, get, True, 32),
        "HEAD 1 KB": Route(server, requests.objects("HEAD"), True, 32),
        "PUT 1 KB": Route(server, put, True, 32),
        "edge hit 10 KB": Route(viewers, [page], True, 32),
    }


async def _send(server: Server, request: bytes) -> bytes:
    path = Route(server, [request], True, 1)
    await path.once(1)
    answer = path.sinks[0].answer
    assert answer[9:10] == b"2", answer
    return answer


def _load(told: argparse.Namespace) -> None:
    """Over sockets: server CPU per request at 32 connections; megabytes by streams."""
    with pileus() as target:
        requests = Requests(target.port, target.key, target.secret)
        small, large = os.urandom(1024), os.urandom(MEGABYTE)

        def show(name: str, what: list[bytes], connections: int = 32) -> None:
            if told.only and told.only not in name:
                return
            for _ in range(told.rounds):
                found = measure(
                    target.port,
                    what,
                    connections=connections,
                    seconds=told.seconds,
                    pid=target.pid,
                )
                print(f"{name:<26} {found}", flush=True)

        measure(target.port, [requests.s3("PUT", "/bench")], connections=1, seconds=0.01)
        show("PUT 1 KB", requests.objects("PUT", small))
        show("GET 1 KB", requests.objects("GET"))
        puts = requests.objects("PUT", large, 16)
        for streams in (1, 2, 4, 8):
            show(f"PUT 1 MB, {streams} streams", puts, streams)
        for streams in (1, 2, 4, 8):
            print(f"plain write+fsync+rename, {streams}: {1e6 / plain_us(streams):,.0f}/s")
        show("GET 1 MB", requests.objects("GET", count=16), 8)
        if not told.only or "edge" in told.only:
            from bench.functions import edge

            edge(target, told.rounds, told.seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--only", default="")
    options.add_argument("--profile", action="store_true")
    options.add_argument("--load", action="store_true")
    told = options.parse_args()
    if told.load:
        _load(told)
        return
    home = Path(tempfile.mkdtemp(prefix="pileus-objects-"))
    try:
        uvloop.run(_inside(told, home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
