"""Streamed answers of functions that run on another node than the one that was asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import RESERVED_LIMIT, FunctionSpec
from pileus.runtime.streaming import ALL
from pileus.services.lambda_ import elsewhere
from tests.services.lambda_.test_streams import METADATA, NUL, _outcome, decoded, read, stream, url
from tests.services.lambda_.test_urls import ask, headers
from tests.services.lambda_.three import Three, reserve


def streams(nodes: Three, first: bytes = b"one") -> None:
    """Every function begins to answer so, and goes on."""
    for number in range(3):
        nodes.runtime(number).respond = lambda spec, sent: (("text/plain", [first]), None)


def ended(nodes: Three, number: int, outcome: Any) -> None:
    (made,) = nodes.runtime(number).streams
    if isinstance(outcome, Exception):
        made.outcome.set_exception(outcome)
    else:
        made.outcome.set_result(outcome)


def only_second(nodes: Three) -> None:
    """The node that is asked, and the third, have no room."""
    nodes.runtime(0).workers = nodes.runtime(2).workers = 0


def test_parts_come_from_the_node_with_room_as_they_are_written(three: Any) -> None:
    async def body(nodes: Three) -> None:
        streams(nodes)
        only_second(nodes)
        answer = await stream(nodes.clouds[0], log_type="Tail")
        assert headers(answer)["content-type"] == "application/vnd.amazon.eventstream"
        assert nodes.ran == [0, 1, 0]
        events = aiter(answer.body)
        assert decoded(await anext(events)) == [("PayloadChunk", b"one")]
        (made,) = nodes.runtime(1).streams
        made.part(b"two")
        assert decoded(await anext(events)) == [("PayloadChunk", b"two")]
        assert not made.outcome.done()
        ended(nodes, 1, _outcome(b'{"errorType":"X"}'))
        ((kind, told),) = decoded(*[e async for e in events])
        told = json.loads(told)
        assert kind == "InvokeComplete" and told["ErrorCode"] == "Unhandled"
        assert told["ErrorDetails"] == '{"errorType":"X"}' and told["LogResult"]

    three(body)


def test_a_buffered_answer_is_one_part_there_too(three: Any) -> None:
    async def body(nodes: Three) -> None:
        only_second(nodes)
        told = decoded(await read(await stream(nodes.clouds[0], b"[1]")))
        assert told == [("PayloadChunk", b"[1]"), ("InvokeComplete", b"{}")]
        assert nodes.ran == [0, 1, 0]

    three(body)


def test_streams_keep_to_a_reserved_concurrency_together(three: Any) -> None:
    async def body(nodes: Three) -> None:
        await reserve(nodes, 4)
        streams(nodes)
        answers = [await stream(nodes.clouds[0]) for _ in range(4)]
        assert sorted(nodes.ran) == [1, 1, 2]
        with pytest.raises(AwsError) as refused:
            await stream(nodes.clouds[0])
        assert refused.value.fields["Reason"] == RESERVED_LIMIT
        for made in nodes.runtime(1).streams:
            made.outcome.set_result(_outcome(b"{}"))
        await stream(nodes.clouds[0])  # in the place of one that ended
        assert len(answers) == 4 and sum(nodes.ran) == 5

    three(body)


def test_a_client_that_leaves_ends_the_reading_there_too(three: Any) -> None:
    async def body(nodes: Three) -> None:
        streams(nodes)
        only_second(nodes)
        answer = await stream(nodes.clouds[0])
        events = aiter(answer.body)
        await anext(events)
        reading = asyncio.ensure_future(anext(events))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        reading.cancel()  # as the connection's task is, when the client goes
        await asyncio.wait([reading])
        await answer.body.aclose()  # type: ignore[union-attr]
        assert nodes.runtime(1).taken == [ALL]  # it goes on unheard, as on one machine

    three(body)


def test_a_runtime_and_a_node_that_are_lost_amid_an_answer(three: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(elsewhere, "LOOK_S", 0.01)

    async def body(nodes: Three) -> None:
        streams(nodes)
        only_second(nodes)
        answer = await stream(nodes.clouds[0])
        ended(nodes, 1, Unavailable("the function runtime stopped"))
        first, (kind, told) = decoded(await read(answer))
        assert first == ("PayloadChunk", b"one") and kind == "InvokeComplete"
        told = json.loads(told)
        assert told["ErrorCode"] == "ServiceException" and "stopped" in told["ErrorDetails"]

        nodes.runtime(1).streams.clear()
        answer = await stream(nodes.clouds[0])
        events = aiter(answer.body)
        await anext(events)
        nodes.neighbours[1].down = True  # silent: it is only known that it is held dead
        ((kind, told),) = decoded(*[e async for e in events])
        assert json.loads(told)["ErrorCode"] == "ServiceException"
        assert sum(nodes.ran) == 2

    three(body)


def test_an_address_that_streams_is_relayed_and_cut_with_its_node(three: Any) -> None:
    async def body(nodes: Three) -> None:
        raw = json.dumps({"statusCode": 201}).encode() + NUL + b"first"
        for cloud in nodes.clouds:
            await cloud("DeleteFunction", FunctionName="f")
        where = [await url(cloud, ((METADATA, [raw]), None)) for cloud in nodes.clouds]
        only_second(nodes)
        answer = await ask(nodes.clouds[0], where[0])
        assert answer.status == 201 and nodes.ran == [0, 1, 0]
        parts = aiter(answer.body)  # type: ignore[arg-type]
        assert await anext(parts) == b"first"
        ended(nodes, 1, Unavailable("lost"))
        with pytest.raises(ConnectionAbortedError):
            await anext(parts)

    three(body)


def test_streams_that_did_not_begin_go_to_the_next_node(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.runtime(0).away = nodes.runtime(1).away = True
        assert decoded(await read(await stream(nodes.clouds[0], b"1")))[0][1] == b"1"
        assert nodes.ran == [0, 0, 1]

        def lost(spec: FunctionSpec, payload: bytes) -> Any:
            raise Unavailable("the function runtime stopped during the call")

        nodes.runtime(2).respond = lost
        with pytest.raises(AwsError) as refused:  # it may have run: no other node is asked
            await stream(nodes.clouds[0])
        assert refused.value.code == "ServiceException" and sum(nodes.ran) == 2

    three(body)
