"""What the whole path costs inside one process, no kernel, no load generator:
``python -m bench.hot``.

A front process's parts are put together as in production; signed requests are fed into a
``Connection`` over a transport that swallows the answers. Printed: CPU per request (minimum of the
rounds) beside a fixed reference loop, so that figures of two noisy minutes can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import functools
import hashlib
import itertools
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
import uvloop

from bench.load import ASKS, as_sent, fresh, signed
from bench.run import ITEM, _key, four_puts
from lab.distributions import of_bucket
from lab.policies import public_read
from pileus import assembly
from pileus.config import Config
from pileus.wire import overdue
from pileus.wire.connection import Connection
from pileus.wire.http import Server
from pileus.wire.limits import Limits

HOST = "127.0.0.1:4566"
REFERENCE = bytes(1024)
# Not of any request: the sweep of idle connections.
WAITING = {Server._sweep.__code__, overdue.check.__code__}


class Sink:
    """A transport that keeps the last answer."""

    def __init__(self) -> None:
        self.answer = b""

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 4) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.answer = data

    def writelines(self, parts: list[bytes]) -> None:
        self.answer = b"".join(parts)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


def reference_us(times: int = 20_000) -> float:
    """SHA-256 of 1 KB: how fast the machine is in this minute."""
    start = time.process_time()
    for _ in range(times):
        hashlib.sha256(REFERENCE).digest()
    return (time.process_time() - start) / times * 1e6


class Route:
    """One operation: its requests and the connections they go through."""

    def __init__(self, server: Server, requests: list[bytes], pause: bool, width: int) -> None:
        self.requests, self.pause, self.width = requests, pause, width
        self.numbers, self.renewed = itertools.count(time.time_ns()), False
        self.outbox = server.outbox
        self.sinks = [Sink() for _ in range(width)]
        self.doors = [Connection(server) for _ in self.sinks]
        for door, sink in zip(self.doors, self.sinks, strict=True):
            door.connection_made(sink)  # type: ignore[arg-type]

    async def once(self, count: int) -> float:
        """CPU µs per request over ``count`` requests; with ``pause`` (writes) the loop turns until
        all connections are answered."""
        doors, requests, n = self.doors, self.requests, len(self.requests)
        start = time.process_time()
        for i in range(0, count, self.width):
            for j in range(self.width):
                data = requests[(i + j) % n]
                if self.renewed:
                    data = fresh(data, next(self.numbers))
                if ASKS in data:
                    head, mark, data = data.partition(b"\r\n\r\n")
                    doors[j].data_received(head + mark)
                doors[j].data_received(data)
            if self.pause:
                while any(d._current is not None for d in doors):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)  # idle: a spinning loop would be counted
            else:
                await asyncio.sleep(0)  # a turn of the loop: at 32 connections it reads about 16
            self.outbox.flush()
        return (time.process_time() - start) / count * 1e6


class Steps:
    """Bytecode instructions per function: what an interpreter does, whatever else the machine does
    in that minute."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.counts: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if code in WAITING:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        name = f"{Path(code.co_filename).stem}.{code.co_qualname}"
        if event == "opcode":
            self.counts[name] += 1
        elif event == "call":
            self.calls[name] += 1
        return self

    def report(self, requests: int) -> Iterator[str]:
        total = self.counts.total()
        yield f"  {total / requests:8.0f} instructions on the loop's thread and the writer's"
        for name, count in self.counts.most_common(70):
            yield f"  {count / requests:8.1f} {self.calls[name] / requests:6.2f} × {name}"


async def _call(server: Server, request: bytes) -> bytes:
    path = Route(server, [request], True, 1)
    await path.once(1)
    return path.sinks[0].answer


class Asks:
    """Signed requests of one account, as its tools send them."""

    def __init__(self, key: str, secret: str) -> None:
        self._keys = key, secret
        self._client = boto3.client(
            "s3",
            endpoint_url=f"http://{HOST}",
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def dynamo(self, operation: str, **body: Any) -> bytes:
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
        }
        text = json.dumps(body).encode()
        return signed(HOST, "dynamodb", *self._keys, headers=headers, body=text)

    def s3(self, method: str, path: str, body: bytes = b"") -> bytes:
        return signed(HOST, "s3", *self._keys, method=method, path=path, body=body)

    def boto(self, operation: str, name: str, **more: Any) -> bytes:
        return as_sent(self._client, operation, Bucket="bench", Key=name, **more)


async def paths(front: Any, server: Server, key: str, secret: str) -> dict[str, Route]:
    """The operations by name; their table, bucket and distribution are made."""
    asks = Asks(key, secret)
    found = await _tables(server, asks) | await _objects(server, asks)
    page = await _page(front, server, key)
    return found | {"edge hit, 10 KB": Route(server, [page], False, 16)}


async def _tables(server: Server, asks: Asks) -> dict[str, Route]:
    table = {
        "TableName": "bench",
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "ps"],
        "KeySchema": [
            {"AttributeName": "p", "KeyType": "HASH"},
            {"AttributeName": "s", "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    await _call(server, asks.dynamo("CreateTable", **table))
    update = {
        "UpdateExpression": "SET n = n + :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    puts, gets, queries, updates = [], [], [], []
    for i in range(1000):
        of_one = functools.partial(asks.dynamo, TableName="bench")
        puts.append(of_one("PutItem", Item=_key(i) | ITEM))
        gets.append(of_one("GetItem", Key=_key(i)))
        partition = {"ExpressionAttributeValues": {":p": _key(i)["p"]}}
        queries.append(of_one("Query", KeyConditionExpression="p = :p", **partition))
        updates.append(of_one("UpdateItem", Key=_key(i), **update))
    for request in puts:
        answer = await _call(server, request)
        assert b" 200 " in answer[:20], answer
    mixed = [puts[i] if i % 20 == 19 else gets[i] for i in range(1000)]
    four = [asks.dynamo("TransactWriteItems", **four_puts(i)) for i in range(0, 800, 4)]
    return {
        "GetItem": Route(server, gets, False, 16),
        "GetItem, 5 % PutItem": Route(server, mixed, True, 32),
        "Query of 10": Route(server, queries, False, 16),
        "PutItem": Route(server, puts, True, 32),
        "UpdateItem": Route(server, updates, True, 32),
        "TransactWrite of 4": Route(server, four, True, 32),
    }


async def _objects(server: Server, asks: Asks) -> dict[str, Route]:
    body = bytes(1024)
    await _call(server, asks.s3("PUT", "/bench"))
    await _call(server, asks.s3("PUT", "/bench/o", body))
    gets = [asks.s3("GET", "/bench/o") for _ in range(100)]
    puts = [asks.s3("PUT", f"/bench/o{i}", body) for i in range(100)]
    boto = [asks.boto("put_object", f"o{i}", Body=body) for i in range(100)]
    return {
        "GET 1 KB": Route(server, gets, False, 16),
        "PUT 1 KB": Route(server, puts, True, 32),
        "GET 1 KB, as boto3": Route(server, [asks.boto("get_object", "o")] * 100, False, 16),
        "HEAD, as boto3": Route(server, [asks.boto("head_object", "o")] * 100, False, 16),
        "PUT 1 KB, as boto3": Route(server, boto, True, 32),
    }


async def _page(front: Any, server: Server, key: str) -> bytes:
    """A request for 10 KB that the edge keeps."""

    async def call(service: str, operation: str, **params: Any) -> Any:
        owner = front.api.directory.lookup(key, None).principal
        return await front.parts.dispatch(service, operation, params, principal=owner)

    policy = public_read("bench")
    await call("s3", "PutObject", Bucket="bench", Key="page", Body=b"x" * 10_240)
    await call("s3", "DeletePublicAccessBlock", Bucket="bench")
    await call("s3", "PutBucketPolicy", Bucket="bench", Policy=policy)
    told = await call("cloudfront", "CreateDistribution", DistributionConfig=of_bucket("bench"))
    path = f"/_cdn/{told['Distribution']['Id']}/page"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:4566\r\n\r\n".encode()
    await _call(server, request)
    return request


async def _main(told: argparse.Namespace, home: Path) -> None:
    config = Config(home=home, port=0)
    steps = Steps()
    if told.steps:
        threading.settrace(steps)  # the writer's thread, from its beginning
    front = await assembly.assemble(config, 0)
    for service in front.services.values():
        if service.start is not None and service.name in ("s3", "dynamodb"):
            await service.start()
    keys = json.loads((home / "credentials.json").read_text())
    server = Server(
        front.handle,
        Limits(),
        front.api.heads.read,
        front.edge.direct.answer,
        meters=front.parts.meters,
        objects=front.objects,
        learn=front.api.swifts.learn,
    )
    server._sweep()
    if told.freeze:
        import gc

        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
    found = await paths(front, server, keys["access_key_id"], keys["secret_access_key"])
    for name, path in found.items():
        if told.only and told.only != name:
            continue
        path.renewed = True
        await path.once(2000)
        answer = path.sinks[0].answer
        assert answer.startswith(b"HTTP/1.1 200"), answer
        profiler = cProfile.Profile()
        if told.steps:
            steps.clear()
            sys.settrace(steps)
            await path.once(320)
            sys.settrace(None)
            print(name, *steps.report(320), sep="\n", flush=True)
            continue
        if told.profile:
            profiler.enable()
            await path.once(20_000)
            profiler.disable()
            profiler.print_stats("tottime")
            continue
        best = min([await path.once(told.requests) for _ in range(told.rounds)])
        reference = min(reference_us(2000) for _ in range(5))
        print(f"{name:<18} {best:6.1f} µs   reference {reference:.2f} µs", flush=True)
    await server.stop(0)
    for service in front.services.values():
        if service.stop is not None and service.name in ("s3", "dynamodb"):
            await service.stop()
    await front.parts.store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--only", default="")
    options.add_argument("--freeze", action="store_true")
    options.add_argument("--profile", action="store_true")
    options.add_argument("--steps", action="store_true", help="bytecode per function, no time")
    home = Path(tempfile.mkdtemp(prefix="pileus-hot-"))
    try:
        uvloop.run(_main(options.parse_args(), home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
