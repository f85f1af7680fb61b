"""The service in this process over a real store in a temporary directory, without the door."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import AwsError
from pileus.services.call import Call, HttpRequest, Parts, Principal
from pileus.services.dynamodb import RULES, build, streams
from pileus.services.dynamodb.chores import Chores
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.state.store import Store

ACCOUNT = "000000000000"
ROOT = Principal.owner(ACCOUNT)


class TestClock(SystemClock):
    """The machine's clock, moved by ``ahead_ms``; or standing at ``fixed_ms``, moved likewise."""

    __test__ = False
    ahead_ms = 0
    fixed_ms = 0

    def now_ms(self) -> int:
        return (self.fixed_ms or super().now_ms()) + self.ahead_ms

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_ms / 1000


class Desk:
    """``await desk.PutItem(...)`` answers the parsed body or raises ``AwsError``."""

    def __init__(self, store: Store, clock: TestClock) -> None:
        self.store = store
        self.clock = clock
        self.retry_id = b""  # of the calls that follow: a call sent again has the first one's
        self.blobs = FileBlobs(store.home / "blobs")
        self.parts = Parts(store, self.blobs, clock, None, None)  # type: ignore[arg-type]
        self.service = build(self.parts)
        self.streams = streams.build(self.parts)
        self.chores = Chores(Room(self.parts))

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def run(**params: Any) -> Any:
            request = HttpRequest("POST", "/", "", {}, orjson.dumps(params))
            service = self.streams if operation in self.streams.direct else self.service
            call = Call(service.name, operation, ROOT, "us-east-1", {}, request=request)
            call.invocation_id = self.retry_id
            service.access(call)
            answer: Any = service.direct[operation](call)
            if inspect.isawaitable(answer):
                answer = await answer
            return orjson.loads(answer.body) if answer.body else {}

        return run

    def service_table(self, name: str) -> Table:
        """The table as the service sees it."""
        return self.chores.room.tables.get(ACCOUNT, "us-east-1", name)

    async def refused(self, operation: str, **params: Any) -> AwsError:
        """The error an operation answers; fails when it succeeds."""
        try:
            answer = await getattr(self, operation)(**params)
        except AwsError as error:
            return error
        raise AssertionError(f"{operation} succeeded: {answer}")

    async def table(self, name: str, *key: str, **more: Any) -> str:
        """Create a table; keys as ``"pk:S"``."""
        kinds = dict(k.split(":") for k in (*key, *more.pop("also", ())))
        await self.CreateTable(
            TableName=name,
            AttributeDefinitions=[
                {"AttributeName": n, "AttributeType": t} for n, t in kinds.items()
            ],
            KeySchema=[
                {"AttributeName": k.split(":")[0], "KeyType": kind}
                for k, kind in zip(key, ("HASH", "RANGE"), strict=False)
            ],
            **{"BillingMode": "PAY_PER_REQUEST", **more},
        )
        return name


def index(name: str, *key: str, projection: str = "ALL", **more: Any) -> dict[str, Any]:
    """An index definition."""
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": k, "KeyType": kind}
            for k, kind in zip(key, ("HASH", "RANGE"), strict=False)
        ],
        "Projection": {"ProjectionType": projection, **more},
    }


def at_desk(test: Callable[[Desk], Awaitable[None]]) -> None:
    """Run ``test`` with a fresh desk."""

    async def main() -> None:
        with tempfile.TemporaryDirectory() as home:
            clock = TestClock()
            store = await Store.open(Path(home), RULES, clock)
            try:
                await test(Desk(store, clock))
            finally:
                await store.close()

    asyncio.run(main())
