"""The service over a real store in a temporary directory, and endpoints that listen."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.errors import AwsError
from pileus.runtime.egress import Allowed
from pileus.services import sns
from pileus.services.call import Call, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.outbound import Outbound
from pileus.services.sns.deliveries import Deliveries
from pileus.services.vault import Vault
from pileus.state import keys
from pileus.state.store import Store
from pileus.wire.http import serve
from tests.beds import Run, StepClock, over

ROOT = Principal.owner("123456789012")
REGION = "us-east-1"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:listen"


class SnsAlone:
    """Call operations by name. ``invoked``: the functions' events; ``heard``: what was posted to
    ``url``, which answers what ``statuses`` tells, then 204."""

    def __init__(self, parts: Parts, clock: StepClock) -> None:
        self.parts, self.clock = parts, clock
        self.service = sns.build(parts)
        self.deliveries = Deliveries(parts)
        self.invoked: list[tuple[str, Any, Any]] = []
        self.heard: list[tuple[dict[str, str], Any]] = []
        self.statuses: list[int] = []
        self.refusal: AwsError | None = None
        self.url = ""

    async def __call__(self, operation: str, *, caller: Principal = ROOT, **params: Any) -> Any:
        call = Call("sns", operation, caller, REGION, params)
        answer = self.service.operations[operation](call)
        return await answer if inspect.isawaitable(answer) else answer

    async def dispatch(self, service: str, operation: str, params: Any, **how: Any) -> Any:
        assert (service, operation, params["InvocationType"]) == ("lambda", "Invoke", "Event")
        if self.refusal is not None:
            raise self.refusal
        self.invoked.append((params["FunctionName"], json.loads(params["Payload"]), how))
        return {}

    async def hook(self, request: HttpRequest) -> HttpResponse:
        self.heard.append((request.headers, (await request.read()).decode()))
        return HttpResponse(self.statuses.pop(0) if self.statuses else 204, [], b"")

    async def topic(self, name: str = "news") -> str:
        return str((await self("CreateTopic", Name=name))["TopicArn"])

    async def webhook(self, topic: str, **attributes: str) -> str:
        """A confirmed one; what it heard until then is forgotten."""
        told = {"TopicArn": topic, "Protocol": "http", "Endpoint": self.url}
        await self("Subscribe", **told, Attributes=attributes)
        await self.deliver()
        token = json.loads(self.heard[-1][1])["Token"]
        self.heard.clear()
        return str(
            (await self("ConfirmSubscription", TopicArn=topic, Token=token))["SubscriptionArn"]
        )

    async def deliver(self) -> None:
        """Make one attempt of each delivery that is due."""
        await self.deliveries.queue.step()
        await self.deliveries.queue.settle()

    def left(self) -> int:
        """Rows of messages and deliveries that are not over."""
        return sum(
            len(self.parts.store.range(start, keys.after_prefix(start), 100))
            for start in (keys.table_prefix("snsmessage"), keys.table_prefix("hubqueue"))
        )


@asynccontextmanager
async def opened(home: Path, clock: StepClock | None = None) -> AsyncIterator[SnsAlone]:
    clock = clock or StepClock()
    store = await Store.open(home, {}, clock)

    async def dispatch(*told: Any, **how: Any) -> dict[str, Any]:
        return await made.dispatch(*told, **how)  # type: ignore[no-any-return]

    parts = Parts(store, None, clock, Config(home=home), dispatch, vault=Vault(bytes(32)))
    made = SnsAlone(parts, clock)
    server = await serve(made.hook, ("127.0.0.1", 0))
    place = f"127.0.0.1:{server.port}"
    made.url = f"http://{place}/hook"
    parts.outbound = Outbound(Allowed.parse([place]))
    try:
        yield made
    finally:
        await made.deliveries.queue.stop()
        await parts.outbound.close()
        await server.stop()
        await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Run[SnsAlone]:
    """Run a coroutine function over a fresh service."""
    return over(lambda: opened(tmp_path))
