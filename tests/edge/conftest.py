"""An edge over a real store, a bucket played by a dictionary, and a real HTTP origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.edge.door import Edge
from pileus.errors import AwsError
from pileus.runtime.egress import Allowed
from pileus.services import cloudfront
from pileus.services.call import Call, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.outbound import Outbound
from pileus.state.store import Store
from pileus.wire.http import serve
from tests.beds import Run, over
from tests.services.apigateway.conftest import Wall

ROOT = Principal.owner("123456789012")
OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"


async def told_of(answer: HttpResponse | Awaitable[HttpResponse]) -> HttpResponse:
    """The door's answer, awaited where it must be, its ready lines among its headers."""
    if not isinstance(answer, HttpResponse):
        answer = await answer
    lines = [line.partition(": ") for line in answer.ready.decode().splitlines()]
    answer.headers = [(name, value) for name, _, value in lines] + answer.headers
    answer.ready = b""
    return answer


class Still(Wall):
    """The time of day stands still but for ``ahead_s``: nothing grows old while a process is
    stalled."""

    def __init__(self) -> None:
        self._began_ms = Wall.now_ms(self)

    def now_ms(self) -> int:
        return self._began_ms + int(self.ahead_s * 1000)


class World:
    """``await world.make(…)`` a distribution, ``await world.get(path)`` as a viewer."""

    def __init__(self, home: Path, store: Store) -> None:
        self.clock = Still()
        self.forgotten = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.s3_delay_s = 0.0
        self.down = False
        self.parts = Parts(store, None, self.clock, Config(home=home), self.dispatch)
        self.parts.outbound = Outbound(Allowed.parse(["localhost"]))
        self.control = cloudfront.build(self.parts)
        self.edge = Edge(self.parts)
        self.id = ""
        self.origin: Callable[[HttpRequest], HttpResponse] = lambda r: HttpResponse(200)
        self.visits: list[HttpRequest] = []
        self.port = 0

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], **how: Any
    ) -> dict[str, Any]:
        self.asked.append({"operation": operation, **how, **params})
        await asyncio.sleep(self.s3_delay_s)
        if self.down:
            raise AwsError("InternalError", "", 500)
        found = self.objects.get(params["Key"])
        if found is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        return {"ContentLength": len(found["Body"]), "ETag": '"e1"', **found}

    async def call(self, operation: str, **params: Any) -> Any:
        made = self.control.operations[operation](
            Call("cloudfront", operation, ROOT, "us-east-1", params)
        )
        return await made if asyncio.iscoroutine(made) else made

    async def make(
        self, behaviour: dict[str, Any] | None = None, s3: bool = True, **more: Any
    ) -> str:
        """A distribution over the bucket ``page`` (or the HTTP origin); its id is remembered."""
        origin: dict[str, Any] = {"Id": "o", "DomainName": "page.s3.us-east-1.amazonaws.com"}
        if s3:
            origin["S3OriginConfig"] = {"OriginAccessIdentity": ""}
        else:
            origin["DomainName"] = "localhost"
            origin["CustomOriginConfig"] = {
                "HTTPPort": self.port,
                "HTTPSPort": 443,
                "OriginProtocolPolicy": "http-only",
            }
            origin["ConnectionAttempts"] = 1
        origin |= more.pop("origin", {})
        default = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"}
        behaviour = behaviour or {}
        if "ForwardedValues" not in behaviour:
            default["CachePolicyId"] = OPTIMIZED
        config = {
            "CallerReference": str(len(self.asked)) + self.id,
            "Comment": "",
            "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": default | behaviour,
            **more,
        }
        made = await self.call("CreateDistribution", DistributionConfig=config)
        self.id = made["Distribution"]["Id"]
        return self.id

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.objects[key] = {"Body": body, "ContentType": "text/plain", **more}

    async def get(
        self, path: str, method: str = "GET", edge: Edge | None = None, **headers: str
    ) -> HttpResponse:
        path, _, query = path.partition("?")
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        told.setdefault("host", f"{self.id.lower()}.cloudfront.localhost:8000")
        answer = await told_of((edge or self.edge).serve(HttpRequest(method, path, query, told)))
        if not isinstance(answer.body, bytes):
            answer.body = b"".join([chunk async for chunk in answer.body])
        return answer

    async def forget(self, *paths: str) -> None:
        self.forgotten += 1
        batch = {
            "CallerReference": f"{paths} {self.forgotten}",
            "Paths": {"Quantity": len(paths), "Items": list(paths)},
        }
        await self.call("CreateInvalidation", DistributionId=self.id, InvalidationBatch=batch)

    def visit(self, request: HttpRequest) -> HttpResponse:
        self.visits.append(request)
        return self.origin(request)


def told(response: HttpResponse, name: str) -> str:
    """One header's value."""
    return next((v for n, v in response.headers if n == name), "")


def cached(response: HttpResponse) -> str:
    return told(response, "x-cache").removesuffix(" from cloudfront")


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[World]:
    store = await Store.open(home, {}, Wall())
    world = World(home, store)
    server = await serve(world.visit, ("127.0.0.1", 0))
    world.port = server.port
    try:
        yield world
    finally:
        await world.edge.close()
        await server.stop()
        await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Run[World]:
    """Run a coroutine function over a fresh edge."""
    return over(lambda: opened(tmp_path))
