"""Which requests wait for a barrier on a cluster."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.answers import Answers
from pileus.wire.models import Models
from pileus.wire.names import SERVICES
from pileus.wire.router import Route, Router
from pileus.wire.strong import StrongDoor, seen_by_all


class Desk:
    """A door before an API that knows only what was told to this node; a barrier tells it all."""

    def __init__(self, answer: Callable[[bool], HttpResponse] | None = None) -> None:
        self.told = False
        self.barriers = 0
        self.error: Exception | None = None
        self.back: asyncio.Event | None = None
        self._answer = answer or (lambda told: HttpResponse(200))
        api: Any = SimpleNamespace(
            router=SimpleNamespace(door=lambda r: r.path.startswith("/_") or None),
            handle=lambda request: self._answer(self.told),
            answers=Answers(Models(), Router(Models()), []),
            request_id=lambda: "id",
        )
        self.door = StrongDoor(api, self._barrier)

    async def _barrier(self) -> int:
        self.barriers += 1
        if self.error is not None:
            raise self.error
        self.told = True
        if self.back is not None:
            self.back.set()
        return 1

    def ask(self, request: HttpRequest) -> HttpResponse:
        async def one() -> HttpResponse:
            result = self.door.handle(request)
            return result if isinstance(result, HttpResponse) else await result

        return asyncio.run(one())


def table(operation: str, body: bytes = b"{}") -> HttpRequest:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    return HttpRequest("POST", "/", "", headers, body)


def packed(request: HttpRequest) -> HttpRequest:
    request.headers["content-encoding"] = "gzip"
    request.body = gzip.compress(request.body)
    return request


@pytest.mark.parametrize(
    ("request_", "barriers"),
    [
        (table("GetItem"), 0),
        (table("Query"), 0),
        (table("GetItem", b'{"ConsistentRead": true}'), 1),
        (table("GetItem", rb'{"\u0043onsistentRead": true}'), 1),
        (packed(table("GetItem", b'{"ConsistentRead": true}')), 1),
        (table("DescribeTable"), 1),
        (table("PutItem"), 0),
        (HttpRequest("GET", "/bucket/key", "", {}), 1),
        (HttpRequest("PUT", "/bucket/key", "", {}), 1),
        (HttpRequest("GET", "/_pileus/health", "", {}), 0),
        (HttpRequest("GET", "/_pileus/kv/t/k", "", {}), 1),
        (HttpRequest("GET", "/_site/bucket/key", "", {}), 1),
        (HttpRequest("POST", "/", "", {"authorization": "…/eu-west-1/logs/aws4_request, …"}), 1),
        (HttpRequest("GET", "/bucket/key", "", {"x-pileus-read": "eventual"}), 0),
        (HttpRequest("HEAD", "/_pileus/kv/t/k", "", {"x-pileus-read": "eventual"}), 0),
        (HttpRequest("PUT", "/bucket/key", "", {"x-pileus-read": "eventual"}), 1),
    ],
)
def test_what_waits(request_: HttpRequest, barriers: int) -> None:
    desk = Desk()
    assert desk.ask(request_).status == 200
    assert desk.barriers == barriers


def test_a_write_that_is_refused_is_asked_again_after_a_barrier() -> None:
    """A table made through another node a moment ago: not known here yet."""
    missing = HttpResponse(400, [], b'{"__type": "ResourceNotFoundException"}')
    desk = Desk(lambda told: HttpResponse(200) if told else missing)
    assert desk.ask(table("PutItem")).status == 200
    assert desk.barriers == 1


def test_a_verdict_of_the_log_stands() -> None:
    failed = HttpResponse(400, [], b'{"__type": "ConditionalCheckFailedException"}')
    desk = Desk(lambda told: failed)
    assert desk.ask(table("PutItem")) is failed
    assert desk.barriers == 0


def test_without_most_nodes_strong_reads_are_unavailable_and_eventual_ones_go_on() -> None:
    desk = Desk()
    desk.error = Unavailable("the log has no leader now")
    assert desk.ask(table("GetItem", b'{"ConsistentRead": true}')).status == 503
    assert desk.ask(table("GetItem")).status == 200


def test_a_head_known_from_before_is_refused_in_its_services_words() -> None:
    """Such a request carries no headers that a refusal could be worded by."""
    desk = Desk()
    desk.error = Unavailable("the log has no leader now")
    known = SimpleNamespace(route=Route(SERVICES["dynamodb"], "GetItem", "json", {}))
    body = b'{"ConsistentRead": true}'
    answer = desk.ask(HttpRequest("POST", "/", "", {}, body, head=(known, b"")))
    told = json.loads(bytes(answer.body))
    assert answer.status == 503 and told["__type"].endswith("ServiceUnavailableException")
    assert "no leader" in told["message"]


@pytest.mark.parametrize("path", ["/_pileus/kv/table/row/column", "/_pileus/services"])
def test_own_doors_tell_in_their_json_that_the_log_cannot_be_reached(path: str) -> None:
    answers = Answers(Models(), Router(Models()), [])
    asked = HttpRequest("PUT", path, "", {}, b"x")
    error = Unavailable("the log has no leader now", "try again")
    answer = answers.failed(error, None, asked, "id")
    told = json.loads(bytes(answer.body))
    assert answer.status == 503 and told["__type"] == "ServiceUnavailable"
    assert "no leader" in told["message"] and ("retry-after", "1") in answer.headers


SCOPE = "AWS4-HMAC-SHA256 Credential=AK/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host"


@pytest.mark.parametrize(
    "asked",
    [
        HttpRequest("GET", "/_site/bucket/key", "", {}),
        HttpRequest("POST", "/", "", {"authorization": SCOPE.format("logs")}),
        HttpRequest("POST", "/", "", {"authorization": SCOPE.format("monitoring")}),
    ],
)
def test_people_and_telemetry_are_answered_without_the_log_and_wait_for_it_once(
    asked: HttpRequest,
) -> None:
    desk = Desk()

    async def ask() -> HttpResponse:
        result = desk.door.handle(asked)
        return result if isinstance(result, HttpResponse) else await result

    async def run() -> None:
        desk.error = Unavailable("the log has no leader now")
        assert [(await ask()).status for _ in range(3)] == [200, 200, 200]
        assert desk.barriers == 1
        desk.error = None
        desk.back = asyncio.Event()
        await asyncio.wait_for(desk.back.wait(), 60)  # it looks whether the log answers again
        await asyncio.sleep(0)
        before = desk.barriers
        assert (await ask()).status == 200 and desk.barriers == before + 1

    asyncio.run(run())


def test_which_calls_between_services_wait() -> None:
    assert seen_by_all("GetObject", {"Bucket": "b"}) and seen_by_all("ListObjectsV2", {})
    assert not seen_by_all("GetItem", {}) and seen_by_all("GetItem", {"ConsistentRead": True})
    assert not seen_by_all("PutLogEvents", {})
