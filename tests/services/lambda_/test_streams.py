"""Streamed answers as events and as function URLs' answers; the runtime is a double."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from pileus.errors import Unavailable
from pileus.runtime.function import InvokeOutcome
from pileus.runtime.streaming import ALL
from pileus.services.call import Call, HttpRequest, HttpResponse, Principal
from pileus.services.lambda_ import rows
from tests.services.lambda_.conftest import ROOT
from tests.services.lambda_.test_urls import ask, headers

METADATA = "application/vnd.awslambda.http-integration-response"
NUL = bytes(8)


async def stream(cloud: Any, body: bytes = b"{}", **sent: str) -> HttpResponse:
    """InvokeWithResponseStream as the door asks it."""
    named = {f"x-amz-{k.replace('_', '-')}": v for k, v in sent.items()}
    request = HttpRequest("POST", "/", "", named, body)
    labels = {"FunctionName": "f"}
    call = Call("lambda", "InvokeWithResponseStream", ROOT, "us-east-1", labels, request=request)
    cloud.services["lambda"].access(call)
    return await cloud.services["lambda"].direct["InvokeWithResponseStream"](call)


def decoded(*pieces: bytes) -> list[tuple[str, bytes]]:
    buffer = EventStreamBuffer()
    for piece in pieces:
        buffer.add_data(piece)
    return [(e.headers[":event-type"], e.payload) for e in buffer]


async def read(answer: HttpResponse) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return b"".join([chunk async for chunk in answer.body])  # type: ignore[union-attr]


def test_each_part_is_an_event_when_it_comes(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        cloud.runtime.respond = lambda spec, sent: (("text/plain", [b"one"]), None)
        answer = await stream(cloud, log_type="Tail")
        assert headers(answer)["content-type"] == "application/vnd.amazon.eventstream"
        events = aiter(answer.body)
        assert decoded(await anext(events)) == [("PayloadChunk", b"one")]
        (made,) = cloud.runtime.streams
        made.part(b"two")
        assert decoded(await anext(events)) == [("PayloadChunk", b"two")]
        error = {"errorType": "X", "errorMessage": "amid"}
        made.outcome.set_result(_outcome(json.dumps(error).encode()))
        ((kind, told),) = decoded(*[e async for e in events])
        told = json.loads(told)
        assert kind == "InvokeComplete" and told["ErrorCode"] == "Unhandled"
        assert json.loads(told["ErrorDetails"]) == error and told["LogResult"]

    run(body)


def _outcome(payload: bytes) -> InvokeOutcome:
    return InvokeOutcome(payload, "Unhandled", [(0, "END")], "s", False)


def test_a_client_that_leaves_and_a_runtime_that_is_lost(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        cloud.runtime.respond = lambda spec, sent: (("text/plain", [b"one"]), None)
        left = await stream(cloud)
        await left.body.aclose()  # type: ignore[union-attr]
        assert cloud.runtime.taken == [ALL]
        lost = await stream(cloud)
        cloud.runtime.streams[1].outcome.set_exception(Unavailable("gone"))
        *_, (kind, told) = decoded(await read(lost))
        assert kind == "InvokeComplete" and json.loads(told)["ErrorCode"] == "ServiceException"

    run(body)


async def url(cloud: Any, respond: Any, mode: str = "RESPONSE_STREAM", **more: Any) -> str:
    await cloud.made()
    made = await cloud(
        "CreateFunctionUrlConfig",
        **{"FunctionName": "f", "AuthType": "NONE", "InvokeMode": mode, **more},
    )
    assert made["InvokeMode"] == mode
    cloud.runtime.respond = lambda spec, sent: respond
    return str(made["FunctionUrl"])


def test_metadata_make_the_head_and_parts_go_out_as_they_come(run: Any) -> None:
    async def body(cloud: Any) -> None:
        told = {"statusCode": 404, "headers": {"X-A": "b"}, "cookies": ["c=1"]}
        raw = json.dumps(told).encode() + NUL + b"fir"
        address = await url(cloud, ((METADATA, [raw[:20], raw[20:50], raw[50:]]), None))
        answer = await ask(cloud, address)
        assert answer.status == 404 and ("set-cookie", "c=1") in answer.headers
        assert headers(answer)["x-a"] == "b"
        parts = aiter(answer.body)
        first = await anext(parts)
        assert b"first".startswith(first) and first
        (made,) = cloud.runtime.streams
        made.part(b"st")
        assert not made.outcome.done()
        assert (first + await anext(parts)).startswith(b"fir")
        made.outcome.set_result(_outcome(b"{}"))
        with pytest.raises(ConnectionAbortedError):  # it failed: the connection is cut
            [part async for part in parts]

    run(body)


@pytest.mark.parametrize(
    ("respond", "status", "kind", "sent"),
    [
        ((("text/html", [b"<p>"]), ""), 200, "text/html", b"<p>"),
        ((("text/x\r\nevil: 1", [b"y"]), ""), 200, "text/xevil: 1", b"y"),
        ((("text/html", []), ""), 200, "text/html", b""),
        ((b'{"statusCode":201}', ""), 200, "application/json", b'{"statusCode":201}'),
        ((b'{"errorType":"E"}', "Unhandled"), 502, "application/json", None),
        (((METADATA, [b'{"statusCode":200}']), ""), 502, "application/json", None),
        (((METADATA, [b"[1]" + NUL]), ""), 502, "application/json", None),
        (((METADATA, [b'{"headers":[1]}' + NUL]), ""), 502, "application/json", None),
        (((METADATA, [b'{"statusCode":101}' + NUL]), ""), 502, "application/json", None),
        (((METADATA, [b" " * 40_000, b" " * 40_000]), None), 502, "application/json", None),
        (((METADATA, [b"{}" + NUL + b"x" + NUL]), ""), 200, "application/json", b"x" + NUL),
    ],
)
def test_answers_of_a_streaming_address(
    run: Any, respond: Any, status: int, kind: str, sent: bytes | None
) -> None:
    async def body(cloud: Any) -> None:
        answer = await ask(cloud, await url(cloud, respond))
        assert (answer.status, headers(answer)["content-type"]) == (status, kind)
        wanted = b'{"Message":"Internal Server Error"}' if sent is None else sent
        assert await read(answer) == wanted
        if sent is None and respond[1] is None:
            assert cloud.runtime.taken[-1] == ALL

    run(body)


def test_a_buffered_address_invokes_as_before(run: Any) -> None:
    async def body(cloud: Any) -> None:
        address = await url(cloud, (b'{"statusCode":201}', ""), "BUFFERED")
        assert (await ask(cloud, address)).status == 201 and cloud.runtime.streams == []
        changed = await cloud(
            "UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="RESPONSE_STREAM"
        )
        assert changed["InvokeMode"] == "RESPONSE_STREAM"
        assert (await ask(cloud, address)).status == 200 and len(cloud.runtime.streams) == 1
        (listed,) = (await cloud("ListFunctionUrlConfigs", FunctionName="f"))["FunctionUrlConfigs"]
        got = await cloud("GetFunctionUrlConfig", FunctionName="f")
        assert listed["InvokeMode"] == got["InvokeMode"] == "RESPONSE_STREAM"

    run(body)


def test_who_signed_is_told_to_the_function_and_judged(run: Any) -> None:
    async def body(cloud: Any) -> None:
        address = await url(cloud, (b"1", ""), "BUFFERED", AuthType="AWS_IAM")
        arn = "arn:aws:iam::210987654321:user/ann"
        cloud.signed_by = Principal("user", "210987654321", arn, "ann", "AIDA1", "AKIA1")
        seen: list[tuple[Any, Any]] = []
        dispatch = cloud.door._parts.dispatch

        async def noting(service: str, operation: str, params: Any, **more: Any) -> Any:
            seen.append((params, more["principal"]))
            return await dispatch(service, operation, params, **more)

        cloud.door._parts.dispatch = noting
        assert (await ask(cloud, address)).status == 200
        ((params, principal),) = seen
        assert principal is cloud.signed_by
        assert (params["AuthType"], params["Both"]) == ("AWS_IAM", True)
        context = json.loads(cloud.runtime.invoked[0][1])["requestContext"]
        assert context["accountId"] == "210987654321"
        assert context["authorizer"]["iam"] == {
            "accessKey": "AKIA1", "accountId": "210987654321", "callerId": "AIDA1",
            "cognitoIdentity": None, "principalOrgId": None, "userArn": arn, "userId": "AIDA1",
        }  # fmt: skip

    run(body)


def test_an_address_made_before_the_rule_of_both_permissions_keeps_its_own(run: Any) -> None:
    async def body(cloud: Any) -> None:
        address = await url(cloud, (b"1", ""), "BUFFERED")
        url_id = address.removeprefix("http://").partition(".")[0]
        older = cloud.store.get_json(rows.url(url_id))
        del older["both"], older["mode"]  # as it was written then
        await cloud.store.transact(lambda draft: draft.put_json(rows.url(url_id), older), b"")
        seen: list[Any] = []
        dispatch = cloud.door._parts.dispatch

        async def noting(service: str, operation: str, params: Any, **more: Any) -> Any:
            seen.append(params)
            return await dispatch(service, operation, params, **more)

        cloud.door._parts.dispatch = noting
        assert (await ask(cloud, address)).status == 200
        assert (seen[0]["Both"], seen[0]["InvokeMode"]) == (False, "BUFFERED")

    run(body)


def test_the_address_alone_decides_on_other_origins(run: Any) -> None:
    async def body(cloud: Any) -> None:
        own = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
        respond = json.dumps(own).encode(), ""
        address = await url(cloud, respond, "BUFFERED", Cors={"AllowOrigins": ["https://a"]})
        told = (await ask(cloud, address, origin="https://a")).headers
        assert [v for k, v in told if k.lower() == "access-control-allow-origin"] == ["https://a"]
        told = (await ask(cloud, address, origin="https://b")).headers
        assert [v for k, v in told if k.lower() == "access-control-allow-origin"] == []

    run(body)
