"""On a cluster: what is answered only after a barrier, so that it sees all that was acknowledged
through any node.

Everything is, but for reads AWS documents as eventual (DynamoDB's without ``ConsistentRead``) and
what tells how this node itself stands. (The edge is another door: its cache is eventual, what it
asks other services is not.) Writes of items need no barrier: their conditions are decided in the
log's order. They begin at once, and only where they are refused, perhaps for what this node has not
heard yet, wait for a barrier and begin again: a refused write has written nothing. On one machine
none of this is in the way.

While the log cannot be reached, what needs it is refused (503). What people's front ends ask
(sites, distributions, APIs, functions' addresses, services) waits for a moment only and is answered
from what this node has; so is what tells how the cloud fares (lines, metrics, alarms), which is
wanted most when something is wrong. A GET or HEAD that says ``x-pileus-read: eventual`` never
waits.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import Awaitable, Callable

from pileus.errors import Unavailable
from pileus.services.call import HttpRequest, HttpResponse
from pileus.state.strongly import Spans
from pileus.wire.api import Api
from pileus.wire.router import Route

log = logging.getLogger("pileus.wire.strong")
Barrier = Callable[[], Awaitable[int]]
Within = Callable[[Spans], Awaitable[int]]
PATIENCE_S, LOOK_S = 0.7, 0.3
READ_AS = "x-pileus-read"
TABLES = "DynamoDB_20120810."
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
EVENTUAL = frozenset({"GetItem", "Query", "Scan", "BatchGetItem"})
DECIDED_IN_ORDER = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
)
READS = ("Get", "Head", "List", "Describe", "Query", "Scan", "BatchGet", "Select")
_ASKED = b"ConsistentRead"
# What the log decided stands; it is not asked again.
_VERDICTS = (b"ConditionalCheckFailed", b"TransactionCanceled", b"ValidationException")
_TELLING = re.compile(r"/(?:logs|monitoring)/aws4_request")
_OWN = (
    "/_pileus/health",
    "/_pileus/metrics",
    "/_pileus/series",
    "/_pileus/nodes",
    "/_pileus/entry",
    "/_pileus/admin",
)


class Patient:
    """A barrier that is waited for, but not long: when the log does not answer, nobody waits again
    until it does."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._looking: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        if self._looking is not None:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._barrier()
        except (Unavailable, TimeoutError) as error:
            if self._looking is None:
                log.warning("reading without the log (%s)", error or "it is slow")
                self._looking = asyncio.create_task(self._until_it_answers(), name="log's return")

    async def _until_it_answers(self) -> None:
        while True:
            try:
                await self._barrier()
                break
            except Unavailable as error:
                log.debug("the log does not answer yet: %s", error)
                await asyncio.sleep(LOOK_S)
        self._looking = None


class StrongDoor:
    """Before an ``Api``; ``handle`` is the server's handler. ``within``, where shards are several:
    a barrier for reads of some rows, which ``reach(request)`` tells of a read of items (None: it
    does not say)."""

    def __init__(
        self,
        api: Api,
        barrier: Barrier,
        within: Within | None = None,
        reach: Callable[[HttpRequest], Spans | None] = lambda request: None,
    ) -> None:
        self._api = api
        self._barrier = barrier
        self._within, self._reach = within, reach
        self._patient = Patient(barrier)

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        operation = self._table_operation(request)
        if operation in EVENTUAL:
            if not _may_ask(request):
                return self._api.handle(request)
            if self._within is not None and (spans := self._reach(request)) is not None:
                return self._after(request, functools.partial(self._within, spans))
        elif operation in DECIDED_IN_ORDER:
            if request.stream is None and "content-encoding" not in request.headers:
                return self._at_once(request)
        elif request.path.startswith(_OWN) or _content_with_old(request):
            return self._api.handle(request)
        elif _tells(request) or self._for_people(request):
            return self._soon(request)
        return self._after(request)

    def _for_people(self, request: HttpRequest) -> bool:
        """Whether a door beside the AWS API answers this, and it is not one of the cloud's own."""
        if request.path.startswith("/_pileus/"):
            return False
        return self._api.router.door(request) is not None

    def _table_operation(self, request: HttpRequest) -> str:
        """The name of a DynamoDB operation; "" for anything else."""
        route = _known_route(request)
        if route is not None:
            return route.operation if route.service.name == "dynamodb" else ""
        target = request.headers.get("x-amz-target", "")
        return target.removeprefix(TABLES) if target.startswith(TABLES) else ""

    async def _soon(self, request: HttpRequest) -> HttpResponse:
        await self._patient.wait()
        result = self._api.handle(request)
        return result if isinstance(result, HttpResponse) else await result

    async def _after(self, request: HttpRequest, barrier: Barrier | None = None) -> HttpResponse:
        try:
            await (barrier or self._barrier)()
        except Exception as error:
            route = _known_route(request)
            return self._api.answers.failed(error, route, request, self._api.request_id())
        result = self._api.handle(request)
        return result if isinstance(result, HttpResponse) else await result

    async def _at_once(self, request: HttpRequest) -> HttpResponse:
        result = self._api.handle(request)
        answer = result if isinstance(result, HttpResponse) else await result
        if not 400 <= answer.status < 500 or _decided(answer):
            return answer
        return await self._after(request)


def _known_route(request: HttpRequest) -> Route | None:
    """Where it goes, if its head was seen before: it has no headers to tell by."""
    if type(request.head) is not tuple:
        return None
    route: Route = request.head[0].route
    return route


def _content_with_old(request: HttpRequest) -> bool:
    """Whether the caller wants what this node has, at once."""
    return request.headers.get(READ_AS) == "eventual" and request.method in ("GET", "HEAD")


def _tells(request: HttpRequest) -> bool:
    """Whether it is signed for CloudWatch or CloudWatch Logs."""
    return _TELLING.search(request.headers.get("authorization", "")) is not None


def _may_ask(request: HttpRequest) -> bool:
    """Whether the body may say ``ConsistentRead``: in plain words, packed, or spelt in escapes."""
    body = request.body
    return _ASKED in body or b"\\u" in body or "content-encoding" in request.headers


def _decided(answer: HttpResponse) -> bool:
    body = answer.body
    return isinstance(body, bytes) and any(word in body for word in _VERDICTS)


def seen_by_all(operation: str, params: dict[str, object]) -> bool:
    """A call of one service to another that must see all that was acknowledged."""
    if operation in EVENTUAL:
        return bool(params.get(_ASKED.decode()))
    return operation.startswith(READS)
