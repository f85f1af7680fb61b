"""One operation ready to run, and an answer that waits for its entry."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from pileus.services.call import Call, HttpRequest, HttpResponse, Submission
from pileus.services.service import Service
from pileus.wire.names import ServiceName
from pileus.wire.protocols.operation import OperationCodec
from pileus.wire.router import Route

# Links that SNS sends to endpoints: a token, or an ARN nobody can guess, stands for a signature.
LINKS = frozenset({("sns", "ConfirmSubscription"), ("sns", "Unsubscribe")})


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation, ready to run. ``kind``: the family of error codes; ``unsigned``: it has no
    signature of its own; ``open_to_all``: an anonymous caller may come as far as authorisation;
    ``meter``: its block of counters; ``check``: raises where its model's constraints are broken."""

    name: ServiceName
    operation: str
    service: Service
    run: Callable[[Call], Any]
    direct: bool
    codec: OperationCodec | None
    kind: str
    unsigned: bool
    open_to_all: bool
    reads: bool
    signing: str
    meter: int
    check: Callable[[dict[str, Any]], None] | None = None


class Pending:
    """An answer that waits for one entry: awaitable, or told to ``then``."""

    __slots__ = ("_api", "_plan", "_request", "_request_id", "_route", "_submission")

    def __init__(
        self,
        api: Any,
        plan: Plan,
        route: Route,
        request: HttpRequest,
        request_id: str,
        submission: Submission,
    ) -> None:
        self._api = api
        self._plan = plan
        self._route = route
        self._request = request
        self._request_id = request_id
        self._submission = submission

    def __await__(self) -> Generator[Any, None, HttpResponse]:
        api = self._api
        waiting = api._wait(
            self._submission, self._plan, self._route, self._request, self._request_id
        )
        return waiting.__await__()

    def then(self, done: Callable[[HttpResponse], None]) -> None:
        """Submit; ``done`` is called on the loop with the answer, or with the error's."""

        def settle(result: HttpResponse | Exception) -> None:
            if isinstance(result, Exception):
                done(self._api.answers.failed(result, self._route, self._request, self._request_id))
            else:
                done(self._api.answers.finish(self._plan, result, self._request_id))

        try:
            self._submission.then(settle)
        except Exception as error:
            settle(error)
