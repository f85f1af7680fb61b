"""The service and its door over a real store, with functions played by Python callables."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.runtime.egress import Allowed
from pileus.services import apigateway
from pileus.services.apigateway import Door
from pileus.services.call import Call, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.outbound import Outbound
from pileus.state.store import Store
from tests.beds import Run, over

ROOT = Principal.owner("123456789012")
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"


class Wall:
    """The machine's clock; ``ahead_s`` moves it. ``stands_s``: its monotonic time stands there."""

    ahead_s = 0.0
    stands_s = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        return (self.stands_s or time.monotonic()) + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)


class Gateway:
    """``await gateway("CreateApi", …)`` controls; ``await gateway.http(…)`` visits."""

    def __init__(self, home: Path, store: Store) -> None:
        self.clock = Wall()
        self.dispatched: list[dict[str, Any]] = []
        self.function: Callable[[dict[str, Any]], Any] = lambda event: event
        self.parts = Parts(store, None, self.clock, Config(home=home), self.dispatch)
        self.parts.outbound = Outbound(Allowed.parse(["localhost"]))
        self.service = apigateway.build(self.parts)
        self.door = Door(self.parts)

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], **how: Any
    ) -> dict[str, Any]:
        self.dispatched.append({"service": service, "operation": operation, **how, **params})
        if service != "lambda":
            return {}
        result = self.function(json.loads(params["Payload"]))
        if inspect.isawaitable(result):
            result = await result
        return {"StatusCode": 200, "Payload": json.dumps(result).encode()}

    async def __call__(self, operation: str, **params: Any) -> Any:
        call = Call("apigatewayv2", operation, ROOT, "us-east-1", params)
        assert self.service.access(call)
        answer = self.service.operations[operation](call)
        return await answer if inspect.isawaitable(answer) else answer

    async def api(self, *keys: str, version: str = "2.0", **settings: Any) -> str:
        """An API whose routes all lead to the function; a ``$default`` stage deploys itself."""
        made = await self("CreateApi", Name="t", ProtocolType="HTTP", **settings)
        api_id = made["ApiId"]
        integration = await self(
            "CreateIntegration",
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=FUNCTION,
            PayloadFormatVersion=version,
        )
        target = f"integrations/{integration['IntegrationId']}"
        for key in keys:
            await self("CreateRoute", ApiId=api_id, RouteKey=key, Target=target)
        await self("CreateStage", ApiId=api_id, StageName="$default", AutoDeploy=True)
        return str(api_id)

    async def http(
        self, api_id: str, method: str, url: str, body: bytes = b"", **headers: str
    ) -> HttpResponse:
        path, _, query = url.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("host", f"{api_id}.execute-api.localhost:4566")
        return await self.door.serve(HttpRequest(method, path, query, named, body))

    async def event(self, api_id: str, method: str, url: str, **more: Any) -> dict[str, Any]:
        """What the function was told."""
        seen: list[dict[str, Any]] = []
        self.function = lambda event: seen.append(event) or {"statusCode": 200}
        answer = await self.http(api_id, method, url, **more)
        assert answer.status == 200, answer.body
        return seen[0]


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Gateway]:
    store = await Store.open(home, {}, Wall())
    try:
        yield Gateway(home, store)
    finally:
        await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Run[Gateway]:
    """Run a coroutine function over a fresh gateway."""
    return over(lambda: opened(tmp_path))
