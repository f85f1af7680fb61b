"""How fast functions start and answer, at the runtime's own socket (no API in front).

python bench/runtime.py [--seconds 2]    prints one line a figure; starts a runtime itself.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from pileus.runtime.client import Runtime
from pileus.runtime.function import FunctionSpec, Invocation
from tests.runtime.harness import Functions, start, stop

HELLO = "def handler(event, context):\n    return event\n"
BOTO3 = (
    "import boto3\ntable = boto3.client('dynamodb')\n"
    "def handler(event, context):\n    return table.meta.region_name\n"
)
NODE = "exports.handler = async (event) => event"
EVENT = Invocation(b'{"body": "' + b"x" * 1000 + b'"}', "r")


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await act()
    return time.perf_counter() - started


def line(name: str, seconds: list[float]) -> None:
    seconds.sort()
    p50, p99 = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
    print(f"{name:44} p50 {p50 * 1e6:9.0f} us   p99 {p99 * 1e6:9.0f} us   n={len(seconds)}")


async def cold(client: Runtime, name: str, spec: FunctionSpec, rounds: int) -> None:
    times = []
    for _ in range(rounds):
        fresh = dataclasses.replace(spec, revision=uuid.uuid4().hex)
        times.append(await timed(lambda s=fresh: client.invoke(s, EVENT)))
        await client.forget(spec.arn)
        await asyncio.sleep(0.05)  # the pool fills again
    line(f"cold, {name}", times)


async def warm(client: Runtime, name: str, spec: FunctionSpec, seconds: float) -> None:
    await client.invoke(spec, EVENT)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        times.append(await timed(lambda: client.invoke(spec, EVENT)))
    line(f"warm, {name}, 1 caller", times)


async def throughput(client: Runtime, spec: FunctionSpec, callers: int, seconds: float) -> None:
    count = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await client.invoke(spec, EVENT)
            count += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    print(f"{f'warm, python, {callers} callers':44} {count / seconds:9.0f} /s")


async def measure(functions: Functions, seconds: float) -> None:
    client = Runtime(functions.socket)
    hello, boto3 = functions.spec(HELLO), functions.spec(BOTO3, memory_mb=256)
    node = functions.spec(
        {"index.js": NODE}, runtime="nodejs20.x", handler="index.handler", memory_mb=256
    )
    await warm(client, "python", hello, seconds)
    await throughput(client, hello, 16, seconds)
    await cold(client, "python", hello, 30)
    await cold(client, "python with a boto3 client", boto3, 30)
    await cold(client, "node", node, 8)
    await warm(client, "node", node, seconds)
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        process = start(home)
        try:
            asyncio.run(measure(Functions(home, process, Path(folder)), seconds))
        finally:
            stop(process)


if __name__ == "__main__":
    main()
