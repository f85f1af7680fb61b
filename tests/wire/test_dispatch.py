"""Calls between services: model-driven, direct, streaming; authorised; errors (architecture)."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from pileus.errors import AwsError, access_denied
from pileus.services.call import Access, Call, HttpResponse, Principal
from pileus.services.service import Service
from pileus.wire.api import Api
from pileus.wire.dispatch import Dispatcher
from tests.wire.door import ACCOUNT, MODELS, Keys

SERVICE = Principal("service", ACCOUNT, "apigateway.amazonaws.com", "apigateway.amazonaws.com")


class Only:
    """Allows every action but one; remembers what it was asked."""

    def __init__(self, refused: str = "") -> None:
        self.refused, self.asked = refused, []

    def check(self, call: Call, accesses: Any) -> None:
        for access in accesses:
            self.asked.append((access.action, access.resource, call.principal))
            if access.action == self.refused:
                raise access_denied(call.principal.arn, access.action, access.resource)


def cloud(operations=None, direct=None, name="s3", authorizer=None):
    def access(call: Call) -> list[Access]:
        return [Access(f"{name}:{call.operation}", "/".join(map(str, call.params.values())))]

    dispatcher = Dispatcher()
    service = Service(name, operations or {}, access, direct or {})
    api = Api(
        {name: service},
        Keys(),
        authorizer or Only(),
        now_ms=lambda: 0,
        account=ACCOUNT,
        region="us-east-1",
        models=MODELS,
    )
    dispatcher.connect(api)
    return dispatcher


def run(dispatcher: Dispatcher, service: str, operation: str, params: dict, **more: Any) -> Any:
    return asyncio.run(dispatcher(service, operation, params, principal=SERVICE, **more))


def test_model_driven_operation_gets_params_and_context():
    seen: list[Call] = []

    async def invoke(call: Call) -> dict:
        seen.append(call)
        return {"StatusCode": 200, "Payload": b"x"}

    dispatcher = cloud({"Invoke": invoke}, name="lambda")
    got = run(
        dispatcher,
        "lambda",
        "Invoke",
        {"FunctionName": "f"},
        region="eu-west-1",
        context={"aws:SourceArn": "arn:x"},
        invocation_id=b"1" * 16,
    )
    assert got == {"StatusCode": 200, "Payload": b"x"}
    call = seen[0]
    assert (call.region, call.invocation_id, call.request) == ("eu-west-1", b"1" * 16, None)
    assert call.principal == dataclasses.replace(SERVICE, context=(("aws:SourceArn", "arn:x"),))


def test_direct_operations_get_a_request_and_their_answer_is_parsed():
    def get_object(call: Call) -> HttpResponse:
        assert call.params == {"Bucket": "bkt", "Key": "a b/ü"}
        assert call.request.method == "GET" and call.request.path == "/bkt/a%20b/%C3%BC"
        assert call.request.headers["range"] == "bytes=0-3"

        async def body():
            yield b"\xff\xfe"

        headers = [
            ("ETag", '"e"'),
            ("Content-Length", "2"),
            ("x-amz-meta-one", "1"),
            ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ]
        return HttpResponse(206, headers, body())

    authorizer = Only()
    dispatcher = cloud(direct={"GetObject": get_object}, authorizer=authorizer)

    async def main() -> None:
        got = await dispatcher(
            "s3",
            "GetObject",
            {"Bucket": "bkt", "Key": "a b/ü", "Range": "bytes=0-3"},
            principal=SERVICE,
        )
        assert got["ETag"] == '"e"' and got["Metadata"] == {"one": "1"}
        assert got["LastModified"] == 1700000000
        assert b"".join([chunk async for chunk in got["Body"]]) == b"\xff\xfe"

    asyncio.run(main())
    assert authorizer.asked == [("s3:GetObject", "bkt/a b/ü", SERVICE)]


@pytest.mark.parametrize("streamed", [False, True])
def test_direct_operations_take_bodies(streamed):
    async def put_object(call: Call) -> HttpResponse:
        return HttpResponse(200, [("ETag", (await call.request.read()).decode())], b"")

    class Body:
        length = 4

        async def __aiter__(self):
            yield b"da"
            yield b"ta"

    body = Body() if streamed else b"data"
    dispatcher = cloud(direct={"PutObject": put_object})
    got = run(dispatcher, "s3", "PutObject", {"Bucket": "b", "Key": "k", "Body": body})
    assert got["ETag"] == "data"


def test_direct_json():
    def get_item(call: Call) -> HttpResponse:
        assert call.request.body == b'{"TableName": "t", "Key": {"k": {"S": "a"}}}'
        return HttpResponse(200, [], b'{"Item":{"k":{"S":"a"}}}')

    dispatcher = cloud(direct={"GetItem": get_item}, name="dynamodb")
    got = run(dispatcher, "dynamodb", "GetItem", {"TableName": "t", "Key": {"k": {"S": "a"}}})
    assert got == {"Item": {"k": {"S": "a"}}}


def test_refused_missing_and_error_answers():
    dispatcher = cloud({"ListBuckets": lambda call: {}}, authorizer=Only("s3:ListBuckets"))
    with pytest.raises(AwsError) as e:
        run(dispatcher, "s3", "ListBuckets", {})
    assert e.value.code == "AccessDeniedException" and e.value.status == 403
    for service, operation in (("s3", "PutObject"), ("sqs", "SendMessage")):
        with pytest.raises(AwsError, match=f"{operation} is not offered"):
            run(dispatcher, service, operation, {})
    gone = b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"
    dispatcher = cloud(direct={"GetObject": lambda call: HttpResponse(404, [], gone)})
    with pytest.raises(AwsError) as e:
        run(dispatcher, "s3", "GetObject", {"Bucket": "b", "Key": "k"})
    assert (e.value.code, e.value.message, e.value.status) == ("NoSuchKey", "gone", 404)
