"""On a cluster: what is answered only after a barrier, so that it sees all that was acknowledged
through any node.

Everything is, but for reads AWS documents as eventual (DynamoDB's without ``ConsistentRead``) and
what tells how this node itself stands. (The edge is another door: its cache is eventual, what it
asks other services is not.) Writes of items need no barrier: their conditions are decided in the
log's order. They begin at once, and only where they are refused, perhaps for what this node has not
heard yet, wait for a barrier and begin again: a refused write has written nothing. On one machine
none of this is in the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.api import Api
from pileus.wire.router import Route

Barrier = Callable[[], Awaitable[int]]
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
EVENTUAL = frozenset({"GetItem", "Query", "Scan", "BatchGetItem"})
DECIDED_IN_ORDER = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
)
READS = ("Get", "Head", "List", "Describe", "Query", "Scan", "BatchGet", "Select")
_ASKED = b"ConsistentRead"
# What the log decided stands; it is not asked again.
_VERDICTS = (b"ConditionalCheckFailed", b"TransactionCanceled", b"ValidationException")
_OWN = (
    "/_pileus/health",
    "/_pileus/metrics",
    "/_pileus/series",
    "/_pileus/nodes",
    "/_pileus/admin",
)


class StrongDoor:
    """Before an ``Api``; ``handle`` is the server's handler."""

    def __init__(self, api: Api, barrier: Barrier) -> None:
        self._api = api
        self._barrier = barrier

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        operation = self._table_operation(request)
        if operation in EVENTUAL:
            if not _may_ask(request):
                return self._api.handle(request)
        elif operation in DECIDED_IN_ORDER:
            if request.stream is None and "content-encoding" not in request.headers:
                return self._at_once(request)
        elif request.path.startswith(_OWN):
            return self._api.handle(request)
        return self._after(request)

    def _table_operation(self, request: HttpRequest) -> str:
        """The name of a DynamoDB operation; "" for anything else."""
        route: Route | None
        if type(request.head) is tuple:
            route = request.head[0].route
        else:
            route = self._api.router.targets.get(request.headers.get("x-amz-target"))
        return route.operation if route is not None and route.service.name == "dynamodb" else ""

    async def _after(self, request: HttpRequest) -> HttpResponse:
        try:
            await self._barrier()
        except Exception as error:
            return self._api.answers.failed(error, None, request, self._api.request_id())
        result = self._api.handle(request)
        return result if isinstance(result, HttpResponse) else await result

    async def _at_once(self, request: HttpRequest) -> HttpResponse:
        result = self._api.handle(request)
        answer = result if isinstance(result, HttpResponse) else await result
        if not 400 <= answer.status < 500 or _decided(answer):
            return answer
        return await self._after(request)


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
