"""What the door itself costs: a signed 1 KB POST to an operation that answers at once.

``python -m bench.door`` starts a server in a process of its own and prints CPU per request.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import signal
import time

import uvloop

from bench.load import measure, signed
from pileus.services.call import Access, Call, Credential, HttpResponse, Principal
from pileus.services.service import Service
from pileus.wire.api import Api
from pileus.wire.http import serve

KEY, SECRET, ACCOUNT = "AKIAIOSFODNN7EXAMPLE", "s" * 40, "000000000000"


class _OneKey:
    def __init__(self) -> None:
        self._held = Credential(SECRET, Principal("root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"))

    def lookup(self, access_key_id: str, session_token: str | None) -> Credential | None:
        return self._held if access_key_id == KEY else None


class _AllowAll:
    def check(self, call: Call, accesses: object) -> None:
        pass


def _hello(call: Call) -> HttpResponse:
    return HttpResponse(200, [("content-type", "application/x-amz-json-1.0")], b'{"hello":1}')


async def _serve(ready: int, profile: bool) -> None:
    allowed = [Access("dynamodb:GetItem")]
    service = Service(
        "dynamodb", {"PutItem": lambda call: {}}, lambda call: allowed, direct={"GetItem": _hello}
    )
    api = Api(
        {"dynamodb": service},
        _OneKey(),
        _AllowAll(),
        now_ms=lambda: time.time_ns() // 1_000_000,
        account=ACCOUNT,
        region="us-east-1",
    )
    server = await serve(api.handle, ("127.0.0.1", 0))
    os.write(ready, b"%d\n" % server.port)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    await asyncio.wait_for(stop.wait(), 60)
    if profile:
        profiler.disable()
        profiler.print_stats("tottime")
    await server.stop(1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--profile", action="store_true")
    told = options.parse_args()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        uvloop.run(_serve(write, told.profile))
        os._exit(0)
    try:
        port = int(os.read(read, 16))
        for operation in ("GetItem", "PutItem"):
            body = b'{"TableName":"t","Item":{"k":{"S":"' + b"x" * 960 + b'"}}}'
            requests = [
                signed(
                    f"127.0.0.1:{port}",
                    "dynamodb",
                    KEY,
                    SECRET,
                    body=body,
                    headers={
                        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
                        "Content-Type": "application/x-amz-json-1.0",
                        "Accept-Encoding": "identity",
                        "User-Agent": "Boto3/1.44",
                        "amz-sdk-invocation-id": f"00000000-0000-4000-8000-{i:012d}",
                    },
                )
                for i in range(100)
            ]
            how = "direct" if operation == "GetItem" else "from the model"
            result = measure(
                port, requests, connections=told.connections, seconds=told.seconds, pid=pid
            )
            print(f"{operation} ({how}): {result}")
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
